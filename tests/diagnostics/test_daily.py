"""Daily scores: the ladder by hand, and no interval where the sample is too small for one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.data.prices import Prices
from praesidium.data.splits import Window
from praesidium.data.windows import window_episodes
from praesidium.diagnostics.bootstrap import block_length, bootstrap_error
from praesidium.diagnostics.daily import daily_scores, effective_sample
from praesidium.hedging.conditions import Conditions
from praesidium.hedging.episode import settle
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.markets.garch import GJR
from praesidium.markets.paths import Paths
from praesidium.risk import cvar, cvar_standard_error

DATES = pd.bdate_range("2018-01-02", periods=400)
CLOSE = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 400)))
MODEL = GJR(omega=2e-6, alpha=0.03, gamma=0.15, beta=0.88, nu=6.0, mean=0.0003)


def window_of(first, last):
    window = Window(name="w", first=first, last=last, role="test")
    return window_episodes(Prices(DATES, CLOSE, "made_up"), window, gjr=MODEL, horizon=10, lookback=20)


def by_hand():
    """Three episodes of two days, opened on three days in a row: on the last one two are open."""
    spot = torch.tensor([[1.0, 1.0, 1.0], [1.1, 0.8, 1.0], [0.9, 0.7, 1.2]], dtype=torch.float64)
    paths = Paths(spot, torch.full((3, 3), 0.2, dtype=torch.float64), dt=1 / 252, lookback=0)
    steps = np.array([[-1, -1, -1], [0, -1, -1], [1, 0, -1]])
    some = window_of("2018-06-01", "2018-08-15")
    window = replace(some, paths=paths, starts=DATES[:3], days=DATES[:3], steps=steps)
    positions = torch.tensor([[0.5, 0.4, 9.0], [1.0, 0.2, -9.0]], dtype=torch.float64)
    return window, settle(positions, paths, EuropeanCall(), 0.01)


def real(first, last):
    episodes = window_of(first, last)
    positions = torch.full((10, episodes.paths.count), 0.5, dtype=torch.float64)
    return daily_scores(settle(positions, episodes.paths, EuropeanCall(), 5e-4), episodes), episodes


def test_the_ladder_by_hand():
    window, episode = by_hand()
    daily = daily_scores(episode, window)
    first = episode.daily[0, 0].item()
    second = (episode.daily[1, 0] + episode.daily[0, 1]).item() / 2
    assert first == pytest.approx(0.5 * 0.1 - 0.01 * 0.5 - (call(1.1, 1) - call(1.0, 2)))
    assert episode.daily[1, 0].item() == pytest.approx(1.0 * -0.2 - 0.01 * 1.1 * 0.5 + call(1.1, 1))
    assert daily.rows.pnl.tolist() == pytest.approx([first, second])
    assert daily.rows.date.tolist() == list(DATES[1:3])
    assert daily.rows.open_episodes.tolist() == [1, 2]
    scores = daily.scores
    assert scores["mean_pnl"] == pytest.approx((first + second) / 2)
    assert scores["cvar95"] == pytest.approx(-min(first, second))  # 5 % of two days is a tenth of the worse one
    assert scores["turnover"] == pytest.approx((0.5 + (0.5 + 0.4) / 2) / 2)
    assert scores["max_drawdown"] == pytest.approx(max(0, -first, -second, -first - second))
    assert scores["cvar95_no_premium"] is None


def call(spot, days):
    spot, left, level = (torch.tensor(number, dtype=torch.float64) for number in (spot, days / 252, 0.2))
    return EuropeanCall().value(Conditions(spot=spot, tau=left, level=level)).item()


def test_a_short_window_has_no_interval():
    window, episode = by_hand()
    daily = daily_scores(episode, window)
    assert daily.effective == pytest.approx(0.1)  # 5 % of two days
    assert daily.scores["cvar95_se"] is None
    short, _ = real("2018-06-01", "2018-08-15")
    assert len(short.rows) < 60
    assert short.effective < 3
    assert short.scores["cvar95_se"] is None


def test_a_long_window_has_one():
    daily, episodes = real("2018-04-02", "2018-12-31")
    losses = -daily.rows.pnl.to_numpy()
    assert len(losses) == len(episodes.days) - 1
    assert daily.effective == pytest.approx(0.05 * len(losses))
    assert daily.scores["cvar95_se"] == bootstrap_error(losses, block=block_length(losses))
    assert daily.scores["cvar95"] == cvar(torch.as_tensor(losses), level=0.95).item()
    assert daily.rows.open_episodes.tolist()[:12] == [*range(1, 11), 10, 10]


def test_the_sum_of_the_days_of_one_episode_is_its_profit():
    window, episode = by_hand()
    alone = replace(window, paths=window.paths.take(slice(0, 1)), starts=DATES[:1], steps=window.steps[:, :1])
    one = settle(episode.positions[:, :1], alone.paths, EuropeanCall(), 0.01)
    assert daily_scores(one, alone).rows.pnl.sum() == pytest.approx(one.pnl.item())


def test_the_bootstrap_is_the_same_every_time():
    losses = np.random.default_rng(0).normal(size=200)
    np.random.seed(1)
    torch.manual_seed(1)
    first = bootstrap_error(losses, block=5)
    np.random.seed(2)
    torch.manual_seed(2)
    assert bootstrap_error(losses, block=5) == first


def test_the_bootstrap_error_of_independent_days_is_the_asymptotic_one():
    errors = []
    for seed in range(4):
        losses = np.random.default_rng(seed).normal(size=1000)
        asymptotic = cvar_standard_error(torch.as_tensor(losses), level=0.95).item()
        errors.append(bootstrap_error(losses, block=block_length(losses)) / asymptotic)
    assert np.mean(errors) == pytest.approx(1, abs=0.15)


def test_dependence_takes_away_from_the_effective_sample():
    shocks = np.random.default_rng(0).normal(size=1000)
    slow = np.empty(1000)
    level = 0.0
    for day, shock in enumerate(shocks):
        slow[day] = level = 0.98 * level + shock
    assert effective_sample(1000, block=block_length(shocks)) == pytest.approx(50)
    assert effective_sample(1000, block=block_length(slow)) < 25


@pytest.mark.parametrize("days", [1, 2, 5, 19, 20, 40])
def test_few_or_equal_days_make_no_noise(days):
    for losses in (np.random.default_rng(0).normal(size=days), np.zeros(days)):
        block = block_length(losses)
        assert effective_sample(days, block=block) == pytest.approx(0.05 * days)
        assert np.isfinite(bootstrap_error(losses, block=block))
