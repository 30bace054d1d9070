"""The two speeds of the hierarchical allocator."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.portfolio.hierarchical import HierarchicalPortfolioOptimizer


def test_gates_are_shown_and_decide_which_micro_view_counts(beliefs):
    allocator, regimes = HierarchicalPortfolioOptimizer(3, 4, hidden_dim=8, macros=2), beliefs(2, 20, 3)
    gates = allocator.gates(regimes)
    assert gates.shape == (2, 20, 2)
    encoder = allocator.network.encoder
    tokens = torch.cat([regimes, regimes], dim=-1)
    views = [micro(tokens) for micro in encoder.micro]
    mixed = gates[..., :1] * views[0] + gates[..., 1:] * views[1]
    assert torch.allclose(encoder(tokens), mixed, atol=1e-6)
    assert not torch.allclose(views[0], views[1])


def test_the_same_beliefs_now_are_traded_by_the_macro_state_before(beliefs):
    """Two pasts, the same week: only the slow chain tells them apart."""
    allocator = HierarchicalPortfolioOptimizer(3, 4, hidden_dim=8, macro_horizon=40.0)
    week = beliefs(1, 5, 3)
    calm, wild = (torch.eye(3)[k].expand(1, 60, 3) for k in (0, 2))
    aims = [allocator.read(allocator.state(torch.cat([past, week], 1)))[0][0, 0, -1] for past in (calm, wild)]
    assert (aims[0] - aims[1]).abs().max() > 1e-3
    gates = [allocator.gates(torch.cat([past, week], 1))[0, -1] for past in (calm, wild)]
    assert (gates[0] - gates[1]).abs().max() > 0.05


def test_the_time_constant_learns(beliefs):
    allocator = HierarchicalPortfolioOptimizer(3, 4)
    allocator(beliefs(2, 20, 3))[:, -1, 0].sum().backward()
    assert allocator.network.encoder.gate.rhythm.grad.abs() > 0


def test_one_macro_state_or_no_horizon_are_refused():
    with pytest.raises(InputError, match="macros=1 leaves nothing to gate"):
        HierarchicalPortfolioOptimizer(macros=1)
    with pytest.raises(InputError, match="macro_horizon=1 is not slow"):
        HierarchicalPortfolioOptimizer(macro_horizon=1.0)
