"""The estimator's parts: derivatives that reuse paths, and errors where moments do not tell parameters apart."""

import math

import numpy as np
import pytest
import torch

from praesidium.markets.calibration import simulation
from praesidium.markets.calibration.moments import MOMENTS
from praesidium.markets.calibration.simulated_moments import HESTON, STEP, _Problem
from praesidium.markets.calibration.simulation import Simulation

TRUTH = {"theta": 0.04, "kappa": 5.0, "xi": 0.5, "rho": -0.6}
POINT = np.array([one.scale.forward(TRUTH[one.name]) for one in HESTON])


@pytest.fixture
def problem(monkeypatch):
    monkeypatch.setattr(simulation, "FEWEST_DAYS", 1)
    made = _Problem(
        HESTON,
        np.zeros(len(MOMENTS)),
        Simulation(np.ones(400, dtype=bool), 0.04, torch.Generator().manual_seed(0)),
    )
    made.weigh(POINT)
    return made


@pytest.mark.parametrize("place", range(len(HESTON)))
def test_the_jacobian_is_a_difference_quotient_though_theta_keeps_its_paths(problem, place):
    step = np.zeros(len(POINT))
    step[place] = STEP
    plain = (problem.residuals(POINT + step) - problem.residuals(POINT)) / STEP
    found = problem.jacobian(POINT)[:, place]
    assert np.linalg.norm(found - plain) < 0.1 * np.linalg.norm(plain)


def test_each_moment_weighs_by_its_spread(problem):
    np.testing.assert_allclose((problem.weights[:, None] * problem.series(POINT)).std(1, ddof=1), 1.0)


def linear(noise):
    """Moments that are the point plus noise."""

    def series(point):
        there = np.zeros(len(MOMENTS))
        there[: len(point)] = point
        return there[:, None] + noise

    return series


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal((len(MOMENTS), 50))


def test_the_search_ends_where_the_moments_are_those_of_the_data(problem, noise, monkeypatch):
    monkeypatch.setattr(problem, "series", linear(noise))
    problem.data = problem.series(POINT).mean(1)
    found = problem.solve(POINT + np.array([0.2, -0.4, 0.3, 0.2]))
    np.testing.assert_allclose(found, POINT, atol=0.01)


def test_the_covariance_is_that_of_the_linear_estimator(problem, noise, monkeypatch):
    """That of the noise, times 1 + 1 / series, wherever the point is."""
    monkeypatch.setattr(problem, "series", linear(noise))
    problem.weights = np.ones(len(MOMENTS))
    covariance, mixed = problem.covariance(POINT)
    np.testing.assert_allclose(covariance, np.cov(noise)[:4, :4] * 1.02, rtol=1e-6)
    assert mixed == set()


def test_parameters_that_move_the_same_moment_are_mixed_up(problem, noise, monkeypatch):
    apart = linear(noise)
    monkeypatch.setattr(problem, "series", lambda point: apart(np.array([point[0], point[1] + point[2], 0, point[3]])))
    problem.weights = np.ones(len(MOMENTS))
    covariance, mixed = problem.covariance(POINT)
    assert mixed == {1, 2}
    assert math.sqrt(covariance[1, 1]) > 100
