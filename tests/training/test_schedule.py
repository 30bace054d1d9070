"""Schedules: the phases of the penalty and the fall of the learning rate."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError, build
from praesidium.training.recipe import Recipe
from praesidium.training.schedule import cosine, ramp

LAW = settings(deadline=None, derandomize=True, max_examples=60)
SHARES = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)).filter(lambda pair: sum(pair) < 1)


@LAW
@given(steps=st.integers(10, 400), shares=SHARES)
def test_the_ramp_rests_rises_and_stays(steps, shares):
    warmup, rise = shares
    weights = [ramp(step, steps, warmup=warmup, rise=rise) for step in range(steps)]
    assert weights == sorted(weights)
    assert all((weight == 0) == (step < round(warmup * steps, 9)) for step, weight in enumerate(weights))
    assert weights[-1] == 1
    rising = [weight for weight in weights if 0 < weight < 1]
    assert all(b - a == pytest.approx(1 / (rise * steps)) for a, b in pairwise(rising))


def test_the_default_recipe_has_three_phases():
    weights = [ramp(step, 200, warmup=0.13, rise=0.07) for step in range(200)]
    assert [weights.count(0), sum(0 < one < 1 for one in weights), weights.count(1)] == [26, 13, 161]
    assert weights[39] == 1  # so that the validation after 40 steps counts


@LAW
@given(steps=st.integers(2, 400))
def test_the_learning_rate_falls_along_half_a_cosine(steps):
    factors = [cosine(step, steps) for step in range(steps)]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0.02)
    assert all(one + other == pytest.approx(1.02) for one, other in zip(factors, reversed(factors), strict=True))


def test_a_single_step_is_taken_at_the_full_rate():
    assert cosine(0, 1) == 1


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ({"warmup": 0.6, "rise": 0.4}, "train: warmup + rise = 1 leaves no step for the full penalty"),
        ({"episodes": 9, "pool": 8}, "train: episodes=9 is more than pool=8"),
        ({"steps": 0}, "train.steps: input should be greater than 0, not 0"),
    ],
)
def test_recipes_that_cannot_work_are_refused(given_, sentence):
    with pytest.raises(InputError) as caught:
        build(Recipe, given_, "train")
    assert sentence in str(caught.value)
