"""Mismatch: features beside NumPy and SciPy, distances beside closed forms and brute force, nulls by their law."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from praesidium.component import InputError
from praesidium.diagnostics import mismatch
from praesidium.diagnostics.mismatch import (
    energy_distance,
    episode_returns,
    episode_summary,
    median_bandwidths,
    mmd2,
    permutation_p,
    proxy_a_distance,
    sliced_wasserstein,
    split_null,
    standardize,
)
from praesidium.training.reproducibility import stream


def normal(name, rows, features=6, *, shift=0.0):
    sample = torch.randn(rows, features, dtype=torch.float64, generator=stream("tests", "mismatch", name))
    sample[:, 0] += shift
    return sample


def directions():
    return stream("tests", "mismatch", "directions")


def sliced(x, y):
    return sliced_wasserstein(x, y, generator=directions())


def energy(x, y):
    return energy_distance(x, y)


# ---- features ------------------------------------------------------------------------------------------------------


def test_summaries_are_those_of_numpy_and_scipy(wild):
    summary = episode_summary(wild)
    for path in (0, 17, 95):
        spot = wild.spot[wild.lookback :, path].numpy()
        returns = np.diff(np.log(spot))
        fall = max(spot[: last + 1].max() - spot[last] for last in range(len(spot)))
        expected = (
            math.sqrt(np.mean(returns**2) / wild.dt),
            np.abs(returns).max(),
            stats.skew(returns),
            fall,
            math.log(spot[-1] / spot[0]),
            np.abs(np.diff(returns**2)).mean(),
        )
        assert summary[path].tolist() == pytest.approx(expected, rel=1e-9)
        assert episode_returns(wild)[path].tolist() == pytest.approx(returns, rel=1e-9)


def test_history_and_option_market_leave_the_features_alone(wild):
    spot = wild.spot.clone()
    spot[: wild.lookback] *= 1.5
    changed = replace(wild, spot=spot, implied=2 * wild.implied)
    assert torch.equal(episode_summary(changed), episode_summary(wild))
    assert torch.equal(episode_returns(changed), episode_returns(wild))


def test_paths_without_skewness_are_refused(calm):
    still = calm.spot.clone()
    still[calm.lookback :, 3] = torch.linspace(0, 0.1, calm.horizon + 1, dtype=still.dtype).exp()
    with pytest.raises(InputError, match="1 episodes have equal returns"):
        episode_summary(replace(calm, spot=still))
    with pytest.raises(InputError, match="at least 2 periods"):
        episode_summary(replace(calm, spot=calm.spot[: calm.lookback + 2], implied=calm.implied[:2]))


def test_the_reference_alone_sets_the_scale(calm, wild):
    reference, other = episode_summary(calm), episode_summary(wild)
    same, moved = standardize(reference, other)
    assert same.mean(0).tolist() == pytest.approx([0.0] * 6, abs=1e-9)
    assert same.std(0).tolist() == pytest.approx([1.0] * 6)
    assert torch.allclose(moved * reference.std(0) + reference.mean(0), other)
    assert moved[:, 0].mean() > 3  # a wilder market stays one
    with pytest.raises(InputError, match=r"features \[1\] do not vary"):
        standardize(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))


# ---- sliced Wasserstein --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [1, 2, 6])
def test_a_shift_has_its_closed_form(features):
    x = normal("shifted", 300, features)
    shift = torch.full((features,), 0.7, dtype=torch.float64)
    size = float(shift.norm())
    expected = size * math.gamma(features / 2) / (math.sqrt(math.pi) * math.gamma((features + 1) / 2))
    distance = sliced_wasserstein(x, x + shift, projections=5_000, generator=directions())
    assert distance == pytest.approx(expected, rel=0.03)


def test_independent_gaussians_approach_the_closed_form():
    x, y = normal("one", 2000), normal("two", 2000, shift=2.0)
    expected = 2.0 * math.gamma(3) / (math.sqrt(math.pi) * math.gamma(3.5))
    assert sliced_wasserstein(x, y, projections=1000, generator=directions()) == pytest.approx(expected, rel=0.05)


@given(m=st.integers(1, 12), n=st.integers(1, 12), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_any_two_sizes_agree_with_scipy_in_one_dimension(m, n, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(rows, 1, dtype=torch.float64, generator=generator) for rows in (m, n))
    expected = stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert sliced(x, y) == pytest.approx(expected, abs=1e-12)
    assert energy(x, y) == pytest.approx(stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy()), abs=1e-7)


@pytest.mark.parametrize(("distance", "power"), [(sliced, 1), (energy, 0.5)])
def test_distances_are_symmetric_homogeneous_and_zero_for_the_same_sample(distance, power):
    x, y = normal("x", 40), normal("y", 25, shift=0.5)
    assert distance(x, x) == 0
    assert distance(x, torch.cat([x, x]).flip(0)) == pytest.approx(0, abs=1e-6)  # the same distribution
    assert distance(x, y) > 0.01
    assert distance(x, y) == pytest.approx(distance(y, x))
    assert distance(9 * x, 9 * y) == pytest.approx(9**power * distance(x, y))


def test_an_energy_distance_of_one_moved_row_is_not_zero():
    x = normal("x", 40)
    y = x.clone()
    y[7, 2] += 0.1
    assert energy(x, y) > 1e-3


# ---- kernels -------------------------------------------------------------------------------------------------------


def test_mmd_is_the_double_sum(monkeypatch):
    monkeypatch.setattr(mismatch, "BLOCK", 4)
    x, y = normal("x", 11, 3), normal("y", 9, 3, shift=1.0)
    widths = median_bandwidths(x)
    pairs = [math.dist(x[i], x[j]) for i in range(11) for j in range(i)]
    assert widths.tolist() == pytest.approx([sorted(pairs)[27] * multiple for multiple in (0.5, 1, 2)])

    def kernel(a, b):
        return sum(math.exp(-(math.dist(a, b) ** 2) / (2 * float(width) ** 2)) for width in widths)

    within_x = np.mean([kernel(x[i], x[j]) for i in range(11) for j in range(11) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(9) for j in range(9) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert mmd2(x, y, bandwidths=widths) == pytest.approx(within_x + within_y - 2 * between, rel=1e-10)


def test_mmd_is_unbiased():
    widths = median_bandwidths(normal("reference", 200, 2))
    values = [mmd2(normal(f"a{i}", 12, 2), normal(f"b{i}", 8, 2), bandwidths=widths) for i in range(225)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / 15)
    assert min(values) < 0 < max(values)


def test_coinciding_rows_give_no_bandwidth():
    with pytest.raises(InputError, match="coincide"):
        median_bandwidths(torch.ones(5, 2))


# ---- what chance does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mmd2", "sliced_wasserstein", "energy_distance"])
def test_p_values_tell_a_shift_from_none(name):
    x, same, shifted = normal("x", 60), normal("same", 60), normal("moved", 60, shift=1.0)
    widths = median_bandwidths(x)
    statistic = {
        "mmd2": lambda a, b: mmd2(a, b, bandwidths=widths),
        "sliced_wasserstein": lambda a, b: sliced_wasserstein(a, b, projections=64, generator=directions()),
        "energy_distance": energy_distance,
    }[name]
    assert permutation_p(x, same, statistic, 99, stream("tests", "p")) > 0.1
    assert permutation_p(x, shifted, statistic, 99, stream("tests", "p")) == 0.01


def test_p_values_are_uniform_without_mismatch():
    def difference(a, b):
        return abs(float(a.mean() - b.mean()))

    generator = stream("tests", "uniform")
    values = [
        permutation_p(normal(f"u{i}", 9, 1), normal(f"v{i}", 7, 1), difference, 39, generator) for i in range(300)
    ]
    counts = np.bincount(np.round(40 * np.array(values)).astype(int) - 1, minlength=40)
    assert counts.sum() == 300
    assert stats.chisquare(counts.reshape(8, 5).sum(1)).pvalue > 1e-3


def test_a_constant_statistic_is_never_significant():
    assert permutation_p(normal("x", 5), normal("y", 5), lambda a, b: 0.3, 20, stream("tests", "p")) == 1.0


def test_splits_bound_what_equal_markets_show():
    x, same, shifted = normal("x", 400), normal("same", 400), normal("moved", 400, shift=1.0)
    null = split_null(x, 40, stream("tests", "null"))
    assert null.shape == (40,)
    assert len(null.unique()) == 40
    assert sliced(x, same) < null.quantile(0.95)
    assert sliced(x, shifted) > null.max()
    # Halves of 400 differ as two independent samples of 200 do.
    expected = np.mean([sliced(normal(f"p{i}", 200), normal(f"q{i}", 200)) for i in range(20)])
    assert float(null.mean()) == pytest.approx(expected, rel=0.15)


def test_the_classifier_s_distance_runs_from_none_to_two():
    x, generator = normal("x", 4000, 1), stream("tests", "classifier")
    assert proxy_a_distance(x, normal("same", 4000, 1), generator) == pytest.approx(0, abs=0.1)
    assert proxy_a_distance(x, normal("far", 4000, 1, shift=20.0), generator) == 2.0
    # The best threshold between N(0, 1) and N(1, 1) errs with probability Phi(-1/2), whatever the sizes.
    expected = 2 * (1 - 2 * stats.norm.cdf(-0.5))
    assert proxy_a_distance(x, normal("near", 4000, 1, shift=1.0), generator) == pytest.approx(expected, abs=0.1)
    assert proxy_a_distance(x, normal("fewer", 900, 1, shift=1.0), generator) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(
    "measure",
    [
        lambda x, y, g: sliced_wasserstein(x, y, generator=g),
        proxy_a_distance,
        lambda x, y, g: split_null(x, 3, g).tolist(),
        lambda x, y, g: permutation_p(x, y, lambda a, b: float(a.mean() - b.mean()), 50, g),
    ],
)
def test_the_generator_alone_decides(measure):
    x, y = normal("x", 50), normal("y", 50)
    torch.manual_seed(1)
    np.random.seed(1)
    first = measure(x, y, stream("tests", "one"))
    torch.manual_seed(2)
    np.random.seed(2)
    assert measure(x, y, stream("tests", "one")) == first
    assert any(measure(x, y, stream("tests", "other", word)) != first for word in range(3))


@pytest.mark.parametrize(
    "measure",
    [
        lambda one: mmd2(one, one, bandwidths=torch.ones(1)),
        lambda one: proxy_a_distance(one, one, directions()),
        lambda one: split_null(one, 2, directions()),
        median_bandwidths,
        lambda one: sliced(one, one[:0]),
        lambda one: energy(one[:0], one),
    ],
)
def test_too_few_rows_are_refused(measure):
    with pytest.raises(InputError, match=r"has [01] rows"):
        measure(torch.ones(1, 2))
