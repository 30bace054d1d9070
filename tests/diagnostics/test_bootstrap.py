"""Stationary bootstrap: its law by formula and beside arch's sampler, and the errors that rest on it."""

import numpy as np
import pytest
import torch
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from praesidium.component import InputError
from praesidium.diagnostics import bootstrap
from praesidium.diagnostics.bootstrap import block_length, bootstrap_error, stationary_draws
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

DAYS, BLOCK = 200, 8.0


def draw(name, *, length=DAYS, block=BLOCK, draws=20_000):
    return stationary_draws(length, block=block, draws=draws, generator=stream("tests", name))


def autoregressive(days=DAYS, *, memory=0.6, seed=0):
    shocks = np.random.default_rng(seed).normal(size=days)
    series = np.empty(days)
    level = 0.0
    for day, shock in enumerate(shocks):
        series[day] = level = memory * level + shock
    return series


def stays(days):
    """Whether each day but the first is the one after the day before it."""
    return days[:, 1:] == (days[:, :-1] + 1) % days.shape[1]


@given(length=st.integers(1, 60), draws=st.integers(0, 20), block=st.floats(1, 1e6), seed=st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_draws_are_days_of_the_series(length, draws, block, seed):
    days = stationary_draws(length, block=block, draws=draws, generator=torch.Generator().manual_seed(seed))
    assert days.shape == (draws, length)
    assert days.dtype == torch.int64
    assert ((days >= 0) & (days < length)).all()


def test_the_generator_alone_decides():
    torch.manual_seed(1)
    first = draw("one", draws=50)
    torch.manual_seed(2)
    assert torch.equal(draw("one", draws=50), first)
    assert not torch.equal(draw("two", draws=50), first)


def test_blocks_have_geometric_lengths():
    stay = stays(draw("runs"))
    # A new block may by chance go on where the last one ended.
    chance = 1 - (1 / BLOCK) * (1 - 1 / DAYS)
    for run in (1, 2, 5, 10):
        share = stay.unfold(1, run, run).all(-1).double()
        error = (chance**run * (1 - chance**run) / share.numel()) ** 0.5
        assert share.mean().item() == pytest.approx(chance**run, abs=4 * error)
    opened = (~stay).double().mean().item() / (1 - 1 / DAYS)
    assert 1 / opened == pytest.approx(BLOCK, rel=0.01)


def test_every_day_is_as_likely_at_every_place():
    days = draw("uniform")
    for place in (0, 1, DAYS // 2, DAYS - 1):
        assert stats.chisquare(days[:, place].bincount(minlength=DAYS)).pvalue > 1e-3


def test_blocks_go_round_the_end():
    days = draw("wrap", block=1e9, draws=500)  # one block a draw
    assert stays(days).all()
    assert (days.sort(1).values == torch.arange(DAYS)).all()
    assert len(days[:, 0].unique()) > DAYS // 2


def test_a_block_of_one_day_draws_days_independently():
    days = draw("single", block=1)
    expected = np.full(DAYS, (DAYS - 1) * len(days) / DAYS)
    steps = (days[:, 1:] - days[:, :-1]) % DAYS
    assert stats.chisquare(steps.flatten().bincount(minlength=DAYS), expected).pvalue > 1e-3
    means = torch.as_tensor(autoregressive())[days].mean(1)
    assert means.std().item() == pytest.approx(autoregressive().std() / DAYS**0.5, rel=4 / (2 * len(days)) ** 0.5)


@pytest.mark.parametrize("block", [0.99, 0.0, float("nan")])
def test_no_block_is_shorter_than_a_day(block):
    with pytest.raises(InputError, match="shorter than a day"):
        draw("short", block=block)


def test_the_variance_of_the_mean_is_the_one_of_the_theory():
    """Politis and Romano 1994, lemma 1: circular autocovariances C, weights (1 - i/n) (1 - p)^i."""
    series = autoregressive()
    centered = series - series.mean()
    lags = np.arange(1, DAYS)
    covariances = np.array([centered @ np.roll(centered, lag) for lag in lags]) / DAYS
    weights = (1 - lags / DAYS) * (1 - 1 / BLOCK) ** lags
    variance = (centered @ centered / DAYS + 2 * weights @ covariances) / DAYS
    days = draw("mean")
    means = torch.as_tensor(series)[days].mean(1)
    assert means.std().item() == pytest.approx(variance**0.5, rel=4 / (2 * len(days)) ** 0.5)
    assert means.mean().item() == pytest.approx(series.mean(), abs=4 * (variance / len(days)) ** 0.5)


def test_the_law_is_that_of_arch():
    series, count = autoregressive(), 4000
    theirs = StationaryBootstrap(round(BLOCK), series, seed=0)
    samples = torch.as_tensor(np.stack([data[0][0] for data in theirs.bootstrap(count)]))
    mine = torch.as_tensor(series)[draw("arch", draws=count)]
    for statistic in (lambda rows: rows.mean(1), lambda rows: cvar(rows, level=0.95)):
        ours, others = statistic(mine), statistic(samples)
        assert ours.std().item() == pytest.approx(others.std().item(), rel=4 / count**0.5)
        pvalue = stats.cramervonmises_2samp(ours.numpy(), others.numpy()).pvalue
        assert pvalue > 1e-3


def test_parts_make_up_all_draws(monkeypatch):
    counts = []

    def counted(length, *, block, draws, generator):
        counts.append(draws)
        return stationary_draws(length, block=block, draws=draws, generator=generator)

    losses = autoregressive()
    monkeypatch.setattr(bootstrap, "stationary_draws", counted)
    for cells in (1, 300 * DAYS, 10**9):
        monkeypatch.setattr(bootstrap, "CELLS", cells)
        counts.clear()
        assert bootstrap_error(losses, block=BLOCK) == pytest.approx(
            cvar(torch.as_tensor(losses)[draw("error")], level=0.95).std().item(), rel=0.1
        )
        assert sum(counts) == bootstrap.DRAWS
        assert max(counts) * DAYS <= max(cells, DAYS)


def test_the_block_is_that_of_arch_but_never_below_five_days():
    slow = autoregressive(1000, memory=0.9)
    assert block_length(slow) == optimal_block_length(slow)["stationary"].iloc[0] > 5
    assert block_length(autoregressive(1000, memory=0.0)) == 5
    assert block_length(np.zeros(1000)) == 5
    assert block_length(slow[:19]) == 5
