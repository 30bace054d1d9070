"""The jump model as a regime model: planted regimes, the contract of the family, and what it refuses."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from praesidium.component import InputError
from praesidium.regimes.causality import LookAhead, deciding
from praesidium.regimes.indicators import downside_deviation
from praesidium.regimes.jump import JumpModel
from praesidium.regimes.model import RegimeModel, regime_model


def planted(times=1200, seed=0, stay=0.99):
    """Daily returns, calm and rising or wild and falling, and which of both."""
    noise = np.random.default_rng(seed)
    jumps = noise.random(times) > stay
    state = np.cumsum(jumps) % 2
    law = np.array([[0.0008, 0.006], [-0.0015, 0.022]])[state]
    return law[:, 0] + law[:, 1] * noise.normal(size=times), state


def clouds(times=400, regimes=3, seed=0):
    """Features far apart in each of some regimes, and which it is; the first column is wilder in the later ones."""
    noise = np.random.default_rng(seed)
    state = (np.arange(times) // 25) % regimes
    return noise.normal(size=(times, 2)) * np.c_[1 + state, np.ones(times)] + 6.0 * np.c_[0 * state, state], state


SETTINGS = [
    {"indicators": "returns"},
    {"indicators": "returns", "probabilities": "soft"},
    {"jump_penalty": 3.0},
    {"jump_penalty": 0.5, "n_regimes": 3, "probabilities": "soft"},
]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def fitted(request):
    returns, _ = planted()
    return JumpModel(**request.param).fit(returns), returns


@pytest.mark.parametrize(
    ("settings", "stay", "smooth", "filtered"),
    [({}, 0.998, 0.9, 0.85), ({"half_lives": (5.0,), "jump_penalty": 20.0}, 0.99, 0.88, 0.8)],
)
def test_planted_regimes_of_returns_are_found_by_indicators(settings, stay, smooth, filtered):
    """Regimes of two years by the usual indicators, of five months by quick ones."""
    returns, state = planted(3000, stay=stay)
    model = JumpModel(indicators="returns", **settings).fit(returns)
    later, truth = planted(3000, seed=1, stay=stay)
    assert (model.decode(returns) == state).mean() > smooth
    assert (model.predict(later) == truth).mean() > filtered
    assert model.volatilities_ == pytest.approx([0.006, 0.022], rel=0.5)


def test_planted_clouds_are_found_in_the_order_of_volatility():
    features, state = clouds()
    model = JumpModel(3, jump_penalty=5.0).fit(features)
    assert np.array_equal(model.decode(features), state)
    for regime in range(3):
        here = features[state == regime]
        np.testing.assert_allclose(model.means_[regime], here.mean(0))
        assert model.volatilities_[regime] == pytest.approx(here[:, 0].std())
        expected = (here - features.mean(0)) / features.std(0)
        np.testing.assert_allclose(model.centers_[regime], expected.mean(0))


def test_moves_are_counted_with_one_for_each_regime_beforehand():
    features, state = clouds()
    model = JumpModel(3, jump_penalty=5.0).fit(features)
    counts = np.full((3, 3), 1 / 3)
    for now, later in pairwise(state):
        counts[now, later] += 1
    np.testing.assert_allclose(model.transition_, counts / counts.sum(1, keepdims=True))
    np.testing.assert_allclose(model.initial_, np.array([4, 1, 1]) / 6)


def test_the_filter_is_the_end_of_the_best_path_so_far(fitted):
    model, returns = fitted
    filtered = model.filter(returns)
    for end in (70, 300, 777, 1200):
        assert model.predict(returns)[end - 1] == model.decode(returns[:end])[-1]
        np.testing.assert_allclose(model.smooth(returns[:end])[-1], filtered[end - 1], atol=1e-9)


def test_smoothed_regimes_are_those_of_the_path(fitted):
    model, returns = fitted
    smoothed = model.smooth(returns)
    told = smoothed.max(1) > 0.5 + 1e-6
    assert np.array_equal(smoothed.argmax(1)[told], model.decode(returns)[told])
    assert told.mean() > 0.9


def test_the_future_cannot_move_the_past(fitted):
    model, returns = fitted
    other = returns.copy()
    other[500:] = planted(seed=9)[0][500:]
    for call in (model.filter, model.predict, model.predict_proba, model.forecast):
        for longer in (other, other[:903], np.append(other, 0.3)):
            assert np.array_equal(call(returns)[:500], call(longer)[:500])


def test_probabilities_sum_to_one_and_hard_ones_are_whole(fitted):
    model, returns = fitted
    probabilities = model.filter(returns)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(
        model.forecast(returns, steps=3), probabilities @ np.linalg.matrix_power(model.transition_, 3)
    )
    if model.probabilities == "hard":
        assert set(np.unique(probabilities[60:])) == {0.0, 1.0}


def test_hard_and_soft_agree_on_the_likeliest():
    returns, _ = planted()
    kinds = [JumpModel(indicators="returns", probabilities=kind).fit(returns) for kind in ("hard", "soft")]
    assert np.array_equal(*(model.predict(returns) for model in kinds))


def test_soft_odds_are_those_of_the_two_cheapest_ends():
    """Next to each other in one dimension: cost of the jump against what the days since have said."""
    features = np.r_[np.full(50, -1.0), np.full(50, 1.0)]
    model = JumpModel(jump_penalty=7.0, probabilities="soft").fit(np.tile(features, 2))
    probabilities = model.filter(np.r_[np.full(50, -1.0), np.full(6, 1.0)])
    low = model.centers_[:, 0].argmin()
    odds = np.log(probabilities[:, 1 - low] / probabilities[:, low])
    # Far from a jump the other end costs 7 more; each day of +1 then costs 2 more in the regime of -1.
    np.testing.assert_allclose(odds[40:], np.clip(np.r_[np.full(10, -9.0), -7 + 2.0 * np.arange(1, 7)], -9, 9))


def test_rows_without_a_number_cost_nothing():
    features, _ = clouds()
    model = JumpModel(3, jump_penalty=5.0).fit(features)
    gapped = np.insert(features, 110, np.full((7, 2), np.nan), axis=0)
    path = model.decode(gapped)
    assert np.array_equal(np.delete(path, slice(110, 117)), model.decode(features))
    assert (model.predict(gapped)[110:117] == model.predict(features)[109]).all()
    assert np.isfinite(JumpModel(3, jump_penalty=5.0).fit(gapped).score(gapped))


def test_before_anything_is_known_all_regimes_are_alike():
    returns, _ = planted()
    probabilities = JumpModel(indicators="returns").fit(returns).filter(returns)
    assert (probabilities[:4] == 0.5).all()


def test_sequences_are_apart():
    features, _ = clouds()
    whole = JumpModel(3, jump_penalty=5.0).fit(features, lengths=[260, 140])
    for call in ("filter", "decode", "smooth", "forecast"):
        apart = [getattr(whole, call)(part) for part in (features[:260], features[260:])]
        assert np.array_equal(getattr(whole, call)(features, lengths=[260, 140]), np.concatenate(apart))
    assert whole.score(features, lengths=[260, 140]) == pytest.approx(
        whole.score(features[:260]) + whole.score(features[260:])
    )


def test_the_score_is_the_likelihood_of_a_chain_with_normal_laws():
    """Against a plain loop over rows."""
    features, _ = clouds(times=60, regimes=2)
    model = JumpModel(jump_penalty=5.0).fit(features)
    deviations = np.stack([features[model.decode(features) == k].std(0) for k in range(2)])
    belief, total = model.initial_, 0.0
    for row in features:
        density = np.exp(-0.5 * ((row - model.means_) / deviations) ** 2) / (deviations * np.sqrt(2 * np.pi))
        joint = belief * density.prod(1)
        total += np.log(joint.sum())
        belief = joint / joint.sum() @ model.transition_
    assert model.score(features) == pytest.approx(total)


def test_samples_have_the_fitted_moments():
    features, _ = clouds()
    model = JumpModel(3, jump_penalty=5.0).fit(features)
    values, states = model.sample(20_000, random_state=3)
    for regime in range(3):
        assert values[states == regime, 0].std() == pytest.approx(model.volatilities_[regime], rel=0.05)
        np.testing.assert_allclose(values[states == regime].mean(0), model.means_[regime], atol=0.15)
    assert np.array_equal(values, model.sample(20_000, random_state=3)[0])


def test_an_empty_regime_has_the_law_of_all_rows():
    returns, _ = planted()
    model = JumpModel(jump_penalty=1e9).fit(returns)
    np.testing.assert_allclose(model.volatilities_, returns.std())
    assert np.isfinite(model.score(returns))


def test_training_alone_sets_the_units():
    returns, _ = planted()
    model = JumpModel(indicators="returns").fit(returns[:800])
    features = downside_deviation(returns[:800, np.newaxis], half_life=20.0)
    path = model.decode(returns[:800])
    expected = [(features[path == k] - np.nanmean(features)) / np.nanstd(features) for k in range(2)]
    np.testing.assert_allclose(model.centers_[:, 1], [np.nanmean(one) for one in expected])


def test_the_unit_of_returns_does_not_matter():
    returns, _ = planted()
    for settings in ({"indicators": "returns"}, {"jump_penalty": 2.0}):
        plain, percent = JumpModel(**settings).fit(returns), JumpModel(**settings).fit(100 * returns)
        assert np.array_equal(plain.decode(returns), percent.decode(100 * returns))
        np.testing.assert_allclose(percent.volatilities_, 100 * plain.volatilities_)


def test_pandas_comes_back_with_its_index():
    returns, _ = planted()
    series = pd.Series(returns, index=pd.bdate_range("2001-01-01", periods=len(returns)))
    model = JumpModel(indicators="returns").fit(series)
    assert model.filter(series).index.equals(series.index)
    assert np.array_equal(model.filter(series), model.filter(returns))


def test_it_is_a_member_that_clones_and_repeats():
    returns, _ = planted()
    model = regime_model("jump", indicators="returns", n_regimes=3, jump_penalty=10.0)
    assert RegimeModel.registry["jump"] is type(model) is JumpModel
    first, second = clone(model).fit(returns), clone(model).fit(returns)
    assert np.array_equal(first.filter(returns), second.filter(returns))
    assert np.array_equal(first.centers_, second.centers_)
    assert clone(first).get_params() == model.get_params()


def test_looking_ahead_is_refused_where_a_decision_is_made():
    returns, _ = planted()
    model = JumpModel(indicators="returns").fit(returns)
    with deciding():
        model.filter(returns)
        for call in (model.smooth, model.decode):
            with pytest.raises(LookAhead):
                call(returns)


@pytest.mark.parametrize("penalty", [5.0, "cv"])
def test_returns_without_a_loss_have_no_downside_deviation(penalty):
    returns = np.abs(planted(400)[0])
    returns[-1] = np.nan if penalty == 5.0 else -0.01  # no fold trains on the last row
    with pytest.raises(InputError, match=r"X: none of .* returns is negative, so there is no downside deviation"):
        JumpModel(indicators="returns", jump_penalty=penalty).fit(returns)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jump_penalty": -1.0}, "jump_penalty: -1.0 is neither"),
        ({"jump_penalty": "auto"}, "nor 'cv'"),
        ({"jump_penalty": float("nan")}, "jump_penalty: nan"),
        ({"indicators": "return"}, "did you mean 'returns'"),
        ({"probabilities": "softmax"}, "probabilities: 'softmax' is unknown"),
        ({"criterion": "sharp"}, "did you mean 'sharpe'"),
        ({"n_init": 0}, "n_init: 0 is not a positive"),
        ({"penalties": ()}, "penalties"),
        ({"half_lives": (5.0, 0.0)}, "half_lives"),
        ({"indicators": "returns", "half_lives": (2000.0,)}, "feature 0 holds no number in 300 rows"),
    ],
)
def test_what_it_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        JumpModel(**settings).fit(planted(300)[0])
