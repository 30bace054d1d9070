import math

import numpy as np
import pytest
import torch

from praesidium.markets.calibration.moments import MOMENTS, moments
from praesidium.markets.calibration.simulation import Simulation
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton

HESTON = {"theta": 0.04, "kappa": 5.0, "xi": 0.4, "rho": -0.6}
JUMPS = {"intensity": 6.0, "jump_mean": -0.03, "jump_sd": 0.03}
DAYS = 600


def simulation(seed=0, observed=None):
    observed = np.ones(DAYS, dtype=bool) if observed is None else observed
    return Simulation(observed, 0.05, torch.Generator().manual_seed(seed))


def z_scores(one, other):
    noise = np.sqrt(one.var(1) / one.shape[1] + other.var(1) / other.shape[1])
    return np.abs(one.mean(1) - other.mean(1)) / noise


@pytest.mark.parametrize("jumps", [{}, JUMPS], ids=["heston", "bates"])
def test_series_have_the_law_of_the_market(jumps):
    """Up to the start, which the market takes far enough back to forget."""
    market = Heston(**HESTON, v0=(0.04, 0.04))
    if jumps:
        market = Merton(base=market, **jumps)
    generator = torch.Generator().manual_seed(9)
    spot, _ = market.sample(paths=500, steps=252 + DAYS, dt=1 / 252, generator=generator, dtype=torch.float64)
    direct = moments(spot[252:].log().diff(dim=0).numpy(), np.ones(DAYS, dtype=bool))
    found = simulation()({**HESTON, **jumps})
    assert z_scores(found, direct).max() < 3.5


def test_theta_scales_the_same_paths():
    simulated = simulation()
    before = simulated(HESTON)
    quadrupled = simulated({**HESTON, "theta": 0.16, "xi": 0.8})
    np.testing.assert_allclose(quadrupled[0], before[0] + math.log(4))
    np.testing.assert_allclose(quadrupled[1:], before[1:], atol=1e-9)
    assert not np.allclose(simulated({**HESTON, "theta": 0.16})[1:], before[1:])


def test_scaling_is_right_up_to_the_drift():
    """Against paths made at the variance itself: the drift is a few thousandths of a day's standard deviation."""
    observed = np.ones(DAYS, dtype=bool)
    at_home = Simulation(observed, 0.04, torch.Generator().manual_seed(0))(HESTON)
    from_afar = Simulation(observed, 0.01, torch.Generator().manual_seed(0))(HESTON)
    np.testing.assert_allclose(from_afar.mean(1), at_home.mean(1), atol=0.01)


def test_equal_words_give_equal_moments_and_a_little_more_intensity_changes_little():
    first, again, other = simulation(1), simulation(1), simulation(2)
    parameters = {**HESTON, **JUMPS}
    base = first(parameters)
    np.testing.assert_array_equal(base, again(parameters))
    assert not np.array_equal(base, other(parameters))
    nudged = first({**parameters, "intensity": 6.06})
    kurtosis = MOMENTS.index("log_kurtosis")
    assert 0 < abs(nudged[kurtosis] - base[kurtosis]).mean() < 0.1 * base[kurtosis].std()


def test_gaps_are_those_of_the_data():
    observed = np.ones(DAYS, dtype=bool)
    observed[200:400] = False
    gapped, whole = simulation(observed=observed)(HESTON), simulation()(HESTON)
    assert gapped.shape == whole.shape == (len(MOMENTS), 250)
    assert gapped[0].std() > 1.1 * whole[0].std()
