"""Observations: what comes in, and the form in which it goes out."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.regimes.observations import observe, observe_inputs


@settings(deadline=None, derandomize=True, max_examples=30)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), features=st.integers(1, 3))
def test_sequences_are_padded_and_come_back(lengths, features):
    values = np.arange(sum(lengths) * features, dtype=float).reshape(-1, features)
    seen = observe(values, lengths=lengths)
    assert seen.values.shape == (len(lengths), max(lengths), features)
    assert seen.lengths.tolist() == lengths
    start = 0
    for row, length in zip(seen.values, lengths, strict=True):
        np.testing.assert_array_equal(row[:length], values[start : start + length])
        assert row[length:].isnan().all()
        start += length
    np.testing.assert_array_equal(seen.rows, values)
    np.testing.assert_array_equal(seen.table(seen.values, range(features)), values)
    np.testing.assert_array_equal(seen.column(seen.values[..., 0], "first"), values[:, 0])


def test_pandas_comes_back_with_its_index():
    days = pd.bdate_range("2021-03-01", periods=4)
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [0.5, np.nan, 1, 2]}, index=days)
    seen = observe(frame)
    assert seen.missing.sum() == 1
    table = seen.table(torch.zeros(1, 4, 3), ["x", "y", "z"])
    assert table.index.equals(days)
    assert list(table.columns) == ["x", "y", "z"]
    column = seen.column(torch.zeros(1, 4, dtype=torch.int64), "regime")
    assert column.index.equals(days)
    assert column.name == "regime"
    assert column.dtype == np.int64


@pytest.mark.parametrize(
    "values",
    [pd.Series([1, 2, 3]), np.array([1, 2, 3]), [1, 2, 3], [[1], [2], [3]], np.array([1, 2, 3], dtype=np.float32)],
)
def test_whatever_holds_numbers_will_do(values):
    seen = observe(values)
    assert seen.values.dtype == torch.float64
    assert seen.values.tolist() == [[[1.0], [2.0], [3.0]]]


@pytest.mark.parametrize("days", [pd.bdate_range("2021-03-01", periods=6), pd.period_range("2021-03", periods=6)])
def test_dates_have_to_rise_within_each_sequence(days):
    X = pd.Series(np.arange(6.0), index=days)
    twice = X.set_axis(days[[0, 1, 1, 2, 3, 4]])
    restarted = X.set_axis(days[[0, 1, 2, 0, 1, 2]])
    for wrong, row in ((X[::-1], 1), (twice, 2), (restarted, 3)):
        sentence = rf"X: .* in row {row} does not come after .* in row {row - 1}; say X\.sort_index\(\)"
        with pytest.raises(InputError, match=sentence):
            observe(wrong)
        with pytest.raises(InputError, match=r"inputs: .* say inputs\.sort_index\(\)"):
            observe_inputs(wrong, observe(np.zeros(6)))
    seen = observe(restarted, lengths=[3, 3])
    assert torch.equal(observe_inputs(restarted, seen), seen.values)
    with pytest.raises(InputError, match="in row 3 does not come after"):
        observe(restarted, lengths=[2, 4])
    assert observe(X[::-1].reset_index(drop=True)).values.flatten().tolist() == [5, 4, 3, 2, 1, 0]


def test_observations_are_a_copy():
    values = np.ones((3, 1))
    seen = observe(values)
    values[:] = 7
    assert (seen.values == 1).all()


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (np.zeros((0, 2)), {}, r"X: shape \(0, 2\)"),
        (np.zeros((3, 0)), {}, r"X: shape \(3, 0\)"),
        (np.zeros((3, 2, 2)), {}, r"X: shape \(3, 2, 2\)"),
        (np.float64(3.0), {}, r"X: shape \(\)"),
        (np.array([1.0, np.inf, -np.inf]), {}, "X: 2 numbers are infinite"),
        (["a", "b"], {}, "X: it holds something that is no number"),
        ([[1.0], [1.0, 2.0]], {}, "X: it holds something"),
        (np.zeros((3, 2)), {"features": 3}, "X: it has 2 columns, but 3 were fitted"),
        (np.zeros(3), {"lengths": [1, 1]}, r"lengths: \[1, 1\] do not cut 3 rows"),
        (np.zeros(3), {"lengths": [3, 0]}, "lengths"),
        (np.zeros(3), {"lengths": np.array([[3]])}, "lengths"),
        (np.array([np.inf]), {"name": "inputs"}, "inputs: 1 numbers are infinite"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(values, settings, message):
    with pytest.raises(InputError, match=message):
        observe(values, **settings)
