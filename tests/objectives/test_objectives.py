"""Contracts of every objective, met by a newcomer as soon as it registers."""

import warnings

import numpy as np
import pytest
import torch

from praesidium.objectives.objective import Objective, Sensitivities

PHASES = (0.0, 0.0, 0.4, 1.0, 1.0)
SIZES = {"irmv1": "scale", "irm_head": "halves", "delta_shrink": "residual"}
"""What penalizes the size of something, and of what: equal environments do not make that vanish."""
HAIR = {"hirm": 1e-2}
"""A cosine with a floor under its norms is a little short of one, and pulls a little, where gradients are equal."""


def close(one, other, within=1e-12):
    torch.testing.assert_close(one, other, rtol=within, atol=within)


def head_mean(given):
    return given.gradients.detach().mean(-2)


def test_the_sensitivities_of_these_tests_are_what_objectives_expect(situation):
    assert isinstance(situation(), Sensitivities)
    assert situation().head().detach().equal(situation().head_halves().detach().mean(0))


def test_environments_have_no_order(objective, situation):
    """Neither in the loss and the edited gradient, nor in what they are differentiated by."""
    order, one, other = [2, 0, 3, 1], {}, {}
    for step, ramp in enumerate(PHASES):
        given = situation(step)
        shuffled = given.order(order)
        terms, again = objective(given.risks, given, ramp, one), objective(shuffled.risks, shuffled, ramp, other)
        close(terms.loss, again.loss)
        close(terms.head, again.head) if terms.head is not None else None
        expected = situation(step).changed(**given.derivatives(terms.loss)).order(order)
        close(shuffled.derivatives(again.loss), {key: part.detach() for key, part in expected.parts.items()}, 1e-9)


def test_equal_environments_give_erm_where_that_is_the_law(objective, situation):
    """The loss moves with the one risk that there is, and with nothing else."""
    given = situation().equal()
    terms = objective(given.risks, given, 1.0, {})
    total = given.total(given.derivatives(terms.loss))
    assert terms.risk.item() == pytest.approx(given.risks[0].item())
    assert total.pop("risks").item() == pytest.approx(1)
    moved = {key for key, slope in total.items() if slope.abs().max() > HAIR.get(objective.kind, 1e-12)}
    assert moved == ({SIZES[objective.kind]} if objective.kind in SIZES else set())
    if objective.kind not in SIZES:
        assert terms.penalty.item() == pytest.approx(0, abs=HAIR.get(objective.kind, 1e-12))
    if terms.head is not None:
        close(terms.head, head_mean(given), 1e-9)


def test_the_warm_up_is_erm_and_asks_for_nothing(objective, situation):
    memory = {}
    for step in range(3):
        given = situation(step)
        terms = objective(given.risks, given, 0.0, memory)
        assert terms.loss.item() == given.risks.mean().item()
        slopes = given.derivatives(terms.loss)
        assert slopes.pop("risks").tolist() == pytest.approx([0.25] * 4)
        assert not any(slope.any() for slope in slopes.values())
        assert given.asked == 0
        assert terms.head is None


def test_what_is_not_erm_grows_along_the_ramp(objective, situation):
    """In proportion to it, in the loss as in an edited gradient."""
    given = situation()
    full = objective(given.risks, given, 1.0, {})
    for ramp in (0.25, 0.5, 0.75):
        terms = objective(given.risks, given, ramp, {})
        close(terms.loss - given.risks.mean(), ramp * (full.loss - given.risks.mean()))
        if full.head is not None:
            close(terms.head - head_mean(given), ramp * (full.head - head_mean(given)))
    excess = (full.loss - given.risks.mean()).abs().item()
    edited = 0.0 if full.head is None else (full.head - head_mean(given)).abs().max().item()
    assert (excess + edited > 1e-6) == (objective.kind != "erm")


def test_what_is_asked_for_is_moved(objective, situation):
    """A penalty has a derivative in what it penalizes; an edited gradient leaves the loss to the risks."""
    given = situation()
    terms = objective(given.risks, given, 1.0, {})
    slopes = given.derivatives(terms.loss)
    assert slopes.pop("risks").any()
    assert any(slope.any() for slope in slopes.values()) == (given.asked > 0 and terms.head is None)


def test_the_loss_is_the_sum_of_its_terms(objective, situation):
    given = situation()
    terms = objective(given.risks, given, 1.0, {})
    assert terms.loss.item() == terms.risk.item() + terms.penalty.item()
    assert terms.loss.shape == terms.risk.shape == terms.penalty.shape == ()
    assert all(isinstance(one, torch.Tensor) and not one.requires_grad for one in terms.log.values())
    assert terms.head is None or (terms.head.shape == (6,) and not terms.head.requires_grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_to_see_is_harmless(objective, situation, dtype):
    """Risks all equal, derivatives all zero: after the warm-up, from the first step on, and for a single step."""
    zero = situation().each(lambda part, _: torch.zeros_like(part, dtype=dtype))
    zero = zero.changed(risks=torch.ones(4, dtype=dtype))
    for given in (zero, zero.changed(halves=zero.parts["halves"] + torch.tensor([[1.0], [0], [0], [0]], dtype=dtype))):
        memory = {}
        for ramp in PHASES:
            terms = objective(given.risks, given, ramp, memory)
            numbers = [terms.loss, *given.derivatives(terms.loss).values(), *memory.values()]
            numbers += [] if terms.head is None else [terms.head]
            assert all(one.isfinite().all() and one.dtype == dtype for one in numbers)
            assert terms.risk.item() == pytest.approx(1)


def test_a_single_environment_is_plain_erm(objective, situation):
    """And says so, where environments are compared."""
    given, memory = situation(environments=1), {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        terms = objective(given.risks, given, 1.0, memory)
    assert [str(one.message) for one in caught] == [
        f"{objective.kind}: a single training environment leaves nothing to compare; this is plain ERM"
    ] * objective.compares
    if objective.compares:
        assert terms.loss.item() == given.risks.item()
        assert terms.head is None
        assert given.asked == len(memory) == 0
    assert all(slope.isfinite().all() for slope in given.derivatives(terms.loss).values())


def test_memory_holds_tensors_without_a_graph_and_is_all_that_is_carried(objective, situation):
    memory, copy = {}, {}
    for step, ramp in enumerate(PHASES):
        given = situation(step)
        terms = objective(given.risks, given, ramp, memory)
        again = Objective.model_validate(objective.settings())
        assert again(given.risks, given, ramp, copy).loss.item() == terms.loss.item()
        assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in memory.values())
        assert len({value.data_ptr() for value in memory.values()}) == len(memory)  # no two share their storage
        copy = {key: value.clone() for key, value in memory.items()}


def test_what_is_given_in_single_precision_comes_back_in_it(objective, situation):
    given = situation()
    single = given.each(lambda part, _: part.float())
    terms, exact = objective(single.risks, single, 1.0, {}), objective(given.risks, given, 1.0, {})
    assert terms.loss.dtype == torch.float32
    assert terms.loss.item() == pytest.approx(exact.loss.item(), rel=1e-5)
    if exact.head is not None:
        assert terms.head.dtype == torch.float32
        np.testing.assert_allclose(terms.head.numpy(), exact.head.numpy(), rtol=1e-4, atol=1e-5)
