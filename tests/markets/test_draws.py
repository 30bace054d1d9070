import math

import pytest
import torch
from scipy import stats
from torch.quasirandom import SobolEngine

from praesidium.component import InputError, build
from praesidium.markets.bates import Bates
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.draws import _principal_components, draw
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.markets.kou import Kou
from praesidium.markets.market import Market
from praesidium.markets.sabr import SABR

SAMPLINGS = ("random", "antithetic", "sobol")
DESIGNED = pytest.mark.parametrize("sampling", SAMPLINGS[1:])
BASES = pytest.mark.parametrize("base", [GeometricBrownian, Heston, SABR], ids=lambda one: one.kind)


def draws(sampling, *, seed=0, paths=4096, steps=5, drivers=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return draw(sampling, paths=paths, steps=steps, drivers=drivers, generator=generator, dtype=dtype)


def sample(market, *, seed=0, paths=4096, steps=60, dt=1 / 252, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return market.sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)


def call(market, strike, seed, **size):
    return (sample(market, seed=seed, **size)[0][-1] - strike).clamp(min=0).mean()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("paths", [4096, 3001])
def test_all_are_standard_and_apart(sampling, paths):
    uniform, normals = draws(sampling, paths=paths)
    rows = torch.cat([uniform.unsqueeze(0), normals.flatten(0, 1)])

    assert stats.kstest(uniform.numpy(), stats.uniform.cdf).pvalue > 0.01
    assert min(stats.kstest(row.numpy(), stats.norm.cdf).pvalue for row in rows[1:]) > 0.01 / len(rows)
    assert torch.corrcoef(rows).fill_diagonal_(0).abs().max() < 4 / math.sqrt(paths / 2)


@pytest.mark.parametrize("paths", [6, 7, 1])
def test_antithetic_paths_mirror_each_other(paths):
    uniform, normals = draws("antithetic", paths=paths)
    half = math.ceil(paths / 2)

    assert normals.shape == (5, 2, paths)
    assert torch.equal(normals[..., half:], -normals[..., : paths - half])
    torch.testing.assert_close(uniform[half:], 1 - uniform[: paths - half])
    assert len(normals[..., :half].unique()) == 5 * 2 * half


def test_each_sobol_path_by_itself_is_random():
    """Over scrambles: the reason why a mean over them has no bias."""
    firsts = [draws("sobol", seed=seed, paths=1, steps=2) for seed in range(400)]
    uniform = torch.cat([one.uniform for one in firsts])
    normals = torch.cat([one.normals for one in firsts], dim=-1).flatten(0, 1)

    assert stats.kstest(uniform.numpy(), stats.uniform.cdf).pvalue > 0.01
    assert all(stats.kstest(row.numpy(), stats.norm.cdf).pvalue > 0.01 for row in normals)


@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_components_are_the_end_of_brownian_motion_and_those_of_its_bridge(steps):
    increments = _principal_components(steps)
    times = torch.arange(1, steps + 1, dtype=torch.float64)
    covariance = torch.minimum(times, times.unsqueeze(1)) - torch.outer(times, times) / steps
    sums = increments.cumsum(0)

    torch.testing.assert_close(increments @ increments.T, torch.eye(steps, dtype=torch.float64))
    torch.testing.assert_close(sums[:, 0], times / math.sqrt(steps))
    torch.testing.assert_close(covariance @ sums[:, 1:], sums[:, 1:] * sums[:, 1:].square().sum(0))
    assert (sums[:, 1:].square().sum(0).diff() < 0).all()


@pytest.mark.parametrize("extreme", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_unit_interval_have_finite_normals(monkeypatch, extreme, dtype):
    monkeypatch.setattr(SobolEngine, "draw", lambda self, n, dtype: torch.full((n, self.dimension), extreme).to(dtype))
    assert draws("sobol", paths=3, dtype=dtype).normals.isfinite().all()


def test_a_sequence_that_is_too_wide_is_refused():
    with pytest.raises(InputError, match=r"sampling: sobol has 21201 dimensions, but .* 11000 periods .* need 22001;"):
        draws("sobol", paths=2, steps=11_000)


@DESIGNED
@BASES
def test_only_the_generator_is_random(base, sampling):
    market = base(sampling=sampling)
    torch.manual_seed(1)
    one = sample(market, seed=7, paths=50)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = sample(market, seed=7, paths=50)

    assert all(map(torch.equal, one, two))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one[0], sample(market, seed=8, paths=50)[0])


@DESIGNED
def test_a_generator_gives_other_paths_the_second_time(sampling):
    generator = torch.Generator().manual_seed(0)
    market = GeometricBrownian(sampling=sampling)
    one, two = (market.sample(paths=8, steps=3, dt=0.1, generator=generator)[0] for _ in range(2))
    assert not torch.equal(one, two)


@DESIGNED
@BASES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_law_is_that_of_random_paths(base, sampling, dtype):
    ours = sample(base(sampling=sampling), seed=1, paths=4096, dtype=dtype)
    plain = sample(base(), seed=2, paths=20_000, dtype=dtype)

    for one, other in zip(ours, plain, strict=True):
        assert one.dtype == dtype
        if other[-1].unique().numel() > 1:
            assert stats.ks_2samp(one[-1].numpy(), other[-1].numpy()).pvalue > 0.01


def test_antithetic_log_prices_have_their_mean_exactly():
    market = GeometricBrownian(volatility=0.3, sampling="antithetic")
    drift = -0.045 / 252 * torch.arange(61, dtype=torch.float64)

    torch.testing.assert_close(sample(market, paths=1000)[0].log().mean(1), drift, atol=1e-12, rtol=0)
    assert not torch.allclose(sample(market, paths=1001)[0].log().mean(1), drift, atol=1e-6, rtol=0)


@BASES
def test_antithetic_pairs_offset_each_other_in_a_call(base):
    spot, _ = sample(base(sampling="antithetic"), paths=20_000)
    one, other = (spot[-1] - 0.9).clamp(min=0).chunk(2)
    assert ((one + other) / 2).var() < 0.3 * one.var() / 2


@pytest.mark.parametrize(("base", "factor"), [(GeometricBrownian, 30), (Heston, 8), (SABR, 12)])
def test_sobol_calls_are_far_closer_than_random_ones(base, factor):
    """Root mean square over scrambles, against the standard error of as many independent paths."""
    market = base(sampling="sobol")
    prices = torch.stack([call(market, 1.0, seed) for seed in range(12)])
    payoff = (sample(base(), paths=50_000)[0][-1] - 1).clamp(min=0)
    assert prices.std() < payoff.std() / math.sqrt(4096) / factor
    assert abs(prices.mean() - payoff.mean()) < 3 * payoff.std() / math.sqrt(50_000)


def test_sobol_gbm_calls_are_worth_what_black_and_scholes_say():
    width = 0.2 * math.sqrt(60 / 252)
    exact = 2 * stats.norm.cdf(width / 2) - 1
    errors = [call(GeometricBrownian(sampling="sobol"), 1.0, seed) - exact for seed in range(8)]
    assert max(map(abs, errors)) < 0.05 * 0.06 / math.sqrt(
        4096
    )  # a twentieth of the standard error of independent paths


def test_sobol_end_prices_fill_their_law_evenly():
    spot, _ = sample(GeometricBrownian(sampling="sobol"), paths=4096)
    variance = 0.04 * 60 / 252
    law = stats.norm(-variance / 2, math.sqrt(variance))
    assert stats.kstest(spot[-1].log().numpy(), law.cdf).statistic < 0.1 / math.sqrt(4096)  # random: about 0.87


def test_pairs_and_first_variances_hold_across_blocks():
    _, variance = sample(Heston(sampling="antithetic", v0=(0.02, 0.06)), paths=70_000, steps=1)
    one, other = variance[0].chunk(2)
    torch.testing.assert_close(one + other, torch.full_like(one, 0.08))
    assert one.std().item() == pytest.approx(0.04 / math.sqrt(12), rel=0.02)


@DESIGNED
@pytest.mark.parametrize("jumps", [Merton, Kou])
def test_jumps_take_the_sampling_of_their_base(jumps, sampling):
    base = Heston(sampling=sampling)
    ours, theirs = sample(jumps(base=base, intensity=0.0), paths=100), sample(base, paths=100)
    assert all(map(torch.equal, ours, theirs))
    assert torch.equal(sample(Bates(sampling=sampling, intensity=0.0), paths=100)[0], theirs[0])


@BASES
def test_settings_know_the_sampling(base):
    assert base().settings()["sampling"] == "random"
    assert build(Market, base(sampling="sobol").settings()) == base(sampling="sobol")
    with pytest.raises(InputError, match="sampling"):
        build(Market, {"kind": base.kind, "sampling": "halton"})
