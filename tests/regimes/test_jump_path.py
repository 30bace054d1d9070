"""The dynamic program of jump models against all paths there are."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumpmodels.jump import dp, jump_penalty_to_mx

from praesidium.regimes.jump_path import best_path, costs_through, distances, least_costs

seeds = st.integers(0, 10_000)
prices = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0])


def draw(seed, times, states, rows=1):
    return np.random.default_rng(seed).exponential(size=(times, states, rows))


def price_of(path, costs, penalty):
    return sum(cost[state] for cost, state in zip(costs, path, strict=True)) + penalty * np.count_nonzero(np.diff(path))


def enumerated(costs, penalty):
    """Every path and what it costs; costs are (times, states)."""
    paths = np.array(list(product(range(costs.shape[1]), repeat=len(costs))))
    return paths, np.array([price_of(path, costs, penalty) for path in paths])


@settings(max_examples=25, deadline=None)
@given(seed=seeds, penalty=prices, states=st.integers(1, 3), times=st.integers(1, 7))
def test_no_path_is_cheaper(seed, penalty, states, times):
    costs = draw(seed, times, states)
    values = least_costs(costs, np.array([penalty]))
    path = best_path(values, np.array([penalty]))[:, 0]
    cheapest = enumerated(costs[..., 0], penalty)[1].min()
    assert price_of(path, costs[..., 0], penalty) == pytest.approx(cheapest)
    assert values[-1].min() == pytest.approx(cheapest)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, penalty=prices)
def test_what_ends_in_a_state_is_the_cheapest_path_of_the_prefix_that_does(seed, penalty):
    costs = draw(seed, 6, 3)
    values = least_costs(costs, np.array([penalty]))[..., 0]
    for end in range(1, 7):
        paths, totals = enumerated(costs[:end, :, 0], penalty)
        expected = [totals[paths[:, -1] == state].min() for state in range(3)]
        np.testing.assert_allclose(values[end - 1], expected)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, penalty=prices)
def test_what_goes_through_a_state_is_the_cheapest_path_that_does(seed, penalty):
    costs = draw(seed, 6, 3)
    through = costs_through(costs, np.array([penalty]))[..., 0]
    paths, totals = enumerated(costs[..., 0], penalty)
    for time, state in product(range(6), range(3)):
        assert through[time, state] == pytest.approx(totals[paths[:, time] == state].min())


def test_rows_with_their_own_penalties_do_not_mix():
    costs, penalty = draw(1, 200, 3, rows=8).reshape(200, 3, 4, 2), np.array([[0.0], [0.3], [1.0], [5.0]])
    values = least_costs(costs, penalty)
    paths = best_path(values, penalty)
    for fit, sequence in product(range(4), range(2)):
        alone = least_costs(costs[:, :, fit, sequence, np.newaxis], penalty[fit])
        assert np.array_equal(values[:, :, fit, sequence], alone[..., 0])
        assert np.array_equal(paths[:, fit, sequence], best_path(alone, penalty[fit])[:, 0])


@pytest.mark.parametrize("penalty", [0.0, 0.7, 4.0])
def test_values_and_path_are_those_of_jumpmodels(penalty):
    costs = draw(5, 400, 3)
    values = least_costs(costs, np.array([penalty]))
    matrix = jump_penalty_to_mx(penalty, 3)
    path, total = dp(costs[..., 0], matrix)
    np.testing.assert_allclose(values[..., 0], dp(costs[..., 0], matrix, return_value_mx=True))
    assert np.array_equal(best_path(values, np.array([penalty]))[:, 0], path)
    assert values[-1].min() == pytest.approx(total)


def test_distance_is_half_the_square_and_what_is_missing_costs_nothing():
    features = np.array([[[1.0, 2.0]], [[np.nan, 2.0]], [[np.nan, np.nan]]])
    centers = np.array([[[0.0, 0.0], [1.0, -1.0]]])
    expected = [[2.5, 4.5], [2.0, 4.5], [0.0, 0.0]]
    np.testing.assert_allclose(distances(features, centers)[:, :, 0, 0], expected)
