"""How long a grid will take: in proportion to its work, and in words."""

import re

import pytest

from praesidium.experiments.expectation import expected
from praesidium.experiments.grid import cells_of
from praesidium.experiments.planner import Plan


@pytest.fixture
def told(tmp_path):
    """What is said of a grid of one method."""

    def sentence(*overrides, method="hirm", jobs=1, times=1):
        cells = cells_of(datasets=["synthetic_heston"], methods=[method], seeds=[0], root=tmp_path, overrides=overrides)
        return expected(Plan([cells] * times, jobs, ""))

    return sentence


def minutes(text):
    number, unit = re.fullmatch(r"about ([\d.]+) (minutes|hours)", text).groups()
    return float(number) * {"minutes": 1, "hours": 60}[unit]


def test_it_is_in_proportion_to_the_work(told):
    once = minutes(told("train.steps=100000"))
    assert minutes(told("train.steps=200000")) == pytest.approx(2 * once, rel=0.05)
    assert minutes(told("train.steps=100000", times=3)) == pytest.approx(3 * once, rel=0.05)
    assert minutes(told("train.steps=400000", jobs=4)) == pytest.approx(once, rel=0.05)


def test_a_penalty_on_all_parameters_costs_more_than_one_on_the_head_and_that_more_than_none(told):
    whole, head, none = (
        minutes(told("train.steps=100000", *more, method=method))
        for method, *more in (("hirm", "objective.scope=all"), ("hirm",), ("erm_residual",))
    )
    assert whole > 2 * head > 2 * none


def test_a_rule_is_only_judged(told):
    assert told("train.steps=100000", method="delta") == "about a minute"
    assert minutes(told("evaluation.episodes=10000000", method="delta")) > 2


def test_what_is_done_takes_no_time():
    assert expected(Plan([], 1, "")) == "nothing is left to run"
