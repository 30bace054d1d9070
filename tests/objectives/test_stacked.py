"""Objectives on stacked replicas: one call gives each of them what a call of its own would."""

import pytest
import torch

from praesidium.objectives.objective import Objective

PHASES = (0.0, 0.0, 0.4, 1.0, 1.0)
lonely = pytest.mark.filterwarnings("ignore:.* a single training environment:UserWarning")


def close(one, other, within=1e-12):
    torch.testing.assert_close(one, other, rtol=within, atol=within)


@lonely
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("environments", [1, 4])
def test_each_replica_is_as_if_alone(objective, situation, replicas, environments):
    """Terms, derivatives and memory, over several steps of all three phases."""
    together, alone = {}, [{} for _ in range(replicas)]
    for step, ramp in enumerate(PHASES):
        every = situation(step, environments, (replicas,))
        terms = objective(every.risks, every, ramp, together)
        assert terms.loss.shape == terms.risk.shape == terms.penalty.shape == (replicas,)
        slopes = every.derivatives(terms.loss.sum())
        rows = every.changed(**slopes)
        for row, memory in enumerate(alone):
            one = every.replica(row)
            expected = objective(one.risks, one, ramp, memory)
            for name in ("risk", "penalty", "loss"):
                close(getattr(terms, name)[row], getattr(expected, name))
            close({name: value[row] for name, value in terms.log.items()}, expected.log)
            close({name: value[row] for name, value in together.items()}, memory)
            assert (terms.head is None) == (expected.head is None)
            assert terms.reach == expected.reach
            if terms.head is not None:
                close(terms.head[row], expected.head)
            close(
                {key: part.detach() for key, part in rows.replica(row).parts.items()},
                one.derivatives(expected.loss),
                1e-9,
            )


def test_replicas_may_stand_in_a_grid(objective, situation):
    """Any number of axes of replicas is as good as one."""
    grid, line = {}, {}
    for step, ramp in enumerate(PHASES):
        square = situation(step, replicas=(2, 3))
        flat = square.each(lambda part, axis: part.flatten(axis - 2, axis - 1))
        terms, expected = objective(square.risks, square, ramp, grid), objective(flat.risks, flat, ramp, line)
        close(terms.loss.flatten(), expected.loss)
        close({key: value.flatten(0, 1) for key, value in terms.log.items()}, expected.log)
        assert terms.head is None or terms.head.flatten(0, 1).allclose(expected.head, rtol=1e-12)
    close({key: value.flatten(0, 1) for key, value in grid.items()}, line)


def test_a_replica_that_is_no_number_stays_alone(objective, situation):
    def spoil(part, axis):
        part = part.detach().clone()
        part.select(axis - 1, 1).fill_(float("nan"))
        return part

    whole, broken = {}, {}
    for step, ramp in enumerate(PHASES):
        every = situation(step, replicas=(3,))
        spoiled = every.each(spoil)
        terms = objective(every.risks, every, ramp, whole)
        other = objective(spoiled.risks, spoiled, ramp, broken)
        assert torch.equal(terms.loss[[0, 2]], other.loss[[0, 2]])
        assert not other.loss[1].isfinite()
        assert terms.head is None or torch.equal(terms.head[[0, 2]], other.head[[0, 2]])


def test_replicas_may_be_taken_apart_and_put_together_again(objective, situation):
    """What is carried has replicas first: rows of it go on as the whole does."""
    whole = {}
    for step, ramp in enumerate(PHASES):
        every = situation(step, replicas=(3,))
        parts = [{name: value[row].clone() for name, value in whole.items()} for row in range(3)]
        loss = objective(every.risks, every, ramp, whole).loss
        apart = [every.replica(row) for row in range(3)]
        alone = [objective(one.risks, one, ramp, memory).loss for one, memory in zip(apart, parts, strict=True)]
        close(loss, torch.stack(alone))
        again = {name: torch.stack([memory[name] for memory in parts]) for name in parts[0]}
        close(again, whole)


def test_the_same_settings_are_the_same_objective(objective):
    """So that replicas which share them can share a call."""
    assert objective == Objective.model_validate(objective.settings())
    others = [member() for kind, member in Objective.registry.items() if kind != objective.kind]
    assert objective not in others
