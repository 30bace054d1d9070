import math

import pytest
import torch

from praesidium.markets import heston
from praesidium.markets.heston import Heston
from praesidium.markets.market import Market

CALM = {"kappa": 2.0, "theta": 0.04, "xi": 0.3, "rho": -0.7, "v0": (0.06, 0.06)}
WILD = {"kappa": 0.5, "theta": 0.04, "xi": 1.0, "rho": -0.9, "v0": (0.01, 0.01)}  # 2 kappa theta = xi^2 / 25
EITHER = pytest.mark.parametrize("settings", [CALM, WILD], ids=["Feller", "Feller violated"])


def draw(settings, *, seed=0, paths=50_000, steps=20, dt=1 / 52, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return Heston(**settings).sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)


def z_score(samples, expected):
    samples = samples.double()
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


@EITHER
@pytest.mark.parametrize("rho", [-1.0, -0.5, 0.0, 0.6])
@pytest.mark.parametrize("dt", [1 / 252, 1.0])
def test_the_spot_is_a_martingale_from_one(settings, rho, dt):
    """Also over steps of a year, where the scheme without its correction is off by up to 30 standard errors."""
    spot, _ = draw(settings | {"rho": rho}, dt=dt, steps=4)
    assert (spot[0] == 1).all()
    assert all(z_score(now, 1.0) < 3 for now in spot[1:])


@EITHER
def test_one_step_has_the_first_two_moments_of_the_square_root_process(settings):
    """Cox, Ingersoll and Ross 1985, eq. 19; both branches of the scheme are fitted to them, at any step."""
    dt, (v0, _) = 1 / 4, settings["v0"]
    kappa, theta, xi = settings["kappa"], settings["theta"], settings["xi"]
    kept = math.exp(-kappa * dt)
    mean = theta + (v0 - theta) * kept
    variance = v0 * xi**2 / kappa * (kept - kept**2) + theta * xi**2 / (2 * kappa) * (1 - kept) ** 2
    after = draw(settings, steps=1, dt=dt, dtype=torch.float64, paths=200_000)[1][1]
    assert z_score(after, mean) < 3
    assert z_score((after - mean) ** 2, variance) < 3


@EITHER
def test_the_average_variance_along_a_path_is_the_expected_one(settings):
    _, variance = draw(settings, steps=126, dt=1 / 252)
    average = torch.trapezoid(variance.double(), dx=1 / 126, dim=0)
    expected = Heston(**settings).expected_variance(torch.tensor(settings["v0"][0], dtype=torch.float64), 0.5)
    assert z_score(average, expected.item()) < 3
    assert (variance >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_expected_variance_tends_to_the_variance_now_and_to_theta(dtype):
    market, now = Heston(**CALM), torch.tensor([0.0, 0.01, 0.3], dtype=dtype)
    years = torch.tensor([[0.0], [1e-12], [1e-6], [1e9]], dtype=dtype)
    at_once, soon, later, finally_ = market.expected_variance(now.expand(4, 3), years)
    assert torch.equal(at_once, now)
    torch.testing.assert_close(soon, now)
    torch.testing.assert_close(later, now, atol=1e-6, rtol=0)
    torch.testing.assert_close(finally_, torch.full_like(now, market.theta))


def test_the_implied_volatility_at_expiry_is_the_one_of_the_moment():
    market = Heston(**WILD)
    paths = market.simulate(paths=100, horizon=5, lookback=3, generator=torch.Generator().manual_seed(0))
    _, variance = draw(WILD, steps=8, dt=1 / 252, paths=100)
    assert torch.equal(paths.implied[-1], variance[-1].sqrt())


def test_first_variances_fill_their_interval():
    first = draw(CALM | {"v0": (0.02, 0.06)}, steps=1, dtype=torch.float64)[1][0]
    assert first.min() >= 0.02
    assert first.max() <= 0.06
    assert z_score(first, 0.04) < 3
    assert first.std().item() == pytest.approx(0.04 / math.sqrt(12), rel=0.02)


def test_a_correction_that_does_not_exist_is_left_out():
    explosive = {"kappa": 0.5, "theta": 1.0, "xi": 2.0, "rho": 0.95, "v0": (0.5, 8.0)}
    spot, variance = draw(explosive, steps=3, dt=1.0, dtype=torch.float64)
    assert spot.isfinite().all()
    assert variance.isfinite().all()


@EITHER
def test_only_the_generator_is_random(settings):
    torch.manual_seed(1)
    one = draw(settings, seed=7, paths=500)
    torch.manual_seed(2)
    two = draw(settings, seed=7, paths=500)
    other = draw(settings, seed=8, paths=500)
    assert all(map(torch.equal, one, two))
    assert not any(map(torch.equal, one, other))


def test_the_number_of_threads_does_not_matter():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(draw(WILD, paths=70_001, steps=3))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


def test_the_first_steps_do_not_know_how_many_follow():
    short, long = draw(WILD, steps=3, paths=100), draw(WILD, steps=9, paths=100)
    assert all(torch.equal(few, many[:4]) for few, many in zip(short, long, strict=True))


@EITHER
def test_the_number_of_days_at_once_does_not_matter(settings, monkeypatch):
    at_once = draw(settings, paths=100, steps=9)
    monkeypatch.setattr(heston, "BLOCK", 250)  # two days, and one in the end
    torch.testing.assert_close(draw(settings, paths=100, steps=9), at_once)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_result_has_the_asked_precision(dtype):
    assert {x.dtype for x in draw(CALM, paths=3, dtype=dtype)} == {dtype}


def test_settings_make_the_round_trip():
    market = Heston(**CALM | {"v0": (0.02, 0.06)})
    assert market.settings()["v0"] == [0.02, 0.06]
    assert Market.model_validate(market.settings()) == market


@pytest.mark.parametrize("bad", [{"v0": (0.06, 0.02)}, {"v0": (0.0, 0.02)}, {"xi": 0.0}, {"rho": 1.1}, {"kappa": 0.0}])
def test_bounds_of_settings(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Heston(**bad)
