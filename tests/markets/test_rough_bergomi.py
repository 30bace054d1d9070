import math

import numpy as np
import pytest
import torch
from scipy.special import hyp2f1

from praesidium.component import InputError, build
from praesidium.markets import rough_bergomi
from praesidium.markets.market import Market
from praesidium.markets.rough_bergomi import RoughBergomi
from praesidium.training.reproducibility import stream

ROUGH, LONGER = RoughBergomi(), RoughBergomi(xi=0.09, hurst=0.3, eta=0.8, rho=-0.4)
DT = 1 / 252


def draw(market, *, seed=0, paths=2000, steps=20, dt=DT, dtype=torch.float64):
    return market.sample(paths=paths, steps=steps, dt=dt, generator=stream("rough", seed), dtype=dtype)


def marked(market, left, *, seed=0, paths=2000, steps=20, dt=DT, dtype=torch.float64):
    generator, years = stream("rough", seed), torch.as_tensor(left, dtype=dtype) * dt
    return market.sample_marked(paths=paths, steps=steps, left=years, dt=dt, generator=generator, dtype=dtype)


def volterra(market, variance, dt=DT):
    """X, from the variance that it drives."""
    years = dt * torch.arange(len(variance), dtype=torch.float64).unsqueeze(-1)
    return (variance.double() / market.xi).log() / market.eta + 0.5 * market.eta * years ** (2 * market.hurst)


def covariance(hurst, times):
    """Cov[X_s, X_t] = 2H int_0^s ((s - u) (t - u))^{H - 1/2} du for s < t, by the hypergeometric function."""
    s, t = np.minimum.outer(times, times), np.maximum.outer(times, times)
    return (
        2 * hurst * s ** (hurst + 0.5) * t ** (hurst - 0.5) / (hurst + 0.5) * hyp2f1(0.5 - hurst, 1, hurst + 1.5, s / t)
    )


def z_score(samples, expected):
    samples = samples.double()
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


@pytest.mark.parametrize("hurst", [0.01, 0.1, 0.3, 0.499, 0.5 - 1e-5, 0.5 - 1e-7, 0.5])
def test_the_volterra_process_has_its_exact_law(hurst):
    driver, inner = rough_bergomi._volterra(hurst, 70).numpy()

    exact = covariance(hurst, np.arange(1.0, 71.0))
    assert not driver[0].any()
    assert not inner[0].any()
    np.testing.assert_allclose(driver[1:] @ driver[1:].T + inner[1:] @ inner[1:].T, exact, rtol=1e-11)
    assert np.array_equal(driver, np.tril(driver, -1))
    assert np.array_equal(inner, np.tril(inner, -1))
    # Cov[X_t, W_s] = sqrt(2H) (t^{H + 1/2} - (t - s)^{H + 1/2}) / (H + 1/2)
    s, t = np.arange(1.0, 71.0), np.arange(1.0, 71.0)[:, None]
    with_w = math.sqrt(2 * hurst) * (t ** (hurst + 0.5) - np.clip(t - s, 0, None) ** (hurst + 0.5)) / (hurst + 0.5)
    np.testing.assert_allclose(driver[1:].cumsum(1), with_w, rtol=1e-12)


@pytest.mark.parametrize("market", [ROUGH, LONGER], ids=["rough", "less so"])
def test_the_variance_is_lognormal_with_the_volterra_covariance(market):
    days, paths = torch.tensor([20, 60, 250]), 15_000
    spot, variance = draw(market, paths=paths, steps=250, dtype=torch.float32)

    for day in days:
        spread = math.sqrt(math.expm1(market.eta**2 * (day.item() * DT) ** (2 * market.hurst)))  # of V / xi, lognormal
        assert abs(variance[day].double().mean().item() / market.xi - 1) < 3 * spread / math.sqrt(paths)
        assert z_score(spot[day], 1) < 3
    x = volterra(market, variance)[days]
    exact = covariance(market.hurst, days.numpy() * DT)
    for one in range(3):
        assert exact[one, one] == pytest.approx((days[one].item() * DT) ** (2 * market.hurst))
        for other in range(3):
            assert z_score(x[one] * x[other], exact[one, other]) < 3


