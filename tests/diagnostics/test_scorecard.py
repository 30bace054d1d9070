"""The scorecard against direct computations."""

import json

import numpy as np
import pytest
import torch

from praesidium.diagnostics.scorecard import scorecard
from praesidium.hedging.rollout import rollout
from praesidium.policies.greeks import Delta
from praesidium.policies.no_hedge import NoHedge

RATE = 1e-3


@pytest.fixture(scope="module")
def episode(wild, builder):
    return rollout(Delta(), wild, builder, RATE)


@pytest.fixture(scope="module")
def scores(episode):
    return scorecard(episode)


def worst_share(losses):
    """Mean of the worst 5 % of 96 losses: four whole ones and 0.8 of the fifth."""
    falling = np.sort(losses)[::-1]
    return (falling[:4].sum() + 0.8 * falling[4]) / 4.8


def test_risk_with_and_without_the_premium(scores, episode, wild):
    gains = (episode.positions * wild.episode.diff(dim=0) - episode.costs).sum(0)
    given_away = (gains - (wild.episode[-1] - 1).clamp(min=0)).numpy()
    assert scores["cvar95_no_premium"] == pytest.approx(worst_share(-given_away), rel=1e-10)
    profit = given_away + episode.premium.numpy()
    assert scores["cvar95"] == pytest.approx(worst_share(-profit), rel=1e-10)
    assert scores["mean_pnl"] == pytest.approx(profit.mean(), rel=1e-9)
    assert scores["sortino"] == pytest.approx(profit.mean() / np.sqrt(np.mean(np.minimum(profit, 0) ** 2)), rel=1e-9)
    excess = np.maximum(-profit - np.sort(-profit)[-5], 0)
    assert scores["cvar95_se"] == pytest.approx(excess.std() / (0.05 * np.sqrt(96)), rel=1e-9)


def test_the_way_there(scores, episode):
    positions, book = episode.positions.numpy(), np.cumsum(episode.daily.numpy(), axis=0)
    assert scores["turnover"] == pytest.approx(np.abs(np.diff(positions, axis=0, prepend=0)).sum(0).mean())
    book = np.vstack([np.zeros(96), book])
    assert scores["max_drawdown"] == pytest.approx((np.maximum.accumulate(book) - book).max(0).mean())


def test_the_order_of_episodes_does_not_matter(scores, wild, builder):
    shuffled = scorecard(rollout(Delta(), wild.take(torch.arange(95, -1, -1)), builder, RATE))
    assert shuffled == pytest.approx(scores, rel=1e-9)


def test_scores_are_plain_numbers(scores, wild, builder):
    for one in (scores, scorecard(rollout(NoHedge(), wild, builder, RATE))):
        assert json.loads(json.dumps(one, allow_nan=False)) == one


def test_costs_are_paid(wild, builder):
    cheap, dear = (scorecard(rollout(Delta(), wild, builder, rate)) for rate in (0.0, 1e-2))
    assert dear["mean_pnl"] < cheap["mean_pnl"]
    assert dear["cvar95"] > cheap["cvar95"]
    assert dear["turnover"] == cheap["turnover"]
