"""Indicators of risk and reward against their definitions, day by day."""

import numpy as np
import pytest

from praesidium.regimes.indicators import as_they_are, downside_deviation, risk_and_reward, sortino_ratio

RULES = [downside_deviation, sortino_ratio]


def draw(seed=0, times=80, sequences=2):
    return 0.01 * np.random.default_rng(seed).standard_t(5, size=(times, sequences))


def weighted_mean(values, half_life):
    """By hand, of what is there."""
    weight = 0.5 ** ((len(values) - 1 - np.arange(len(values))) / half_life)
    there = ~np.isnan(values)
    return (weight * values)[there].sum() / weight[there].sum()


@pytest.mark.parametrize("half_life", [3.0, 7.5])
def test_they_are_what_the_definitions_say(half_life):
    returns = draw()
    risk = downside_deviation(returns, half_life=half_life)
    ratio = sortino_ratio(returns, half_life=half_life)
    for time in (10, 40, 79):
        seen = returns[: time + 1, 1]
        expected = np.sqrt(weighted_mean(np.minimum(seen, 0) ** 2, half_life))
        assert risk[time, 1] == pytest.approx(expected)
        assert ratio[time, 1] == pytest.approx(weighted_mean(seen, half_life) / expected)


def test_of_constant_losses_the_risk_is_the_loss_and_the_ratio_minus_one():
    returns = np.full((30, 1), -0.02)
    np.testing.assert_allclose(downside_deviation(returns, half_life=5)[4:], 0.02)
    np.testing.assert_allclose(sortino_ratio(returns, half_life=5)[4:], -1.0)


def test_the_ratio_has_no_unit_and_the_risk_that_of_the_returns():
    returns = draw()
    np.testing.assert_allclose(sortino_ratio(100 * returns, half_life=5), sortino_ratio(returns, half_life=5))
    expected = 100 * downside_deviation(returns, half_life=5)
    np.testing.assert_allclose(downside_deviation(100 * returns, half_life=5), expected)


def test_the_ratio_is_missing_where_nothing_was_lost():
    returns = np.full((30, 1), 0.01)
    assert (downside_deviation(returns, half_life=5)[4:] == 0).all()
    assert np.isnan(sortino_ratio(returns, half_life=5)).all()


@pytest.mark.parametrize("rule", RULES)
def test_missing_returns_stay_missing_and_the_first_ones_wait(rule):
    returns = draw()
    returns[50, 0] = np.nan
    made = rule(returns, half_life=10)
    assert np.isnan(made[:9]).all()
    assert np.isnan(made[50, 0])
    assert np.isfinite(np.delete(made[9:, 0], 41)).all()
    aged = weighted_mean(np.minimum(returns[:52, 0], 0) ** 2, 10)
    assert downside_deviation(returns, half_life=10)[51, 0] == pytest.approx(np.sqrt(aged))


@pytest.mark.parametrize("rule", RULES)
def test_the_future_cannot_move_the_past(rule):
    returns, other = draw(), draw()
    other[41:] = draw(seed=1)[41:]
    assert np.array_equal(rule(returns, half_life=5)[:41], rule(other, half_life=5)[:41], equal_nan=True)


def test_features_are_six_indicators_and_the_other_columns():
    values = np.random.default_rng(2).normal(size=(40, 1, 3))
    made = risk_and_reward(values, (5.0, 10.0, 20.0))
    assert made.shape == (40, 1, 8)
    assert np.array_equal(made[..., 2], downside_deviation(values[..., 0], half_life=20.0), equal_nan=True)
    assert np.array_equal(made[..., 3], sortino_ratio(values[..., 0], half_life=5.0), equal_nan=True)
    assert np.array_equal(made[..., 6:], values[..., 1:])
    assert np.array_equal(as_they_are(values, (5.0,)), values)
