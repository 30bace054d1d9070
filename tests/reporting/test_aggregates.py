"""Adjusted p-values, robust means, profiles and rank correlations beside hand computations and SciPy's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from praesidium.component import InputError
from praesidium.reporting.aggregates import (
    benjamini_hochberg,
    holm,
    interquartile_mean,
    partial_spearman,
    performance_profile,
    spearman,
)
from praesidium.training.reproducibility import stream

families = st.lists(st.floats(0, 1), min_size=1, max_size=12)
samples = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def noise(*shape, name):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", name))


def test_holm_by_hand():
    # In order 4 x .005, 3 x .010, 2 x .030, 1 x .040, the last raised to the one before it.
    torch.testing.assert_close(holm(tensor([0.01, 0.04, 0.03, 0.005])), tensor([0.03, 0.06, 0.06, 0.02]))
    torch.testing.assert_close(holm(tensor([0.6, 0.02, 0.9])), tensor([1.0, 0.06, 1.0]))


def test_benjamini_hochberg_by_hand():
    # In order 4/1 x .005, 4/2 x .010, 4/3 x .030, 4/4 x .040.
    torch.testing.assert_close(benjamini_hochberg(tensor([0.01, 0.04, 0.03, 0.005])), tensor([0.02, 0.04, 0.04, 0.02]))


@given(raw=families)
def test_adjusted_p_values_are_ordered(raw):
    raw = tensor(raw)
    strict, mild = holm(raw), benjamini_hochberg(raw)
    assert (strict >= mild - 1e-12).all()
    assert (mild >= raw - 1e-12).all()
    assert (strict <= 1).all()
    order = raw.argsort()
    for adjusted in (strict, mild):
        assert (adjusted[order].diff() >= -1e-12).all()
    assert strict.min().item() == pytest.approx(min(1.0, len(raw) * raw.min().item()))


@given(raw=families, level=st.floats(0.01, 0.5))
def test_holm_rejects_step_by_step(raw, level):
    """The procedure as Holm states it: go up the ordered p-values until one exceeds its share of the level."""
    rejected = 0
    for place, value in enumerate(sorted(raw)):
        if value * (len(raw) - place) > level:
            break
        rejected += 1
    assert (holm(tensor(raw)) <= level).sum() == rejected


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_families_without_tests_and_without_sense(adjust):
    assert adjust(tensor([])).shape == (0,)
    assert adjust(tensor([0.3])).item() == 0.3
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match=r"outside \[0, 1\]"):
            adjust(tensor([0.5, bad]))


@given(values=samples)
def test_interquartile_mean_is_the_trimmed_mean_of_values_four_times_over(values):
    found = interquartile_mean(tensor(values)).item()
    assert found == pytest.approx(stats.trim_mean(np.repeat(values, 4), 0.25), rel=1e-9, abs=1e-9)
    lower, upper = np.quantile(values, [0.25, 0.75], method="inverted_cdf")
    assert lower - 1e-9 <= found <= upper + 1e-9


def test_interquartile_mean_of_every_draw():
    table = noise(5, 3, 18, name="draws")
    found = interquartile_mean(table)
    assert found.shape == (5, 3)
    for draw, row in np.ndindex(5, 3):
        assert found[draw, row] == interquartile_mean(table[draw, row])


def test_interquartile_mean_ranks_runs_that_diverged():
    assert interquartile_mean(tensor([1, 2, 3, 4, 5, 6, 7, math.inf])).item() == 4.5
    assert interquartile_mean(tensor([1, 2, 3, 4, 5, math.inf, math.inf, math.inf])).item() == math.inf
    assert math.isnan(interquartile_mean(tensor([1, 2, 3, math.nan])).item())
    with pytest.raises(InputError, match="at least one run"):
        interquartile_mean(tensor([]))


def test_performance_profile_is_the_share_below():
    values = tensor([0.1, 0.2, 0.2, math.inf])
    found = performance_profile(values, tensor([0.1, 0.15, 0.2, 0.3, math.inf]))
    assert found.tolist() == [0.0, 0.25, 0.25, 0.75, 0.75]
    for bad in ([], [math.nan]):
        with pytest.raises(InputError, match="diverged is"):
            performance_profile(tensor(bad), tensor([0.1]))


@given(values=samples, thresholds=st.lists(st.floats(-2e3, 2e3), min_size=2, max_size=10))
def test_performance_profiles_rise(values, thresholds):
    found = performance_profile(tensor(values), tensor(sorted(thresholds)))
    assert (found.diff() >= 0).all()
    assert (found == tensor([np.mean(np.array(values) < one) for one in sorted(thresholds)])).all()


def test_spearman_agrees_with_a_published_example():
    # ci.spear of the R package statpsych, by one of the authors of the interval.
    y = tensor([21, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8, 13, 16, 19])
    x = tensor([67, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14, 20, 28, 40, 51])
    found = spearman(x, y)
    assert (found.point, found.lower, found.upper) == pytest.approx((0.8699639, 0.5840951, 0.9638297), abs=1e-7)


@pytest.mark.parametrize("number", [4, 7, 40])
def test_spearman_is_that_of_scipy(number):
    x, y = noise(2, number, name=f"spearman {number}").round(decimals=1)
    assert spearman(x, y).point == pytest.approx(stats.spearmanr(x.numpy(), y.numpy()).statistic)
    assert spearman(x.exp(), y**3) == spearman(x, y)
    narrow, wide = (spearman(x, y, confidence=confidence) for confidence in (0.5, 0.99))
    assert wide.lower < narrow.lower < narrow.point < narrow.upper < wide.upper


def test_perfect_rank_correlation():
    found = spearman(torch.arange(9).double(), -torch.arange(9).double().exp())
    assert (found.point, found.lower, found.upper) == pytest.approx((-1, -1, -1))


def test_spearman_intervals_cover():
    """Of a Gaussian pair with correlation r, Spearman's is (6 / pi) asin(r / 2)."""
    r, worlds = 0.4, 150
    truth = 6 / math.pi * math.asin(r / 2)
    pairs = noise(worlds, 2, 40, name="pairs")
    found = [spearman(x, r * x + math.sqrt(1 - r**2) * z) for x, z in pairs]
    assert 0.91 <= np.mean([one.lower <= truth <= one.upper for one in found]) <= 0.98


