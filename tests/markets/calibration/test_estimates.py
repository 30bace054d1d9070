"""What comes out of a calibration, on few and short series; the coverage of its intervals is a command's to measure."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from praesidium.component import InputError, build
from praesidium.markets.bates import Bates
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.calibration import maximum_likelihood, simulated_moments, simulation
from praesidium.markets.calibration.calibrate import calibrate
from praesidium.markets.calibration.coordinates import ATANH, LOG, TWENTIETHS, Coordinate
from praesidium.markets.calibration.estimate import Calibration
from praesidium.markets.calibration.maximum_likelihood import fit_merton, log_likelihood, penalized_cost
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton


def draw(market, days, seed=0, before=0):
    generator = torch.Generator().manual_seed(seed)
    spot, _ = market.sample(paths=1, steps=before + days, dt=1 / 252, generator=generator, dtype=torch.float64)
    return spot[before:, 0].log().diff().numpy()


def fit(returns, dynamics):
    return calibrate(returns, dynamics=dynamics, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module", autouse=True)
def few_series():
    """The fewest that are allowed, whatever the length: quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "FEWEST_DAYS", 1)
        yield


@pytest.fixture(scope="module")
def heston(few_series):
    """A calibration of 400 simulated returns."""
    market = Heston(theta=0.04, kappa=6.0, xi=0.6, rho=-0.6, v0=(0.04, 0.04))
    return fit(draw(market, 400, seed=4, before=500), "heston")