def test_variance_and_spot_fall_together():
    """log S gains rho sqrt(V_0) dW in the first period, whose W has Cov[X_dt, W_dt] = sqrt(2H) dt^{H+1/2} / (H+1/2)."""
    for market in (ROUGH, LONGER):
        spot, variance = draw(market, paths=100_000, steps=2)
        x, H = volterra(market, variance)[1], market.hurst
        shock = (spot[1].log() + 0.5 * market.xi * DT) / math.sqrt(market.xi)
        assert z_score(shock * x, market.rho * math.sqrt(2 * H) * DT ** (H + 0.5) / (H + 0.5)) < 3
        assert z_score(shock**2, DT) < 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_steps_do_not_know_how_many_follow(dtype):
    short, long = (draw(ROUGH, steps=steps, paths=64, dtype=dtype) for steps in (3, 9))

    assert all(torch.equal(few, many[:4]) for few, many in zip(short, long, strict=True))
    assert {one.dtype for one in short} == {dtype}


def test_the_number_of_threads_does_not_matter():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(marked(ROUGH, [list(range(25, -1, -1))], paths=17_003, steps=30, dtype=torch.float32)[:2])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


def test_blocks_have_the_law_of_the_whole(monkeypatch):
    monkeypatch.setattr(rough_bergomi, "CELLS", 20 * 7)
    result = marked(ROUGH, [[4, 2, 0]], paths=700)
    spot, variance = draw(ROUGH, paths=700)

    assert torch.equal(result.spot, spot)
    torch.testing.assert_close(result.expected[0, 2], variance[-1])
    assert len(spot[-1].unique()) == 700
    assert z_score(spot[-1], 1) < 3


def test_without_volatility_of_volatility_it_is_black_scholes():
    market = RoughBergomi(eta=0, rho=-0.3, xi=0.0625)
    spot, variance = draw(market, paths=20_000, steps=30)
    gain = (spot[-1].log() + 0.5 * 0.0625 * 30 * DT) / math.sqrt(0.0625 * 30 * DT)

    torch.testing.assert_close(variance, torch.full_like(variance, 0.0625))
    assert z_score(gain, 0) < 3
    assert z_score(gain**2, 1) < 3
    assert z_score(gain**4, 3) < 3
    torch.testing.assert_close(
        marked(market, [[20, 0]]).expected, torch.full((1, 2, 2000), 0.0625, dtype=torch.float64)
    )


def test_at_one_half_the_variance_is_that_of_the_exponential_model():
    """V_{t+dt} = V_t e^{eta dW - eta^2 dt / 2}, with the dW that moves the spot."""
    market = RoughBergomi(hurst=0.5, rho=-1, eta=1.2)
    spot, variance = draw(market, steps=50)
    dw = -(spot.log().diff(dim=0) + 0.5 * variance[:-1] * DT) / variance[:-1].sqrt()

    expected = (1.2 * dw - 0.5 * 1.2**2 * DT).cumsum(0).exp() * market.xi
    torch.testing.assert_close(variance[1:], expected)
    torch.testing.assert_close(marked(market, [[30, 7]], steps=50).expected[0], variance[-2:], rtol=1e-12, atol=0)


def test_marks_at_the_first_and_at_the_last_moment():
    left = [[20, *range(19, 0, -1), 0], [0.0] * 21, [500.0] * 21]
    spot, variance = draw(ROUGH)
    result = marked(ROUGH, left)

    torch.testing.assert_close(result.spot, spot)
    assert result.regime is None
    torch.testing.assert_close(result.expected[:, 0], torch.full((3, 2000), ROUGH.xi, dtype=torch.float64))
    torch.testing.assert_close(result.expected[0, -1], variance[-1])
    torch.testing.assert_close(result.expected[1], variance)


@pytest.mark.parametrize("market", [ROUGH, LONGER], ids=["rough", "less so"])
def test_marks_are_the_conditional_means_by_gaussian_regression(market):
    """E_t[X_s] by regression on W and X at the times so far, with their covariance from closed forms."""
    now, ahead, paths, H = 6, 9, 50, market.hurst
    market = market.model_copy(update={"rho": -1.0})  # the spot shows W
    spot, variance = draw(market, steps=now, paths=paths)
    result = marked(market, [[ahead]], steps=now, paths=paths)
    x = volterra(market, variance)[1:].numpy()
    w = -((spot.log().diff(dim=0) + 0.5 * variance[:-1] * DT) / variance[:-1].sqrt()).cumsum(0).numpy()

    times = np.arange(1.0, now + ahead) * DT
    xx = covariance(H, times)
    s = times[:now]
    xw = (
        math.sqrt(2 * H) * (times[:, None] ** (H + 0.5) - np.clip(times[:, None] - s, 0, None) ** (H + 0.5)) / (H + 0.5)
    )
    known = np.block([[np.minimum.outer(s, s), xw[:now].T], [xw[:now], xx[:now, :now]]])
    beta = np.linalg.solve(known, np.hstack([xw, xx[:, :now]]).T).T
    mean, learned = beta @ np.vstack([w, x]), np.einsum("ij,jk,ik->i", beta, known, beta)
    forward = market.xi * np.exp(market.eta * mean - 0.5 * market.eta**2 * learned[:, None])
    expected = forward[now - 1 :].mean(0)
    np.testing.assert_allclose(result.expected[0, 0].numpy(), expected, rtol=1e-6)


