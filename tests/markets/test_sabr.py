import math

import pytest
import torch
from scipy import stats

from praesidium.component import InputError, build
from praesidium.markets.market import Market
from praesidium.markets.sabr import SABR

WILD = {"alpha": 0.8, "beta": 0.5, "nu": 1.0, "rho": -0.7}


def draw(settings, *, seed=0, paths=50_000, steps=20, dt=1 / 252, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return SABR(**settings).sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)


def z_score(samples, expected):
    samples = samples.double()
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("rho", [-1.0, -0.5, 0.0, 0.6])
@pytest.mark.parametrize(("steps", "dt"), [(20, 1 / 252), (4, 1 / 4)])
def test_the_spot_is_a_martingale_from_one(beta, rho, steps, dt):
    settings = {"alpha": 0.5, "beta": beta, "nu": 0.8, "rho": min(rho, 0.0) if beta == 1 else rho}
    spot, variance = draw(settings, steps=steps, dt=dt)
    assert (spot[0] == 1).all()
    assert (spot >= 0).all()
    assert (variance >= 0).all()
    assert all(z_score(now, 1.0) < 3 for now in (spot[1], spot[-1]))


@pytest.mark.parametrize("nu", [0.1, 1.0])
def test_the_volatility_is_lognormal(nu):
    """At any step, beta = 1: the variance is alpha^2 exp(2 nu B_t - nu^2 t)."""
    _, variance = draw({"alpha": 0.3, "beta": 1.0, "nu": nu}, steps=3, dt=0.5, dtype=torch.float64)
    law = stats.norm(2 * math.log(0.3) - nu**2 * 1.5, 2 * nu * math.sqrt(1.5))
    assert stats.kstest(variance[-1].log().numpy(), law.cdf).pvalue > 0.01
    assert torch.equal(variance[0], torch.full_like(variance[0], variance[0, 0]))
    assert variance[0, 0].item() == pytest.approx(0.09)


@pytest.mark.parametrize("rho", [-1.0, -0.3, 0.0])
def test_returns_and_volatility_are_correlated(rho):
    spot, variance = draw({"beta": 1.0, "nu": 0.5, "rho": rho}, steps=1, dtype=torch.float64)
    both = torch.stack([spot[1].log(), variance[1].log()])
    assert torch.corrcoef(both)[0, 1].item() == pytest.approx(rho, abs=4 / math.sqrt(50_000))


def test_the_variance_is_that_of_the_next_return():
    spot, variance = draw(WILD | {"alpha": 0.3}, steps=40, dtype=torch.float64)
    standardized = (spot[40] / spot[39]).log() / (variance[39] / 252).sqrt()
    assert standardized.square().mean().item() == pytest.approx(1.0, rel=0.03)
    assert torch.corrcoef(torch.stack([standardized.square(), variance[39]]))[0, 1].abs() < 4 / math.sqrt(50_000)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_without_noise_in_the_volatility_the_spot_tells_the_variance(beta):
    spot, variance = draw({"alpha": 0.3, "beta": beta, "nu": 0.0}, paths=1000, dtype=torch.float64)
    torch.testing.assert_close(variance, 0.09 * spot ** (2 * beta - 2))


def test_without_noise_in_the_volatility_and_lognormal_it_is_brownian():
    spot, variance = draw({"alpha": 0.4, "beta": 1.0, "nu": 0.0}, paths=2000, dtype=torch.float64, dt=1 / 12)
    law = stats.norm(-0.08 / 12, 0.4 / math.sqrt(12))
    assert stats.kstest(spot.log().diff(dim=0).flatten().numpy(), law.cdf).pvalue > 0.01
    assert variance.unique().tolist() == pytest.approx([0.16])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [(0.8, 0.5, 1.0), (1.0, 0.7, 2.0)])
