"""Episodes: the books agree with a trader's ledger, day by day and in sum."""

import math

import pytest
import torch

from praesidium.hedging.episode import settle
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.rollout import Scene
from praesidium.markets.paths import Paths
from praesidium.training.reproducibility import stream

CALL = EuropeanCall(strike=1.02)
RATE = 2e-3


@pytest.fixture(scope="module")
def positions(wild):
    return torch.randn(wild.horizon, wild.count, dtype=torch.float64, generator=stream("tests", "positions"))


@pytest.fixture(scope="module")
def episode(wild, positions):
    return settle(positions, wild, CALL, RATE)


def call_value(spot, strike, years, volatility):
    width = volatility * math.sqrt(years)
    if width == 0:
        return max(spot - strike, 0.0)
    d1 = math.log(spot / strike) / width + width / 2
    normal = lambda x: 0.5 * math.erfc(-x / math.sqrt(2))  # noqa: E731
    return spot * normal(d1) - strike * normal(d1 - width)


def test_the_books_are_those_of_a_ledger_of_cash_shares_and_mark(wild, positions, episode):
    for path in range(5):
        spot, implied = wild.episode[:, path].tolist(), wild.implied[:, path].tolist()
        marks = [
            call_value(now, CALL.strike, (wild.horizon - day) * wild.dt, volatility)
            for day, (now, volatility) in enumerate(zip(spot, implied, strict=True))
        ]
        cash, shares, worth, peak, fall = marks[0], 0.0, 0.0, 0.0, 0.0
        for day in range(wild.horizon):
            trade = positions[day, path].item() - shares
            shares += trade
            fee = RATE * spot[day] * abs(trade)
            cash -= trade * spot[day] + fee
            assert episode.costs[day, path].item() == pytest.approx(fee, abs=1e-12)
            book = cash + shares * spot[day + 1] - marks[day + 1]
            assert episode.daily[day, path].item() == pytest.approx(book - worth, abs=1e-12)
            worth, peak = book, max(peak, book)
            fall = max(fall, peak - worth)
        assert episode.premium[path].item() == pytest.approx(marks[0], abs=1e-12)
        assert episode.payoff[path].item() == max(spot[-1] - CALL.strike, 0.0)
        # At maturity the shares are sold at no cost and the payoff is paid out.
        final = cash + shares * spot[-1] - episode.payoff[path].item()
        assert episode.pnl[path].item() == pytest.approx(final, abs=1e-12)
        assert episode.drawdown[path].item() == pytest.approx(fall, abs=1e-12)


def test_profit_is_premium_less_payoff_plus_gains_less_costs(wild, positions, episode):
    gains = (positions * wild.episode.diff(dim=0)).sum(0)
    traded = positions.diff(dim=0, prepend=torch.zeros(1, wild.count)).abs()
    costs = (RATE * wild.episode[:-1] * traded).sum(0)
    expected = episode.premium - episode.payoff + gains - costs
    torch.testing.assert_close(episode.pnl, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(episode.pnl_without_premium, expected - episode.premium, atol=1e-12, rtol=0)
    torch.testing.assert_close(episode.turnover, traded.sum(0), atol=1e-12, rtol=0)


def test_the_marks_on_the_way_cancel(wild, positions, episode):
    implied = wild.implied.clone()
    implied[1:] *= 1.7
    other = settle(positions, Paths(wild.spot, implied, wild.dt, wild.lookback), CALL, RATE)
    torch.testing.assert_close(other.pnl, episode.pnl, atol=1e-12, rtol=0)
    assert not torch.allclose(other.daily, episode.daily)


@pytest.mark.parametrize("day", [0, 7, 59])
def test_a_position_of_one_day_earns_that_day(wild, day):
    flat = torch.zeros(wild.horizon, wild.count, dtype=torch.float64)
    held = flat.clone()
    held[day] = 1.0
    earned = settle(held, wild, CALL, 0.0).pnl - settle(flat, wild, CALL, 0.0).pnl
    torch.testing.assert_close(earned, wild.episode[day + 1] - wild.episode[day], atol=1e-12, rtol=0)


def test_the_loss_of_a_scene_is_the_negative_profit_of_the_episode(wild, positions, builder):
    loss = Scene.make(wild, builder, RATE).losses(positions)
    torch.testing.assert_close(loss, -settle(positions, wild, builder.liability, RATE).pnl, atol=1e-12, rtol=0)


def test_trades_start_from_an_empty_book(episode, positions):
    assert torch.equal(episode.trades[0], positions[0])
    torch.testing.assert_close(episode.trades.cumsum(0), positions, atol=1e-12, rtol=0)


def test_books_are_kept_in_double_precision(calm, positions):
    single = settle(positions.float(), calm.to(dtype=torch.float32), CALL, RATE)
    assert {value.dtype for value in vars(single).values()} == {torch.float64}
    double = settle(positions, calm, CALL, RATE)
    torch.testing.assert_close(single.pnl, double.pnl, atol=1e-5, rtol=0)
    assert vars(double.to("cpu")).keys() == vars(double).keys()
    assert torch.equal(double.to("cpu").daily, double.daily)


def test_a_perfect_forward_has_no_risk(wild):
    """One share held throughout, against a call of strike nearly zero: the profit is the strike, on every path."""
    forward = EuropeanCall(strike=1e-3)
    held = torch.ones(wild.horizon, wild.count, dtype=torch.float64)
    episode = settle(held, wild, forward, 0.0)
    torch.testing.assert_close(episode.pnl, torch.zeros_like(episode.pnl), atol=1e-9, rtol=0)
    torch.testing.assert_close(episode.daily, torch.zeros_like(episode.daily), atol=1e-9, rtol=0)
