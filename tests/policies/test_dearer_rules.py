"""Rules that pay for trading, or trade options: their formulas by hand, what they are for, and what they refuse."""

import math
from dataclasses import replace

import pytest
import torch

from praesidium.component import InputError
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.listed import Listed
from praesidium.hedging.rollout import rollout
from praesidium.hedging.state_builder import StateSettings
from praesidium.hedging.volatility import Quoted
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.policies.delta_gamma import DeltaGamma
from praesidium.policies.delta_vega import DeltaVega
from praesidium.policies.greeks import Delta
from praesidium.policies.leland import Leland
from praesidium.policies.minimum_variance import MinimumVariance
from praesidium.policies.policy import Policy
from praesidium.policies.zakamouline import Zakamouline
from praesidium.training.reproducibility import stream

RATE, STRIKE = 1e-3, 1.03
CLAIM = EuropeanCall(strike=STRIKE)
OPTIONS = (Listed(days=120, cost_multiple=10),)


@pytest.fixture(scope="module")
def state(calm, wild):
    return StateSettings(revalue=True).fit([calm, wild], CLAIM).build(wild, RATE)


def delta_of(spot, tau, volatility):
    width = volatility * math.sqrt(tau)
    return 0.5 * math.erfc(-(math.log(spot / STRIKE) / width + width / 2) / math.sqrt(2))


def looked_up(state, day, path):
    """Spot, years left, volatility and gamma."""
    return (
        state.spot[day, path].item(),
        state.tau[day].item(),
        state.volatility[day, path].item(),
        state.gamma[day, path].item(),
    )


@pytest.mark.parametrize("multiplier", [0.0, 1.0, 2.5])
def test_leland_is_delta_at_his_volatility(state, multiplier):
    positions = Leland(multiplier=multiplier).positions(state)
    for day, path in ((0, 0), (30, 5), (59, 7)):
        spot, tau, sigma, _ = looked_up(state, day, path)
        number = math.sqrt(8 / math.pi) * RATE / (sigma * math.sqrt(1 / 252))
        expected = delta_of(spot, tau, sigma * math.sqrt(1 + multiplier * number))
        assert positions[day, path].item() == pytest.approx(expected, abs=1e-12)


def test_zakamouline_keeps_to_his_band(state):
    a, positions = 50.0, Zakamouline(risk_aversion=50.0).positions(state)
    trades = 0
    for path in range(8):
        held = 0.0
        for day in range(len(positions)):
            spot, tau, sigma, gamma = looked_up(state, day, path)
            level = sigma**-0.25
            rise = 4.76 * RATE**0.78 / tau**0.02 * level * (a * spot**2 * gamma) ** 0.15
            center = delta_of(spot, tau, sigma * math.sqrt(1 + rise))
            width = RATE / (a * spot * sigma**2 * tau) + 1.12 * RATE**0.31 * tau**0.05 * level * math.sqrt(gamma / a)
            moved = min(max(held, center - width), center + width)
            trades += moved != held
            held = moved
            assert positions[day, path].item() == pytest.approx(held, abs=1e-11)
    assert 8 < trades < 8 * len(positions)


def test_minimum_variance_leans_against_the_volatility_that_comes_with_a_fall(state):
    assert torch.equal(MinimumVariance(slope=0.0).positions(state), state.delta)
    positions = MinimumVariance(slope=-0.4).positions(state)
    for day, path in ((0, 0), (30, 5)):
        spot, tau, sigma, gamma = looked_up(state, day, path)
        vega = spot**2 * gamma * sigma * tau
        expected = delta_of(spot, tau, sigma) - 0.4 * vega / spot
        assert positions[day, path].item() == pytest.approx(expected, abs=1e-12)


@pytest.fixture(scope="module")
def options():
    """A Heston market with a strong leverage effect and an option of twice the time, and what a trader sees of it."""
    left = [list(range(30, -1, -1)), OPTIONS[0].days_left(30)]
    market = Heston(theta=0.04, kappa=2.0, xi=0.8, rho=-0.7, v0=(0.04, 0.04))
    paths = market.simulate(
        paths=4000, horizon=30, lookback=20, generator=stream("tests", "vega"), left=left, dtype=torch.float64
    )
    settings = StateSettings(volatility=Quoted(), revalue=True)
    return paths, settings.fit([paths], CLAIM, OPTIONS), settings.fit([paths], CLAIM)


@pytest.mark.parametrize(("policy", "greek"), [(DeltaGamma, 1), (DeltaVega, 2)])
def test_spot_and_option_leave_neither_delta_nor_the_second_greek(policy, greek, options):
    paths, builder, _ = options
    state = builder.build(paths, RATE)
    positions = policy(cap=1e6).positions(state)
    claim = state.gamma if greek == 1 else state.vega
    torch.testing.assert_close(positions[..., 1] * state.hedges[..., 0, greek], claim, atol=1e-12, rtol=0)
    delta = positions[..., 0] + positions[..., 1] * state.hedges[..., 0, 0]
    torch.testing.assert_close(delta, state.delta, atol=1e-12, rtol=0)
    capped = policy(cap=0.3, share=0.5).positions(state)[..., 1]
    assert capped.abs().max() <= 0.3
    assert torch.equal(policy(share=0.0).positions(state)[..., 0], state.delta)


def test_vega_hedging_takes_volatility_risk_and_so_does_leaning_against_it(options):
    paths, builder, spot_only = options
    delta, both = (rollout(policy, paths, builder, 0.0).pnl.std().item() for policy in (Delta(), DeltaVega()))
    assert both < 0.6 * delta
    assert rollout(MinimumVariance(slope=-0.5), paths, spot_only, 0.0).pnl.std().item() < 0.95 * delta


def test_gamma_hedging_takes_the_risk_of_hedging_once_a_day():
    left = [list(range(30, -1, -1)), OPTIONS[0].days_left(30)]
    paths = GeometricBrownian().simulate(
        paths=2000, horizon=30, lookback=20, generator=stream("tests", "gamma"), left=left, dtype=torch.float64
    )
    builder = StateSettings(volatility=Quoted()).fit([paths], CLAIM, OPTIONS)
    delta, both = (rollout(policy, paths, builder, 0.0).pnl.std().item() for policy in (Delta(), DeltaGamma()))
    assert both < 0.6 * delta


@pytest.mark.parametrize("kind", ["delta_gamma", "delta_vega"])
def test_without_an_option_there_is_nothing_to_hedge_with(kind, options):
    paths, _, spot_only = options
    with pytest.raises(InputError, match=r"there is no option to hedge with; put one first: instruments="):
        Policy.registry[kind]().positions(spot_only.build(paths, RATE))


@pytest.mark.parametrize("kind", ["leland", "zakamouline", "minimum_variance"])
def test_a_rule_that_values_the_claim_anew_says_what_it_needs(kind, builder, wild):
    with pytest.raises(InputError, match=r"say state\.revalue=true"):
        Policy.registry[kind]().positions(builder.build(wild, RATE))


def test_a_wider_spread_today_widens_the_band(state):
    doubled = replace(state, spread=torch.full_like(state.spot, 2.0))
    dear = replace(state, cost_rate=2 * state.cost_rate)
    assert torch.equal(Zakamouline().positions(doubled), Zakamouline().positions(dear))
    assert torch.equal(Leland().positions(doubled), Leland().positions(dear))
