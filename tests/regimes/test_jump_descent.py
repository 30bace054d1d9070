"""Coordinate descent: it falls, it ends where k-means does without a penalty, and where jumpmodels does with one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumpmodels.jump import JumpModel as Peer
from sklearn.cluster import KMeans

from praesidium.regimes.jump_descent import descend, means, starts
from praesidium.training.reproducibility import stream


def draw(seed, times=300, sequences=1, features=3):
    noise = np.random.default_rng(seed)
    state = (np.arange(times) // 40) % 2
    return noise.normal(size=(times, sequences, features)) + 1.5 * state[:, np.newaxis, np.newaxis]


def begin(features, regimes, count, name="starts"):
    return starts(features, regimes, count, stream("tests", "jump", name))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 1.0, 10.0]), regimes=st.integers(1, 4))
def test_the_objective_never_rises(seed, penalty, regimes):
    features = draw(seed, times=120, sequences=2)
    features[np.random.default_rng(seed).random(features.shape) < 0.1] = np.nan
    found = descend(features, begin(features, regimes, 4), np.full(4, penalty))
    assert (np.diff(found.history, axis=0) <= 1e-9).all()


def test_the_objective_is_what_centers_and_path_cost():
    features, penalty = draw(3, sequences=2), np.array([0.5, 20.0])
    found = descend(features, begin(features, 3, 2), penalty)
    for fit in range(2):
        states = found.states[:, fit]
        away = features - found.centers[fit][states]
        jumps = np.count_nonzero(np.diff(states, axis=0))
        assert found.objective[fit] == pytest.approx(0.5 * np.square(away).sum() + penalty[fit] * jumps)


def test_centers_are_the_means_of_their_rows():
    features = draw(4)
    found = descend(features, begin(features, 2, 1), np.array([5.0]))
    for state in range(2):
        here = features[found.states[:, 0] == state]
        np.testing.assert_allclose(found.centers[0, state], here.mean(0))


def test_a_regime_without_rows_keeps_its_center():
    features, centers = draw(4), np.array([[[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]])
    moved = means(features, np.zeros((300, 1, 1), dtype=np.int64), centers)
    np.testing.assert_allclose(moved[0, 0], features.mean((0, 1)))
    assert np.array_equal(moved[0, 1], centers[0, 1])


def test_without_a_penalty_it_is_k_means():
    features = draw(5, times=500)
    centers = begin(features, 3, 1)
    found = descend(features, centers, np.zeros(1))
    peer = KMeans(3, init=centers[0], n_init=1, algorithm="lloyd", tol=0, max_iter=500).fit(features[:, 0])
    assert np.array_equal(found.states[:, 0, 0], peer.labels_)
    assert found.objective[0] == pytest.approx(peer.inertia_ / 2)


def test_with_a_huge_penalty_nothing_jumps():
    features = draw(6, sequences=2)
    found = descend(features, begin(features, 3, 5), np.full(5, 1e9))
    assert (found.states == found.states[:1]).all()


@pytest.mark.parametrize("penalty", [1.0, 10.0, 40.0])
def test_from_the_same_centers_it_ends_where_jumpmodels_does(penalty):
    features = draw(7, times=400)
    centers = begin(features, 2, 3)
    found = descend(features, centers, np.full(3, penalty))
    for fit in range(3):
        peer = Peer(n_components=2, jump_penalty=penalty, n_init=1, tol=0.0)
        peer.init_centers = lambda X, fit=fit: centers[fit : fit + 1]
        peer.fit(features[:, 0])
        kept = ~np.isnan(peer.centers_).any(1)  # what has no rows is NaN there, and keeps its center here
        ours, theirs = found.centers[fit][np.unique(found.states[:, fit])], peer.centers_[kept]
        np.testing.assert_allclose(ours[ours[:, 0].argsort()], theirs[theirs[:, 0].argsort()])
        assert found.objective[fit] == pytest.approx(peer.val_)


def test_starts_are_local_means_that_differ_and_depend_on_the_stream_alone():
    features = draw(8)
    centers = begin(features, 3, 20)
    for start, width in enumerate((1, 5, 20)):
        means_of = [features[max(end - width, 0) : end, 0].mean(0) for end in range(1, 301)]
        for center in centers[start::3].reshape(-1, 3):
            assert np.abs(means_of - center).max(-1).min() < 1e-9
    assert all(len(np.unique(fit, axis=0)) == 3 for fit in centers)
    assert np.array_equal(centers, begin(features, 3, 20))
    assert not np.array_equal(centers, begin(features, 3, 20, name="others"))


def test_starts_do_not_stay_where_most_rows_are():
    """Of two clouds, one with 20 rows in 1000 but far away, k-means++ nearly always takes one center from each."""
    features = np.random.default_rng(0).normal(size=(1000, 1, 2)) * 0.1
    features[500:520] += 10.0
    centers = begin(features, 2, 200)
    assert ((centers[..., 0] > 2).sum(-1) == 1).mean() > 0.9
