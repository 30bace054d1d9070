"""The composite loss: each part is what it is called, and no argument is without effect."""

import inspect
from typing import Any

import pytest
import torch

from praesidium.component import InputError
from praesidium.portfolio.losses import (
    advanced_portfolio_loss,
    net_returns,
    path_drawdown,
    portfolio_loss,
    regime_conditional_loss,
    sharpe_loss,
)
from praesidium.risk import cvar

BARE: dict[str, Any] = {"cost_rate": 0.001, "limit_weight": 0, "drawdown_weight": 0, "cvar_weight": 0}


def part(book, **only):
    """What one part adds to the bare ratio."""
    bare = advanced_portfolio_loss(book.weights, book.returns, **BARE)
    return (advanced_portfolio_loss(book.weights, book.returns, **(BARE | only)) - bare).item()


def test_the_bare_loss_is_that_of_sharpe(draw):
    book = draw("bare")
    for weights in (book.weights, book.held):
        bare = advanced_portfolio_loss(weights, book.returns, previous=book.previous, **BARE)
        assert torch.equal(bare, sharpe_loss(weights, book.returns, cost_rate=0.001, previous=book.previous))


@pytest.mark.parametrize(("time", "level"), [(5, 0.95), (2, 0.95), (60, 0.95), (60, 0.7)])
def test_the_tail_is_the_cvar_of_net_losses_for_windows_of_any_length(draw, time, level):
    """Rounding 5 % of 5 periods down to none gave no number at all."""
    book = draw("tail", time=time)
    net = net_returns(book.weights, book.returns, cost_rate=0.001).net
    assert part(book, cvar_weight=2.0, level=level) == pytest.approx(2 * cvar(-net, level=level).mean().item())
    if (1 - level) * (time - 1) < 1:
        assert part(book, cvar_weight=1.0, level=level) == pytest.approx((-net).amax(1).mean().item())


def test_drawdown_counts_from_the_start(draw):
    book = draw("drawdown")
    net = net_returns(book.weights, book.returns, cost_rate=0.001).net
    assert part(book, drawdown_weight=3.0) == pytest.approx(3 * path_drawdown(net).mean().item())


@pytest.mark.parametrize("sign", [1, -1])
def test_limits_charge_what_goes_beyond_them_with_a_gradient(sign):
    """One position of 0.9 against 0.5, and leverage 1.2 against 1, in one of two decisions."""
    weights = sign * torch.tensor([[[0.9, -0.3], [0.5, 0.5]]], dtype=torch.float64)
    returns = torch.zeros_like(weights)
    weights.requires_grad_()
    within: dict[str, Any] = {"limit_weight": 2.0, "max_weight": 1.0, "max_leverage": 1.5}
    bounds: dict[str, Any] = {"max_weight": 0.5, "max_leverage": 1.0}
    extra = advanced_portfolio_loss(weights, returns, **(BARE | within | bounds)) - advanced_portfolio_loss(
        weights, returns, **(BARE | within)
    )
    assert extra.item() == pytest.approx(2 * (0.4 + 0.2) / 2)
    (slope,) = torch.autograd.grad(extra, weights)
    assert slope[0, 0].tolist() == pytest.approx([2 * sign, -sign])


def test_costs_come_from_the_trades_of_each_sample(draw):
    """Previous weights belong to the sample, whatever the size of the batch before."""
    book = draw("own trades", batch=4)
    losses = [
        advanced_portfolio_loss(book.weights[i : i + 1], book.returns[i : i + 1], previous=book.previous[i : i + 1])
        for i in range(4)
    ]
    whole = advanced_portfolio_loss(book.weights, book.returns, previous=book.previous)
    assert whole.item() == pytest.approx(torch.stack(losses).mean().item())


