"""Delays and false alarms, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.regimes.detection import detection

TRUE = np.array([0, 0, 0, 1, 1, 1, 1, 0, 0, 2, 0, 0])
TOLD = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0])


def test_changes_are_counted_by_hand():
    found = detection(TRUE, TOLD, periods=12)
    assert found.changes == 4
    assert found.delay == pytest.approx((2 + 1 + 0) / 3)  # the regime 2 of one day is never told
    assert found.missed == 1 / 4
    assert found.false_alarms == 0
    assert found.accuracy == pytest.approx(8 / 12)


def test_a_change_into_the_wrong_regime_is_a_false_alarm():
    told = TRUE.copy()
    told[1] = 2  # there and back: only the way there is wrong
    assert detection(TRUE, told, periods=12).false_alarms == 1


def test_perfect_labels_have_neither_delay_nor_alarm():
    found = detection(TRUE, TRUE)
    assert (found.accuracy, found.delay, found.missed, found.false_alarms) == (1, 0, 0, 0)


def test_without_a_change_there_is_no_delay_to_tell():
    found = detection(np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64))
    assert np.isnan(found.delay)
    assert np.isnan(found.missed)


def test_labels_may_be_lists_or_of_pandas_with_dates():
    days = pd.bdate_range("2020-01-01", periods=len(TRUE))
    states, told = pd.Series(TRUE, days), pd.Series(TOLD, days)
    found = detection(TRUE, TOLD)
    for given in ((states, told), (states, TOLD), (TRUE, told), (TRUE.tolist(), TOLD.tolist())):
        assert detection(*given) == found
    with pytest.raises(InputError, match="detection: the index of one is not that of the other"):
        detection(states, told.shift(1, freq="B"))


def test_lengths_have_to_match():
    with pytest.raises(InputError, match="does not match"):
        detection(TRUE, TOLD[:-1])
