"""What every regime model promises, for each one in the registry."""

import importlib
import json
import pkgutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import praesidium.regimes
from praesidium.component import InputError
from praesidium.regimes.causality import LookAhead, deciding
from praesidium.regimes.markov import MarkovModel
from praesidium.regimes.model import RegimeModel, regime_model

for found in pkgutil.iter_modules(praesidium.regimes.__path__):
    importlib.import_module(f"praesidium.regimes.{found.name}")

KINDS = sorted(RegimeModel.registry)
SMALL = {"epochs": 2, "n_init": 2, "max_iter": 60, "jump_penalty": 5.0}  # for those that have it, fit for few rows
ROWS, CUT = 140, 90
CAUSAL = ["filter", "predict", "predict_proba", "forecast"]


@pytest.fixture(scope="module")
def X():
    """Days of a return and of a spread: calm and low, wild and high, calm and low, wild and high."""
    draws = np.random.default_rng(0)
    wild = (np.arange(ROWS) // 35) % 2
    values = np.column_stack([np.where(wild, 0.025, 0.006), 0.3 + 0 * wild]) * draws.normal(size=(ROWS, 2))
    values[:, 1] += wild
    return pd.DataFrame(values, index=pd.bdate_range("2020-01-01", periods=ROWS), columns=["return", "spread"])


@pytest.fixture(scope="module")
def inputs(X):
    """What may drive transitions: the size of the day's return."""
    return pd.DataFrame({"size": np.log(X["return"].abs() + 1e-3), "sign": np.sign(X["return"])})


@pytest.fixture(scope="module")
def fitted(X, inputs):
    """Fits a member once."""
    kept = {}

    def fit(kind):
        if kind not in kept:
            kept[kind] = new(kind).fit(X, **given(kind, inputs))
        return kept[kind]

    return fit


def new(kind, **settings):
    names = RegimeModel.registry[kind]._get_param_names()
    quick = {name: value for name, value in SMALL.items() if name in names}
    return regime_model(kind, **({"n_regimes": 2, "random_state": 3} | quick | settings))


def given(kind, inputs):
    return {"inputs": inputs} if RegimeModel.registry[kind].needs_inputs else {}


def valid(probabilities):
    """Whether each row sums to one, or is not known at all."""
    sums = np.asarray(probabilities).sum(-1)
    unknown = np.isnan(np.asarray(probabilities)).all(-1)
    return bool((np.isclose(sums, 1) | unknown).all() and not unknown[-1])


every = pytest.mark.parametrize("kind", KINDS)


@every
def test_settings_go_in_and_come_out(kind):
    model = new(kind)
    assert model.kind == kind
    assert next(iter(RegimeModel.registry[kind]._get_param_names())) in model.get_params()
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(random_state=8).random_state == 8
    assert (model.n_regimes, model.random_state) == (2, 3)


@every
@pytest.mark.parametrize("method", [*CAUSAL, "smooth", "decode", "score"])
def test_nothing_comes_before_the_fit(kind, method, X, inputs):
    with pytest.raises(NotFittedError):
        getattr(new(kind), method)(X, **given(kind, inputs))
    with pytest.raises(NotFittedError):
        new(kind).sample(3)


@every
def test_what_was_fitted_has_its_shapes_and_its_order(kind, fitted):
    model = fitted(kind)
    assert model.n_features_in_ == 2
    assert model.initial_.shape == (2,)
    assert model.transition_.shape == (2, 2)
    assert model.means_.shape == (2, 2)
    assert model.volatilities_.shape == (2,)
    assert (np.diff(model.volatilities_) >= 0).all()
    assert (model.volatilities_ > 0).all()
    assert model.initial_.sum() == pytest.approx(1)
    np.testing.assert_allclose(model.transition_.sum(-1), 1)
    assert (model.transition_ >= 0).all()
    for one in (model.initial_, model.transition_, model.means_, model.volatilities_):
        assert isinstance(one, np.ndarray)
        assert one.dtype == np.float64


@every
@pytest.mark.parametrize("method", ["filter", "predict_proba", "forecast", "smooth"])
def test_probabilities_sum_to_one_and_keep_the_form_of_the_input(kind, method, X, inputs, fitted):
    model = fitted(kind)
    frame = getattr(model, method)(X, **given(kind, inputs))
    array = getattr(model, method)(X.to_numpy(), **given(kind, inputs.to_numpy()))
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.equals(X.index)
    assert list(frame.columns) == [0, 1]
    assert isinstance(array, np.ndarray)
    assert array.shape == (ROWS, 2)
    assert valid(frame)
    np.testing.assert_array_equal(frame.to_numpy(), array)


@every
@pytest.mark.parametrize("method", ["predict", "decode"])
def test_labels_keep_the_form_of_the_input(kind, method, X, inputs, fitted):
    model = fitted(kind)
    series = getattr(model, method)(X, **given(kind, inputs))
    array = getattr(model, method)(X.to_numpy(), **given(kind, inputs.to_numpy()))
    assert isinstance(series, pd.Series)
    assert series.index.equals(X.index)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(series, array)
    assert set(np.unique(array)) <= {-1, 0, 1}
    if method == "predict":
        known = model.filter(X, **given(kind, inputs)).to_numpy()
        unknown = np.isnan(known).any(-1)
        np.testing.assert_array_equal(array[unknown], -1)
        np.testing.assert_array_equal(array[~unknown], known[~unknown].argmax(-1))


@every
def test_a_wild_month_is_told_from_a_calm_one(kind, X, inputs, fitted):
    model = fitted(kind)
    found = model.smooth(X, **given(kind, inputs)).to_numpy()
    assert np.nanmean(found[40:65, 1]) > np.nanmean(found[75:100, 1])


@every
@pytest.mark.parametrize("method", CAUSAL)
def test_the_future_cannot_move_a_bit_of_the_past(kind, method, X, inputs, fitted):
    model, draws = fitted(kind), np.random.default_rng(5)
    one = getattr(model, method)(X, **given(kind, inputs)).to_numpy()
    for cut in (CUT, ROWS - 2):
        later, later_inputs = X.copy(), inputs.copy()
        later.iloc[cut + 1 :] = 0.5 * draws.normal(size=later.iloc[cut + 1 :].shape)
        later.iloc[cut + 3 :: 4, 0] = np.nan
        later_inputs.iloc[cut + 1 :] = 50 * draws.normal(size=later_inputs.iloc[cut + 1 :].shape)
        two = getattr(model, method)(later, **given(kind, later_inputs)).to_numpy()
        np.testing.assert_array_equal(one[: cut + 1], two[: cut + 1])


@every
@pytest.mark.parametrize("method", ["smooth", "decode"])
def test_looking_ahead_is_refused_where_a_decision_is_made(kind, method, X, inputs, fitted):
    model = fitted(kind)
    with deciding():
        model.filter(X, **given(kind, inputs))
        with pytest.raises(LookAhead, match=method):
            getattr(model, method)(X, **given(kind, inputs))
    getattr(model, method)(X, **given(kind, inputs))


@every
def test_missing_numbers_are_put_up_with(kind, X, inputs, fitted):
    model, holes = fitted(kind), X.copy()
    holes.iloc[50:53] = np.nan
    holes.iloc[100, 0] = np.nan
    holes.iloc[101, 1] = np.nan
    for method in ("filter", "smooth", "forecast"):
        assert valid(getattr(model, method)(holes, **given(kind, inputs)))
    assert set(model.decode(holes, **given(kind, inputs))) <= {-1, 0, 1}
    assert np.isfinite(model.score(holes, **given(kind, inputs)))
    again = new(kind).fit(holes, **given(kind, inputs))
    for one in (again.initial_, again.transition_, again.means_, again.volatilities_):
        assert np.isfinite(one).all()


@every
def test_sequences_are_as_in_calls_of_their_own(kind, X, inputs, fitted):
    model, lengths, cuts = fitted(kind), [80, ROWS - 80], [slice(0, 80), slice(80, ROWS)]
    for method in ("filter", "predict", "forecast", "smooth", "decode"):
        whole = getattr(model, method)(X, **given(kind, inputs), lengths=lengths)
        parts = [getattr(model, method)(X.iloc[cut], **given(kind, inputs.iloc[cut])) for cut in cuts]
        np.testing.assert_allclose(whole, np.concatenate(parts), rtol=0, atol=1e-10)
    apart = sum(model.score(X.iloc[cut], **given(kind, inputs.iloc[cut])) for cut in cuts)
    assert model.score(X, **given(kind, inputs), lengths=lengths) == pytest.approx(apart)
    with pytest.raises(InputError, match="lengths"):
        model.filter(X, **given(kind, inputs), lengths=[80, 80])


@every
def test_forecasts_are_the_filter_moved_by_the_chain(kind, X, inputs, fitted):
    model = fitted(kind)
    if not model.needs_inputs:
        known = model.filter(X).to_numpy()
        for steps in (1, 4):
            expected = known @ np.linalg.matrix_power(model.transition_, steps)
            np.testing.assert_allclose(model.forecast(X, steps=steps), expected, atol=1e-12)
    with pytest.raises(InputError, match="steps: 0"):
        model.forecast(X, steps=0, **given(kind, inputs))


@every
def test_log_scores_sum_to_the_score(kind, X, inputs, fitted):
    model = fitted(kind)
    assert np.isfinite(model.score(X, **given(kind, inputs)))
    if isinstance(model, MarkovModel):
        scores = model.log_scores(X, **given(kind, inputs))
        assert scores.index.equals(X.index)
        assert scores.sum() == pytest.approx(model.score(X, **given(kind, inputs)))


@every
def test_samples_have_their_shape_and_repeat(kind, fitted):
    model = fitted(kind)
    values, states = model.sample(60, random_state=1)
    assert values.shape == (60, 2)
    assert states.shape == (60,)
    assert np.isfinite(values).all()
    assert set(states) <= {0, 1}
    again, other = model.sample(60, random_state=1), model.sample(60, random_state=2)
    np.testing.assert_array_equal(values, again[0])
    np.testing.assert_array_equal(states, again[1])
    assert not np.array_equal(values, other[0])
    with pytest.raises(InputError, match="n=0"):
        model.sample(0)


@every
def test_fits_repeat_and_leave_global_random_state_alone(kind, X, inputs, fitted):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = new(kind).fit(X.to_numpy(), **given(kind, inputs))
    again.sample(5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    model = fitted(kind)
    for name in ("initial_", "transition_", "means_", "volatilities_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(again, name))
    np.testing.assert_array_equal(model.filter(X, **given(kind, inputs)), again.filter(X, **given(kind, inputs)))


@every
def test_what_was_learned_can_be_written_down(kind, X, inputs, fitted):
    model = fitted(kind)
    again = new(kind).restore(json.loads(json.dumps(model.learned())))
    for method in (*CAUSAL, "smooth", "decode"):
        one, two = (getattr(one, method)(X, **given(kind, inputs)) for one in (model, again))
        np.testing.assert_array_equal(one, two)
    assert again.score(X, **given(kind, inputs)) == model.score(X, **given(kind, inputs))


@every
def test_one_column_will_do(kind, X, inputs):
    model = new(kind).fit(X["return"], **given(kind, inputs))
    assert model.means_.shape == (2, 1)
    assert valid(model.filter(X["return"], **given(kind, inputs)))
    np.testing.assert_array_equal(
        model.filter(X["return"].to_numpy(), **given(kind, inputs)), model.filter(X[["return"]], **given(kind, inputs))
    )


@every
def test_bad_input_is_refused_in_a_sentence(kind, X, inputs, fitted):
    some = given(kind, inputs)
    few, infinite, words = X.iloc[:3], X.replace(X.iloc[7, 0], np.inf), X.astype(object).replace(X.iloc[7, 0], "high")
    with pytest.raises(InputError, match="X: 3 rows hold a number"):
        new(kind).fit(few, **given(kind, inputs.iloc[:3]))
    with pytest.raises(InputError, match="X: 1 numbers are infinite"):
        new(kind).fit(infinite, **some)
    with pytest.raises(InputError, match="X: it holds something that is no number"):
        new(kind).fit(words, **some)
    with pytest.raises(InputError, match="X: it has 1 columns, but 2 were fitted"):
        fitted(kind).filter(X[["return"]], **some)
    with pytest.raises(InputError, match="n_regimes: 0"):
        RegimeModel.registry[kind](n_regimes=0).fit(X, **some)
    with pytest.raises(InputError, match="is unknown"):
        regime_model(kind, regimes=2)


def test_a_name_that_nobody_has_is_refused():
    with pytest.raises(InputError, match="did you mean 'gaussian_hmm'"):
        regime_model("gausian_hmm")
