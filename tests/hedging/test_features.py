"""Features: each is its formula, and none of them knows tomorrow."""

import math

import numpy as np
import pytest
import torch

from praesidium.hedging.conditions import Conditions
from praesidium.hedging.features import BY_REGIME, FEATURES, Glimpse, stack
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.volatility import Constant, Forecast, GreekVolatility, Trailing
from praesidium.markets.trailing import trailing

CALL = EuropeanCall(strike=1.05)
OF_PRICES = sorted(FEATURES.keys() - BY_REGIME)
VOLATILITIES = pytest.mark.parametrize("kind", sorted(GreekVolatility.registry))


def glimpse(paths):
    tau = torch.arange(paths.horizon, 0, -1, dtype=torch.float64).unsqueeze(-1) * paths.dt
    volatility = Trailing().estimate(paths, {})
    greeks = CALL.greeks(Conditions(spot=paths.episode[:-1], tau=tau, level=volatility))
    return Glimpse(paths, CALL, tau, volatility, greeks.delta, greeks.gamma)


def naive(name, history, left, dt):
    """The feature from the prices up to now and the days left."""
    returns = np.diff(np.log(history))
    spot, years = history[-1], left * dt
    volatility = max(0.02, math.sqrt(np.mean(returns[-20:] ** 2) / dt))
    d1 = math.log(spot / 1.05) / (volatility * math.sqrt(years)) + volatility * math.sqrt(years) / 2
    density = math.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi)
    return {
        "delta": 0.5 * math.erfc(-d1 / math.sqrt(2)),
        "gamma_scaled": density,
        "time_to_maturity": years,
        "log_moneyness": math.log(spot / 1.05),
        "volatility": volatility,
        "previous_return": returns[-1],
        "realized_volatility_20": math.sqrt(np.mean(returns[-20:] ** 2) / dt),
        "drawdown_20": spot / history[-20:].max() - 1,
        "momentum_20": math.log(spot / history[-21]),
        "cvar_20": -returns[-20:].min(),
    }[name]


@pytest.mark.parametrize("name", OF_PRICES)
def test_a_feature_is_its_formula(name, wild):
    values = FEATURES[name](glimpse(wild))
    assert values.shape == (wild.horizon, wild.count)
    spot = wild.spot.numpy()
    for day in (0, 1, 30, 59):
        for path in (0, 17):
            expected = naive(name, spot[: wild.lookback + day + 1, path], wild.horizon - day, wild.dt)
            assert values[day, path].item() == pytest.approx(expected, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("name", OF_PRICES)
def test_the_future_cannot_move_a_feature(name, wild, rewrite):
    before, after = (FEATURES[name](glimpse(paths)) for paths in (wild, rewrite(wild, 30)))
    assert torch.equal(before[:31], after[:31])
    assert name == "time_to_maturity" or not torch.equal(before[31:], after[31:])


@VOLATILITIES
def test_the_future_cannot_move_a_volatility(kind, calm, wild, rewrite):
    estimator = GreekVolatility.registry[kind]()
    parameters = estimator.calibrate([calm, wild])
    before, after = (estimator.estimate(paths, parameters) for paths in (wild, rewrite(wild, 30)))
    assert before.shape == (wild.horizon, wild.count)
    assert torch.equal(before[:31], after[:31])
    assert kind == "constant" or not torch.equal(before[31:], after[31:])
    assert (before > 0).all()


@VOLATILITIES
def test_a_volatility_is_calibrated_on_all_training_paths(kind, calm, wild):
    estimator = GreekVolatility.registry[kind]()
    parameters = estimator.calibrate([calm, wild])
    assert parameters == estimator.calibrate([wild, calm]) or kind == "forecast"
    assert all(math.isfinite(value) for value in parameters.values())
    if parameters:
        assert parameters != estimator.calibrate([calm])


def test_constant_volatility_is_the_root_mean_square(calm, wild):
    squares = [np.mean(np.diff(np.log(paths.spot.numpy()), axis=0) ** 2) / paths.dt for paths in (calm, wild)]
    estimate = Constant().estimate(calm, Constant().calibrate([calm, wild]))
    assert torch.allclose(estimate, torch.tensor(math.sqrt(np.mean(squares)), dtype=torch.float64))


def test_forecast_is_the_recursion_of_its_definition(wild):
    estimator, parameters = Forecast(decay=0.9, multiplier=1.2), {"theta": 0.2, "kappa": 4.0}
    estimate = estimator.estimate(wild, parameters)
    squares = np.diff(np.log(wild.spot.numpy()[:, 3])) ** 2 / wild.dt
    for day in (0, 1, 40):
        weights = 0.9 ** np.arange(19, -1, -1)
        level = (weights * squares[:20]).sum() / weights.sum()
        for square in squares[20 : 20 + day]:
            level = 0.9 * level + 0.1 * square
        reversion = 4.0 * (wild.horizon - day) * wild.dt
        mean = 0.2 + (level - 0.2) * (1 - math.exp(-reversion)) / reversion
        assert estimate[day, 3].item() == pytest.approx(1.2 * math.sqrt(mean), rel=1e-12)


def test_forecast_keeps_its_bounds(wild):
    bounds = (0.3, 0.5)
    estimate = Forecast(bounds=bounds).estimate(wild, {"theta": 0.2, "kappa": 1.0})
    assert (estimate.min().item(), estimate.max().item()) == bounds


@pytest.mark.parametrize("window", [1, 5, 20])
def test_trailing_ends_with_the_last_known_period(wild, window):
    numbers = torch.arange(80.0, dtype=torch.float64).unsqueeze(-1).expand(80, wild.count)
    seen = trailing(numbers, wild, window)
    assert seen.shape == (60, wild.count, window)
    for day in (0, 59):  # period 19 ends at row 20, which is the inception
        assert seen[day, 0].tolist() == [19 + day - window + 1 + place for place in range(window)]


def test_a_window_longer_than_the_history_is_refused(wild):
    with pytest.raises(ValueError, match=r"window of 21 periods .* carry 20"):
        Trailing(window=21).estimate(wild, {})


def test_stacked_features_keep_their_order(wild):
    seen = glimpse(wild)
    both = stack(("cvar_20", "delta"), seen)
    assert torch.equal(both[..., 0], FEATURES["cvar_20"](seen))
    assert torch.equal(both[..., 1], FEATURES["delta"](seen))
