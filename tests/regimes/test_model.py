"""What all regime models do before they are asked for anything of their own."""

import json

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.regimes import VQVAEHMM, JumpModel, RegimeModel, VolatilityBands
from praesidium.regimes.gaussian_hmm import GaussianHMM

MODELS = [
    GaussianHMM(n_init=1, max_iter=5),
    JumpModel(n_init=2),
    VolatilityBands(2),
    VQVAEHMM(2, hidden=4, n_codes=4, epochs=1),
]


def market(rows=60):
    values = np.random.default_rng(0).normal(size=(rows, 2)) * [0.01, 1.0]
    return pd.DataFrame(values, index=pd.bdate_range("2020-01-01", periods=rows), columns=["a", "b"])


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.kind)
def test_columns_by_other_names_are_refused(model):
    X = market()
    model.fit(X)
    again = type(model)(**model.get_params()).restore(json.loads(json.dumps(model.learned())))
    for one in (model, again):
        assert list(one.feature_names_in_) == ["a", "b"]
        np.testing.assert_array_equal(one.filter(X), one.filter(X.to_numpy()))
        for other, mend in (
            (X[["b", "a"]], r"say X\[\['a', 'b'\]\]"),
            (X.rename(columns={"b": "c"}), "rename them to"),
        ):
            with pytest.raises(InputError, match=f"are not those that were fitted; {mend}"):
                one.filter(other)


def test_columns_without_names_are_known_by_their_place():
    X = market()
    model = GaussianHMM(n_init=1, max_iter=5).fit(X)
    for nameless in (X.to_numpy(), X.set_axis([0, 1], axis=1)):
        model.fit(nameless)
        assert not hasattr(model, "feature_names_in_")
        np.testing.assert_array_equal(model.filter(X[["b", "a"]]), model.filter(X[["b", "a"]].to_numpy()))


def test_counts_that_are_none_are_refused_before_any_work():
    model, X = GaussianHMM(n_init=1, max_iter=5).fit(market()), market()
    forecast, sample = RegimeModel.forecast.__wrapped__, RegimeModel.sample.__wrapped__  # annotations are not checked
    for count in (2.5, 0, True, "2"):
        with pytest.raises(InputError, match=r"steps: .* is not a positive number of periods"):
            forecast(model, X.rename(columns={"a": "not fitted"}), steps=count)
        with pytest.raises(InputError, match=r"sample: n=.* is not a positive number of rows"):
            sample(model, count)
    np.testing.assert_array_equal(sample(model, np.int64(5))[0], model.sample(5)[0])
    np.testing.assert_array_equal(forecast(model, X, steps=np.int64(3)), model.forecast(X, steps=3))