def test_covariance_adds_the_annualized_variance_ahead(draw):
    book = draw("variance")
    covariance = torch.diag(torch.tensor([1e-4, 2e-4, 3e-4, 4e-4], dtype=torch.float64))
    expected = 252 * (book.weights.square() * covariance.diagonal()).sum(-1).mean().item()
    assert part(book, covariance=covariance, variance_weight=1.0) == pytest.approx(expected)
    assert part(book, covariance=covariance.expand(3, 12, 4, 4), variance_weight=2.0) == pytest.approx(2 * expected)


def test_beliefs_make_the_ratio_that_of_regimes(draw):
    book = draw("beliefs")
    loss = advanced_portfolio_loss(book.weights, book.returns, regime_probs=book.probs, **BARE)
    conditional = regime_conditional_loss(book.weights, book.returns, book.probs, cost_rate=0.001)
    assert torch.equal(loss, conditional)
    assert not torch.equal(loss, advanced_portfolio_loss(book.weights, book.returns, **BARE))


@pytest.mark.parametrize("held", [False, True])
def test_no_argument_is_without_effect(draw, held):
    book = draw("effect", time=40)
    weights = book.held if held else book.weights
    base: dict[str, Any] = {"covariance": torch.eye(4, dtype=torch.float64) * 1e-4}
    other: dict[str, Any] = {
        "regime_probs": book.probs, "covariance": torch.eye(4, dtype=torch.float64) * 2e-4, "previous": book.previous,
        "cost_rate": 0.002, "max_weight": 0.1, "max_leverage": 0.5, "limit_weight": 1.0, "drawdown_weight": 2.0,
        "cvar_weight": 1.0, "variance_weight": 2.0, "level": 0.9, "periods": 12, "floor": 1e-3,
    }  # fmt: skip
    named = {name for name, one in inspect.signature(advanced_portfolio_loss).parameters.items() if one.kind == 3}
    assert named == set(other)
    loss = advanced_portfolio_loss(weights, book.returns, **base)
    for name, value in other.items():
        assert advanced_portfolio_loss(weights, book.returns, **(base | {name: value})) != loss, name


def test_the_whole_gradient_is_that_of_finite_differences(draw):
    book = draw("whole slope", batch=2, time=6, assets=2)
    book.weights.requires_grad_()
    covariance = 1e-4 * torch.eye(2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda w: advanced_portfolio_loss(
            w, book.returns, regime_probs=book.probs, covariance=covariance, max_weight=0.3, max_leverage=0.5
        ),
        [book.weights],
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("batch", "time", "assets", "regimes"), [(1, 2, 1, 1), (1, 5, 3, 2), (2, 2, 1, 3)])
def test_the_smallest_books_have_finite_losses_and_gradients(draw, dtype, batch, time, assets, regimes):
    book = draw("small", batch, time, assets, regimes, dtype)
    for weights in (book.weights, book.held):
        free = weights.clone().requires_grad_()
        loss = advanced_portfolio_loss(free, book.returns, regime_probs=book.probs)
        (slope,) = torch.autograd.grad(loss, free)
        assert loss.dtype == dtype
        assert loss.isfinite()
        assert slope.isfinite().all()


def test_both_names_are_one_function():
    assert portfolio_loss is advanced_portfolio_loss


def test_what_does_not_fit_is_refused_by_name(draw):
    book = draw("refused")
    refuse = inspect.unwrap(advanced_portfolio_loss)
    for arguments, sentence in [
        (
            {"covariance": torch.eye(3)},
            r"covariance has shape \(3, 3\); give \(4, 4\) or \(3, 4, 4\) or \(3, 12, 4, 4\)",
        ),
        ({"regime_probs": book.probs[:, 1:]}, r"regime_probs have shape \(3, 11, 3\); give \(3, 12, regimes\)"),
        ({"max_weight": 0.0}, "max_weight=0 is not positive"),
        ({"cost_rate": -0.1}, "cost_rate=-0.1 is not a rate"),
    ]:
        with pytest.raises(InputError, match=f"advanced_portfolio_loss: {sentence}"):
            refuse(book.weights, book.returns, **arguments)
    with pytest.raises(InputError, match=r"did you mean 0\.95"):
        advanced_portfolio_loss(book.weights, book.returns, level=95)
