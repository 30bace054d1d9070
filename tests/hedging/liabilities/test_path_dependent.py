"""Claims on a whole path: what they remember, and what that is worth."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from praesidium.component import InputError, build
from praesidium.hedging.conditions import Conditions
from praesidium.hedging.liabilities.asian import Asian
from praesidium.hedging.liabilities.barrier import Barrier
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.liabilities.forward_start import ForwardStart
from praesidium.hedging.liabilities.lookback import Lookback
from praesidium.hedging.liabilities.variance_swap import VarianceSwap
from praesidium.hedging.liability import Liability
from praesidium.markets.brownian import GeometricBrownian
from praesidium.pricing import barrier, black_scholes
from praesidium.training.reproducibility import stream


class Tilted:
    def ratio(self, moneyness, years):
        return 1 - 0.5 * moneyness


@pytest.fixture(scope="module")
def paths(wild):
    return wild.take(slice(0, 32)).carried(0.05, 0.02)


def prices(paths, path):
    return paths.episode[:, path].tolist()


def test_payoffs_by_hand(paths):
    claims = [Asian(strike=1.02), Lookback(strike=1.02), Lookback(style="floating"), VarianceSwap(notional=2.0)]
    claims += [Barrier(barrier=0.95, right="put"), Barrier(barrier=0.95, knock="in"), ForwardStart(moneyness=0.9)]
    paid = torch.stack([one.payoff(paths) for one in claims], dim=1)
    touched = []
    for path in range(paths.count):
        spot = prices(paths, path)
        last, squares = spot[-1], [math.log(b / a) ** 2 for a, b in pairwise(spot)]
        touched.append(min(spot) <= 0.95)
        expected = [
            max(sum(spot[1:]) / 60 - 1.02, 0),
            max(max(spot) - 1.02, 0),
            max(spot) - last,
            2 * (sum(squares) * 252 / 60 - 0.04),
            0 if touched[-1] else max(1 - last, 0),
            max(last - 1, 0) if touched[-1] else 0,
            max(last - 0.9 * spot[20], 0),
        ]
        assert paid[path].tolist() == pytest.approx(expected, abs=1e-13)
    assert 0 < sum(touched) < paths.count


def test_what_they_remember(paths):
    for path in range(4):
        spot = prices(paths, path)
        for time in (0, 1, 20, 21, 60):
            asian, lookback, swap, start = (
                one.summary(paths)[time, path].tolist() for one in (Asian(), Lookback(), VarianceSwap(), ForwardStart())
            )
            assert asian == pytest.approx([sum(spot[1 : time + 1]), time, 60 - time])
            assert lookback == [max(spot[: time + 1]), 60 - time]
            assert swap[1:] == [spot[time], time, 60 - time]
            if time < 20:
                assert math.isnan(start[0])
                assert start[1] == pytest.approx((20 - time) / 252)
            else:
                assert start == [spot[20], 0]


def test_a_barrier_that_was_touched_stays_touched(paths):
    claim = Barrier(barrier=0.95)
    touched = claim.summary(paths)[..., 0]
    for path in range(paths.count):
        lows = torch.tensor(prices(paths, path)).cummin(0).values
        assert torch.equal(touched[:, path] == 1, lows <= 0.95)
    plain = EuropeanCall().value(EuropeanCall().conditions(paths))
    for knock, worth in (("out", torch.zeros_like(plain)), ("in", plain)):
        one = Barrier(barrier=0.95, knock=knock)
        at = one.conditions(paths)
        assert torch.equal(one.value(at)[touched == 1], worth[touched == 1])
        greeks = one.greeks(at)
        own = EuropeanCall().greeks(at) if knock == "in" else [torch.zeros_like(plain)] * 2
        before = slice(0, 60)
        for found, exact in zip(greeks[:2], own[:2], strict=True):
            hit = touched[before] == 1
            torch.testing.assert_close(found[before][hit], exact[before][hit], atol=1e-10, rtol=1e-10)


def test_a_barrier_is_watched_once_a_day_of_the_paths(paths):
    weekly = replace(paths, dt=1 / 52)
    at = Barrier().conditions(weekly)
    exact = barrier.price(
        at.spot[0],
        1.0,
        0.9,
        at.tau[0].expand(32),
        at.level[0],
        direction="down",
        knock="out",
        interval=1 / 52,
        rate=0.05,
        dividend=0.02,
    )
    torch.testing.assert_close(Barrier().value(at)[0], exact, atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"barrier": 1.1}, "barrier: 1.1 is not below the spot at inception"),
        ({"barrier": 0.9, "direction": "up"}, "barrier: 0.9 is not above the spot at inception"),
        ({"barrier": 1.0}, "barrier: 1 is not below"),
        ({"barrier": 1.1, "direction": "up", "strike": 1.2}, "at 1.1 an up-and-out call of strike 1.2 can never pay"),
        ({"barrier": 0.9, "right": "put", "strike": 0.8}, "at 0.9 an down-and-out put of strike 0.8 can never pay"),
    ],
)
def test_barriers_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        build(Liability, {"kind": "barrier", **settings})
    if "never" in sentence:
        build(Liability, {"kind": "barrier", **settings, "knock": "in"})


def test_an_asian_option_on_its_last_day_is_a_plain_one(paths):
    """Of which the mean holds a sixtieth."""
    claim = Asian(strike=1.01, right="put")
    at = claim.conditions(paths).at(59)
    strike = 60 * 1.01 - paths.episode[1:60].sum(0)
    exact = black_scholes.price(at.spot, strike, 1 / 252, at.level, rate=0.05, dividend=0.02, right="put") / 60
    torch.testing.assert_close(claim.value(at), exact, atol=1e-14, rtol=0)


def test_lookbacks_differ_by_a_forward(paths):
    """M - S_T is a call on M of strike 0 less the spot, and above what was reached strikes only cost their price."""
    fixed, floating = Lookback(strike=1.0), Lookback(style="floating")
    at = fixed.conditions(paths)
    bond, stock = torch.exp(-0.05 * at.tau), torch.exp(-0.02 * at.tau)
    torch.testing.assert_close(
        floating.value(at), fixed.value(at) + bond * 1.0 - stock * at.spot, atol=1e-14, rtol=0
    )  # M is at least the spot at inception, 1


def test_a_variance_swap_is_realized_so_far_and_expected_rest(paths):
    claim = VarianceSwap(strike_variance=0.09, notional=3.0)
    at = claim.conditions(paths)
    for time in (0, 25, 60):
        squares = paths.episode[: time + 1].log().diff(dim=0).square().sum(0)
        drift = (0.03 - 0.5 * paths.implied[time] ** 2) / 252
        rest = (60 - time) * (paths.implied[time] ** 2 / 252 + drift**2)
        exact = 3 * math.exp(-0.05 * (60 - time) / 252) * ((squares + rest) * 252 / 60 - 0.09)
        torch.testing.assert_close(claim.value(at)[time], exact, atol=1e-13, rtol=0)


def test_gamma_of_a_variance_swap_pays_for_the_squared_return_of_the_day():
    """Delta-hedged at the right volatility, the payoff is reached to the third order of the daily returns."""
    paths = GeometricBrownian(volatility=0.2).simulate(
        paths=500, horizon=60, lookback=20, generator=stream("tests", "swap"), dtype=torch.float64
    )
    claim = VarianceSwap()
    greeks = claim.greeks(claim.conditions(paths))
    torch.testing.assert_close(
        greeks.gamma[:60] * paths.episode[:60] ** 2, torch.full((60, 500), 2 * 252 / 60).double(), atol=0, rtol=1e-3
    )
    moves = paths.episode.diff(dim=0)
    gained = (
        greeks.delta[:60] * moves + 0.5 * greeks.gamma[:60] * (moves**2 - 0.04 / 252 * paths.episode[:60] ** 2)
    ).sum(0)
    owed = claim.owed(paths)
    assert (owed - gained).std() < 0.05 * owed.std()


def test_a_forward_start_before_and_after(paths):
    claim = ForwardStart(start=20, moneyness=1.05, right="put")
    at = replace(claim.conditions(paths), smile=Tilted())
    carry = {"rate": 0.05, "dividend": 0.02, "right": "put"}
    early, late = at.at(5), at.at(40)
    forward = early.spot * math.exp(0.03 * 55 / 252)
    level = early.level * (1 - 0.5 * torch.log(1.05 * early.spot / forward))
    units = black_scholes.price(torch.ones_like(level), 1.05, 40 / 252, level, **carry) * math.exp(-0.02 * 15 / 252)
    torch.testing.assert_close(claim.value(early), early.spot * units, atol=1e-14, rtol=0)
    torch.testing.assert_close(claim.greeks(early).delta, units, atol=1e-14, rtol=0)
    assert torch.equal(claim.greeks(early).gamma, torch.zeros_like(units))
    strike = 1.05 * paths.episode[20]
    exact = black_scholes.price(late.spot, strike, 20 / 252, late.volatility(strike), **carry)
    torch.testing.assert_close(claim.value(late), exact, atol=1e-14, rtol=0)
    moneyness = claim.log_moneyness(paths.episode[:-1])
    torch.testing.assert_close(moneyness[:20], torch.full_like(moneyness[:20], -math.log(1.05)))
    torch.testing.assert_close(moneyness[40], torch.log(late.spot / strike))


def test_a_start_at_maturity_is_refused(paths):
    with pytest.raises(InputError, match="start=60 is not before maturity, which is day 60"):
        ForwardStart(start=60).payoff(paths)
    with pytest.raises(InputError, match="start=60"):
        ForwardStart(start=60).conditions(paths)


def test_greeks_hold_the_smile_where_it_is(paths):
    """As those of the plain options do: at the volatility of the strike, which does not move with the spot."""
    smiling = replace(paths, smile=Tilted())
    for claim in (Asian(strike=1.1), Lookback(strike=1.1), Barrier(strike=1.1)):
        at = claim.conditions(smiling).at(slice(0, 50))
        flat = replace(at, level=at.volatility(1.1), smile=None)
        torch.testing.assert_close(claim.value(at), claim.value(flat), atol=0, rtol=0)
        for found, exact in zip(claim.greeks(at)[:2], claim.greeks(flat)[:2], strict=True):
            torch.testing.assert_close(found, exact, atol=0, rtol=0)


def test_conditions_without_a_memory_are_refused():
    one = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="needs its summary"):
        Asian().value(Conditions(spot=one, tau=one, level=one))
