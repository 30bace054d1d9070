"""Black-Scholes values and sensitivities with rates against QuantLib's analytic engine."""

import warnings
from itertools import product

import pytest
import torch

from praesidium.pricing import black_scholes
from praesidium.pricing.implied_volatility import implied_volatility

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types, at import
    ql = pytest.importorskip("QuantLib")

TODAY = ql.Date(2, 1, 2024)
DAYS = (1, 30, 365, 3650)
SPOTS = (40.0, 80.0, 99.0, 100.0, 101.0, 130.0, 250.0)
VOLATILITIES = (0.05, 0.2, 1.0)
CARRIES = ((0.0, 0.0), (0.05, 0.02), (-0.01, 0.08))
NAMES = ("price", "delta", "gamma", "vega", "theta", "rho")


def handle(value):
    return ql.QuoteHandle(ql.SimpleQuote(value))


def process(spot, volatility, rate, dividend):
    day = ql.Actual365Fixed()
    flat = [ql.YieldTermStructureHandle(ql.FlatForward(TODAY, x, day)) for x in (dividend, rate)]
    surface = ql.BlackConstantVol(TODAY, ql.NullCalendar(), volatility, day)
    return ql.BlackScholesMertonProcess(handle(spot), *flat, ql.BlackVolTermStructureHandle(surface))


@pytest.mark.parametrize("right", ["call", "put"])
def test_european_options(right):
    ql.Settings.instance().evaluationDate = TODAY
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right == "call" else ql.Option.Put, 100.0)
    options = [ql.VanillaOption(payoff, ql.EuropeanExercise(TODAY + days)) for days in DAYS]
    grid, exact = [], []
    for spot, volatility, (rate, dividend) in product(SPOTS, VOLATILITIES, CARRIES):
        engine = ql.AnalyticEuropeanEngine(process(spot, volatility, rate, dividend))
        for option, days in zip(options, DAYS, strict=True):
            option.setPricingEngine(engine)
            grid.append((spot, days / 365, volatility, rate, dividend))
            exact.append([getattr(option, "NPV" if name == "price" else name)() for name in NAMES])
    spot, tau, volatility, rate, dividend = torch.tensor(grid, dtype=torch.float64).unbind(1)
    carry = {"rate": rate, "dividend": dividend, "right": right}
    for name, expected in zip(NAMES, torch.tensor(exact, dtype=torch.float64).unbind(1), strict=True):
        ours = getattr(black_scholes, name)(spot, 100.0, tau, volatility, **carry)
        # In the wings QuantLib's value is a difference of normal probabilities, and its theta is made from it.
        torch.testing.assert_close(ours, expected, atol=2e-10, rtol=1e-9, msg=name)


@pytest.mark.parametrize(
    ("strike", "deviation"), [(100.0, 0.01), (103.0, 0.02), (150.0, 0.3), (40.0, 1.0), (400.0, 3.0)]
)
def test_implied_volatility(strike, deviation):
    right, kind = ("call", ql.Option.Call) if strike >= 100 else ("put", ql.Option.Put)
    quoted = ql.blackFormula(kind, strike, 100.0, deviation, 1.0)
    peer = ql.blackFormulaImpliedStdDev(kind, strike, 100.0, quoted, 1.0, 0.0, deviation, 1e-14, 1000)
    price = torch.tensor(quoted, dtype=torch.float64)
    implied = implied_volatility(price, 100.0, strike, 0.25, right=right).item() * 0.25**0.5
    assert implied == pytest.approx(deviation, abs=1e-11)
    assert implied == pytest.approx(peer, abs=1e-9)
