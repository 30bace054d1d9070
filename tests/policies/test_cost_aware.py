"""The band of the hedger that knows what trading costs: where it lies, and how it grows with the position."""

import pytest
import torch

from praesidium.policies import TransactionCostAwareHedger
from praesidium.policies.hedger import Known
from praesidium.training.reproducibility import stream

K, N, B, T = 3, 4, 5, 30
generator = stream("tests", "bands")
REGIMES = torch.rand(B, T, K, generator=generator)
REGIMES = REGIMES / REGIMES.sum(-1, keepdim=True)
CHAIN = torch.eye(K)
PRICES = 100 * (0.01 * torch.randn(B, T, N, generator=generator)).cumsum(1).exp()
SPOT, POSITIONS = PRICES[:, -1], torch.randn(B, N, generator=generator)
CALM, WILD = torch.eye(K)[[0] * B], torch.eye(K)[[2] * B]


def test_a_trade_leads_to_the_edge_of_a_band_around_the_target(untied):
    hedger = untied(TransactionCostAwareHedger(K, N, hidden_dim=8, cost_rate=0.002))
    correction, width = hedger.band(CALM)
    target, one = torch.zeros(B, N), torch.ones(B, N)
    for away in (-1.0, 1.0):
        new, cost = hedger(CALM, target + correction + away * (width + 0.5), target, SPOT, positions=one)
        torch.testing.assert_close(new, correction + away * width, atol=1e-4, rtol=0)
        torch.testing.assert_close(cost, (0.002 * SPOT * 0.5).sum(-1), rtol=1e-3, atol=0)
    moved, _ = hedger(CALM, POSITIONS, target + 3, SPOT, positions=one)
    still, _ = hedger(CALM, POSITIONS, target, SPOT, positions=one)
    assert (moved > still).all()  # the target matters
    assert (hedger.band(WILD)[1] - width).abs().max() > 1e-3  # and so does the regime


def test_inside_the_band_next_to_nothing_is_traded():
    hedger = TransactionCostAwareHedger(K, N)
    correction, width = hedger.band(CALM)
    inside = correction + 0.2 * width
    new, cost = hedger(CALM, inside, torch.zeros(B, N), SPOT, positions=torch.ones(B, N))
    assert (new - inside).abs().max() < 1e-4
    assert (cost < 1e-4 * SPOT.sum(-1) * 0.05).all()


@pytest.mark.parametrize("units", [1e-3, -1.0, 1000.0])
def test_the_band_grows_with_the_position(units, untied):
    """A thousand times the position, or the other side of it, is the same decision."""
    hedger = untied(TransactionCostAwareHedger(K, N, hidden_dim=8))
    current, target, held = -0.97 + 0.1 * POSITIONS, torch.full((B, N), -1.0), torch.full((B, N), 1.1)
    for given in ({}, {"positions": held}):
        new, cost = hedger(CALM, current, target, SPOT, **given)
        larger = {name: units * one for name, one in given.items()}
        scaled, dearer = hedger(CALM, units * current, units * target, SPOT, **larger)
        torch.testing.assert_close(scaled, units * new, rtol=1e-4, atol=1e-5 * abs(units))
        torch.testing.assert_close(dearer, abs(units) * cost, rtol=1e-3, atol=1e-6 * abs(units))
    assert (new - current).abs().max() > 1e-3


def test_day_after_day_a_position_is_hedged_by_the_ratios_that_are_trained(untied):
    hedger = untied(TransactionCostAwareHedger(K, N, hidden_dim=8))
    held = 1000 * POSITIONS
    now = target = hedger.textbook * held
    for time, ratios in enumerate(hedger.ratios(Known(REGIMES, PRICES, CHAIN)).unbind(1)):
        now, _ = hedger(REGIMES[:, : time + 1], now, target, PRICES[:, time], positions=held)
        torch.testing.assert_close(now, ratios * held, rtol=1e-4, atol=1e-2)


def test_without_a_position_there_is_no_band():
    hedger, none = TransactionCostAwareHedger(K, N), torch.zeros(B, N)
    current = POSITIONS.clone().requires_grad_()
    for target, given in ((none, {}), (none + 2, {"positions": none}), (none + 1e-30, {})):
        new, cost = hedger(CALM, current, target, SPOT, **given)
        assert torch.equal(new, target)
        (slope,) = torch.autograd.grad(cost.sum(), current)
        torch.testing.assert_close(slope, 0.0005 * SPOT * (POSITIONS - target).sign())


def test_the_width_of_the_band_has_a_gradient():
    hedger = TransactionCostAwareHedger(K, N)
    new, cost = hedger(CALM, POSITIONS, POSITIONS + 0.2, SPOT)
    for value in (new.square().sum(), cost.sum()):
        (slope,) = torch.autograd.grad(value, hedger.head.bias, retain_graph=True)
        assert (slope[N:].abs() > 1e-3).all()