def test_the_gbm_interval_covers_as_often_as_it_says():
    """A binomial count out of 400: 95 % is missed by more than three standard deviations once in 400."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        one = fit(0.2 / math.sqrt(252) * rng.standard_normal(250), "gbm").estimates["volatility"]
        inside += one.low <= 0.2 <= one.high
    assert abs(inside - 380) < 3 * math.sqrt(400 * 0.95 * 0.05)


def test_the_gbm_error_is_the_textbook_one_and_gaps_do_not_count():
    returns = 0.01 * np.random.default_rng(1).standard_normal(300)
    gapped = np.insert(returns, 150, np.full(40, np.nan))
    one, same = fit(returns, "gbm"), fit(gapped, "gbm")
    found = one.estimates["volatility"]
    assert found.value == pytest.approx(returns.std(ddof=1) * math.sqrt(252))
    assert found.standard_error == pytest.approx(found.value / math.sqrt(2 * 299))
    assert same.estimates == one.estimates
    assert (same.days, one.days) == (300, 300)
    assert same.data != one.data
    assert one.warnings == ()
    assert "kurtosis" in fit(0.01 * np.random.default_rng(1).standard_t(3, 300), "gbm").warnings[0]


def test_the_merton_likelihood_is_a_mixture_of_normals():
    x, dt = np.array([-0.05, 0.001, 0.02]), 1 / 252
    volatility, intensity, mean, sd = 0.15, 12.0, -0.02, 0.03
    expected = intensity * dt
    density = sum(
        math.exp(-expected)
        * expected**n
        / math.factorial(n)
        * norm.pdf(x, (n - expected) * mean, math.sqrt(volatility**2 * dt + n * sd**2))
        for n in range(11)
    )
    assert log_likelihood((volatility, intensity, mean, sd), x) == pytest.approx(np.log(density).sum())


def test_merton_is_found_where_there_are_jumps():
    truth = {"volatility": 0.12, "intensity": 8.0, "jump_mean": -0.04, "jump_sd": 0.03}
    market = Merton(base=GeometricBrownian(volatility=0.12), intensity=8.0, jump_mean=-0.04, jump_sd=0.03)
    found = fit_merton(draw(market, 3000, seed=2))
    for name, value in truth.items():
        one = found.estimates[name]
        assert abs(one.value - value) < 3.5 * one.standard_error, name
        assert one.identified, name
    assert found.estimates["volatility"].standard_error == pytest.approx(0.12 / math.sqrt(6000), rel=0.3)
    assert found.moments["log_kurtosis"].fitted == pytest.approx(found.moments["log_kurtosis"].data, rel=0.25)
    assert found.warnings == ()


def test_a_spike_of_the_likelihood_is_not_taken_for_jumps():
    """One outlier: as jump_sd -> 0 on it the likelihood has no bound, and the penalty takes that away."""
    returns = 0.01 * np.random.default_rng(5).standard_normal(400)
    returns[200] = -0.06
    found = fit_merton(returns)
    assert found.estimates["jump_sd"].value > 0.006
    assert "jumps are not identified" in found.warnings[0]
    assert not any(found.estimates[name].identified for name in ("intensity", "jump_mean", "jump_sd"))
    calm = penalized_cost((0.16, 1.0, -0.06, 0.03), returns) - penalized_cost((0.16, 1.0, -0.06, 1e-4), returns)
    assert calm < 0


def test_jumps_are_not_found_in_normal_returns():
    found = fit_merton(0.01 * np.random.default_rng(6).standard_normal(600))
    assert "a normal law fits as well" in found.warnings[0]
    assert found.estimates["volatility"].identified
    assert not found.estimates["intensity"].identified


def test_an_estimate_on_its_bound_says_so_and_has_a_finite_error():
    """More jumps a year than are allowed: the likelihood still rises at the bound."""
    market = Merton(base=GeometricBrownian(volatility=0.1), intensity=60.0, jump_mean=0.0, jump_sd=0.02)
    found = fit_merton(draw(market, 1500, seed=3))
    often = found.estimates["intensity"]
    assert often.value == pytest.approx(maximum_likelihood.COORDINATES[1].high)
    assert not often.identified
    assert 5 < often.low < often.high <= 20 * (1 + 1e-9)
    assert any("intensity is not identified" in warning and "sits on a bound" in warning for warning in found.warnings)


def test_heston_is_within_its_intervals(heston):
    truth = {"theta": 0.04, "kappa": 6.0, "xi": 0.6, "rho": -0.6}
    assert list(heston.estimates) == list(truth)
    for name, one in heston.estimates.items():
        assert one.low <= one.value <= one.high
        assert one.low <= truth[name] <= one.high, name
        assert one.standard_error > 0


def test_heston_intervals_respect_the_bounds_and_short_data_are_called_so(heston):
    for coordinate in simulated_moments.HESTON:
        one = heston.estimates[coordinate.name]
        assert coordinate.low * (1 - 1e-9) <= one.low if coordinate.low > 0 else coordinate.low - 1e-9 <= one.low
        assert one.high <= coordinate.high + 1e-9
    unidentified = [name for name, one in heston.estimates.items() if not one.identified]
    assert unidentified  # two years do not tell all four
    assert all(any(warning.startswith(f"{name} is not") for warning in heston.warnings) for name in unidentified)


def test_heston_fits_the_moments(heston):
    """Thirteen moments, four parameters: the rest is off by chance alone."""
    distances = [(one.data - one.fitted) / one.error for one in heston.moments.values()]
    assert np.square(distances).sum() < 40


def test_the_error_of_theta_is_that_of_a_persistent_variance(heston):
    """sd of log theta ~ (xi / kappa) / sqrt(theta T), several times that of independent returns."""
    one = heston.estimates["theta"]
    independent = one.value * math.sqrt(2 / heston.days)
    assert one.standard_error > 2 * independent


def test_the_market_is_at_the_estimates(heston):
    market = heston.market()
    assert isinstance(market, Heston)
    assert market.kappa == heston.estimates["kappa"].value
    assert market.v0 == (market.theta, market.theta)
    assert isinstance(fit(0.01 * np.random.default_rng(1).standard_normal(300), "gbm").market(), GeometricBrownian)
    merton = fit(0.01 * np.random.default_rng(1).standard_t(3, 300), "merton")
    assert merton.market().base.volatility == merton.estimates["volatility"].value
    assert merton.market().jump_sd == merton.estimates["jump_sd"].value


def test_a_calibration_is_plain_data_and_back(heston):
    assert build(Calibration, json.loads(json.dumps(heston.settings()))) == heston


def test_another_day_is_another_hash():
    returns = 0.01 * np.random.default_rng(1).standard_normal(300)
    assert fit(returns, "gbm") == fit(returns.copy(), "gbm")
    assert fit(returns[1:], "gbm").data != fit(returns, "gbm").data


def test_bates_has_jumps_too(monkeypatch):
    """One search from one start, to be quick: what is tested is that all parts of it work together."""
    monkeypatch.setattr(simulated_moments, "SEARCHED", ())
    base = Heston(theta=0.03, kappa=6.0, xi=0.4, rho=-0.6, v0=(0.03, 0.03))
    market = Merton(base=base, intensity=8.0, jump_mean=-0.02, jump_sd=0.03)
    found = fit(draw(market, 300, seed=1), "bates")
    assert list(found.estimates) == ["theta", "kappa", "xi", "rho", "intensity", "jump_mean", "jump_sd"]
    assert isinstance(found.market(), Bates)
    total = found.estimates["theta"].value + found.estimates["intensity"].value * (
        found.estimates["jump_mean"].value ** 2 + found.estimates["jump_sd"].value ** 2
    )
    assert math.log(total) == pytest.approx(found.moments["log_variance"].data, abs=0.5)
    assert any("not identified" in warning for warning in found.warnings)


@given(st.floats(0.02, 0.98), st.floats(0.001, 4.0), st.sampled_from([(LOG, 0.5, 15.0), (ATANH, -0.95, 0.0)]))
def test_intervals_hold_the_estimate_and_stay_inside(share, error, setting):
    scale, low, high = setting
    coordinate = Coordinate("it", low, high, scale)
    below, above = coordinate.bounds
    one = coordinate.estimate(below + share * (above - below), error)
    assert low - 1e-9 <= one.low <= one.value <= one.high <= high + 1e-9
    assert (coordinate.warning(one) is None) == one.identified
    if error > 1.8:
        assert not one.identified


@pytest.mark.parametrize("scale", [LOG, TWENTIETHS, ATANH])
def test_scales_invert_and_differentiate(scale):
    value, step = 0.3, 1e-6
    point = scale.forward(value)
    assert scale.backward(point) == pytest.approx(value)
    slope = (scale.backward(point + step) - scale.backward(point - step)) / (2 * step)
    assert scale.slope(value) == pytest.approx(slope)


@pytest.mark.parametrize(
    ("returns", "sentence"),
    [
        (np.full(400, 0.01), "all 400 are equal"),
        (0.01 * np.random.default_rng(0).standard_normal(249), "249 are too few, a calibration needs 250"),
        (np.append(0.01 * np.random.default_rng(0).standard_normal(300), np.inf), "one is infinite"),
        (np.full(600, np.nan), "0 are too few"),
    ],
)
@pytest.mark.parametrize("dynamics", ["gbm", "heston", "merton"])
def test_returns_that_cannot_be_used_are_refused(returns, sentence, dynamics):
    with pytest.raises(InputError, match=sentence):
        fit(returns, dynamics)


def test_unknown_dynamics_are_refused():
    with pytest.raises(InputError, match="market: 'hestn' is unknown; did you mean 'heston'"):
        fit(0.01 * np.random.default_rng(0).standard_normal(300), "hestn")
