"""Words for intervals: yes, no and tie, and who is worse."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from praesidium.reporting.allocation import COLUMNS, GOALS, Allocation, notes, verdicts
from praesidium.reporting.statistics import Estimate

NAN = float("nan")


@pytest.mark.parametrize(
    ("metric", "difference", "words"),
    [
        ("cvar_95", Estimate(-0.001, -0.002, -0.0005), "-0.10 [-0.20, -0.05] better"),
        ("cvar_95", Estimate(0.001, 0.0005, 0.002), "+0.10 [+0.05, +0.20] worse"),
        ("sharpe", Estimate(0.2, 0.1, 0.3), "+0.20 [+0.10, +0.30] better"),
        ("sharpe", Estimate(-0.2, -0.3, -0.1), "-0.20 [-0.30, -0.10] worse"),
        ("turnover", Estimate(0.2, -0.1, 0.3), "+0.20 [-0.10, +0.30] tie"),
        ("sharpe", Estimate(0.2, NAN, NAN), "+0.20 [no interval]"),
    ],
)
def test_a_difference_says_who_is_better_or_that_nobody_knows(metric, difference, words):
    assert COLUMNS[metric].compared(difference) == words


ENDS = st.floats(-1, 1)


@given(value=ENDS, one=ENDS, other=ENDS)
def test_a_tie_is_an_interval_that_covers_zero(value, one, other):
    low, high = sorted((one, other))
    assert Estimate(value, low, high).tie == (low <= 0 <= high)


def allocation(delays=(5, 1)):
    """Three strategies; at delay 1 ``low`` risks less than both baselines, ``high`` more, ``same`` either."""
    shown = {"low": (-3.0, -1.0), "same": (-1.0, 1.0), "high": (1.0, 3.0)}
    differences = {
        (delay, goal.baseline, name, goal.metric): Estimate(sum(ends) / 2, *(ends if delay == 1 else (-9.0, 9.0)))
        for delay in delays
        for goal in GOALS
        for name, ends in shown.items()
    }
    intervals = {(1, goal.baseline, goal.metric): Estimate(0.2, 0.1, 0.3) for goal in GOALS}
    study = {"delays": list(delays), "strategies": [*shown], "caution": "careful", "cost_rate": 0.001, "data": "x"}
    return Allocation(Path("nowhere"), study, intervals, differences)


def test_goals_are_answered_at_the_shortest_delay():
    lines = list(verdicts(allocation()))
    assert len(lines) == len(GOALS)
    assert all(line.endswith("yes: low; tie: same; no: high") for line in lines)
    assert lines[0].startswith("max drawdown % at or below jump_timing (20.0 [10.0, 30.0] here, 20.9 % on the S&P 500")
    assert any("2.19 %" in line and "min_variance" in line for line in lines)


def test_goals_without_their_baseline_are_left_out():
    whole = allocation()
    rest = {key: one for key, one in whole.differences.items() if key[1] == "min_variance"}
    lines = list(verdicts(Allocation(whole.folder, whole.study, whole.intervals, rest)))
    assert [("at or below min_variance" in line) for line in lines] == [True, True]


def test_the_caution_of_the_data_comes_first():
    assert next(iter(notes(allocation()))) == "careful"
    assert any("differences.csv" in line for line in notes(allocation()))
    assert not any("differences.csv" in line for line in notes(allocation(delays=(1,))))
