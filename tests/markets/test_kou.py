import math

import numpy as np
import pytest
import torch
from scipy import stats

from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.markets.kou import Kou
from praesidium.markets.market import Market

HESTON = Heston(xi=0.8)
STILL = GeometricBrownian(volatility=1e-9)


def draw(market, *, seed=0, paths=50_000, steps=8, dt=1 / 16, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return market.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)


def z_score(samples, expected):
    samples = samples.double()
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


def drift(intensity, p, up, down):
    return -intensity * (p * up / (up - 1) + (1 - p) * down / (down + 1) - 1)


@pytest.mark.parametrize("base", [GeometricBrownian(), HESTON, Kou(intensity=2.0)])
def test_without_jumps_it_is_the_base(base):
    assert all(map(torch.equal, draw(Kou(base=base, intensity=0.0), paths=100), draw(base, paths=100)))


def test_jumps_leave_the_base_as_it_is():
    spot, variance = draw(HESTON, paths=1000, dtype=torch.float64)
    upward = Kou(base=HESTON, intensity=0.5, up_probability=1.0)
    jumped, same = draw(upward, paths=1000, dtype=torch.float64)
    assert torch.equal(variance, same)
    jumps = (jumped / spot).log().diff(dim=0) - drift(0.5, 1.0, 50.0, 25.0) / 16
    still = jumps.abs() < 1e-12
    assert still.double().mean() == pytest.approx(math.exp(-0.5 / 16), abs=0.01)
    assert (jumps[~still] > 0).all()


@pytest.mark.parametrize("base", [GeometricBrownian(), HESTON])
@pytest.mark.parametrize("settings", [(0.5, 0.2, 4.0, 2.0), (60.0, 0.6, 80.0, 30.0)])
def test_the_spot_is_a_martingale_from_one(base, settings):
    intensity, p, up, down = settings
    spot, _ = draw(Kou(base=base, intensity=intensity, up_probability=p, eta_up=up, eta_down=down))
    assert (spot[0] == 1).all()
    assert all(z_score(now, 1.0) < 3 for now in spot[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_jumps_are_double_exponential(dtype):
    p, up, down = 0.3, 10.0, 4.0
    market = Kou(base=STILL, intensity=0.02, up_probability=p, eta_up=up, eta_down=down)
    spot, _ = draw(market, steps=1, dt=1.0, paths=200_000, dtype=dtype)
    logs = spot[-1].log().double() - drift(0.02, p, up, down)
    jumps = logs[logs.abs() > 1e-5].numpy()

    def cdf(x):
        return np.where(x < 0, (1 - p) * np.exp(down * np.minimum(x, 0)), 1 - p * np.exp(-up * np.maximum(x, 0)))

    assert len(jumps) == pytest.approx(4000, abs=200)
    assert stats.kstest(jumps, cdf).pvalue > 0.01


def test_jumps_a_period_are_independent_poissons():
    """With jumps of both signs that hardly differ in size, E[e^{iuX}] = exp(rate (E[e^{iuJ}] - 1)) at any u."""
    rate, p, up, down = 3.0, 0.4, 12.0, 8.0
    market = Kou(base=STILL, intensity=rate, up_probability=p, eta_up=up, eta_down=down)
    spot, _ = draw(market, dt=1.0, dtype=torch.float64, paths=40_000, steps=3)
    logs = spot.log().diff(dim=0) - drift(rate, p, up, down)
    for u in (1.0, 5.0, 20.0):
        law = np.exp(rate * (p * up / (up - 1j * u) + (1 - p) * down / (down + 1j * u) - 1))
        assert z_score((u * logs[1]).cos(), law.real) < 3
        assert z_score((u * logs[1]).sin(), law.imag) < 3
    assert torch.corrcoef(logs).fill_diagonal_(0).abs().max() < 4 / math.sqrt(40_000)


@pytest.mark.parametrize("base", [GeometricBrownian(volatility=0.1), HESTON])
def test_expected_variance_is_the_mean_quadratic_variation(base):
    market = Kou(base=base, intensity=5.0, up_probability=0.7, eta_up=20.0, eta_down=10.0)
    spot, variance = draw(market, steps=125, dt=1 / 500, paths=20_000, dtype=torch.float64)
    realized = spot.log().diff(dim=0).square().sum(0) / 0.25
    expected = market.expected_variance(variance[0], 0.25)[0].item()
    bias = (0.5 * expected) ** 2 / 500  # of the drift; its share vanishes with the period
    jumps = 5.0 * (0.7 * 2 / 20**2 + 0.3 * 2 / 10**2)
    assert expected == pytest.approx(base.expected_variance(variance[0], 0.25)[0].item() + jumps)
    assert z_score(realized, expected) < 3 + bias / realized.std().item() * math.sqrt(20_000)


def test_only_the_generator_is_random():
    market = Kou(base=HESTON, intensity=20.0)
    torch.manual_seed(1)
    one = draw(market, seed=7, paths=500)
    torch.manual_seed(2)
    two = draw(market, seed=7, paths=500)
    other = draw(market, seed=8, paths=500)
    assert all(map(torch.equal, one, two))
    assert not any(map(torch.equal, one, other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_result_has_the_asked_precision(dtype):
    assert {x.dtype for x in draw(Kou(intensity=50.0), paths=3, dtype=dtype)} == {dtype}


def test_settings_make_the_round_trip():
    market = Kou(base=HESTON, intensity=3.0, eta_up=12.0)
    assert market.settings()["base"]["kind"] == "heston"
    assert Market.model_validate(market.settings()) == market


@pytest.mark.parametrize(
    "bad", [{"intensity": -1.0}, {"eta_up": 1.0}, {"eta_down": 0.0}, {"up_probability": 1.1}, {"base": {"kind": "kuo"}}]
)
def test_bounds_of_settings(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Kou(**bad)
