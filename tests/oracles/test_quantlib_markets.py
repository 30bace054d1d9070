"""Simulated calls against QuantLib and closed forms, market by market."""

import math
import warnings
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from scipy import integrate

from praesidium.markets.bates import Bates
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.kou import Kou
from praesidium.markets.sabr import SABR

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


def value(engine, strike, days):
    expiry = ql.Settings.instance().evaluationDate + days
    option = ql.VanillaOption(ql.PlainVanillaPayoff(ql.Option.Call, strike), ql.EuropeanExercise(expiry))
    option.setPricingEngine(engine)
    return option.NPV()


def assert_calls_are_worth(market, exact, *, periods=PERIODS, slack=0.0):
    """Simulated calls within three standard errors, and the oracle's own error, of ``exact(strike, days)``."""
    generator = torch.Generator().manual_seed(20)
    spot, _ = market.sample(paths=100_000, steps=max(periods), dt=1 / 252, generator=generator)
    for strike, days in product(STRIKES, periods):
        payoff = (spot[days].double() - strike).clamp(min=0)
        error = payoff.mean().item() - exact(strike, days)
        assert abs(error) < 3 * payoff.std().item() / math.sqrt(len(payoff)) + slack, (strike, days)


@pytest.mark.parametrize(
    "market",
    [
        Bates(xi=0.6, intensity=2.0, jump_mean=-0.1, jump_sd=0.05),
        Bates(kappa=0.5, xi=1.0, rho=-0.9, intensity=12.0, jump_mean=0.02, jump_sd=0.08),
    ],
    ids=["rare falls", "Feller violated, frequent jumps"],
)
def test_bates_calls(market, curve):
    v0, kappa, theta, xi = (CLOCK * rate for rate in (market.v0[0], market.kappa, market.theta, market.xi))
    jumps = (CLOCK * market.intensity, market.jump_mean, market.jump_sd)
    process = ql.BatesProcess(curve, curve, quote(1.0), v0, kappa, theta, xi, market.rho, *jumps)
    engine = ql.BatesEngine(ql.BatesModel(process), 1e-9, 100_000)
    assert_calls_are_worth(market, partial(value, engine))


@pytest.mark.parametrize(
    ("intensity", "p", "up", "down"),
    [(1.0, 0.4, 10.0, 5.0), (68.0, 0.5, 50.0, 20.0), (3.0, 0.5, 3.5, 2.0)],
    ids=["rare", "frequent", "heavy tails"],
)
def test_kou_calls(intensity, p, up, down):
    """1 - sqrt(K) / pi int_0^inf Re[e^{-iu log K} phi(u - i/2)] / (u^2 + 1/4) du, as of Lewis 2001, eq. 3.11."""
    volatility = 0.16

    def exponent(u):
        def jumps(s):
            return p * up / (up - s) + (1 - p) * down / (down + s) - 1

        diffusion = -0.5 * volatility**2 * (u * u + 1j * u)
        return diffusion + intensity * (jumps(1j * u) - 1j * u * jumps(1.0))

    def exact(strike, days):
        def integrand(u):
            phi = np.exp(days / 252 * exponent(u - 0.5j))
            return (np.exp(-1j * u * math.log(strike)) * phi).real / (u * u + 0.25)

        return 1 - math.sqrt(strike) / math.pi * integrate.quad(integrand, 0, np.inf, limit=500)[0]

    base = GeometricBrownian(volatility=volatility)
    assert_calls_are_worth(Kou(base=base, intensity=intensity, up_probability=p, eta_up=up, eta_down=down), exact)


@pytest.mark.parametrize(
    "market", [SABR(beta=1.0, nu=0.4, rho=-0.3), SABR(beta=0.7, nu=0.4), SABR(beta=0.3, nu=0.3, rho=0.4)]
)
def test_sabr_calls_where_the_formula_of_hagan_holds(market):
    """Small nu^2 T: the formula is then good to a few hundredths of a volatility point."""

    def exact(strike, days):
        years = days / 252
        volatility = ql.sabrVolatility(strike, 1.0, years, market.alpha, market.beta, market.nu, market.rho)
        return ql.blackFormula(ql.Option.Call, strike, 1.0, volatility * math.sqrt(years))

    assert_calls_are_worth(market, exact, periods=(20, 126), slack=5e-5)


@pytest.mark.parametrize(
    "market",
    [SABR(alpha=0.4, beta=0.5, nu=0.8, rho=-0.6), SABR(alpha=0.6, beta=0.3, nu=1.0, rho=0.0)],
    ids=["steep", "one in eleven absorbed"],
)
def test_sabr_calls_by_finite_differences(market, curve):
    alpha, nu = (math.sqrt(CLOCK) * rate for rate in (market.alpha, market.nu))
    engine = ql.FdSabrVanillaEngine(1.0, alpha, market.beta, nu, market.rho, curve, 50, 200, 50)
    assert_calls_are_worth(market, partial(value, engine))


def test_calls_of_constant_elasticity(curve):
    """Without noise in the volatility, where a spot in twenty is absorbed within the year."""
    market = SABR(alpha=0.8, beta=0.5, nu=0.0, rho=0.0)
    engine = ql.AnalyticCEVEngine(1.0, math.sqrt(CLOCK) * market.alpha, market.beta, curve)
    assert_calls_are_worth(market, partial(value, engine))
