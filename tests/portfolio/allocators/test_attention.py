"""Causal attention against a loop over times, heads and lags."""

import numpy as np
import torch

from praesidium.portfolio.attention import CausalAttention, sinusoids
from praesidium.portfolio.hierarchical import MacroGate, smoothed
from praesidium.training.reproducibility import stream


def test_attention_is_that_of_a_loop():
    layer = CausalAttention(6, 2, 4, stream("tests", "attention")).double()
    x = torch.randn(2, 7, 6, dtype=torch.float64, generator=stream("tests", "attention x"))
    places = sinusoids(4, 6)
    found = layer(x)
    for sample in range(2):
        for time in range(7):
            mixed = []
            lags = range(min(4, time + 1))
            seen = torch.stack([x[sample, time - lag] + places[lag] for lag in lags])
            keys, values, query = layer.key(seen), layer.value(seen), layer.query(x[sample, time])
            for head in range(2):
                part = slice(3 * head, 3 * head + 3)
                share = (keys[:, part] @ query[part] / 3**0.5).softmax(0)
                mixed.append(share @ values[:, part])
            assert torch.allclose(found[sample, time], layer.out(torch.cat(mixed)), atol=1e-12)


def test_sinusoids_turn_by_a_fixed_angle_a_position():
    """Each pair of columns is a point on the unit circle that moves by the same angle at each position."""
    table = sinusoids(9, 6).double()
    points = torch.complex(table[:, 1::2], table[:, 0::2])
    assert torch.allclose(points.abs(), torch.ones(9, 3, dtype=torch.float64), atol=1e-6)
    turns = points[1:] / points[:-1]
    assert torch.allclose(turns, turns[:1].expand_as(turns), atol=1e-5)


def test_smoothing_is_that_of_a_loop():
    x = torch.randn(2, 13, 3, dtype=torch.float64, generator=stream("tests", "smoothing"))
    pace = torch.tensor(0.3, dtype=torch.float64)
    m = x[:, 0]
    for time in range(13):
        m = m + 0.3 * (x[:, time] - m)
        np.testing.assert_allclose(smoothed(x, pace)[:, time], m, atol=1e-13)


def test_the_slow_gate_is_slower_than_the_fast_beliefs():
    """Per step by at most twice the pace, and over the whole path never more in sum."""
    gate = MacroGate(3, 2, 20.0, stream("tests", "gate"))
    regimes = (9 * torch.randn(4, 80, 3, generator=stream("tests", "fast"))).softmax(-1)
    with torch.no_grad():
        gates = gate(regimes)
    assert torch.allclose(gates.sum(-1), torch.ones(4, 80), atol=1e-6)
    moves, fast = gates.diff(dim=1).abs().sum(-1), regimes.diff(dim=1).abs().sum(-1)
    assert moves.max() <= 2 / 20.0 + 1e-6
    assert (moves.sum(-1) <= fast.sum(-1) + 1e-5).all()
    assert moves.sum() < 0.1 * fast.sum()
    assert moves.sum() > 0
