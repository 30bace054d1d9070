"""Claims beyond calls and puts against QuantLib's analytic engines."""

import warnings
from itertools import product

import pytest
import torch

from praesidium.hedging.conditions import Conditions
from praesidium.hedging.liabilities.forward_start import ForwardStart
from praesidium.pricing import asian, barrier, digital, lookback

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its SWIG types, at import
    ql = pytest.importorskip("QuantLib")

TODAY = ql.Date(2, 1, 2024)
RIGHTS = {"call": ql.Option.Call, "put": ql.Option.Put}
CARRIES = ((0.0, 0.0), (0.05, 0.02), (0.01, 0.06))
SPOTS, VOLATILITIES, DAYS = (80.0, 97.0, 100.0, 115.0), (0.1, 0.4), (30, 365)
GRID = list(product(SPOTS, VOLATILITIES, DAYS, CARRIES))


@pytest.fixture(autouse=True)
def today():
    ql.Settings.instance().evaluationDate = TODAY


def process(spot, volatility, rate, dividend):
    day = ql.Actual365Fixed()
    flat = [ql.YieldTermStructureHandle(ql.FlatForward(TODAY, x, day)) for x in (dividend, rate)]
    surface = ql.BlackConstantVol(TODAY, ql.NullCalendar(), volatility, day)
    quote = ql.QuoteHandle(ql.SimpleQuote(spot))
    return ql.BlackScholesMertonProcess(quote, *flat, ql.BlackVolTermStructureHandle(surface))


def column(*values):
    return [torch.tensor([one], dtype=torch.float64) for one in values]


def agree(option, engine, value, tolerance):
    option.setPricingEngine(engine)
    assert value.item() == pytest.approx(option.NPV(), abs=tolerance)


@pytest.mark.parametrize("right", ["call", "put"])
def test_digitals(right):
    payoff = ql.CashOrNothingPayoff(RIGHTS[right], 100.0, 1.0)
    for spot, volatility, days, (rate, dividend) in GRID:
        option = ql.VanillaOption(payoff, ql.EuropeanExercise(TODAY + days))
        at, carry = column(spot, 100.0, days / 365, volatility), {"rate": rate, "dividend": dividend, "right": right}
        agree(
            option,
            ql.AnalyticEuropeanEngine(process(spot, volatility, rate, dividend)),
            digital.price(*at, **carry),
            1e-12,
        )
        for found, name in zip(digital.greeks(*at, **carry), ("delta", "gamma"), strict=True):
            assert found.item() == pytest.approx(getattr(option, name)(), abs=1e-10)


@pytest.mark.parametrize(("direction", "knock", "right"), list(product(("up", "down"), ("in", "out"), RIGHTS)))
def test_barriers(direction, knock, right):
    kind = getattr(ql.Barrier, direction.title() + knock.title())
    for spot, volatility, days, (rate, dividend) in GRID:
        for strike, level in product((90.0, 105.0), (120.0, 130.0) if direction == "up" else (75.0, 79.0)):
            payoff = ql.PlainVanillaPayoff(RIGHTS[right], strike)
            option = ql.BarrierOption(kind, level, 0.0, payoff, ql.EuropeanExercise(TODAY + days))
            spot_, strike_, level_, *rest = column(spot, strike, level, days / 365, volatility)
            terms = {"direction": direction, "knock": knock, "right": right, "rate": rate, "dividend": dividend}
            value = barrier.price(spot_, strike_, level_, *rest, **terms)
            agree(option, ql.AnalyticBarrierEngine(process(spot, volatility, rate, dividend)), value, 1e-9)


def test_lookbacks():
    for spot, volatility, days, (rate, dividend) in GRID:
        for strike, highest in ((100.0, 115.0), (120.0, 118.0), (90.0, 115.0)):
            payoff, exercise = ql.PlainVanillaPayoff(ql.Option.Call, strike), ql.EuropeanExercise(TODAY + days)
            at = column(spot, strike, highest, days / 365, volatility)
            value = lookback.price(*at, rate=rate, dividend=dividend)
            if rate == dividend:
                rate = dividend + 1e-7  # noqa: PLW2901  QuantLib divides by the difference
            engine = ql.AnalyticContinuousFixedLookbackEngine(process(spot, volatility, rate, dividend))
            agree(
                ql.ContinuousFixedLookbackOption(highest, payoff, exercise),
                engine,
                value,
                2e-5 if rate < 0.001 else 1e-9,
            )


def test_floating_lookbacks():
    for spot, volatility, days, (rate, dividend) in GRID:
        if rate == dividend:
            continue
        highest, tau = 116.0, days / 365
        at = column(spot, 0.0, highest, tau, volatility)
        value = lookback.price(*at, rate=rate, dividend=dividend) - spot * torch.exp(torch.tensor(-dividend * tau))
        option = ql.ContinuousFloatingLookbackOption(
            highest, ql.FloatingTypePayoff(ql.Option.Put), ql.EuropeanExercise(TODAY + days)
        )
        engine = ql.AnalyticContinuousFloatingLookbackEngine(process(spot, volatility, rate, dividend))
        agree(option, engine, value, 1e-5)


@pytest.mark.parametrize("right", ["call", "put"])
def test_asians(right):
    """Both match the two moments of the discrete mean."""
    for (spot, volatility, days, (rate, dividend)), fixings in product(GRID, (1, 5)):
        whole = days // fixings * fixings
        dates = [TODAY + whole // fixings * (k + 1) for k in range(fixings)]
        option = ql.DiscreteAveragingAsianOption(
            ql.Average.Arithmetic,
            0.0,
            0,
            dates,
            ql.PlainVanillaPayoff(RIGHTS[right], 100.0),
            ql.EuropeanExercise(dates[-1]),
        )
        at = column(spot, 100.0, whole / 365, volatility, float(fixings))
        value = asian.price(*at, rate=rate, dividend=dividend, right=right)
        engine = ql.TurnbullWakemanAsianEngine(process(spot, volatility, rate, dividend))
        agree(option, engine, value, 1e-9)


@pytest.mark.parametrize("right", ["call", "put"])
def test_forward_starts(right):
    claim = ForwardStart(moneyness=1.05, right=right)
    for spot, volatility, days, (rate, dividend) in GRID:
        reset = days // 3
        option = ql.ForwardVanillaOption(
            1.05, TODAY + reset, ql.PlainVanillaPayoff(RIGHTS[right], 0.0), ql.EuropeanExercise(TODAY + days)
        )
        now, tau, level = column(spot, days / 365, volatility)
        memory = torch.tensor([[torch.nan, reset / 365]], dtype=torch.float64)
        at = Conditions(now, tau, level, memory, rate=rate, dividend=dividend)
        engine = ql.ForwardEuropeanEngine(process(spot, volatility, rate, dividend))
        agree(option, engine, claim.value(at), 1e-10)
