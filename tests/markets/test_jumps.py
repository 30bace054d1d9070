import math

import pytest
import torch
from scipy import stats

from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.markets.kou import Kou
from praesidium.markets.market import Market
from praesidium.markets.randomized import Randomized
from praesidium.markets.switching import Switching

HESTON = Heston(xi=0.8)
STILL = GeometricBrownian(volatility=1e-6)


def draw(market, *, seed=0, paths=50_000, steps=8, dt=1 / 16, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return market.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)


def z_score(samples, expected):
    samples = samples.double()
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


@pytest.mark.parametrize("base", [GeometricBrownian(), HESTON, Merton(intensity=2.0)])
def test_without_jumps_it_is_the_base(base):
    assert all(map(torch.equal, draw(Merton(base=base, intensity=0.0), paths=100), draw(base, paths=100)))


def test_jumps_leave_the_base_as_it_is():
    spot, variance = draw(HESTON, paths=1000)
    jumped, same = draw(Merton(base=HESTON, intensity=0.5, jump_mean=-0.3, jump_sd=0.0), paths=1000)
    assert torch.equal(variance, same)
    drift = -0.5 * math.expm1(-0.3) * torch.arange(9).unsqueeze(1) / 16
    jumps = (jumped.log() - spot.log() - drift) / -0.3
    torch.testing.assert_close(jumps, jumps.round(), atol=1e-4, rtol=0)
    assert (jumps.round().diff(dim=0) >= 0).all()


@pytest.mark.parametrize("base", [GeometricBrownian(), HESTON])
@pytest.mark.parametrize("settings", [(0.5, -0.2, 0.1), (30.0, 0.02, 0.03)])
def test_the_spot_is_a_martingale_from_one(base, settings):
    spot, _ = draw(Merton(base=base, intensity=settings[0], jump_mean=settings[1], jump_sd=settings[2]))
    assert (spot[0] == 1).all()
    assert all(z_score(now, 1.0) < 3 for now in spot[1:])


@pytest.mark.parametrize("rate", [0.05, 3.0])
def test_jumps_a_period_are_independent_poissons(rate):
    market = Merton(base=STILL, intensity=rate, jump_mean=1.0, jump_sd=0.0)
    spot, _ = draw(market, dt=1.0, dtype=torch.float64, paths=10_000)
    counts = (spot.log().diff(dim=0) + rate * math.expm1(1.0)).round()
    seen = torch.bincount(counts.flatten().long(), minlength=15)[:15].double()
    law = stats.poisson(rate).pmf(range(15)) * counts.numel()
    common = law > 10
    chi2 = ((seen.numpy() - law)[common] ** 2 / law[common]).sum()
    assert stats.chi2(common.sum() - 1).sf(chi2) > 0.01
    assert torch.corrcoef(counts).fill_diagonal_(0).abs().max() < 4 / math.sqrt(10_000)


@pytest.mark.parametrize("base", [GeometricBrownian(volatility=0.1), HESTON])
def test_expected_variance_is_the_mean_quadratic_variation(base):
    market = Merton(base=base, intensity=5.0, jump_mean=-0.05, jump_sd=0.1)
    spot, variance = draw(market, steps=250, dt=1 / 1000, paths=20_000, dtype=torch.float64)
    realized = spot.log().diff(dim=0).square().sum(0) / 0.25
    expected = market.expected_variance(variance[0], 0.25)[0].item()
    drift = (0.5 * expected) ** 2 / 1000  # of the log price; its share vanishes with the period
    assert expected == pytest.approx(base.expected_variance(variance[0], 0.25)[0].item() + 5.0 * 0.0125)
    assert z_score(realized, expected) < 3 + drift / realized.std().item() * math.sqrt(20_000)


def test_only_the_generator_is_random():
    market = Merton(base=HESTON, intensity=20.0)
    torch.manual_seed(1)
    one = draw(market, seed=7, paths=500)
    torch.manual_seed(2)
    two = draw(market, seed=7, paths=500)
    other = draw(market, seed=8, paths=500)
    assert all(map(torch.equal, one, two))
    assert not any(map(torch.equal, one, other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_result_has_the_asked_precision(dtype):
    assert {x.dtype for x in draw(Merton(intensity=50.0), paths=3, dtype=dtype)} == {dtype}


def test_settings_make_the_round_trip():
    market = Merton(base=HESTON, intensity=3.0)
    assert market.settings()["base"]["kind"] == "heston"
    assert Market.model_validate(market.settings()) == market


@pytest.mark.parametrize("bad", [{"intensity": -1.0}, {"jump_sd": -0.1}, {"base": {"kind": "hestn"}}])
def test_bounds_of_settings(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Merton(**bad)


@pytest.mark.parametrize("jumps", [Merton, Kou])
def test_jumps_keep_what_the_base_knows_of_its_paths(jumps):
    """Regimes of a switching base, and marks by the parameters that each path was drawn with."""
    drawn = {"paths": 400, "horizon": 20, "lookback": 10}
    switching = jumps(base=Switching(), intensity=0.0).simulate(**drawn, generator=torch.Generator().manual_seed(1))
    alone = Switching().simulate(**drawn, generator=torch.Generator().manual_seed(1))
    assert torch.equal(switching.regime, alone.regime)
    wide = Randomized(base=Heston(), intervals={"theta": (0.01, 0.2)}, groups=8)
    rare = jumps(base=wide, intensity=2.0)
    marked = rare.simulate(**drawn, generator=torch.Generator().manual_seed(1)).implied.square()
    plain = wide.simulate(**drawn, generator=torch.Generator().manual_seed(1)).implied.square()
    more = marked - plain
    torch.testing.assert_close(more, more[0, 0].expand_as(more), atol=1e-6, rtol=0)
    assert more[0, 0] > 0
