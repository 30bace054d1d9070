"""Moments of regimes against weighted sums by hand, and the loss that is made of them."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.losses import net_returns, regime_conditional_loss, regime_moments, sharpe_loss

LAW = settings(deadline=None, derandomize=True, max_examples=20)


@LAW
@given(name=st.integers(0, 99), belief=st.floats(0.05, 1))
def test_a_constant_belief_leaves_the_moments_as_they_are(draw, name, belief):
    """Centering p r in place of r shrinks a variance by p (2 - p) or so: 0.25 of it was seen at p = 0.5."""
    net = draw(name).returns[..., 0]
    probs = torch.full((*net.shape, 2), belief, dtype=torch.float64)
    probs[..., 1] = 1 - belief
    moments = regime_moments(net, probs)
    assert moments.share.tolist() == pytest.approx([belief, 1 - belief])
    assert moments.mean[0].item() == pytest.approx(net.mean().item())
    assert moments.variance[0].item() == pytest.approx(net.var(correction=0).item())


def test_certain_beliefs_give_the_moments_of_each_part(draw):
    net = draw("parts", batch=2, time=30).returns[..., 0]
    state = torch.arange(60).reshape(2, 30) % 3
    moments = regime_moments(net, torch.nn.functional.one_hot(state, 4).double())
    for regime in range(3):
        part = net[state == regime]
        assert moments.mean[regime].item() == pytest.approx(part.mean().item())
        assert moments.variance[regime].item() == pytest.approx(part.var(correction=0).item())
    assert moments.share.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert (moments.mean[3], moments.variance[3]) == (0, 0)


def test_variance_is_that_of_the_covariance_of_assets_in_the_regime(draw):
    """For weights that stay: w' C_k w with C_k = sum p_k (r - m_k)(r - m_k)' / sum p_k, summed in plain loops."""
    book = draw("covariance", batch=1, time=8, assets=2, regimes=2)
    weights = book.held[0]
    moments = regime_moments((book.returns * weights).sum(-1), book.probs)
    for regime in range(2):
        beliefs, returns = book.probs[0, :, regime].tolist(), book.returns[0].tolist()
        mass = sum(beliefs)
        mean = [sum(p * r[i] for p, r in zip(beliefs, returns, strict=True)) / mass for i in range(2)]
        variance = sum(
            p * weights[i] * weights[j] * (r[i] - mean[i]) * (r[j] - mean[j]) / mass
            for p, r in zip(beliefs, returns, strict=True)
            for i in range(2)
            for j in range(2)
        )
        assert moments.variance[regime].item() == pytest.approx(float(variance))


def test_a_belief_weighs_the_return_after_it(draw):
    """Certain beliefs one day apart: the loss is the sum over regimes of share times annualized ratio."""
    book = draw("after", batch=2, time=21, regimes=2)
    state = (torch.arange(21) // 3 % 2).expand(2, 21)
    probs = torch.nn.functional.one_hot(state, 2).double()
    net = net_returns(book.weights, book.returns, cost_rate=0.001).net
    expected = 0.0
    for regime in range(2):
        part = net[state[:, :-1] == regime]
        ratio = math.sqrt(252) * part.mean() / part.std(correction=0)
        expected -= part.numel() / net.numel() * ratio.item()
    loss = regime_conditional_loss(book.weights, book.returns, probs, cost_rate=0.001, floor=1e-9)
    assert loss.item() == pytest.approx(expected)
    held = regime_conditional_loss(book.held, book.returns, probs, cost_rate=0.001)
    other = book.returns.clone()
    other[:, 0] += 0.1
    assert regime_conditional_loss(book.held, other, probs, cost_rate=0.001) == held


@pytest.mark.parametrize("regimes", [1, 3])
def test_regimes_that_say_nothing_leave_the_sharpe_loss(draw, regimes):
    book = draw("nothing", batch=1)
    probs = torch.full((1, 12, regimes), 1 / regimes, dtype=torch.float64)
    loss = regime_conditional_loss(book.weights, book.returns, probs, cost_rate=0.001)
    assert loss.item() == pytest.approx(sharpe_loss(book.weights, book.returns, cost_rate=0.001).item())


def test_gradients_are_those_of_finite_differences(draw):
    book = draw("slopes", batch=2, time=5, assets=2, regimes=2)
    inputs = [book.weights.requires_grad_(), book.probs.requires_grad_()]
    assert torch.autograd.gradcheck(lambda w, p: regime_conditional_loss(w, book.returns, p, cost_rate=0.01), inputs)


def test_a_regime_that_never_comes_has_a_finite_gradient(draw):
    book = draw("never", dtype=torch.float32)
    probs = torch.zeros_like(book.probs)
    probs[..., 0] = 1
    inputs = [book.weights.requires_grad_(), probs.requires_grad_()]
    slopes = torch.autograd.grad(regime_conditional_loss(book.weights, book.returns, probs), inputs)
    assert all(slope.isfinite().all() for slope in slopes)


def test_another_layout_and_logits_are_refused(draw):
    book = draw("layout")
    with pytest.raises(InputError, match=r"\(3, 3, 12\); give \(3, 12, regimes\) .*transpose\(1, 2\)"):
        inspect.unwrap(regime_conditional_loss)(book.weights, book.returns, book.probs.transpose(1, 2))
    square = draw("square", time=3, regimes=3)
    with pytest.raises(InputError, match="not distributions along the last axis"):
        regime_conditional_loss(square.weights, square.returns, square.probs.transpose(1, 2))
    with pytest.raises(InputError, match="not logits"):
        regime_conditional_loss(book.weights, book.returns, book.probs.log())
    with pytest.raises(InputError, match="give at least 2"):
        regime_conditional_loss(book.held, book.returns[:, :1], book.probs[:, :1])