def test_the_spot_is_absorbed_as_often_as_constant_elasticity_has_it(settings, dtype):
    """P(S_T = 0) is a gamma tail: Cox 1975."""
    alpha, beta, years = settings
    spot, variance = draw({"alpha": alpha, "beta": beta, "nu": 0.0}, steps=int(252 * years), paths=10_000, dtype=dtype)
    exact = stats.gamma(0.5 / (1 - beta)).sf(0.5 / (alpha**2 * (1 - beta) ** 2 * years))
    dead = spot == 0
    error = math.sqrt(exact * (1 - exact) / 10_000)
    assert dead[-1].double().mean().item() == pytest.approx(exact, abs=3 * error + 0.03 * exact)
    assert (dead[1:] | ~dead[:-1]).all()
    assert not variance[dead].any()
    assert variance[~dead].all()
    assert spot.isfinite().all()


def test_expected_variance_is_exact_for_a_lognormal_spot():
    settings = {"alpha": 0.3, "beta": 1.0, "nu": 1.0, "rho": -0.6}
    spot, variance = draw(settings, steps=250, dt=1 / 500, dtype=torch.float64, paths=20_000)
    expected = SABR(**settings).expected_variance(variance[0], 0.5)
    assert expected[0].item() == pytest.approx(0.09 * math.expm1(0.5) / 0.5)
    assert z_score(torch.trapezoid(variance, dx=1 / 250, dim=0), expected[0].item()) < 3
    assert z_score(spot.log().diff(dim=0).square().sum(0) / 0.5, expected[0].item()) < 3


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.9])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.8])
def test_expected_variance_grows_as_the_variance_does(beta, rho):
    """Its excess over the variance now, against the simulated one: first order in time, hence a tenth off at most."""
    settings = {"alpha": 0.4, "beta": beta, "nu": 0.6, "rho": rho}
    _, variance = draw(settings, steps=25, dt=1 / 500, dtype=torch.float64, paths=100_000)
    mean = torch.trapezoid(variance, dx=1 / 25, dim=0)
    excess = SABR(**settings).expected_variance(variance[0], 0.05)[0].item() - 0.16
    assert abs(mean.mean().item() - 0.16 - excess) < 0.1 * abs(excess) + 3 * mean.std().item() / math.sqrt(100_000)


@pytest.mark.parametrize("beta", [0.2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_expected_variance_at_the_ends(beta, dtype):
    variance, years = torch.tensor([0.0, 1e-4, 0.04, 1e6], dtype=dtype), torch.tensor([[0.0], [1e-9], [5.0]])
    at_once, soon, later = SABR(beta=beta).expected_variance(variance.expand(3, 4), years)
    assert at_once.dtype == dtype
    assert torch.equal(at_once, variance)
    torch.testing.assert_close(soon[:3], variance[:3])
    assert later.isfinite().all()
    assert (later[1:] > variance[1:]).all()


def test_only_the_generator_is_random():
    torch.manual_seed(1)
    one = draw(WILD, seed=7, paths=500)
    torch.manual_seed(2)
    two = draw(WILD, seed=7, paths=500)
    other = draw(WILD, seed=8, paths=500)
    assert all(map(torch.equal, one, two))
    assert not any(map(torch.equal, one, other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_result_has_the_asked_precision(dtype):
    assert {x.dtype for x in draw({}, paths=3, dtype=dtype)} == {dtype}


def test_settings_make_the_round_trip():
    market = SABR(**WILD)
    assert build(Market, market.settings()) == market


@pytest.mark.parametrize("bad", [{"alpha": 0.0}, {"beta": 1.1}, {"nu": -0.1}, {"rho": -1.1}, {"beta": 1.0, "rho": 0.1}])
def test_bounds_of_settings(bad):
    with pytest.raises(InputError, match=list(bad)[-1]):
        build(Market, {"kind": "sabr", **bad})
    assert SABR(beta=1.0, nu=0.0, rho=0.1).rho == 0.1
