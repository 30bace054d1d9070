"""Real episodes are the prices themselves, look at no future, and add up by day."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError
from praesidium.data.prices import Prices
from praesidium.data.splits import Window
from praesidium.data.windows import window_episodes
from praesidium.markets.garch import GJR

MODEL = GJR(omega=2e-6, alpha=0.03, gamma=0.15, beta=0.88, nu=6.0, mean=0.0003)
DATES = pd.bdate_range("2018-01-02", periods=300)
CLOSE = 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.01, 300)))
PRICES = Prices(DATES, CLOSE, "made_up")
WINDOW = Window(name="w", first="2018-06-01", last="2018-08-31", role="test")


@pytest.fixture
def episodes():
    return window_episodes(PRICES, WINDOW, gjr=MODEL, horizon=30, lookback=10)


def test_paths_are_the_prices(episodes):
    assert episodes.paths.spot.dtype == torch.float64
    assert (episodes.paths.horizon, episodes.paths.lookback) == (30, 10)
    assert episodes.paths.count == len(episodes.starts) == len(episodes.days)
    for place, start in enumerate(episodes.starts):
        at = DATES.get_loc(start)
        assert np.array_equal(episodes.paths.spot[:, place], CLOSE[at - 10 : at + 31] / CLOSE[at])


def test_every_step_falls_on_its_day(episodes):
    for day, row in zip(episodes.days, episodes.steps, strict=True):
        for start, step in zip(episodes.starts, row, strict=True):
            elapsed = DATES.get_loc(day) - DATES.get_loc(start)
            assert step == (elapsed - 1 if 1 <= elapsed <= 30 else -1)


def test_the_ladder_of_equal_steps_is_that_step(episodes):
    gains = torch.diff(episodes.paths.episode.log(), dim=0)
    ladder = episodes.ladder(gains)
    at = DATES.get_indexer(episodes.days)
    assert torch.isnan(ladder[0])
    assert np.allclose(ladder[1:], np.log(CLOSE[at] / CLOSE[at - 1])[1:], atol=1e-12)


def test_starts_without_room_are_dropped_and_counted():
    end = int(DATES.searchsorted(pd.Timestamp(WINDOW.last))) + 15
    short = Prices(DATES[:end], CLOSE[:end], "short")
    episodes = window_episodes(short, WINDOW, gjr=MODEL, horizon=30, lookback=10)
    assert episodes.dropped > 0
    assert episodes.dropped + episodes.paths.count == len(episodes.days)
    assert episodes.starts[-1] == DATES[end - 31]


def test_the_future_cannot_move_the_implied_volatility(episodes):
    start = 20
    now = DATES.get_loc(episodes.starts[start])
    close = CLOSE.copy()
    close[now + 1 :] *= np.exp(np.random.default_rng(9).normal(0, 0.05, 300 - now - 1))
    other = window_episodes(replace(PRICES, close=close), WINDOW, gjr=MODEL, horizon=30, lookback=10)
    for place in range(start + 1):
        known = start - place + 1
        assert torch.equal(episodes.paths.implied[:known, place], other.paths.implied[:known, place])
        assert torch.equal(episodes.paths.spot[: 10 + known, place], other.paths.spot[: 10 + known, place])
    assert not torch.equal(episodes.paths.implied[:, start], other.paths.implied[:, start])


def test_windows_outside_the_history_are_refused():
    for first, last, sentence in (
        ("2025-01-01", "2025-02-01", "no trading day"),
        ("2019-02-15", "2019-02-25", "30 days after"),
    ):
        window = Window(name="w", first=first, last=last, role="test")
        with pytest.raises(InputError, match=sentence):
            window_episodes(PRICES, window, gjr=MODEL, horizon=30, lookback=10)