def test_partial_correlation_for_one_covariate():
    z, a, b = noise(3, 60, name="covariate")
    x, y = z + a, z + b
    (xy, xz, yz) = (stats.spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    found = partial_spearman(x, y, covariates=z.unsqueeze(0))
    assert found.point == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    half = 1.959964 * math.sqrt((1 + found.point**2 / 2) / (60 - 1 - 3))
    assert math.atanh(found.upper) - math.atanh(found.point) == pytest.approx(half, rel=1e-6)
    doubled = torch.stack([z, z.exp(), torch.ones_like(z)])  # says the same thing again, and nothing
    assert partial_spearman(x, y, covariates=doubled).lower == pytest.approx(found.lower)


def test_fixed_effects_leave_what_lies_within_groups():
    groups = torch.arange(4).repeat_interleave(15) * 7
    x = 10 * groups + noise(60, name="x")
    y = 10 * groups - noise(60, name="x") + 0.5 * noise(60, name="y")
    assert spearman(x, y).point > 0.8
    found = partial_spearman(x, y, groups=groups)
    assert found.point < -0.7
    first, second = (tensor(stats.rankdata(one)).view(4, 15) for one in (x, y))
    within = [(one - one.mean(1, keepdim=True)).view(-1) for one in (first, second)]
    assert found.point == pytest.approx(np.corrcoef(*within)[0, 1])
    half = 1.959964 * math.sqrt((1 + found.point**2 / 2) / (60 - 3 - 3))
    assert math.atanh(found.point) - math.atanh(found.lower) == pytest.approx(half, rel=1e-6)


def test_covariates_and_groups_together():
    groups = torch.arange(3).repeat(20)
    x, y, *covariates = noise(4, 60, name="together")
    rank = [stats.rankdata(one) for one in (x, y, *covariates)]
    design = np.column_stack([*rank[2:], *(groups.numpy() == group for group in range(3))])
    left = [one - design @ np.linalg.lstsq(design, one, rcond=None)[0] for one in rank[:2]]
    found = partial_spearman(x, y, covariates=torch.stack(covariates), groups=groups)
    assert found.point == pytest.approx(np.corrcoef(*left)[0, 1])


def test_what_does_not_vary_has_no_correlation():
    x = noise(10, name="constant")
    for found in (
        spearman(x, torch.ones(10)),
        spearman(torch.ones(10), x),
        partial_spearman(x, x + noise(10, name="other"), covariates=x.unsqueeze(0)),
    ):
        assert all(math.isnan(one) for one in (found.point, found.lower, found.upper))


def test_bad_input_is_refused():
    x = noise(6, name="bad")
    with pytest.raises(InputError, match="3 runs with 0 controls"):
        spearman(x[:3], x[:3])
    with pytest.raises(InputError, match="6 runs with 3 controls"):
        partial_spearman(x, x, groups=torch.tensor([0, 0, 1, 1, 2, 3]))
    with pytest.raises(InputError, match="NaN"):
        spearman(x, x.log())
    with pytest.raises(InputError, match=r"say 0\.95"):
        spearman(x, x, confidence=95.0)
