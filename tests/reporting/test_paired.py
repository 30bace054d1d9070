"""Tests and intervals of paired differences beside SciPy's and beside all patterns of signs."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from praesidium.component import InputError
from praesidium.reporting.paired import (
    equivalent,
    hodges_lehmann,
    median_interval,
    probability_of_improvement,
    sign_flip,
    wilcoxon,
)
from praesidium.training.reproducibility import stream

ALTERNATIVES = ("two-sided", "less")
samples = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def gaussian(number, *, shift=0.0, seed=0):
    return tensor(np.random.default_rng([number, seed]).normal(shift, 1.0, number))


def flip(values, **options):
    return sign_flip(values, generator=stream("tests", "flips"), **options)


def enumerate_signs(statistic, values):
    """The statistic under every pattern of signs of the absolute values."""
    return np.array(
        [statistic(np.array(signs) * np.abs(values)) for signs in itertools.product([1, -1], repeat=len(values))]
    )


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(("number", "shift"), [(1, 0), (2, -1), (3, 1), (10, -0.5), (30, -0.4), (30, 0.4), (50, 0.1)])
def test_wilcoxon_is_that_of_scipy(number, shift, alternative):
    values = gaussian(number, shift=shift)
    expected = stats.wilcoxon(values.numpy(), alternative=alternative, method="exact").pvalue
    assert wilcoxon(values, alternative=alternative) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("values", [[-1, -1, 2, 3, -3, 3, -5, 1], [0, -1, 1, -2, 0, -2, -4], [-2, -2, -2, -2], [1, 1]])
def test_wilcoxon_with_ties_and_zeros_counts_all_patterns(values, alternative):
    kept = np.array([value for value in values if value])
    ranks = stats.rankdata(np.abs(kept))
    observed = ranks[kept > 0].sum()
    law = enumerate_signs(lambda signed: ranks[signed > 0].sum(), kept)
    below, above = (law <= observed).mean(), (law >= observed).mean()
    expected = below if alternative == "less" else min(1, 2 * min(below, above))
    assert wilcoxon(tensor([float(value) for value in values]), alternative=alternative) == pytest.approx(expected)


def test_few_seeds_have_large_p_values():
    assert wilcoxon(tensor([-1.0, -2.0, -3.0])) == pytest.approx(1 / 4)
    assert wilcoxon(tensor([-1.0, -2.0, -3.0]), alternative="less") == pytest.approx(1 / 8)
    assert wilcoxon(tensor([-1.0])) == 1.0
    assert flip(tensor([-1.0, -2.0, -3.0])) == pytest.approx(1 / 4)


def test_a_run_that_diverged_has_the_highest_rank():
    values = gaussian(8, shift=-1)
    for alternative in ALTERNATIVES:
        worst = values.clone()
        worst[3] = 1e9
        expected = wilcoxon(worst, alternative=alternative)
        worst[3] = math.inf
        assert wilcoxon(worst, alternative=alternative) == expected
    assert hodges_lehmann(worst) < math.inf
    with pytest.raises(InputError, match="report the wilcoxon"):
        flip(worst)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_equal_methods_have_a_p_value_of_one(alternative):
    for number in (1, 5, 30):
        assert wilcoxon(torch.zeros(number), alternative=alternative) == 1.0
        assert flip(torch.zeros(number), alternative=alternative) == 1.0


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("number", [1, 2, 6, 11, 13])
def test_sign_flip_enumerates_few_differences(number, alternative):
    values = gaussian(number, shift=-0.5)
    generator = stream("tests", "untouched")
    found = sign_flip(values, alternative=alternative, generator=generator)
    assert torch.equal(generator.get_state(), stream("tests", "untouched").get_state())
    if number == 1:
        assert found == (1.0 if alternative == "two-sided" or values > 0 else 0.5)
        return
    oracle = stats.permutation_test(
        (values.numpy(),), np.mean, permutation_type="samples", alternative=alternative, n_resamples=np.inf
    )
    assert found == pytest.approx(oracle.pvalue, rel=1e-12)


def test_sign_flip_counts_ties_whatever_the_order_of_addition():
    values = tensor([0.1, 0.2, 0.3, -0.6, 0.7, 0.1, 0.1, 0.3])  # many patterns with the same sum, up to rounding
    tenths = np.rint(10 * values.numpy())
    law = enumerate_signs(np.sum, tenths)
    assert flip(values) == (np.abs(law) >= abs(tenths.sum())).mean()
    assert flip(values, alternative="less") == (law <= tenths.sum()).mean()


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_random_flips_come_near_all_flips(alternative):
    values = gaussian(14, shift=-0.3)
    law = enumerate_signs(np.sum, values.numpy())
    total = values.sum().item()
    exact = (law <= total + 1e-9).mean() if alternative == "less" else (np.abs(law) >= abs(total) - 1e-9).mean()
    found = flip(values, alternative=alternative)
    assert 0.02 < exact < 0.9
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000))
    assert found == flip(values, alternative=alternative)


def test_random_flips_never_give_zero():
    assert flip(torch.full((40,), -1.0), alternative="less") == pytest.approx(1 / 10_001)
    assert flip(torch.full((40,), -1.0), flips=99) == pytest.approx(1 / 100)


@given(values=samples, shift=st.floats(-100, 100))
def test_hodges_lehmann_moves_with_the_differences(values, shift):
    center = hodges_lehmann(tensor(values))
    assert min(values) <= center <= max(values)
    assert hodges_lehmann(tensor(values) + shift) == pytest.approx(center + shift, abs=1e-9)
    assert hodges_lehmann(-tensor(values)) == pytest.approx(-center, abs=1e-9)
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2)]
    assert center == pytest.approx(np.median(walsh), abs=1e-9)


def test_thirty_seeds_give_the_tenth_and_the_twenty_first():
    found = median_interval(torch.randperm(30, generator=stream("tests", "order")).double() + 1)
    assert (found.lower, found.upper) == found.ranks == (10, 21)
    assert found.coverage == pytest.approx(0.957, abs=5e-4)


@pytest.mark.parametrize(
    ("number", "ranks", "coverage"),
    [(1, (1, 1), 0), (2, (1, 2), 0.5), (3, (1, 3), 0.75), (5, (1, 5), 0.9375), (6, (1, 6), 0.96875), (9, (2, 8), None)],
)
def test_small_samples_say_what_they_cover(number, ranks, coverage):
    found = median_interval(torch.arange(1, number + 1).double())
    assert found.ranks == ranks
    if coverage is not None:
        assert found.coverage == pytest.approx(coverage)


@given(number=st.integers(1, 200), confidence=st.floats(0.05, 0.999))
def test_median_interval_is_the_shortest_that_covers(number, confidence):
    found = median_interval(torch.arange(number).double(), confidence=confidence)
    low, high = found.ranks
    assert low + high == number + 1
    # The median lies between the order statistics if low..high-1 of n fair coins show heads.
    assert found.coverage == pytest.approx(stats.binom.pmf(range(low, high), number, 0.5).sum(), abs=1e-9)
    assert found.coverage >= confidence or low == 1
    shorter = stats.binom.pmf(range(low + 1, high - 1), number, 0.5).sum()
    assert shorter < confidence + 1e-9


def test_median_interval_covers_as_it_says():
    samples = torch.rand(800, 12, dtype=torch.float64, generator=stream("tests", "uniform"))
    found = [median_interval(sample, confidence=0.8) for sample in samples]
    share = np.mean([one.lower <= 0.5 <= one.upper for one in found])
    assert share == pytest.approx(found[0].coverage, abs=4 * math.sqrt(0.2 * 0.8 / 800))


def test_probability_of_improvement_splits_ties():
    assert probability_of_improvement(tensor([-1.0, -2.0, 0.0, 3.0])) == 0.625
    assert probability_of_improvement(tensor([math.inf, -1e-9])) == 0.5


@given(values=samples)
def test_probabilities_of_both_directions_add_to_one(values):
    one, other = probability_of_improvement(tensor(values)), probability_of_improvement(-tensor(values))
    assert one + other == pytest.approx(1)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-0.04, 0.04), True),
        ((-0.06, 0.04), False),
        ((-0.04, 0.06), False),
        ((0.06, 0.07), False),
        ((-0.05, 0.0), False),
        ((math.nan, 0.0), False),
        ((0.0, math.nan), False),
    ],
)
def test_equivalence_needs_the_whole_interval_inside(ends, expected):
    assert equivalent(ends, margin=0.05) is expected


def test_equivalence_is_that_of_two_one_sided_tests():
    values = gaussian(20, shift=0.1)
    half = stats.t.ppf(0.95, 19) * stats.sem(values.numpy())
    center = values.mean().item()
    for margin in (0.1, 0.3, 0.5, 0.7, 1.0):
        above = stats.ttest_1samp(values.numpy(), -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(values.numpy(), margin, alternative="less").pvalue
        assert equivalent((center - half, center + half), margin=margin) == (max(above, below) < 0.05)


@pytest.mark.parametrize("function", [wilcoxon, flip, hodges_lehmann, median_interval, probability_of_improvement])
@pytest.mark.parametrize(("values", "message"), [([], "at least one seed"), ([1.0, math.nan], "NaN")])
def test_missing_differences_are_refused(function, values, message):
    with pytest.raises(InputError, match=message):
        function(tensor(values))


def test_other_bad_input_is_refused():
    with pytest.raises(InputError, match="margin"):
        equivalent((0.0, 1.0), margin=0.0)
    with pytest.raises(InputError, match="swap"):
        equivalent((1.0, 0.0), margin=1.0)
    with pytest.raises(InputError, match=r"say 0\.95"):
        median_interval(torch.zeros(3), confidence=95.0)
