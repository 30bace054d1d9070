"""Sharpe, Sortino and Calmar losses against their definitions in numpy, and where those are infinite."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.losses import calmar_loss, net_returns, path_drawdown, sharpe_loss, sortino_loss

LAW = settings(deadline=None, derandomize=True, max_examples=25)
RATIOS = [sharpe_loss, sortino_loss, calmar_loss]


def ratio(loss, net):
    """One window by definition, 252 periods a year."""
    if loss is sharpe_loss:
        return np.sqrt(252) * net.mean() / net.std()
    if loss is sortino_loss:
        return np.sqrt(252) * net.mean() / np.sqrt(np.mean(np.minimum(net, 0) ** 2))
    wealth = np.cumprod(np.concatenate([[1.0], 1 + net]))
    falls = [1 - wealth[j] / wealth[i] for i in range(len(wealth)) for j in range(i, len(wealth))]
    return 252 * net.mean() / max(falls)


@pytest.mark.parametrize("loss", RATIOS)
@pytest.mark.parametrize("held", [False, True])
def test_the_loss_is_minus_the_annualized_ratio_of_net_returns(draw, loss, held):
    book = draw("ratio", time=30)
    weights = book.held if held else book.weights
    nets = net_returns(weights, book.returns, cost_rate=0.002, previous=book.previous).net.numpy()
    expected = -np.mean([ratio(loss, net) for net in nets])
    value = loss(weights, book.returns, cost_rate=0.002, previous=book.previous, floor=1e-9)
    assert value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loss", RATIOS)
def test_the_default_floor_hardly_moves_the_ratio(draw, loss):
    book = draw("floor", time=60)
    with_floor, without = loss(book.weights, book.returns).item(), loss(book.weights, book.returns, floor=1e-9).item()
    assert with_floor == pytest.approx(without, rel=0.01)


@LAW
@given(name=st.integers(0, 99), factor=st.floats(0.1, 3), years=st.floats(0.1, 10))
def test_ratios_do_not_know_the_unit_of_returns_and_grow_with_the_periods_of_a_year(draw, name, factor, years):
    book = draw(name)
    for loss, power in [(sharpe_loss, 0.5), (sortino_loss, 0.5), (calmar_loss, 1)]:
        base = loss(book.weights, book.returns).item()
        longer = loss(book.weights, book.returns, periods=252 * years).item()
        assert longer == pytest.approx(base * years**power, rel=1e-12)
    for loss in (sharpe_loss, sortino_loss):
        scaled = loss(book.weights, factor * book.returns, floor=factor * 1e-3).item()
        assert scaled == pytest.approx(loss(book.weights, book.returns, floor=1e-3).item(), rel=1e-9)


@pytest.mark.parametrize("loss", RATIOS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fixed", [True, False])
def test_without_any_loss_or_variation_value_and_gradient_are_finite_and_small(loss, dtype, fixed):
    """A floor of 1e-8 had a gradient of 1e6 and more here."""
    weights = torch.full((2, 6, 3), 1 / 3, dtype=dtype, requires_grad=True)
    gains = torch.full((2, 6, 3), 0.001, dtype=dtype)
    returns = gains if fixed else gains * torch.linspace(1, 2, 6, dtype=dtype)[:, None]
    value = loss(weights, returns)
    (slope,) = torch.autograd.grad(value, weights)
    assert value.isfinite()
    assert slope.isfinite().all()
    assert 0 < -value < 160
    assert 0 < slope.abs().max() < 1000


@pytest.mark.parametrize("loss", RATIOS)
def test_foresight_pays_and_hindsight_does_not(draw, loss):
    """Weights that know the return of t at t are paid nothing for it."""
    book = draw("hindsight", batch=40, time=120, assets=1)
    hindsight = (book.returns > 0).double()
    foresight = hindsight.roll(-1, dims=1)
    always = torch.ones_like(hindsight)
    assert loss(foresight, book.returns) < -8
    assert abs(loss(hindsight, book.returns) - loss(always, book.returns) / 2) < 1


@pytest.mark.parametrize("loss", RATIOS)
def test_gradients_are_those_of_finite_differences(draw, loss):
    book = draw("slopes", batch=2, time=6, assets=2)
    inputs = [book.weights.requires_grad_(), book.returns.requires_grad_()]
    assert torch.autograd.gradcheck(lambda w, r: loss(w, r, cost_rate=0.01), inputs)


def test_a_fall_from_the_start_is_a_drawdown():
    net = torch.tensor([[-0.1, -0.1, 0.5], [0.1, 0.2, 0.3]], dtype=torch.float64)
    assert path_drawdown(net).tolist() == pytest.approx([0.19, 0])


@LAW
@given(moves=st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=10))
def test_drawdown_is_the_worst_fall_between_two_times(moves):
    wealth = np.cumprod([1.0, *(1 + np.array(moves))])
    worst = max(1 - wealth[j] / wealth[i] for i in range(len(wealth)) for j in range(i, len(wealth)))
    assert path_drawdown(torch.tensor([moves], dtype=torch.float64)).item() == pytest.approx(worst, abs=1e-14)


@pytest.mark.parametrize("loss", RATIOS)
def test_costs_are_losses(draw, loss):
    book = draw("costs")
    assert loss(book.weights, book.returns, cost_rate=0.01) > loss(book.weights, book.returns)


@pytest.mark.parametrize("loss", RATIOS)
def test_a_missing_return_is_not_hidden(draw, loss):
    book = draw("missing")
    book.returns[1, 4, 2] = math.nan
    assert loss(book.weights, book.returns).isnan()


@pytest.mark.parametrize("loss", RATIOS)
def test_what_does_not_fit_is_refused_by_name(draw, loss):
    book = draw("refused")
    with pytest.raises(InputError, match=f"{loss.__name__}: weights have 12 times and returns 11"):
        inspect.unwrap(loss)(book.weights, book.returns[:, 1:])
    with pytest.raises(InputError, match=f"{loss.__name__}: floor=0 is not positive"):
        loss(book.weights, book.returns, floor=0)
    with pytest.raises(InputError, match=f"{loss.__name__}: periods=-1 is not positive"):
        loss(book.weights, book.returns, periods=-1)
