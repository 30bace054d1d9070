"""No training episode, history included, touches a window or leaves its calendar."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError, build
from praesidium.data.prices import sp500
from praesidium.data.splits import WINDOWS, Window, covered_segments, legal_starts, window_days

calendar = pd.bdate_range("2017-01-02", "2019-12-31")
DAY = st.integers(0, len(calendar) - 1)


@st.composite
def windows(draw):
    first, last = sorted((draw(DAY), draw(DAY)))
    last = min(last, first + 90)
    return Window(name="w", first=str(calendar[first].date()), last=str(calendar[last].date()), role="extra")


@settings(deadline=None, derandomize=True)
@given(
    closed=st.lists(windows(), max_size=4),
    ends=st.tuples(DAY, DAY),
    horizon=st.integers(1, 90),
    lookback=st.integers(0, 40),
)
def test_no_legal_episode_touches_a_window(closed, ends, horizon, lookback):
    first, last = (calendar[place] for place in sorted(ends))
    legal = legal_starts(calendar, closed, first=first, last=last, horizon=horizon, lookback=lookback)
    bad = (calendar < first) | (calendar > last)
    for window in closed:
        bad |= (calendar >= window.first) & (calendar <= window.last)
    for start in range(len(calendar)):
        inside = start >= lookback and start + horizon < len(calendar)
        assert legal[start] == (inside and not bad[start - lookback : start + horizon + 1].any())
    segments = covered_segments(legal, horizon=horizon, lookback=lookback)
    covered = np.zeros(len(calendar), dtype=bool)
    for segment in segments:
        covered[segment] = True
        assert segment.stop - segment.start > horizon + lookback
    assert not (covered & bad).any()
    assert sum(segment.stop - segment.start for segment in segments) == covered.sum()
    assert sum((segment.stop - segment.start) - horizon - lookback for segment in segments) == legal.sum()


@pytest.mark.parametrize(("lookback", "runs"), [(0, [212, 67, 192]), (20, [192, 47, 172])])
def test_the_training_years_of_the_index(lookback, runs):
    dates = sp500().dates
    assert ((dates >= "2017-01-01") & (dates <= "2019-12-31")).sum() == 754
    legal = legal_starts(dates, WINDOWS, first="2017-01-01", last="2019-12-31", horizon=60, lookback=lookback)
    segments = covered_segments(legal, horizon=60, lookback=lookback)
    assert [int(legal[segment].sum()) for segment in segments] == runs


def test_days_of_the_windows_on_the_index():
    dates = sp500().dates
    days = {window.name: len(window_days(dates, window)) for window in WINDOWS}
    assert (days["volmageddon_2018"], days["late_2018"], days["covid_2020"]) == (40, 63, 92)


def test_a_calendar_too_short_for_an_episode_has_no_start():
    legal = legal_starts(calendar[:50], [], first="2017-01-01", last="2019-12-31", horizon=60, lookback=20)
    assert not legal.any()
    assert covered_segments(legal, horizon=60, lookback=20) == []


def test_a_window_is_plain_data_and_comes_back():
    window = WINDOWS[0]
    assert build(Window, window.settings()) == window
    assert window.settings()["first"] == "2018-02-01"
    assert len({one.fingerprint() for one in WINDOWS}) == len(WINDOWS)


def test_a_window_that_is_none_is_refused():
    given_as = WINDOWS[0].settings()
    with pytest.raises(InputError, match="before it begins"):
        build(Window, given_as | {"last": "2017-01-01"})
    with pytest.raises(InputError, match="first"):
        build(Window, given_as | {"first": "last Monday"})
    with pytest.raises(InputError, match="role"):
        build(Window, given_as | {"role": "train"})
