"""Cross-validation of the price of a jump: scores by hand, folds that know the past alone, choices that make sense."""

import math

import numpy as np
import pytest

from praesidium.component import InputError
from praesidium.regimes.jump import JumpModel, hard
from praesidium.regimes.jump_fit import Sample, fit_jumps, forward
from praesidium.regimes.penalty_selection import CRITERIA, compare_penalties, predictive, sharpe
from praesidium.training.reproducibility import stream

PENALTIES = (0.0, 2.0, 20.0)


def draw(times=240, seed=0):
    """Two regimes of fifty days: up by little, down by much."""
    noise = np.random.default_rng(seed)
    state = (np.arange(times) // 50) % 2
    return np.where(state == 0, 0.001, -0.003) + np.where(state == 0, 0.005, 0.02) * noise.normal(size=times), state


def sample_of(values, lengths=None):
    columns = values.reshape(len(values), -1, 1)
    features = np.concatenate([np.abs(columns), columns], axis=-1)
    return Sample(features, columns, np.array([len(values)] * columns.shape[1]) if lengths is None else lengths)


def fit(sample, penalties):
    return fit_jumps(sample, penalties, n_regimes=2, n_init=4, generator=stream("tests", "penalties"))


def compare(sample, criterion="predictive", n_splits=3):
    return compare_penalties(sample, PENALTIES, fit, hard, criterion=criterion, n_splits=n_splits)


def judged(criterion):
    """Score of the rows from 120 on, with the fit, the filtered regimes and the returns behind it."""
    sample = sample_of(draw()[0])
    [one] = fit(sample.until(np.array([120])), [2.0])
    probabilities = hard(forward([one], sample.features))[:, :, 0]
    returns = sample.columns[..., 0]
    scored = np.arange(240)[:, np.newaxis] >= 120
    return criterion(one, probabilities, returns, scored), one, probabilities[:, :, 0], returns[:, 0]


def test_the_predictive_score_is_the_log_density_of_the_next_return():
    score, one, probabilities, returns = judged(predictive)
    logs = []
    for time in range(120, 240):
        ahead = probabilities[time - 1] @ one.transition
        mean, deviation = one.laws.mean[:, 0].numpy(), one.volatilities
        density = np.exp(-0.5 * ((returns[time] - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        logs.append(math.log(ahead @ density))
    assert score == pytest.approx(np.mean(logs))


def test_the_sharpe_ratio_is_that_of_signals_traded_a_day_later():
    score, one, probabilities, returns = judged(sharpe)
    signal = [int(row.argmax() != one.volatilities.argmax()) for row in probabilities]
    earned = []
    for time in range(120, 240):
        held, before = signal[time - 2], signal[time - 3]
        earned.append(held * returns[time] - 0.001 * abs(held - before))
    assert 0 < sum(signal[118:238]) < 120
    assert score == pytest.approx(np.mean(earned) / np.std(earned) * math.sqrt(252))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_fold_knows_nothing_that_comes_after_it(criterion):
    values, other = draw()[0], draw()[0]
    other[120:] = draw(seed=1)[0][120:]
    first, second = (compare(sample_of(one), criterion) for one in (values, other))
    assert np.array_equal(first["fold_1"], second["fold_1"])
    assert not np.array_equal(first["fold_2"], second["fold_2"])


def test_a_fold_is_fitted_on_what_comes_before_it():
    values = draw()[0]
    fits = fit(sample_of(values[:60]), PENALTIES)
    seen = sample_of(values[:120])
    probabilities = hard(forward(fits, seen.features))
    scored = np.arange(120)[:, np.newaxis] >= 60
    expected = [predictive(one, probabilities[:, :, at], seen.columns[..., 0], scored) for at, one in enumerate(fits)]
    np.testing.assert_allclose(compare(sample_of(values))["fold_1"], expected)


def test_sequences_are_cut_at_the_same_share_of_each():
    """Two equal sequences side by side score as one does, except for rounding."""
    values = draw()[0]
    alone, twice = compare(sample_of(values)), compare(sample_of(np.stack([values, values], axis=1)))
    assert list(twice.columns) == ["fold_1", "fold_2", "fold_3", "mean"]
    np.testing.assert_allclose(twice["fold_3"], alone["fold_3"], rtol=1e-2)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_best_mean_is_taken_and_refitted(criterion):
    values = draw(600)[0]
    settings = {"indicators": "returns", "half_lives": (2.0, 5.0), "n_init": 3}
    chosen = JumpModel(jump_penalty="cv", penalties=(1.0, 10.0, 1e4), criterion=criterion, n_splits=3, **settings)
    table = chosen.fit(values).cv_results_
    np.testing.assert_allclose(table["mean"], table[["fold_1", "fold_2", "fold_3"]].mean(axis=1))
    assert chosen.jump_penalty_ == table["mean"].idxmax()
    same = JumpModel(jump_penalty=chosen.jump_penalty_, **settings).fit(values)
    assert np.array_equal(chosen.filter(values), same.filter(values))


def test_regimes_that_last_are_worth_a_penalty():
    """Days are too noisy one by one, and never to jump tells nothing of the next return."""
    values, state = draw(1500, seed=3)
    features = np.abs(values)
    model = JumpModel(jump_penalty="cv", penalties=(0.0, 5.0, 1e5), n_splits=3).fit(np.c_[values, features])
    assert model.jump_penalty_ == 5.0
    assert (model.decode(np.c_[values, features]) == state).mean() > 0.95


def test_a_stretch_without_returns_is_no_score_and_too_few_rows_are_refused():
    values = draw()[0]
    values[60:120] = np.nan
    table = compare(sample_of(values))
    assert table["fold_1"].isna().all()
    assert table["mean"].notna().all()
    with pytest.raises(InputError, match="n_splits=3 needs 8 rows"):
        compare(sample_of(values[:7]))
