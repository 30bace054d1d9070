"""Costs: proportional to what is traded, and smooth where training needs it."""

import pytest
import torch

from praesidium.hedging.costs import proportional
from praesidium.training.reproducibility import stream

TRADES = torch.randn(12, 5, dtype=torch.float64, generator=stream("tests", "trades"))
SPOT = 1 + 0.1 * torch.rand(12, 5, dtype=torch.float64, generator=stream("tests", "spot"))
RATE = torch.tensor([0.0, 1e-4, 5e-4, 1e-3, 0.01], dtype=torch.float64)


def test_the_cost_is_the_share_of_the_traded_value():
    assert torch.equal(proportional(TRADES, SPOT, RATE), RATE * SPOT * TRADES.abs())
    assert torch.equal(proportional(-TRADES, SPOT, RATE), proportional(TRADES, SPOT, RATE))


@pytest.mark.parametrize("smoothing", [0.1, 1e-3, 1e-6])
def test_the_smoothed_cost_is_less_by_at_most_the_smoothing(smoothing):
    exact, smooth = proportional(TRADES, SPOT, RATE), proportional(TRADES, SPOT, RATE, smoothing=smoothing)
    assert (smooth <= exact + 1e-15).all()
    assert (exact - smooth <= RATE * SPOT * smoothing).all()


def test_no_trade_costs_nothing_and_has_a_curvature_when_smoothed():
    still = torch.zeros_like(TRADES).requires_grad_()
    cost = proportional(still, SPOT, RATE, smoothing=1e-3)
    assert (cost == 0).all()
    (slope,) = torch.autograd.grad(cost.sum(), still, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), still)
    assert (slope == 0).all()
    torch.testing.assert_close(curvature, RATE * SPOT / 1e-3)


def test_the_slope_of_a_large_trade_is_that_of_the_exact_cost():
    large = (TRADES.sign() * (1 + TRADES.abs())).requires_grad_()
    (slope,) = torch.autograd.grad(proportional(large, SPOT, RATE, smoothing=1e-3).sum(), large)
    torch.testing.assert_close(slope, RATE * SPOT * large.detach().sign(), rtol=1e-6, atol=0)
