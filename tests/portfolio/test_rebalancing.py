"""The interval is the one that loses least, and it knows costs and regimes."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.rebalancing import drift_loss, optimize_rebalancing_frequency
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=30)
TERMS = {"cost_rate": 0.001, "alpha": 0.05, "drift": 1e-5}


def chain(*stays):
    """Leaves regime k with probability 1 / stays[k], for the next one."""
    leave = torch.diag(1 / torch.tensor(stays, dtype=torch.float64))
    return torch.eye(len(stays), dtype=torch.float64) - leave + leave.roll(1, dims=1)


EVEN = torch.tensor([0.5, 0.5], dtype=torch.float64)


def days(transition, probs=EVEN, **terms):
    return optimize_rebalancing_frequency(probs, transition, **(TERMS | terms)).item()


@LAW
@given(stay=st.floats(5, 300), cost=st.floats(1e-5, 0.01), alpha=st.floats(0.005, 0.5), drift=st.floats(0, 1e-3))
def test_no_other_interval_loses_less(stay, cost, alpha, drift):
    chosen = days(chain(stay, stay), cost_rate=cost, alpha=alpha, drift=drift, turnover=0.7)

    def lost_a_year(every):
        ages = (np.arange(4000) + 0.5) / 4000 * every  # a year is spent evenly at all ages between two rebalancings
        return 252 / every * cost * 0.7 + np.mean(alpha * ages / stay + drift * ages)

    around = np.geomspace(1, 20, 50) * max(1.0, chosen / 4)
    assert lost_a_year(chosen) <= min(lost_a_year(one) for one in around) * (1 + 1e-9)


def test_costs_and_stays_move_the_interval_their_way():
    """It was 21 days for every chain and every cost."""
    by_cost = [days(chain(60, 20), cost_rate=cost) for cost in (1e-4, 1e-3, 1e-2, 1e-1)]
    assert np.diff(by_cost).min() > 0
    assert by_cost[2] == pytest.approx(10 * by_cost[0])  # a hundred times the cost
    by_stay = [days(chain(stay, stay / 2)) for stay in (10, 40, 160, 640)]
    assert np.diff(by_stay).min() > 0
    assert days(torch.eye(2, dtype=torch.float64)) > max(by_stay)
    assert days(torch.eye(2, dtype=torch.float64), drift=0.0) == float("inf")
    assert days(chain(60, 20), cost_rate=0.0) == 1
    assert days(chain(60, 20), alpha=0.2) < days(chain(60, 20), alpha=0.1)


def test_the_present_regime_counts():
    sure = torch.eye(2, dtype=torch.float64)
    every = optimize_rebalancing_frequency(sure, chain(200, 10), **TERMS)
    assert every[0] > 2 * every[1]


def test_drift_agrees_with_portfolios_left_alone():
    """Weights that nobody touches for 10 days make an active bet; its variance is simulated."""
    draws = np.random.default_rng(stream("tests", "drift").initial_seed())
    weights, root = np.array([0.5, 0.2, 0.1]), 0.01 * draws.normal(size=(3, 3))
    covariance = root @ root.T
    grown = draws.multivariate_normal(np.zeros(3), 10 * covariance, 200_000)
    off = weights * (1 + grown) / (1 + grown @ weights)[:, None] - weights
    variance = np.einsum("ti,ij,tj->t", off, covariance, off).mean()
    loss = drift_loss(torch.tensor(weights), torch.tensor(covariance), risk_aversion=4.0, periods=12)
    assert 10 * loss.item() == pytest.approx(4 / 2 * 12 * variance, rel=0.03)
    assert drift_loss(torch.tensor([1.0]), torch.tensor([[0.04]])).item() == 0  # one asset alone cannot drift
    single = drift_loss(torch.tensor(weights).float(), torch.tensor(covariance), risk_aversion=4.0, periods=12)
    assert single.item() == pytest.approx(loss.item(), rel=1e-5)
    with pytest.raises(InputError, match=r"drift_loss: covariance has shape \(1, 1\) and weights \(3,\)"):
        inspect.unwrap(drift_loss)(torch.tensor(weights), torch.tensor([[0.04]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost_rate": 10}, "for 10 bp say cost_rate=0.001"),
        ({"alpha": -0.1}, "below zero"),
        ({"alpha": np.nan}, "alpha=nan is below zero or no number"),
        ({"drift": -1e-5}, "drift is below zero"),
        ({"drift": torch.tensor(-1e-5)}, "drift is below zero"),
        ({"turnover": 0.0}, "turnover=0"),
        ({"periods": 0}, "periods=0"),
    ],
)
def test_bad_numbers_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        days(chain(20, 20), **change)


def test_a_matrix_that_is_no_chain_is_refused():
    with pytest.raises(InputError, match="transition"):
        days(torch.ones(2, 2, dtype=torch.float64))
