"""Change probabilities against all paths of a chain, and the loss that charges the trades they force."""

import inspect
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.losses import (
    change_probability,
    regime_targets,
    regimes_after_change,
    sharpe_loss,
    transition_aware_loss,
)

LAW = settings(deadline=None, derandomize=True, max_examples=15)
CHAIN = torch.tensor([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0, 0.2, 0.8]], dtype=torch.float64)
TWO = torch.tensor([[0.95, 0.05], [0.1, 0.9]], dtype=torch.float64)


def by_paths(belief, transition, horizon):
    """Probability of each last regime over all paths that leave the first one at some time."""
    regimes = range(len(belief))
    last = [0.0] * len(belief)
    for path in product(regimes, repeat=horizon + 1):
        if len(set(path)) > 1:
            chance = belief[path[0]]
            for now, after in pairwise(path):
                chance *= transition[now][after]
            last[path[-1]] += chance
    return last


@LAW
@given(name=st.integers(0, 99), regimes=st.integers(1, 3), horizon=st.integers(1, 4))
def test_chances_are_those_of_all_paths(draw, name, regimes, horizon):
    book = draw(name, batch=1, time=2, regimes=regimes)
    change = change_probability(book.probs, book.transition, horizon=horizon)
    after = regimes_after_change(book.probs, book.transition, horizon=horizon)
    for time in range(2):
        last = by_paths(book.probs[0, time].tolist(), book.transition.tolist(), horizon)
        assert after[0, time].tolist() == pytest.approx(last, abs=1e-14)
        assert change[0, time].item() == pytest.approx(sum(last), abs=1e-14)


def test_a_chain_that_never_moves_does_not_change(draw):
    """An uniform belief was once reported to change with probability 0.67 under the identity."""
    book = draw("still")
    still = torch.eye(3, dtype=torch.float64)
    uniform = torch.full((3, 12, 3), 1 / 3, dtype=torch.float64)
    for probs in (uniform, book.probs):
        assert torch.equal(change_probability(probs, still, horizon=20), torch.zeros(3, 12, dtype=torch.float64))
        loss = transition_aware_loss(book.weights, book.returns, probs, still, horizon=20, targets=book.targets)
        assert torch.equal(loss, sharpe_loss(book.weights, book.returns))


def test_a_matrix_for_each_belief_is_used_where_it_belongs(draw):
    book = draw("varying", batch=2, time=4)
    other = draw("varying too", batch=2, time=4).transition
    matrices = torch.stack([book.transition, other]).repeat(4, 1, 1).reshape(2, 4, 3, 3)
    varying = change_probability(book.probs, matrices, horizon=3)
    assert torch.equal(varying[:, 0::2], change_probability(book.probs[:, 0::2], book.transition, horizon=3))
    assert torch.equal(varying[:, 1::2], change_probability(book.probs[:, 1::2], other, horizon=3))
    loss = transition_aware_loss(book.weights, book.returns, book.probs, matrices, horizon=3)
    assert loss != transition_aware_loss(book.weights, book.returns, book.probs, other, horizon=3)


def test_the_penalty_is_the_expected_turnover_of_a_change():
    """Sure of regime 0 with all in asset 0; one period ahead, regime 1 wants asset 1: 0.05 times a full switch."""
    weights = torch.tensor([[[1.0, 0.0]] * 3], dtype=torch.float64)
    probs, targets = weights.clone(), torch.eye(2, dtype=torch.float64)
    returns = torch.zeros_like(weights)
    loss = transition_aware_loss(weights, returns, probs, TWO, horizon=1, targets=targets, transition_weight=3.0)
    assert loss.item() == pytest.approx(3 * 0.05 * 2)
    ready = weights.flip(-1)  # already where the change leads
    assert transition_aware_loss(ready, returns, probs, TWO, horizon=1, targets=targets).item() == pytest.approx(0)


@pytest.mark.parametrize("given_targets", [True, False])
def test_the_penalty_has_a_gradient_in_the_weights(draw, given_targets):
    """Equal to finite differences, and not zero beside that of the Sharpe loss."""
    book = draw("slope", batch=2, time=4, assets=2)
    targets = book.targets if given_targets else None
    book.weights.requires_grad_()

    def loss(weights, share=1.0):
        return transition_aware_loss(
            weights, book.returns, book.probs, book.transition,
            horizon=3, targets=targets, transition_weight=share, cost_rate=0.01,
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, [book.weights])
    with_penalty, without = (torch.autograd.grad(loss(book.weights, share), book.weights)[0] for share in (1.0, 0.0))
    assert ((with_penalty - without).abs() > 1e-4).all()


def test_policies_that_jump_between_regimes_are_charged_and_steady_ones_are_not(draw):
    book = draw("steady", regimes=2)
    steady = torch.full((3, 12, 2), 0.5, dtype=torch.float64)
    flat = torch.zeros_like(steady)
    losses = [
        transition_aware_loss(0.5 + size * (book.probs - 0.5), flat, book.probs, TWO, horizon=5).item()
        for size in (0.0, 0.5, 1.0)
    ]
    assert losses[0] == pytest.approx(0, abs=1e-12)
    assert losses[0] < losses[1] < losses[2]


def test_targets_are_what_is_held_in_a_regime(draw):
    book = draw("targets", batch=1, time=6, regimes=3)
    state = torch.tensor([[0, 1, 0, 1, 1, 0]])
    targets = regime_targets(book.weights, torch.nn.functional.one_hot(state, 3).double())
    for regime in range(2):
        assert torch.allclose(targets[0, regime], book.weights[0, state[0] == regime].mean(0))
    assert torch.allclose(targets[0, 2], book.weights[0].mean(0))


def test_held_weights_are_compared_with_targets(draw):
    book = draw("held", dtype=torch.float32)
    held = book.held.requires_grad_()
    loss = transition_aware_loss(held, book.returns, book.probs.double(), CHAIN, horizon=2, targets=book.targets)
    (slope,) = torch.autograd.grad(loss - sharpe_loss(held, book.returns), held)
    assert (slope.abs() > 1e-4).all()
    with pytest.raises(InputError, match=r"give targets of shape \(3, 4\)"):
        transition_aware_loss(held, book.returns, book.probs, CHAIN, horizon=2)


def test_what_does_not_fit_is_refused(draw):
    book = draw("refused")
    loss, chance = inspect.unwrap(transition_aware_loss), inspect.unwrap(change_probability)
    with pytest.raises(InputError, match=r"transition_aware_loss: transition has shape \(2, 2\); give \(3, 3\), or"):
        loss(book.weights, book.returns, book.probs, TWO, horizon=1)
    with pytest.raises(InputError, match=r"targets have shape \(4, 3\); give \(3, 4\) or \(3, 3, 4\)"):
        loss(book.weights, book.returns, book.probs, book.transition, horizon=1, targets=book.targets.T)
    with pytest.raises(InputError, match="change_probability: horizon=0 is not a positive number"):
        chance(book.probs, book.transition, horizon=0)
    with pytest.raises(InputError, match="change_probability: transition are not distributions"):
        chance(book.probs, book.transition.T, horizon=1)
    with pytest.raises(InputError, match="change_probability: regime_probs are not distributions"):
        chance(2 * book.probs, book.transition, horizon=1)
