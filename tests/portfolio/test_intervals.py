"""Resampled days have the law of the stationary bootstrap; intervals cover; differences are paired."""

import numpy as np
import pytest

from praesidium.component import InputError
from praesidium.portfolio.intervals import block_length, resample, resampled_days
from praesidium.portfolio.metrics import METRICS, Track, summary
from praesidium.training.reproducibility import stream


def draws(*purpose):
    return np.random.default_rng(stream("tests", "intervals", *purpose).initial_seed())


def made(returns, turnover=0.01):
    return Track(returns, np.full(len(returns), turnover))


def test_blocks_are_geometric_wrap_around_and_start_anywhere():
    days = resampled_days(500, block=20, resamples=400, seed=3)
    assert days.shape == (500, 400)
    goes_on = days[1:] == (days[:-1] + 1) % 500
    # A block ends with 1 / 20, and one in 500 new blocks happens to start on the next day.
    assert goes_on.mean() == pytest.approx(1 - 1 / 20 * (1 - 1 / 500), abs=0.002)
    lengths = np.diff(np.flatnonzero(~goes_on.T.ravel()))
    assert (lengths > 20).mean() == pytest.approx((1 - 1 / 20) ** 20, abs=0.02)
    assert np.bincount(days.ravel(), minlength=500) == pytest.approx(np.full(500, 400), abs=180)
    assert np.corrcoef(goes_on[:, 0], goes_on[:, 1])[0, 1] == pytest.approx(0, abs=0.2)


def test_the_seed_alone_decides():
    assert np.array_equal(resampled_days(50, block=5, resamples=3), resampled_days(50, block=5, resamples=3))
    assert not np.array_equal(
        resampled_days(50, block=5, resamples=3, seed=1), resampled_days(50, block=5, resamples=3)
    )


def test_replicates_are_the_metrics_of_the_resampled_days():
    tracks = {name: made(draws(name).normal(0, 0.01, 300)) for name in ("one", "two")}
    found = resample(tracks, resamples=120, block=10, seed=5)
    days = resampled_days(300, block=10, resamples=120, seed=5)
    for place, track in enumerate(tracks.values()):
        for column in (0, 49, 50, 119):
            again = Track(track.returns[days[:, column]], track.daily_turnover[days[:, column]])
            expected = [summary(again)[name] for name in METRICS]
            np.testing.assert_allclose(found.replicates[place, :, column], expected, rtol=1e-12)
    table = found.intervals()
    assert table.loc[("two", "sharpe"), "estimate"] == pytest.approx(summary(tracks["two"])["sharpe"])
    assert (table["low"] <= table["high"]).all()


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Volatility of independent normal returns: 90 % intervals of 100 samples."""
    tracks = {str(number): made(draws("cover", number).normal(0.0, 0.01, 400)) for number in range(100)}
    table = resample(tracks, resamples=200, block=1).intervals(level=0.9).xs("volatility", level="metric")
    truth = 0.01 * 252**0.5
    assert ((table["low"] < truth) & (truth < table["high"])).mean() == pytest.approx(0.9, abs=0.09)


def test_differences_are_taken_on_the_same_days():
    """What moves both strategies cancels: a small sure gain is told from noise that no single interval could."""
    market = draws("market").normal(0, 0.02, 1000)
    tracks = {"index": made(market), "ahead": made(market + 2e-4), "same": made(market.copy())}
    found = resample(tracks, resamples=200)
    differences, alone = found.differences("index"), found.intervals()
    assert not differences.loc[("ahead", "cagr"), "tie"]
    assert differences.loc[("ahead", "cagr"), "low"] > 0
    assert alone.loc[("index", "cagr"), "high"] > alone.loc[("ahead", "cagr"), "low"]
    assert differences.loc["same", "tie"].all()
    assert differences.loc["same", ["estimate", "low", "high"]].to_numpy() == pytest.approx(0)
    assert "index" not in differences.index.get_level_values("strategy")


def test_blocks_grow_with_memory_of_volatility():
    noise = draws("memory").normal(size=4000)
    clusters = np.exp(0.7 * np.sin(np.arange(4000) / 120))
    calm, wild = made(0.01 * noise), made(0.01 * noise * clusters)
    assert block_length({"calm": calm}) < 15 < block_length({"wild": wild})
    assert block_length({"calm": calm, "wild": wild}) == block_length({"wild": wild})
    assert block_length({"cash": made(np.full(100, 1e-4))}) == 1


def test_a_ratio_over_nothing_stays_missing_and_ties():
    found = resample({"cash": made(np.zeros(60)), "index": made(draws("cash").normal(0, 0.01, 60))}, resamples=50)
    assert found.intervals().loc[("cash", "sharpe")].isna().all()
    assert found.differences("index").loc[("cash", "sharpe"), "tie"]


@pytest.mark.parametrize("days", [2, 7, 8, 10, 11])
def test_two_days_are_enough(days):
    tracks = {"a": made(draws("short").normal(0, 0.01, days))}
    found = resample(tracks, resamples=20)
    assert np.isfinite(found.intervals().loc[("a", "cagr")]).all()
    assert found.block == 1 or days == 11


def test_bad_input_is_refused():
    track = made(draws("bad").normal(0, 0.01, 30))
    with pytest.raises(InputError, match="block=0 is not a whole number of at least 1"):
        resample({"a": track}, block=0)
    with pytest.raises(InputError, match="resamples=0 is not a whole number"):
        resample({"a": track}, resamples=0)
    with pytest.raises(InputError, match="equal length"):
        resample({"a": track, "b": made(np.zeros(29))})
    with pytest.raises(InputError, match="equal length"):
        resample({})
    found = resample({"a": track, "b": track}, resamples=10)
    with pytest.raises(InputError, match="baseline='c' is unknown; known: a, b"):
        found.differences("c")
    with pytest.raises(InputError, match="for 95 % say"):
        found.intervals(level=95)


def test_resampled_tracks_on_which_a_ratio_is_over_nothing_are_left_out():
    """A strategy that is invested on a few days has an interval of its Sharpe ratio; one that never is has none."""
    returns = np.zeros(60)
    returns[20:24] = 0.01, -0.004, 0.006, 0.002
    tracks = {name: Track(own, np.zeros(60)) for name, own in (("few", returns), ("none", np.zeros(60)))}
    drawn = resample(tracks, resamples=400, block=8)
    place = drawn.metrics.index("sharpe")
    replicates = drawn.replicates[0, place]
    assert 0 < np.isnan(replicates).sum() < 200
    found = drawn.intervals().xs("sharpe", level="metric")
    expected = np.quantile(replicates[~np.isnan(replicates)], [0.025, 0.975])
    assert np.array_equal(found.loc["few", ["low", "high"]], expected)
    assert found.loc["none", ["low", "high"]].isna().all()
