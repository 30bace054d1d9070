"""Objectives on stacked replicas: one call gives each of them what a call of its own would."""

from dataclasses import dataclass

import pytest
import torch

from praesidium.objectives.hirm import HIRM
from praesidium.objectives.objective import Objective
from praesidium.training.reproducibility import stream

FORMS = [HIRM(form="cos"), HIRM(form="nvar"), HIRM(form="irm_head")]
EVERY = [member() for kind, member in sorted(Objective.registry.items()) if kind != "hirm"] + FORMS
PHASES = (0.0, 0.0, 0.4, 1.0, 1.0)
each = pytest.mark.parametrize("objective", EVERY, ids=lambda one: getattr(one, "form", one.kind))


@dataclass
class Given:
    """Risks of replicas or of one, and sensitivities that are what they are said to be."""

    risks: torch.Tensor
    gradients: torch.Tensor
    slopes: torch.Tensor

    def head(self):
        return self.gradients

    def scale(self):
        return self.slopes

    def replica(self, row):
        return Given(*(part[row].detach().requires_grad_() for part in vars(self).values()))

    def derivatives(self, loss):
        return torch.autograd.grad(loss, list(vars(self).values()), allow_unused=True, materialize_grads=True)


def situation(step, replicas=3, environments=4):
    """Risks of the order of one."""
    generator = stream("tests", "stacked", step)
    shapes = [(replicas, environments), (replicas, environments, 6), (replicas, environments)]
    drawn = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    return Given(*(one.requires_grad_() for one in (1 + 0.3 * drawn[0], *drawn[1:])))


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@each
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("environments", [1, 4])
def test_each_replica_is_as_if_alone(objective, replicas, environments):
    """Terms, derivatives and memory, over several steps of all three phases."""
    together, alone = {}, [{} for _ in range(replicas)]
    for step, ramp in enumerate(PHASES):
        every = situation(step, replicas, environments)
        terms = objective(every.risks, every, ramp, together)
        assert terms.loss.shape == terms.risk.shape == terms.penalty.shape == (replicas,)
        slopes = every.derivatives(terms.loss.sum())
        for row, memory in enumerate(alone):
            one = every.replica(row)
            expected = objective(one.risks, one, ramp, memory)
            for name in ("risk", "penalty", "loss"):
                close(getattr(terms, name)[row], getattr(expected, name))
            close({name: value[row] for name, value in terms.log.items()}, expected.log)
            close({name: value[row] for name, value in together.items()}, memory)
            close([slope[row] for slope in slopes], list(one.derivatives(expected.loss)))


@each
def test_a_replica_that_is_no_number_stays_alone(objective):
    whole, broken = {}, {}
    for step, ramp in enumerate(PHASES):
        every = situation(step)
        spoiled = every.risks.detach().clone()
        spoiled[1] = torch.tensor([float("nan"), float("inf"), 0.0, 1.0])
        loss = objective(every.risks, every, ramp, whole).loss
        other = objective(spoiled, every, ramp, broken).loss
        assert torch.equal(loss[[0, 2]], other[[0, 2]])
        assert not other[1].isfinite()


@each
def test_replicas_may_be_taken_apart_and_put_together_again(objective):
    """What is carried has replicas first: rows of it go on as the whole does."""
    whole = {}
    for step, ramp in enumerate(PHASES):
        every, parts = situation(step), [{name: value[row] for name, value in whole.items()} for row in range(3)]
        loss = objective(every.risks, every, ramp, whole).loss
        apart = [every.replica(row) for row in range(3)]
        alone = [objective(one.risks, one, ramp, memory).loss for one, memory in zip(apart, parts, strict=True)]
        close(loss, torch.stack(alone))
        again = {name: torch.stack([memory[name] for memory in parts]) for name in parts[0]}
        close(again, whole)


@each
def test_the_same_settings_are_the_same_objective(objective):
    """So that replicas which share them can share a call."""
    assert objective == Objective.model_validate(objective.settings())
    assert sum(objective == other for other in EVERY) == 1
