"""Statistics of paired seeds: quantiles and medians beside NumPy's, and the estimates that rest on them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.reporting.pigeonhole import Draws, Resampled, cvar_draws
from praesidium.reporting.statistics import estimate, interval, median, median_difference, median_reduction, reduction
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

finite = st.floats(-1e6, 1e6)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@given(values=st.lists(finite, min_size=1, max_size=60), confidence=st.floats(0.01, 0.99))
def test_interval_takes_drawn_values_outside_the_quantiles(values, confidence):
    lower, upper = interval(tensor(values), confidence=confidence)
    assert lower in values
    assert upper in values
    outside = (1 - confidence) / 2
    assert lower == np.quantile(values, outside, method="lower")
    assert upper == np.quantile(values, 1 - outside, method="higher")
    assert lower <= np.median(values) <= upper


def test_interval_of_infinite_and_missing_draws():
    draws = torch.linspace(0, 1, 101, dtype=torch.float64)
    draws[:10] = -math.inf
    assert interval(draws, confidence=0.9) == (-math.inf, pytest.approx(0.95))
    draws[0] = math.nan
    assert all(math.isnan(end) for end in interval(draws))


@given(values=st.lists(finite, min_size=1, max_size=40))
def test_median_is_that_of_numpy(values):
    assert median(tensor(values)).item() == pytest.approx(np.median(values), rel=1e-12, abs=1e-12)


def test_median_of_infinite_and_missing_values():
    table = tensor([[1, 2, 3, math.inf], [1, 2, math.inf, math.inf], [1, math.inf, math.inf, math.inf], [math.nan] * 4])
    table[3, :3] = 1
    torch.testing.assert_close(median(table), tensor([2.5, math.inf, math.inf, math.nan]), equal_nan=True)
    assert median(tensor([-math.inf, -math.inf])).item() == -math.inf


def test_reduction_of_runs_that_diverged():
    method, reference = tensor([0.06, math.inf, 0.06, math.inf]), tensor([0.08, 0.08, math.inf, math.inf])
    expected = tensor([0.25, -math.inf, 1.0, math.nan])
    torch.testing.assert_close(reduction(method, reference), expected, equal_nan=True)


@pytest.mark.parametrize("risk", [0.0, -0.02])
def test_reduction_needs_a_positive_reference(risk):
    with pytest.raises(InputError, match="compare differences"):
        reduction(tensor([0.1, 0.1]), tensor([0.1, risk]))


def test_estimates_pair_the_seeds():
    # Seed by seed the method takes a tenth away; medians over unpaired seeds would not say so.
    reference = Resampled(tensor([1.0, 5.0, 2.0]), tensor([[1.0, 1.0, 5.0], [2.0, 5.0, 2.0]]))
    method = Resampled(0.9 * reference.observed, 0.8 * reference.drawn)
    found = median_reduction(method, reference)
    assert (found.point, found.lower, found.upper) == pytest.approx((0.1, 0.2, 0.2))
    gap = median_difference(method, reference)
    assert (gap.point, gap.lower, gap.upper) == pytest.approx((-0.2, -0.4, -0.2))


def test_the_whole_way_from_losses_to_a_reduction():
    seeds, episodes, level = 6, 400, 0.9
    base = torch.randn(1, episodes, dtype=torch.float64, generator=stream("tests", "base")).exp()
    erm = base + 0.1 * torch.randn(seeds, episodes, dtype=torch.float64, generator=stream("tests", "erm"))
    shares = tensor([[0.70], [0.72], [0.74], [0.76], [0.78], [0.80]])
    draws = Draws.make(seeds=seeds, episodes=episodes, draws=500, generator=stream("tests", "whole"))
    risks = cvar_draws({"erm": erm, "hirm": shares * erm, "delta": base}, draws, level=level)
    found = median_reduction(risks["hirm"], risks["erm"])
    assert found.point == pytest.approx(0.25)
    # Losses in proportion leave the seeds alone to be resampled: the interval ends at reductions of seeds, or between.
    ends = [round(100 * end, 6) for end in (found.lower, found.upper)]
    assert set(ends) <= set(range(20, 31))
    assert ends[0] < 25 < ends[1]
    wide, narrow = (median_reduction(risks["delta"], risks["erm"], confidence=level) for level in (0.99, 0.5))
    assert wide.lower < narrow.lower < narrow.upper < wide.upper
    by_seed = 1 - cvar(base, level=level) / cvar(erm, level=level)
    assert wide.point == narrow.point == pytest.approx(np.median(by_seed), rel=1e-9)


def test_estimate_takes_any_statistic():
    one = Resampled(tensor([1.0, 3.0]), tensor([[1.0, 1.0], [3.0, 3.0], [1.0, 3.0]]))
    found = estimate(lambda a, b, c: (a * b * c).mean(-1), one, one, one)
    assert (found.point, found.lower, found.upper) == (14.0, 1.0, 27.0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_bad_confidence_is_refused(confidence):
    with pytest.raises(InputError, match=r"for 95 % say 0\.95"):
        interval(torch.zeros(3), confidence=confidence)


def test_no_draws_are_refused():
    with pytest.raises(InputError, match="at least one draw"):
        interval(torch.zeros(0))
