"""Prices and sensitivities against QuantLib."""

import math
import warnings
from functools import partial
from itertools import product

import pytest
import torch
from scipy import stats

from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.pricing import black_scholes

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types, at import
    ql = pytest.importorskip("QuantLib")

STRIKES = (0.9, 1.0, 1.1)
PERIODS = (60, 252)
CLOCK = 365 / 252  # a QuantLib day is 1/365 of its year: at rates a year times this it is a trading day of ours


@pytest.fixture(scope="module")
def curve():
    ql.Settings.instance().evaluationDate = ql.Date(2, 1, 2024)
    return ql.YieldTermStructureHandle(ql.FlatForward(0, ql.NullCalendar(), 0.0, ql.Actual365Fixed()))


def quote(value):
    return ql.QuoteHandle(ql.SimpleQuote(value))


def call(strike):
    return ql.PlainVanillaPayoff(ql.Option.Call, strike)


def value(engine, strike, days):
    expiry = ql.Settings.instance().evaluationDate + days
    option = ql.VanillaOption(call(strike), ql.EuropeanExercise(expiry))
    option.setPricingEngine(engine)
    return option.NPV()


def assert_calls_are_worth(market, exact):
    """Simulated calls within three standard errors of ``exact(strike, days)``."""
    generator = torch.Generator().manual_seed(20)
    spot, _ = market.sample(paths=100_000, steps=max(PERIODS), dt=1 / 252, generator=generator)
    for strike, days in product(STRIKES, PERIODS):
        payoff = (spot[days].double() - strike).clamp(min=0)
        error = payoff.mean().item() - exact(strike, days)
        assert abs(error) < 3 * payoff.std().item() / math.sqrt(len(payoff)), (strike, days)


def test_black_scholes():
    grid = list(product((0.5, 0.9, 1.0, 1.1, 2.0), (0.8, 1.0, 1.3), (1e-4, 1 / 252, 0.25, 1.0, 10.0), (0.01, 0.2, 1.0)))
    spot, strike, tau, volatility = torch.tensor(grid, dtype=torch.float64).unbind(1)
    calculators = [ql.BlackCalculator(call(K), S, sigma * math.sqrt(T)) for S, K, T, sigma in grid]
    expected = torch.tensor(
        [(c.value(), c.delta(S), c.gamma(S)) for c, (S, *_) in zip(calculators, grid, strict=True)], dtype=torch.float64
    )
    ours = [f(spot, strike, tau, volatility) for f in (black_scholes.price, black_scholes.delta, black_scholes.gamma)]
    torch.testing.assert_close(torch.stack(ours, 1), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    "market",
    [
        Heston(kappa=2.0, theta=0.04, xi=0.3, rho=-0.7),
        Heston(kappa=0.5, theta=0.04, xi=1.0, rho=-0.9),
        Heston(kappa=1.0, theta=0.09, xi=2.0, rho=0.3, v0=(0.01, 0.01)),
    ],
    ids=["Feller", "Feller violated", "Feller violated, positive correlation"],
)
def test_heston_calls(market, curve):
    v0, kappa, theta, xi = (CLOCK * rate for rate in (market.v0[0], market.kappa, market.theta, market.xi))
    process = ql.HestonProcess(curve, curve, quote(1.0), v0, kappa, theta, xi, market.rho)
    engine = ql.AnalyticHestonEngine(ql.HestonModel(process), 1e-9, 100_000)
    assert_calls_are_worth(market, partial(value, engine))


@pytest.mark.parametrize(
    ("intensity", "mean", "deviation"), [(1.0, -0.1, 0.1), (20.0, 0.02, 0.03)], ids=["rare", "frequent"]
)
def test_merton_calls(intensity, mean, deviation):
    """Merton 1976: Black-Scholes given the number of jumps, averaged over the Poisson law."""
    drift = -intensity * math.expm1(mean + 0.5 * deviation**2)

    def exact(strike, days):
        years, total = days / 252, 0.0
        for jumps, probability in enumerate(stats.poisson(intensity * years).pmf(range(80))):
            forward = math.exp(drift * years + jumps * (mean + 0.5 * deviation**2))
            width = math.sqrt(0.15**2 * years + jumps * deviation**2)
            total += probability * ql.BlackCalculator(call(strike), forward, width).value()
        return total

    base = GeometricBrownian(volatility=0.15)
    assert_calls_are_worth(Merton(base=base, intensity=intensity, jump_mean=mean, jump_sd=deviation), exact)


def test_bates_calls(curve):
    heston = Heston(kappa=2.0, theta=0.04, xi=0.6, rho=-0.7)
    v0, kappa, theta, xi = (CLOCK * rate for rate in (heston.v0[0], heston.kappa, heston.theta, heston.xi))
    process = ql.BatesProcess(curve, curve, quote(1.0), v0, kappa, theta, xi, heston.rho, 2.0 * CLOCK, -0.1, 0.05)
    market = Merton(base=heston, intensity=2.0, jump_mean=-0.1, jump_sd=0.05)
    engine = ql.BatesEngine(ql.BatesModel(process), 1e-9, 100_000)
    assert_calls_are_worth(market, partial(value, engine))
