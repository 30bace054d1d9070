"""Semi-analytic prices against QuantLib, at the corners where quadratures fail first."""

import math
import warnings
from itertools import product

import pytest
import torch
from scipy import stats

from praesidium.pricing import heston, merton

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types, at import
    ql = pytest.importorskip("QuantLib")

RATE, DIVIDEND = 0.03, 0.01
DAYS = (1, 21, 365, 1825)
WINGS = (-5.0, -2.0, -0.3, 0.0, 0.3, 2.0, 5.0)  # log strike against the forward, in standard deviations
MODELS = {
    "Feller": {"variance": 0.04, "theta": 0.04, "kappa": 2.0, "xi": 0.3, "rho": -0.7},
    "Feller violated": {"variance": 0.01, "theta": 0.04, "kappa": 0.5, "xi": 1.0, "rho": -0.95},
    "calm now": {"variance": 0.0025, "theta": 0.02, "kappa": 1.0, "xi": 0.5, "rho": -0.95},
    "wild": {"variance": 0.09, "theta": 0.25, "kappa": 3.0, "xi": 2.0, "rho": 0.3},
    "positive correlation": {"variance": 0.04, "theta": 0.04, "kappa": 1.0, "xi": 0.8, "rho": 0.9},
}
JUMPS = {
    "rare": {"intensity": 0.5, "jump_mean": -0.1, "jump_sd": 0.1},
    "narrow": {"intensity": 3.0, "jump_mean": -0.05, "jump_sd": 0.01},
    "frequent": {"intensity": 20.0, "jump_mean": 0.02, "jump_sd": 0.03},
}


@pytest.fixture(scope="module")
def curves():
    ql.Settings.instance().evaluationDate = ql.Date(2, 1, 2024)
    return [
        ql.YieldTermStructureHandle(ql.FlatForward(0, ql.NullCalendar(), level, ql.Actual365Fixed()))
        for level in (RATE, DIVIDEND)
    ]


def value(engine, right, strike, days):
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right == "call" else ql.Option.Put, strike)
    option = ql.VanillaOption(payoff, ql.EuropeanExercise(ql.Settings.instance().evaluationDate + days))
    option.setPricingEngine(engine)
    return option.NPV()


def grid(model, days, added=0.0):
    """Strikes and years to expiry: the wings at these maturities; ``added`` variance a year comes from jumps."""
    rows = []
    for day, wing in product(days, WINGS):
        tau = day / 365
        lost = -math.expm1(-model["kappa"] * tau) / model["kappa"]
        deviation = math.sqrt(model["theta"] * tau + (model["variance"] - model["theta"]) * lost + added * tau)
        rows.append((math.exp(wing * deviation + (RATE - DIVIDEND) * tau), day))
    return rows


def ours(rows, right, model):
    strike, days = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return heston.price(torch.ones_like(strike), strike, days / 365, rate=RATE, dividend=DIVIDEND, right=right, **model)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_heston(model, right, curves):
    v, theta, kappa, xi, rho = model.values()
    process = ql.HestonProcess(*curves, ql.QuoteHandle(ql.SimpleQuote(1.0)), v, kappa, theta, xi, rho)
    contour, quadrature = ql.AnalyticHestonEngine.AngledContour, ql.FourierIntegration.expSinh(1e-12)
    engine = ql.AnalyticHestonEngine(ql.HestonModel(process), contour, quadrature)
    rows = grid(model, DAYS)
    expected = torch.tensor([value(engine, right, *row) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(ours(rows, right, model), expected, atol=1e-13, rtol=1e-13)


def bates(curves, model, jumps, tolerance=1e-12):
    v, theta, kappa, xi, rho = model.values()
    spot = ql.QuoteHandle(ql.SimpleQuote(1.0))
    process = ql.BatesProcess(*curves, spot, v, kappa, theta, xi, rho, *jumps.values())
    return ql.BatesEngine(ql.BatesModel(process), tolerance, 1_000_000)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_bates(model, jumps, right, curves):
    engine = bates(curves, model, jumps)
    rows = grid(model, DAYS[:3], jumps["intensity"] * (jumps["jump_mean"] ** 2 + jumps["jump_sd"] ** 2))
    expected = torch.tensor([value(engine, right, *row) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(ours(rows, right, model | jumps), expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_merton_is_bates_without_a_volatility_of_variance(jumps, right, curves):
    model = {"variance": 0.04, "theta": 0.04, "kappa": 1.0, "xi": 1e-7, "rho": 0.0}
    engine = bates(curves, model, jumps)
    rows = grid(model, DAYS[1:3], jumps["intensity"] * (jumps["jump_mean"] ** 2 + jumps["jump_sd"] ** 2))
    expected = torch.tensor([value(engine, right, *row) for row in rows], dtype=torch.float64)
    strike, days = torch.tensor(rows, dtype=torch.float64).unbind(1)
    spot = torch.ones_like(strike)
    found = merton.price(spot, strike, days / 365, 0.2, rate=RATE, dividend=DIVIDEND, right=right, **jumps)
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_merton_is_a_poisson_mean_of_black_scholes(jumps, right):
    """QuantLib's Black formula under the Poisson law of scipy, far wings by relative error."""
    intensity, mean, deviation = jumps.values()
    side = ql.Option.Call if right == "call" else ql.Option.Put
    factor = mean + 0.5 * deviation**2
    for tau, strike in product((1 / 252, 0.25, 2.0), (0.5, 0.9, 1.0, 1.1, 2.0)):
        discount, expected = math.exp(-RATE * tau), 0.0
        for n, probability in enumerate(stats.poisson(intensity * tau).pmf(range(140))):
            forward = math.exp((RATE - DIVIDEND - intensity * math.expm1(factor)) * tau + n * factor)
            width = math.sqrt(0.15**2 * tau + n * deviation**2)
            payoff = ql.PlainVanillaPayoff(side, strike)
            expected += probability * ql.BlackCalculator(payoff, forward, width, discount).value()
        spot = torch.tensor(1.0, dtype=torch.float64)
        found = merton.price(spot, strike, tau, 0.15, rate=RATE, dividend=DIVIDEND, right=right, **jumps)
        assert found.item() == pytest.approx(expected, rel=1e-11, abs=1e-17), (tau, strike)
