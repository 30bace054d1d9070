import math

import pytest
import torch
from scipy import stats

from praesidium.markets.brownian import GeometricBrownian


def draw(seed=0, paths=100_000, steps=6, dt=1 / 12, dtype=torch.float32, **settings):
    generator = torch.Generator().manual_seed(seed)
    market = GeometricBrownian(**settings)
    return market.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)


def z_score(samples, expected):
    samples = samples.double()
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


@pytest.mark.parametrize("volatility", [0.1, 0.6])
def test_log_returns_are_independent_normals(volatility):
    spot, _ = draw(volatility=volatility, dt=1 / 12, dtype=torch.float64, paths=20_000)
    returns = spot.log().diff(dim=0)
    law = stats.norm(-(volatility**2) / 24, volatility / math.sqrt(12))
    assert stats.kstest(returns.flatten(), law.cdf).pvalue > 0.01
    assert torch.corrcoef(returns).fill_diagonal_(0).abs().max() < 4 / math.sqrt(20_000)


def test_the_spot_is_a_martingale_from_one():
    spot, _ = draw(volatility=0.5)
    assert (spot[0] == 1).all()
    assert all(z_score(now, 1.0) < 3 for now in spot[1:])


def test_the_variance_is_the_squared_volatility_at_all_times():
    spot, variance = draw(volatility=0.3, paths=5)
    assert variance.shape == spot.shape
    assert variance.unique().tolist() == pytest.approx([0.09])
    years = torch.tensor([[0.0], [0.25], [1.0]])
    assert torch.equal(GeometricBrownian(volatility=0.3).expected_variance(variance[:3], years), variance[:3])


def test_only_the_generator_is_random():
    torch.manual_seed(1)
    one, _ = draw(seed=7, paths=50)
    torch.manual_seed(2)
    two, _ = draw(seed=7, paths=50)
    other, _ = draw(seed=8, paths=50)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_result_has_the_asked_precision(dtype):
    assert {x.dtype for x in draw(paths=3, dtype=dtype)} == {dtype}


@pytest.mark.parametrize("volatility", [0.0, -0.2])
def test_volatility_is_positive(volatility):
    with pytest.raises(ValueError, match="volatility"):
        GeometricBrownian(volatility=volatility)
