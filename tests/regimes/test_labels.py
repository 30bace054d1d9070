"""Label identity over refits."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.regimes.bands import VolatilityBands
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.labels import align, align_parameters, order_by_volatility, refit_stability, stability

LAW = settings(deadline=None, derandomize=True, max_examples=30)
LABELS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@LAW
@given(pairs=LABELS)
def test_no_other_names_agree_more_often(pairs):
    one, two = np.array(pairs).T
    found = stability(one, two)
    best = max((one == np.array(names)[two]).mean() for names in permutations(range(3)))
    assert found.agreement == pytest.approx(best)
    assert found.as_named == pytest.approx((one == two).mean())
    assert found.agreement >= found.as_named


@LAW
@given(labels=st.lists(st.integers(0, 3), min_size=8, max_size=40), order=st.permutations(range(4)))
def test_swapped_names_are_found_out(labels, order):
    one, order = np.array([0, 1, 2, 3, *labels]), np.array(order)
    two = np.argsort(order)[one]  # the new k is the old order[k]
    np.testing.assert_array_equal(order[two], one)
    np.testing.assert_array_equal(align(two, one), order)
    np.testing.assert_array_equal(np.argsort(align(one, two))[two], one)
    found = stability(one, two)
    assert found.agreement == 1
    assert found.adjusted_rand == pytest.approx(1)


def test_probabilities_are_aligned_as_well():
    draws = np.random.default_rng(0)
    probabilities = draws.dirichlet([0.2, 0.2, 0.2], size=50)
    order = np.array([2, 0, 1])
    np.testing.assert_array_equal(align(probabilities[:, order], probabilities), order)
    np.testing.assert_array_equal(align(probabilities[:, order].argmax(-1), probabilities), order)
    unknown = probabilities.copy()
    unknown[:5] = np.nan
    np.testing.assert_array_equal(align(unknown[:, order], probabilities), order)


def test_labels_that_know_nothing_of_each_other_have_no_rand_index():
    draws = np.random.default_rng(1)
    one, two = draws.integers(2, size=(2, 4000))
    found = stability(one, two)
    assert found.adjusted_rand == pytest.approx(0, abs=0.01)
    assert found.agreement == pytest.approx(0.5, abs=0.05)


def test_unknown_rows_do_not_count():
    one, two = np.array([0, 0, 1, 1, -1, 1]), np.array([1, 1, 0, 0, 0, -1])
    assert stability(one, two) == (1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="no known row in common"):
        stability(np.array([-1, 0]), np.array([0, -1]))
    with pytest.raises(InputError, match="no known row in common"):
        stability(one, two[:-1])


def test_probabilities_and_other_fractions_are_no_labels():
    one, two = np.random.default_rng(4).dirichlet([1, 1], size=(2, 400))
    for pair in ((one, two), (one[:, 0], two[:, 0]), (one.argmax(1), two[:, 0])):
        with pytest.raises(InputError, match=r"stability: shape .* of float64 is not whole labels"):
            stability(*pair)
    assert stability(one.argmax(1).tolist(), two.argmax(1).tolist()).agreement < 0.6


@pytest.mark.parametrize("compare", [stability, align])
def test_series_are_compared_by_rows_of_the_same_name(compare):
    labels = pd.Series([0, 1, 1, 0])
    for moved in (labels.set_axis([1, 2, 3, 4]), labels.set_axis(pd.bdate_range("2020-01-01", periods=4))):
        with pytest.raises(InputError, match=f"{compare.__name__}: the index of one is not that of the other"):
            compare(labels, moved)
        np.testing.assert_array_equal(compare(labels, moved.to_numpy()), compare(labels, labels))


def test_parameters_are_aligned_by_distance():
    parameters = np.array([[0.001, -5.0], [0.0, -4.0], [-0.002, -3.0]])
    order = np.array([1, 2, 0])
    moved = parameters + np.array([1e-4, 0.1])
    np.testing.assert_array_equal(align_parameters(parameters[order], moved), order)
    np.testing.assert_array_equal(align_parameters(1000 * parameters[order], 1000 * moved), order)


def test_regimes_are_ordered_by_volatility():
    draws = np.random.default_rng(2)
    states = draws.integers(3, size=600)
    returns = np.array([0.02, 0.005, 0.01])[states] * draws.normal(size=600)
    np.testing.assert_array_equal(order_by_volatility(returns, states), [1, 2, 0])
    np.testing.assert_array_equal(order_by_volatility(returns, np.eye(3)[states]), [1, 2, 0])
    returns[:100] = np.nan
    np.testing.assert_array_equal(order_by_volatility(returns, states), [1, 2, 0])
    np.testing.assert_array_equal(order_by_volatility(100 * returns + 5, states), [1, 2, 0])
    with pytest.raises(InputError, match=r"returns: shape \(599,\) does not fit 600 rows"):
        order_by_volatility(returns[1:], states)


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (np.zeros(3, dtype=int), np.zeros(4, dtype=int), "3 and 4 rows"),
        (np.zeros(3), np.zeros(3), "neither .* probabilities nor whole labels"),
        (np.zeros((3, 2, 2)), np.zeros((3, 2)), "neither"),
    ],
)
def test_what_cannot_be_aligned_is_refused(one, two, message):
    with pytest.raises(InputError, match=message):
        align(one, two)


def test_refits_are_compared_on_the_rows_that_both_have_seen():
    draws = np.random.default_rng(3)
    scale = np.where((np.arange(600) // 50) % 2, 0.02, 0.005)
    X = scale * draws.normal(size=600)
    found = refit_stability(GaussianHMM(2, n_init=2), X, window=300, every=100)
    assert list(found.index) == [400, 500, 600]
    assert (found["agreement"] > 0.95).all()
    assert (found["as_named"] == found["agreement"]).all()
    first, second = (GaussianHMM(2, n_init=2).fit(X[start : start + 300]) for start in (0, 100))
    expected = stability(first.predict(X[100:300]), second.predict(X[100:300]))
    assert tuple(found.iloc[0]) == pytest.approx(tuple(expected))
    steady = refit_stability(VolatilityBands(edges=(0.15,)), X, window=300, every=100)
    assert (steady.to_numpy() == 1).all()
    with pytest.raises(InputError, match="two windows have to overlap"):
        refit_stability(GaussianHMM(2), X, window=300, every=300)
