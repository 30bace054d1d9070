"""The input-driven hidden Markov model: effects, their lag, and what comes of none."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from praesidium.component import InputError
from praesidium.regimes import hmm
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.input_driven import RARE, InputDrivenHMM, log_moves

VOLATILITY = np.array([0.006, 0.018])


def market(rows, seed=0):
    """Two regimes, entered and left with log-odds that an input moves, and the states and inputs."""
    draws = np.random.default_rng(seed)
    inputs = np.zeros((rows, 2))
    for t in range(1, rows):
        inputs[t] = 0.9 * inputs[t - 1] + 0.44 * draws.normal(size=2)
    inputs /= inputs.std(0)
    up, down = expit(-4 + 1.5 * inputs[:, 0]), expit(-3.5 - inputs[:, 0])
    states = np.zeros(rows, dtype=int)
    for t in range(1, rows):  # the inputs of a row drive the move to the next one
        leave = up[t - 1] if states[t - 1] == 0 else down[t - 1]
        states[t] = states[t - 1] ^ (draws.random() < leave)
    return VOLATILITY[states][:, np.newaxis] * draws.normal(size=(rows, 2)), states, inputs


@pytest.fixture(scope="module")
def planted():
    return market(4000)


@pytest.fixture(scope="module")
def fitted(planted):
    X, _, inputs = planted
    return InputDrivenHMM(2).fit(X, inputs=inputs)


def test_planted_effects_are_found(planted, fitted):
    X, states, inputs = planted
    assert fitted.converged_
    np.testing.assert_allclose(fitted.volatilities_, VOLATILITY, rtol=0.05)
    np.testing.assert_allclose(fitted.effects_[0, 1], [1.5, 0.0], atol=0.4)
    np.testing.assert_allclose(fitted.effects_[1, 0], [-1.0, 0.0], atol=0.4)
    assert (fitted.effects_[[0, 1], [0, 1]] == 0).all()
    np.testing.assert_allclose(
        fitted.transition_, [[1 - expit(-4), expit(-4)], [expit(-3.5), 1 - expit(-3.5)]], atol=0.015
    )
    stationary = GaussianHMM(2).fit(X)
    assert fitted.score(X, inputs=inputs) > stationary.score(X) + 20
    assert fitted.bic(X, inputs=inputs) < stationary.bic(X)
    assert fitted.n_parameters_ == stationary.n_parameters_ + 4
    driven = (fitted.predict(X, inputs=inputs) == states).mean()
    assert driven > (stationary.predict(X) == states).mean()


def test_forecasts_know_the_inputs_of_the_row(planted, fitted):
    X, states, inputs = planted
    ahead = fitted.forecast(X, inputs=inputs)[:-1]
    stationary = GaussianHMM(2).fit(X)
    scores = [-np.log(one[np.arange(len(one)), states[1:]]).mean() for one in (ahead, stationary.forecast(X)[:-1])]
    assert scores[0] < scores[1]
    known, moves = fitted.filter(X, inputs=inputs), fitted.transitions(inputs)
    np.testing.assert_allclose(ahead, np.einsum("ti,tij->tj", known, moves)[:-1], atol=1e-12)
    twice = fitted.forecast(X, inputs=inputs, steps=2)
    np.testing.assert_allclose(twice, np.einsum("ti,tij,tjk->tk", known, moves, moves), atol=1e-12)


def test_inputs_of_a_row_drive_the_move_to_the_next(planted, fitted):
    X, _, inputs = planted
    X, inputs = X[:60], inputs[:60]
    changed = inputs.copy()
    changed[30] = 4.0
    for method, first in (("filter", 31), ("forecast", 30)):
        one, two = (getattr(fitted, method)(X, inputs=given) for given in (inputs, changed))
        np.testing.assert_array_equal(one[:first], two[:first])
        assert not np.array_equal(one[first], two[first])
    ends = inputs.copy()
    ends[-1] = -9.0  # no row follows that it could move to
    assert fitted.score(X, inputs=ends) == fitted.score(X, inputs=inputs)


@pytest.mark.parametrize("wild", [1e3, -1e3])
def test_wild_inputs_later_do_not_move_a_bit_before(planted, fitted, wild):
    X, _, inputs = planted
    X, inputs = X[:50], inputs[:50]
    later = inputs.copy()
    later[20:] = wild
    one, two = (fitted.filter(X, inputs=given) for given in (inputs, later))
    np.testing.assert_array_equal(one[:21], two[:21])
    assert np.isfinite(two).all()
    assert np.isfinite(fitted.score(X, inputs=later))


def test_the_likelihood_is_that_of_a_chain_with_these_moves(planted, fitted):
    X, _, inputs = planted
    X, inputs, lengths = X[:40], inputs[:40], [25, 15]
    density = -0.5 * (
        (X[:, np.newaxis] - fitted.means_) ** 2 / fitted.scales_ + np.log(2 * np.pi * fitted.scales_)
    ).sum(-1)
    base = np.log(fitted.transition_ / fitted.transition_.diagonal()[:, np.newaxis])
    z = (inputs - fitted.input_means_) / fitted.input_scales_
    odds = np.exp(base + np.einsum("iju,tu->tij", fitted.effects_, z))
    moves = odds / odds.sum(-1, keepdims=True)
    np.testing.assert_allclose(fitted.transitions(inputs), moves, atol=1e-10)
    total = 0.0
    for cut in (slice(0, 25), slice(25, 40)):
        initial = torch.from_numpy(fitted.initial_).log()
        steps, rows = torch.from_numpy(moves[cut][:-1]).log(), torch.from_numpy(density[cut]).unsqueeze(0)
        total += hmm.log_normalizer(initial, steps, rows).item()
    assert fitted.score(X, inputs=inputs, lengths=lengths) == pytest.approx(total, rel=1e-9)


def test_inputs_that_say_nothing_cost_nothing_and_change_little():
    X, _, _ = market(800, seed=1)
    noise = np.random.default_rng(9).normal(size=(800, 2))
    model, stationary = InputDrivenHMM(2, penalty=10.0).fit(X, inputs=noise), GaussianHMM(2).fit(X)
    assert model.history_[0] == pytest.approx(stationary.history_[-1], abs=0.05)
    assert (np.diff(model.history_) > -1e-9).all()  # penalties included
    assert model.history_[-1] >= stationary.history_[-1] - 1e-3
    assert np.abs(model.effects_).max() < 0.5
    np.testing.assert_allclose(model.filter(X, inputs=noise), stationary.filter(X), atol=0.15)


def test_a_large_penalty_leaves_the_stationary_model():
    X, _, inputs = market(500, seed=2)
    model, stationary = InputDrivenHMM(2, penalty=1e9).fit(X, inputs=inputs), GaussianHMM(2, tol=1e-10).fit(X)
    assert np.abs(model.effects_).max() < 1e-6
    np.testing.assert_allclose(model.transition_, stationary.transition_, atol=2e-3)
    assert model.score(X, inputs=inputs) == pytest.approx(stationary.score(X), abs=1e-2)


def test_the_objective_is_the_penalized_likelihood():
    X, _, inputs = market(300, seed=3)
    model = InputDrivenHMM(2, penalty=2.0, stickiness=5.0, covariance="full").fit(X, inputs=inputs, lengths=[100, 200])
    prior = 5.0 * np.log(model.transition_.diagonal()).sum() - (model.effects_**2).sum()
    assert model.history_[-1] == pytest.approx(model.score(X, inputs=inputs, lengths=[100, 200]) + prior, abs=1e-6)


def test_units_of_inputs_do_not_matter(planted):
    X, _, inputs = planted
    X, inputs = X[:400], inputs[:400]
    one = InputDrivenHMM(2).fit(X, inputs=inputs)
    two = InputDrivenHMM(2).fit(X, inputs=20 + 7 * inputs)
    np.testing.assert_allclose(one.effects_, two.effects_, atol=1e-4)
    np.testing.assert_allclose(one.filter(X, inputs=inputs), two.filter(X, inputs=20 + 7 * inputs), atol=1e-4)


def test_moves_are_bounded_away_from_impossible():
    log_mean = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64).log()
    effects = torch.tensor([[[0.0], [3.0]], [[-3.0], [0.0]]], dtype=torch.float64)
    moves = log_moves(log_mean, effects, torch.tensor([[0.0], [1e4], [-1e4]], dtype=torch.float64)).exp()
    torch.testing.assert_close(moves.sum(-1), torch.ones(3, 2, dtype=torch.float64))
    torch.testing.assert_close(moves[0], log_mean.exp())
    assert moves.min().item() >= RARE * 0.999


def test_bad_inputs_are_refused_in_a_sentence(planted, fitted):
    X, _, inputs = planted
    days = pd.bdate_range("2020-01-01", periods=100)
    frame, shifted = pd.DataFrame(X[:100], index=days), pd.DataFrame(inputs[:100], index=days + pd.Timedelta(days=1))
    holes = inputs.copy()
    holes[7, 1] = np.nan
    for call in (InputDrivenHMM(2).fit, fitted.filter, fitted.forecast, fitted.score, fitted.smooth, fitted.decode):
        with pytest.raises(InputError, match="inputs: InputDrivenHMM needs them"):
            call(X)
        with pytest.raises(InputError, match="inputs: they have 3999 rows, but X has 4000"):
            call(X, inputs=inputs[:-1])
        with pytest.raises(InputError, match="inputs: their index is not that of X"):
            call(frame, inputs=shifted)
        with pytest.raises(InputError, match="inputs: 1 numbers are missing"):
            call(X, inputs=holes)
    with pytest.raises(InputError, match="inputs: they have 1 columns, but 2 were fitted"):
        fitted.filter(X, inputs=inputs[:, 0])
    with pytest.raises(InputError, match=r"penalty: -1\.0"):
        InputDrivenHMM(2, penalty=-1.0).fit(X, inputs=inputs)
    with pytest.raises(InputError, match="GaussianHMM takes none"):
        GaussianHMM(2).fit(X, inputs=inputs)
