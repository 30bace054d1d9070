"""What a setting may be, alone and in every regime model."""

import json
from fractions import Fraction

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from praesidium.component import InputError, check_name, real, reals, whole
from praesidium.regimes import VQVAEHMM, GaussianHMM, InputDrivenHMM, JumpModel, StudentHMM, VolatilityBands

NUMBERS = {"n_init": np.int64(1), "max_iter": np.int32(5), "tol": np.float32(1e-3), "stickiness": np.float32(1)}
FROM_NUMPY = [
    (GaussianHMM, NUMBERS | {"covariance": "full"}),
    (StudentHMM, NUMBERS),
    (InputDrivenHMM, NUMBERS | {"penalty": np.float32(1)}),
    (JumpModel, {"jump_penalty": np.float32(3), "n_init": np.int64(2)}),
    (JumpModel, {"jump_penalty": "cv", "penalties": np.array([1.0, 2.0]), "n_splits": np.int64(2)}),
    (VolatilityBands, {"window": np.int64(5), "periods": np.float32(252), "edges": np.array([0.2])}),
    (VQVAEHMM, {"hidden": np.int64(4), "n_codes": np.int64(4), "epochs": np.int64(1), "pseudo_stays": np.float32(1)}),
]


def market(rows=200):
    scale = np.where((np.arange(rows) // 40) % 2, 0.02, 0.005)
    return scale * np.random.default_rng(0).normal(size=rows)


def test_whole_numbers_are_python_s_or_numpy_s_and_true_is_none():
    assert all(map(whole, (1, 3, np.int64(2), np.uint8(7))))
    assert not any(map(whole, (0, -1, True, np.True_, 2.0, np.float64(2), "2", None, np.array([2]), float("nan"))))
    assert whole(np.int64(0), 0)
    assert not whole(2, 3)


def test_numbers_are_python_s_or_numpy_s_and_true_is_none():
    assert all(map(real, (0, -1.5, np.float32(2), np.int8(3), Fraction(1, 3), float("inf"))))
    assert not any(map(real, (True, np.False_, "1", None, 1j, [1.0], np.array(1.0))))
    assert all(map(reals, ([], (1, 2.5), range(3), np.array([0.1, 0.2]))))
    assert not any(map(reals, (1.0, "cv", None, [1, "a"], np.eye(2), np.array(1.0), np.array([True]), [[1], [1, 2]])))


def test_names_are_text_and_known():
    check_name("covariance", "full", ["diag", "full"])
    for value in ("fulll", None, ["full"], 3):
        with pytest.raises(InputError, match=r"covariance: .* is unknown"):
            check_name("covariance", value, ["diag", "full"])


@pytest.mark.parametrize(("family", "numbers"), FROM_NUMPY, ids=str)
def test_numbers_of_numpy_are_as_good_as_those_of_python(family, numbers):
    """As a grid gives them; what is learned can still be written down, and is the same."""
    plain = {name: one.tolist() if isinstance(one, np.ndarray | np.generic) else one for name, one in numbers.items()}
    X, given = market(80), {"inputs": np.abs(market(80))} if family.needs_inputs else {}
    one, two = (
        family().set_params(**settings).fit(X, **given)
        for settings in (numbers | {"n_regimes": np.int64(2)}, plain | {"n_regimes": 2})
    )
    assert json.dumps(one.learned()) == json.dumps(two.learned())
    np.testing.assert_array_equal(one.filter(X, **given), two.filter(X, **given))


def test_a_grid_of_whole_numbers_is_searched():
    grid = {"n_regimes": np.arange(1, 4), "n_init": np.array([1])}
    found = GridSearchCV(GaussianHMM(max_iter=10), grid, cv=2, error_score="raise").fit(market()[:, np.newaxis])
    assert found.best_params_["n_regimes"] > 1


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        *(
            (family, {"n_regimes": True})
            for family in (GaussianHMM, InputDrivenHMM, JumpModel, VolatilityBands, VQVAEHMM)
        ),
        *((GaussianHMM, {name: "abc"}) for name in ("n_init", "max_iter", "tol", "stickiness", "min_variance")),
        (GaussianHMM, {"min_variance": None}),
        (GaussianHMM, {"covariance": ["full"]}),
        (StudentHMM, {"method": ["em"]}),
        (InputDrivenHMM, {"penalty": "x"}),
        *((JumpModel, {name: 5}) for name in ("half_lives", "penalties", "indicators")),
        (JumpModel, {"jump_penalty": np.array([1.0, 2.0])}),
        (JumpModel, {"jump_penalty": True}),
        *((VolatilityBands, {name: 0.1}) for name in ("edges", "window")),
        *((VolatilityBands, {name: "x"}) for name in ("edges", "periods", "pseudo_count")),
        *((VQVAEHMM, {name: 2.5}) for name in ("hidden", "n_codes", "epochs", "min_length", "max_length")),
        *((VQVAEHMM, {name: "a"}) for name in ("n_codes", "pseudo_stays", "learning_rate", "held_out")),
        (VQVAEHMM, {"epochs": 0}),
        (VQVAEHMM, {"emissions": ["student"]}),
    ],
    ids=str,
)
def test_what_is_no_such_number_is_refused_by_name(family, settings):
    [name] = settings
    with pytest.raises(InputError, match=f"^{name}: "):
        family().set_params(**settings).fit(market())
