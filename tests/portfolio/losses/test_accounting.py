"""Net returns and turnover against a book kept in units and cash."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.ledger import run_ledger
from praesidium.portfolio.losses import net_returns

LAW = settings(deadline=None, derandomize=True, max_examples=25)


def kept_by_hand(decided, returns, rate, previous):
    """Trade units of assets for cash; ``decided[t]`` is bought at the close of t, or None to leave the book alone."""
    price, wealth = [1.0] * len(previous), 1.0
    units, cash = list(previous), 1.0 - sum(previous)
    nets, turnovers = [], []
    for weights, moves in zip(decided, returns, strict=True):
        traded = 0.0
        if weights is not None:
            traded = sum(abs(w * wealth - u * p) for w, u, p in zip(weights, units, price, strict=True))
            left = wealth - rate * traded
            units = [w * left / p for w, p in zip(weights, price, strict=True)]
            cash = (1 - sum(weights)) * left
        price = [p * (1 + r) for p, r in zip(price, moves, strict=True)]
        after = cash + sum(u * p for u, p in zip(units, price, strict=True))
        nets.append(after / wealth - 1)
        turnovers.append(traded / wealth)
        wealth = after
    return nets, turnovers


@LAW
@given(
    name=st.integers(0, 999),
    time=st.integers(2, 7),
    assets=st.integers(1, 3),
    rate=st.sampled_from([0.0, 0.001, 0.05]),
    from_cash=st.booleans(),
)
def test_the_ledger_is_that_of_units_and_cash(draw, name, time, assets, rate, from_cash):
    book = draw(name, batch=2, time=time, assets=assets)
    before = torch.zeros_like(book.previous) if from_cash else book.previous
    given_before = None if from_cash else before
    traded = net_returns(book.weights, 3 * book.returns, cost_rate=rate, previous=given_before)
    held = net_returns(book.held, 3 * book.returns, cost_rate=rate, previous=given_before)
    assert traded.net.shape == traded.turnover.shape == (2, time - 1)
    assert held.net.shape == held.turnover.shape == (2, time)
    for sample in range(2):
        moves = (3 * book.returns[sample]).tolist()
        own = before[sample].tolist()
        nets, turnovers = kept_by_hand(book.weights[sample, :-1].tolist(), moves[1:], rate, own)
        assert traded.net[sample].tolist() == pytest.approx(nets, abs=1e-13)
        assert traded.turnover[sample].tolist() == pytest.approx(turnovers, abs=1e-13)
        once = [book.held[sample].tolist(), *[None] * (time - 1)]
        nets, turnovers = kept_by_hand(once, moves, rate, own)
        assert held.net[sample].tolist() == pytest.approx(nets, abs=1e-13)
        assert held.turnover[sample].tolist() == pytest.approx(turnovers, abs=1e-13)


@LAW
@given(name=st.integers(0, 999), rate=st.floats(0, 0.1))
def test_at_constant_prices_exactly_the_costs_are_lost(draw, name, rate):
    book = draw(name)
    flat = torch.zeros_like(book.returns)
    ledger = net_returns(book.weights, flat, cost_rate=rate, previous=book.previous)
    changes = torch.cat([book.previous.unsqueeze(1), book.weights[:, :-1]], dim=1).diff(dim=1).abs().sum(-1)
    assert torch.allclose(ledger.turnover, changes, atol=1e-15)
    assert torch.equal(ledger.net, -rate * ledger.turnover)
    wealth = (1 + ledger.net).prod(1)
    assert torch.allclose(wealth, (1 - rate * changes).prod(1))


@pytest.mark.parametrize("rate", [0.0, 1e-4, 1e-3, 1e-2])
def test_what_is_trained_on_is_what_is_backtested_to_second_order_in_the_cost(draw, rate):
    book = draw("backtest", time=30)
    nets = net_returns(book.weights, book.returns, cost_rate=rate).net
    for weights, returns, net in zip(book.weights, book.returns, nets, strict=True):
        prices = torch.cat([torch.ones(1, 4), (1 + returns[1:]).cumprod(0)]).numpy()
        whole = run_ledger(prices, weights.numpy(), cost_rate=rate, delay=0)
        before = whole.wealth + whole.costs
        assert np.abs(net.numpy() - (before[1:] / before[:-1] - 1)).max() < 1e-13 + 10 * rate**2


def test_weights_that_drift_are_not_traded(draw):
    """What is held is the same as rebalancing every period to where the weights have drifted anyway."""
    book = draw("drift")
    held = net_returns(book.held, book.returns[:, 1:], cost_rate=0.01)
    drifting = [book.held]
    for moves in book.returns[:, 1:].unbind(1):
        grown = drifting[-1] * (1 + moves)
        drifting.append(grown / (1 + (drifting[-1] * moves).sum(-1, keepdim=True)))
    followed = net_returns(torch.stack(drifting, 1), book.returns, cost_rate=0.01)
    assert torch.allclose(followed.net, held.net, atol=1e-14)
    assert followed.turnover[:, 1:].abs().max() < 1e-14


def test_weights_earn_the_next_return_and_never_see_it(draw):
    book = draw("alignment", time=9)
    gross = net_returns(book.weights, book.returns).net
    for time in range(8):
        assert torch.allclose(gross[:, time], (book.weights[:, time] * book.returns[:, time + 1]).sum(-1))
    ledger = net_returns(book.weights, book.returns, cost_rate=0.01)
    for time in range(1, 8):
        weights, returns = book.weights.clone(), book.returns.clone()
        weights[:, time + 1 :] += 0.3
        returns[:, time + 1 :] -= 0.02
        changed = net_returns(weights, returns, cost_rate=0.01)
        assert torch.equal(changed.net[:, :time], ledger.net[:, :time])
        assert torch.equal(changed.turnover[:, : time + 1], ledger.turnover[:, : time + 1])
        assert not torch.equal(changed.net[:, time], ledger.net[:, time])


def test_the_book_before_belongs_to_the_same_sample(draw):
    book = draw("previous")
    stay = net_returns(book.weights, book.returns, cost_rate=0.01, previous=book.weights[:, 0])
    assert torch.equal(stay.turnover[:, 0], torch.zeros(3, dtype=torch.float64))
    from_cash = net_returns(book.weights, book.returns, cost_rate=0.01)
    assert torch.allclose(from_cash.turnover[:, 0], book.weights[:, 0].abs().sum(-1))
    one = net_returns(book.weights[1:2], book.returns[1:2], cost_rate=0.01, previous=book.previous[1:2])
    many = net_returns(book.weights, book.returns, cost_rate=0.01, previous=book.previous)
    assert torch.allclose(one.net[0], many.net[1])


def test_cash_earns_nothing_and_debt_doubles(draw):
    book = draw("cash")
    assert torch.equal(net_returns(0 * book.held, book.returns).net, torch.zeros(3, 12, dtype=torch.float64))
    single = net_returns(book.weights, book.returns).net
    assert torch.allclose(net_returns(2 * book.weights, book.returns).net, 2 * single)


def test_the_gradient_is_that_of_finite_differences(draw):
    book = draw("gradient", batch=2, time=5, assets=3)
    inputs = [book.weights.requires_grad_(), book.held.requires_grad_(), book.returns.requires_grad_()]

    def wealth(weights, held, returns):
        traded = net_returns(weights, returns, cost_rate=0.02, previous=book.previous).net
        return traded, net_returns(held, returns, cost_rate=0.02).net

    assert torch.autograd.gradcheck(wealth, inputs)


def test_ruin_is_refused(draw):
    book = draw("ruin")
    returns = torch.full_like(book.returns, -0.3)
    for weights in (torch.ones_like(book.weights), torch.ones_like(book.held)):
        with pytest.raises(InputError, match=r"3 of 3 books lose all their wealth .*sample 0.*bound the leverage"):
            net_returns(weights, returns)
    with pytest.raises(InputError, match="lose all their wealth"):
        net_returns(5 * torch.ones_like(book.weights), 0 * returns, cost_rate=0.1)


def test_a_missing_return_stays_missing(draw):
    """Neither that period is known nor, as the drift is not, what the next trade costs."""
    book = draw("missing")
    book.returns[1, 4, 2] = math.nan
    missing = net_returns(book.weights, book.returns).net.isnan()
    assert missing.nonzero().tolist() == [[1, 3], [1, 4]]


@pytest.mark.parametrize(
    ("weights", "returns", "arguments", "sentence"),
    [
        ((4,), (3, 5, 4), {}, r"weights have shape \(4,\); give \(batch, time, assets\), or"),
        ((0, 5, 4), (0, 5, 4), {}, r"weights have shape \(0, 5, 4\)"),
        ((3, 5, 4), (3, 4, 5), {}, r"returns have shape \(3, 4, 5\); give \(3, 5, 4\)"),
        ((3, 4), (5, 4), {}, r"give \(3, time, 4\)"),
        ((3, 5, 4), (3, 6, 4), {}, "weights have 5 times and returns 6"),
        ((3, 1, 4), (3, 1, 4), {}, "give at least 2"),
        ((3, 5, 4), (3, 5, 4), {"cost_rate": 10.0}, "cost_rate=10 is not a rate"),
        ((3, 5, 4), (3, 5, 4), {"previous": torch.zeros(2, 4)}, r"previous has shape \(2, 4\); give \(3, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(weights, returns, arguments, sentence):
    with pytest.raises(InputError, match=f"net_returns: .*{sentence}"):
        inspect.unwrap(net_returns)(torch.zeros(weights), torch.zeros(returns), **arguments)
