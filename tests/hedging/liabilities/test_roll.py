"""A claim of constant maturity: sold anew every day, so that every day carries a move of the volatility."""

import math
from dataclasses import replace

import pytest
import torch

from praesidium.hedging.conditions import Conditions
from praesidium.hedging.episode import settle
from praesidium.hedging.liabilities.call_spread import CallSpread
from praesidium.hedging.liabilities.digital import Digital
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.liabilities.european_put import EuropeanPut
from praesidium.hedging.liabilities.straddle import Straddle
from praesidium.hedging.rollout import Scene, Trial, rollout
from praesidium.hedging.state_builder import StateSettings
from praesidium.training.reproducibility import stream

RATE = 2e-3
ROLLED = {"mode": "constant_maturity_roll"}
CLAIMS = [
    EuropeanCall(**ROLLED),
    EuropeanPut(**ROLLED, strike=0.97),
    Straddle(**ROLLED, strike=1.02),
    CallSpread(**ROLLED, upper=1.06),
    Digital(**ROLLED),
]
every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda one: one.kind)


class Tilted:
    """As ratio of volatilities, 1 less a tenth of the log of strike over forward."""

    def ratio(self, moneyness, years):
        return 1 - 0.1 * moneyness


class Delta:
    def positions(self, state):
        return state.delta


@pytest.fixture(scope="module", params=["plain", "carried"])
def paths(request, wild):
    some = wild.take(slice(0, 12))
    return some if request.param == "plain" else replace(some.carried(0.05, 0.02), smile=Tilted())


@pytest.fixture(scope="module")
def positions(paths):
    return torch.randn(paths.horizon, paths.count, dtype=torch.float64, generator=stream("tests", "roll"))


def call(spot, strike, years, volatility, rate=0.0, dividend=0.0):
    forward, width = spot * math.exp((rate - dividend) * years), volatility * math.sqrt(years)
    d1 = math.log(forward / strike) / width + width / 2
    normal = lambda x: 0.5 * math.erfc(-x / math.sqrt(2))  # noqa: E731
    return math.exp(-rate * years) * (forward * normal(d1) - strike * normal(d1 - width))


def test_the_books_of_a_call_are_those_of_selling_and_buying_back(paths, positions):
    claim = EuropeanCall(**ROLLED, strike=1.03)
    episode = settle(positions, paths, claim, RATE)
    rate, dividend, years = paths.rate, paths.dividend, paths.horizon * paths.dt
    tilt = 0.0 if paths.smile is None else 0.1

    def worth(spot, strike, years, level):
        moneyness = math.log(strike / spot) - (rate - dividend) * years
        return call(spot, strike, years, level * (1 - tilt * moneyness), rate, dividend)

    for path in range(4):
        spot, level = paths.episode[:, path].tolist(), paths.implied[:, path].tolist()
        shares = 0.0
        for day in range(paths.horizon):
            now, later = (math.exp(-rate * paths.dt * one) for one in (day, day + 1))
            held = positions[day, path].item()
            strike = 1.03 * spot[day]
            sold = now * worth(spot[day], strike, years, level[day])
            bought = later * worth(spot[day + 1], strike, years - paths.dt, level[day + 1])
            hedge = held * (later * spot[day + 1] * math.exp(dividend * paths.dt) - now * spot[day])
            cost = RATE * abs(held - shares) * now * spot[day]
            shares = held
            assert episode.daily[day, path].item() == pytest.approx(sold - bought + hedge - cost, abs=1e-12)


@every_claim
def test_every_day_is_a_claim_of_its_own(claim, paths):
    """Without a hedge: the fixed claim sold at each day's strike, worth the same by scale."""
    fixed = claim.model_copy(update={"mode": "fixed_strike"})
    at = fixed.conditions(paths)
    years = torch.full_like(at.tau[:1], paths.horizon * paths.dt)
    none = torch.zeros(paths.horizon, paths.count, dtype=torch.float64)
    daily = settle(none, paths, claim, RATE).daily
    discount = torch.ones(paths.horizon + 1, 1) if paths.discount is None else paths.discount
    for day in (0, 1, 30, 59):
        strike = claim.strike * paths.episode[day]
        sold, bought = (
            fixed.worth(Conditions(**{**vars(at.at(slice(time, time + 1))), "tau": left}), strike)
            for time, left in ((day, years), (day + 1, years - paths.dt))
        )
        expected = (discount[day] * sold - discount[day + 1] * bought)[0]
        torch.testing.assert_close(daily[day], expected, atol=1e-13, rtol=0)


@every_claim
def test_the_volatility_of_a_day_enters_that_day_and_the_one_before(claim, paths):
    none = torch.zeros(paths.horizon, paths.count, dtype=torch.float64)
    before = settle(none, paths, claim, RATE)
    for day in (1, 25, 59):
        implied = paths.implied.clone()
        implied[day] *= 1.2
        after = settle(none, replace(paths, implied=implied), claim, RATE)
        changed = ((after.daily - before.daily).abs() > 1e-9).any(1).nonzero().view(-1).tolist()
        assert changed == [day - 1, day]
        # Unlike marks on the way to a payoff, these do not cancel.
        assert not torch.allclose(after.pnl, before.pnl, atol=1e-9)


@every_claim
def test_nothing_of_it_runs_down(claim, paths):
    at = claim.conditions(paths)
    assert torch.equal(at.tau, torch.full_like(at.tau, paths.horizon * paths.dt))
    expected = torch.full_like(paths.episode, -math.log(claim.strike))
    torch.testing.assert_close(claim.log_moneyness(paths.episode), expected, atol=1e-15, rtol=0)
    moved = claim.greeks(replace(at, spot=2 * at.spot))
    torch.testing.assert_close(moved.delta * (2 if claim.kind == "digital" else 1), claim.greeks(at).delta)


@every_claim
def test_scene_and_trial_agree_with_the_books(claim, paths, positions):
    builder = StateSettings().fit([paths], claim)
    scene = Scene.make(paths, builder, RATE)
    torch.testing.assert_close(scene.losses(positions), -settle(positions, paths, claim, RATE).pnl, atol=1e-12, rtol=0)
    (episode,) = Trial.make(paths, builder, RATE).episodes(Delta())
    torch.testing.assert_close(episode.pnl, settle(scene.state.delta, paths, claim, RATE).pnl, atol=1e-12, rtol=0)
    torch.testing.assert_close(rollout(Delta(), paths, builder, RATE).daily, episode.daily, atol=1e-14, rtol=0)
    last = 1.0 if paths.discount is None else paths.discount[-1]
    torch.testing.assert_close(last * episode.payoff - episode.premium, scene.owed, atol=1e-12, rtol=0)
