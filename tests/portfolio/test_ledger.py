"""The ledger conserves money, charges what it says, and never looks ahead."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.ledger import run_ledger
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=40)


def generator(*purpose):
    return np.random.default_rng(stream("tests", "ledger", *purpose).initial_seed())


def market(days, assets, *purpose):
    noise = generator("prices", *purpose).normal(0, 0.02, (days, assets))
    return 50 * np.exp(noise.cumsum(0))


def long_only(days, assets, *purpose):
    return generator("weights", *purpose).dirichlet(np.ones(assets + 1), days)[:, :assets]


@st.composite
def stories(draw):
    """Prices, targets with shorts, leverage and days of rest, and terms."""
    days, assets, seed = draw(st.integers(2, 40)), draw(st.integers(1, 5)), draw(st.integers(0, 10**6))
    targets = generator("targets", seed).uniform(-0.5, 0.9, (days, assets))
    targets[generator("rest", seed).random(days) < draw(st.sampled_from([0.0, 0.5, 0.95]))] = np.nan
    terms = {
        "capital": draw(st.sampled_from([1.0, 3e6])),
        "cost_rate": draw(st.sampled_from([0.0, 1e-3, 0.03])),
        "rate": draw(st.sampled_from([0.0, 0.05, -0.01])),
        "delay": draw(st.integers(0, min(3, days - 1))),
    }
    terms["fixed_cost"] = terms["capital"] * draw(st.sampled_from([0.0, 1e-5]))
    prices = market(days, assets, seed)
    if draw(st.booleans()):  # the first asset stays on its target, but for the costs of the others
        prices[:] = 20.0
        targets[~np.isnan(targets[:, 0]), 0] = 0.2
    return prices, targets, terms


@LAW
@given(story=stories())
def test_money_is_conserved(story):
    prices, targets, terms = story
    book = run_ledger(prices, targets, **terms)
    gains = (book.units[:-1] * np.diff(prices, axis=0)).sum(-1)
    total = terms["capital"] + np.concatenate([[0], gains.cumsum()]) + (book.interest - book.costs).cumsum()
    np.testing.assert_allclose(book.wealth, total, rtol=1e-9)
    np.testing.assert_allclose(book.wealth, terms["capital"] * (1 + book.returns).cumprod(), rtol=1e-9)
    np.testing.assert_allclose(book.cash + (book.units * prices).sum(-1), book.wealth, rtol=1e-12)
    spent = book.trades.sum(-1) + book.costs - book.interest
    np.testing.assert_allclose(
        np.diff(book.cash, prepend=terms["capital"]), -spent, rtol=0, atol=1e-9 * terms["capital"]
    )


@LAW
@given(story=stories())
def test_targets_are_reached_after_costs(story):
    prices, targets, terms = story
    book = run_ledger(prices, targets, **terms)
    delay = terms["delay"]
    for day in range(delay, len(prices)):
        if not np.isnan(targets[day - delay]).any():
            np.testing.assert_allclose(book.weights[day], targets[day - delay], atol=1e-10)
        else:
            assert not book.trades[day].any()
    assert not book.trades[:delay].any()


@LAW
@given(story=stories(), after=st.integers(0, 39))
def test_the_future_cannot_move_the_past(story, after):
    prices, targets, terms = story
    book = run_ledger(prices, targets, **terms)
    prices, targets = prices.copy(), targets.copy()
    prices[after + 1 :] *= 1.1
    targets[after + 1 :] = 0.25
    other = run_ledger(prices, targets, **terms)
    for name in ("wealth", "cash", "units", "trades", "costs", "interest", "weights"):
        assert np.array_equal(getattr(book, name)[: after + 1], getattr(other, name)[: after + 1])


def by_hand(prices, targets, cost_rate, delay):
    """One asset at a time, one day at a time, the cost found by bisection."""
    cash, units, wealth = 1.0, np.zeros(prices.shape[1]), []
    for day, price in enumerate(prices):
        target = targets[day - delay] if day >= delay else np.full(len(price), np.nan)
        if not np.isnan(target).any():
            before, low, high = cash + sum(units * price), 0.0, cash + sum(units * price)
            for _ in range(100):
                middle = (low + high) / 2
                cost = sum(cost_rate * abs(target * middle - units * price))
                low, high = (middle, high) if middle + cost < before else (low, middle)
            units, cash = target * low / price, low * (1 - sum(target))
        wealth.append(cash + sum(units * price))
    return np.array(wealth)


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_wealth_agrees_with_a_book_kept_by_hand(delay):
    prices, targets = market(60, 4), generator("hand").uniform(-0.6, 0.8, (60, 4))
    targets[7:20] = np.nan
    book = run_ledger(prices, targets, cost_rate=0.02, delay=delay)
    np.testing.assert_allclose(book.wealth, by_hand(prices, targets, 0.02, delay), rtol=1e-10)


def test_constant_prices_lose_exactly_the_costs():
    """A book in which buying never reduced cash turned 100,000 into millions here."""
    targets = long_only(500, 5)
    book = run_ledger(np.full((500, 5), 20.0), targets, capital=100_000, cost_rate=0.0015, delay=0)
    assert book.wealth[-1] == pytest.approx(100_000 - book.costs.sum(), rel=1e-12)
    assert (np.diff(book.wealth) <= 0).all()
    np.testing.assert_allclose(book.costs, 0.0015 * np.abs(book.trades).sum(-1), rtol=1e-12)
    assert run_ledger(np.full((500, 5), 20.0), targets, capital=100_000).wealth[-1] == pytest.approx(100_000)


def test_buying_takes_its_price_and_its_cost_from_cash():
    book = run_ledger(np.full((3, 1), 10.0), np.array([[0.5], [np.nan], [np.nan]]), capital=1000, cost_rate=0.01)
    bought = 0.5 * 1000 / (1 + 0.01 * 0.5)
    assert book.cash.tolist() == pytest.approx([1000, 1000 - 1.01 * bought, 1000 - 1.01 * bought])
    assert book.units[:, 0].tolist() == pytest.approx([0, bought / 10, bought / 10])


def test_a_single_holding_earns_the_asset_and_capital_compounds():
    prices = market(300, 1)
    targets = np.full((300, 1), np.nan)
    targets[::50] = 1.0
    book = run_ledger(prices, targets, delay=0, cost_rate=0.001)
    np.testing.assert_allclose(book.wealth, prices[:, 0] / prices[0, 0] / 1.001, rtol=1e-12)
    assert np.count_nonzero(book.trades) == 1
    assert book.turnover.sum() == pytest.approx(1 / 1.001)


def test_what_is_decided_at_a_close_earns_from_the_close_of_its_trade():
    prices = np.array([[1.0], [2.0], [6.0], [24.0]])
    targets = np.array([[1.0], [np.nan], [np.nan], [np.nan]])
    assert run_ledger(prices, targets, delay=0).wealth.tolist() == [1, 2, 6, 24]
    assert run_ledger(prices, targets).wealth.tolist() == [1, 1, 3, 12]
    assert run_ledger(prices, targets, delay=3).wealth.tolist() == [1, 1, 1, 1]


def test_cash_earns_its_rate_and_debt_pays_it():
    prices = np.full((253, 1), 3.0)
    idle = run_ledger(prices, np.full((253, 1), np.nan), rate=0.05)
    assert idle.wealth[-1] == pytest.approx(1.05)
    doubled = np.full((253, 1), np.nan)
    doubled[0] = 2.0
    assert run_ledger(prices, doubled, rate=0.05, delay=0).wealth[-1] == pytest.approx(2 - 1.05)


def test_turning_about_counts_both_ways():
    prices = np.full((4, 1), 3.0)
    book = run_ledger(prices, np.array([[0.0], [1.0], [0.0], [-1.0]]), delay=0)
    assert book.turnover.tolist() == [0, 1, 1, 1]


def test_each_trade_in_an_asset_costs_its_fee():
    targets = np.array([[0.5, 0.0, 0.25], [np.nan] * 3, [0.0, 0.0, 0.25]])
    book = run_ledger(np.full((3, 3), 7.0), targets, capital=100, fixed_cost=0.5, delay=0)
    assert book.costs.tolist() == [1.0, 0.0, 1.0]  # the third asset moves by the cost of the others alone


def test_a_fee_that_asks_for_another_trade_is_not_borrowed():
    """The first asset is on its target, until the fee of the second makes it too large a part."""
    book = run_ledger(np.ones((2, 2)), np.array([[0.5, 0.3], [0.5, 0.5]]), fixed_cost=0.01, delay=0)
    assert book.costs.tolist() == [0.02, 0.02]
    assert book.cash.tolist() == pytest.approx([0.98 * 0.2, 0.0])
    np.testing.assert_allclose(book.weights, [[0.5, 0.3], [0.5, 0.5]])


def test_a_fee_that_brings_back_what_it_moved_stays_in_cash():
    """After two fees the first asset is on its target, and pays none; after one it is not."""
    targets = np.array([[0.48 / 0.98, 0.3], [0.5, 0.5]])
    book = run_ledger(np.ones((2, 2)), targets, fixed_cost=0.01, delay=0)
    assert book.costs.tolist() == [0.02, 0.01]
    np.testing.assert_allclose(book.units[1], [0.48, 0.48])
    assert book.cash[1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prices": np.array([[1.0], [np.nan]])}, "1 prices are missing or not above zero \\(first: row 1, column 0"),
        ({"targets": np.array([[1.0], [np.inf]]), "delay": 0}, "infinite weight"),
        ({"delay": -1}, "before the decision"),
        ({"cost_rate": -0.1}, "below zero"),
        ({"cost_rate": 1.0, "delay": 0}, "eat the whole trade"),
        ({"capital": 0.0}, "not a sum above zero"),
        ({"rate": -1.0}, "rate=-1"),
        ({"rate": np.inf}, "rate=inf is not a number"),
        ({"cost_rate": np.nan}, "must be numbers not below zero"),
        ({"fixed_cost": np.nan}, "must be numbers not below zero"),
        ({"capital": np.nan}, "capital=nan is not a sum above zero"),
        ({"periods": 0}, "periods=0 is not a number of closes a year"),
        ({"delay": 2}, "delay=2 trades after the last of 2 closes"),
        ({"cost_rate": np.zeros(3)}, r"cost_rate has shape \(3,\); give one rate, or one for each of 1 assets"),
        ({"targets": np.ones((1, 1))}, r"targets have shape \(1, 1\) and prices \(2, 1\)"),
        ({"targets": np.ones((3, 1))}, r"targets have shape \(3, 1\)"),
        ({"prices": np.ones((2, 3))}, r"targets have shape \(2, 1\) and prices \(2, 3\)"),
        ({"targets": np.array([[4.0], [4.0]]), "delay": 0}, "wealth falls to -1 by row 1"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"prices": np.array([[2.0], [1.0]]), "targets": np.ones((2, 1))} | change
    with pytest.raises(InputError, match=message):
        inspect.unwrap(run_ledger)(given.pop("prices"), given.pop("targets"), **given)


def test_a_row_of_half_a_decision_is_refused():
    with pytest.raises(InputError, match="row 1 of targets is NaN in part"):
        run_ledger(np.ones((4, 2)), np.array([[0.5, 0.5], [0.5, np.nan], [0.5, 0.5], [0.5, 0.5]]))


def test_what_prices_do_between_two_holdings_is_not_earned():
    """Days in the market that do not follow each other are not put together: a jump in between is no gain."""
    prices = np.array([100.0, 110.0, 110.0, 330.0, 330.0, 363.0])[:, None]
    targets = np.array([1.0, 0.0, np.nan, np.nan, 1.0, np.nan])[:, None]
    book = run_ledger(prices, targets, delay=0)
    np.testing.assert_allclose(book.wealth, [1.0, 1.1, 1.1, 1.1, 1.1, 1.21])