def test_a_mark_over_many_periods_is_close_to_the_mean_over_all(monkeypatch):
    left = [[60, 30, 59.5], [200.0, 100, 17]]
    few = marked(ROUGH, left, steps=40).expected.sqrt()
    monkeypatch.setattr(rough_bergomi, "LOOKS", 1000)
    rough_bergomi._mean.cache_clear()
    every = marked(ROUGH, left, steps=40).expected.sqrt()
    rough_bergomi._mean.cache_clear()

    relative = few / every - 1
    assert not torch.equal(few, every)
    assert relative.square().mean().sqrt() < 2.5e-4
    assert relative.abs().max() < 3e-3


@pytest.mark.parametrize("periods", [0.0, 0.3, 1.0, 2.7, 16.0, 60.0, 60.5])
def test_weights_of_a_mark_make_a_mean(periods):
    ahead, weights = rough_bergomi._mean(periods)
    count = max(1, math.ceil(periods))

    assert weights.sum() == pytest.approx(1)
    assert ahead[0] == 0
    assert ahead[-1] == count - 1
    assert len(ahead) <= rough_bergomi.LOOKS
    line = 3 - 2 * torch.log1p(ahead.double())
    every, share = np.log1p(np.arange(count)), np.ones(count)
    share[-1] = periods - count + 1 if periods else 1
    assert (weights * line).sum().item() == pytest.approx(np.average(3 - 2 * every, weights=share))


def test_marks_average_what_then_happens():
    """The mean variance to come, less the mark, does not correlate with anything known at the mark."""
    now, horizon = 20, 12
    generator = stream("rough", "tower")
    spot, variance = ROUGH.sample(paths=60_000, steps=now + horizon, dt=DT, generator=generator, dtype=torch.float64)
    generator = stream("rough", "tower")
    left = torch.arange(horizon, -1, -1, dtype=torch.float64).unsqueeze(0) * DT
    marks = ROUGH.sample_marked(
        paths=60_000, steps=now + horizon, left=left, dt=DT, generator=generator, dtype=torch.float64
    ).expected[0, 0]

    surprise = variance[now:-1].mean(0) - marks
    assert z_score(surprise, 0) < 3
    for known in (variance[now], variance[now - 5], spot[now], marks):
        assert z_score(surprise / marks * (known.log() - known.log().mean()), 0) < 3
    assert (variance[now] - marks).std() > 0.1 * marks.std()


def test_simulate_marks_each_path_by_its_past():
    paths = ROUGH.simulate(paths=500, horizon=10, lookback=15, generator=stream("rough", 1), dtype=torch.float64)
    spot, variance = draw(ROUGH, seed=1, paths=500, steps=25)

    torch.testing.assert_close(paths.spot, spot / spot[15])
    torch.testing.assert_close(paths.implied[-1], variance[-1].sqrt())
    order, now = paths.implied[0].argsort(), variance[15]
    assert (now[order].diff() < 0).any()  # the variance of the moment alone does not decide


def test_the_expected_variance_is_known_at_the_beginning_only():
    _, variance = draw(ROUGH, dtype=torch.float32)

    for first in (variance[0], variance[0].double()):
        torch.testing.assert_close(ROUGH.expected_variance(first, 0.3), torch.full_like(first, 0.04))
    with pytest.raises(InputError, match=r"variance: it has moved from xi=0.04.*let simulate mark the paths"):
        ROUGH.expected_variance(variance[5], 0.3)


def test_settings_make_the_round_trip():
    assert build(Market, LONGER.settings()) == LONGER
    assert build(Market, {"kind": "rough_bergomi"}) == ROUGH


@pytest.mark.parametrize("bad", [{"hurst": 0.0}, {"hurst": 0.51}, {"rho": 0.1}, {"rho": -1.1}, {"xi": 0}, {"eta": -1}])
def test_bounds_of_settings(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        build(Market, {"kind": "rough_bergomi", **bad})
