"""Limits and the projections onto them, against a linear program, finite differences and their own laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from praesidium.component import InputError, build
from praesidium.portfolio.constraints import (
    Constraint,
    LeverageCapped,
    LongOnly,
    LongOrCash,
    LongShort,
    fill,
)
from praesidium.training.reproducibility import stream

MEMBERS = [
    LongOnly(),
    LongOnly(max_weight=0.4),
    LongOnly(max_weight=0.2),
    LongOrCash(max_weight=0.3),
    LongShort(max_weight=0.6),
    LongShort(net=0.5, gross=1.5, max_weight=0.5),
    LongShort(net=1.0, gross=1.0),
    LongShort(net=-0.5, gross=9.0, max_weight=0.4),
    LeverageCapped(leverage=1.5, max_weight=0.7),
    LeverageCapped(leverage=9.0, max_weight=0.5),
]
every = pytest.mark.parametrize("constraint", MEMBERS, ids=lambda one: f"{one.kind}-{one.max_weight:g}")


def points(*shape, dtype=torch.float64, size=1.0):
    return size * torch.randn(*shape, dtype=dtype, generator=stream("tests", "constraints", *shape))


def excess(constraint, weights):
    """By how much weights break the limits; the limits are written out anew here."""
    broken = [weights.abs().amax(-1) - constraint.max_weight]
    if isinstance(constraint, LongOnly | LongOrCash):
        broken.append(-weights.amin(-1))
        broken.append(weights.sum(-1) - 1)
    if isinstance(constraint, LongOnly):
        broken.append(1 - weights.sum(-1))
    if isinstance(constraint, LongShort):
        broken += [(weights.sum(-1) - constraint.net).abs(), weights.abs().sum(-1) - constraint.gross]
    if isinstance(constraint, LeverageCapped):
        broken.append(weights.abs().sum(-1) - constraint.leverage)
    return torch.stack(broken).amax()


def farthest(constraint, direction):
    """max direction . v over the allowed weights v, by a linear program in longs and shorts."""
    n = len(direction)
    sums, sizes = np.r_[np.ones(n), -np.ones(n)], np.ones(2 * n)
    caps = [(0, constraint.max_weight)] * n
    none = [(0, 0)] * n
    settings_of = {
        "long_only": {"A_eq": [sums], "b_eq": [1], "bounds": caps + none},
        "long_or_cash": {"A_ub": [sums], "b_ub": [1], "bounds": caps + none},
        "long_short": {
            "A_eq": [sums],
            "b_eq": [getattr(constraint, "net", 0)],
            "A_ub": [sizes],
            "b_ub": [getattr(constraint, "gross", 0)],
            "bounds": caps + caps,
        },
        "leverage_capped": {"A_ub": [sizes], "b_ub": [getattr(constraint, "leverage", 0)], "bounds": caps + caps},
    }
    return -linprog(-np.r_[direction, -direction], **settings_of[constraint.kind]).fun


@every
def test_no_allowed_weights_are_nearer(constraint):
    """w is the projection of y onto a convex set if and only if (y - w) . (v - w) <= 0 for every v in it."""
    for y in torch.cat([points(4, 6), points(3, 6, size=0.1), torch.zeros(1, 6, dtype=torch.float64)]):
        w = constraint.project(y)
        assert excess(constraint, w) < 1e-12
        assert farthest(constraint, (y - w).numpy()) <= ((y - w) @ w).item() + 1e-9


@every
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_limits_hold_to_rounding(constraint, dtype, within):
    for size in (1e-3, 1.0, 30.0):
        for weights in (constraint.project, constraint.aim):
            allowed = weights(points(50, 20, dtype=dtype, size=size))
            assert excess(constraint, allowed) < within * max(1.0, allowed.abs().sum(-1).max().item())


@every
def test_projection_leaves_allowed_weights_alone(constraint):
    inside = constraint.project(points(40, 7))
    assert torch.allclose(constraint.project(inside), inside, atol=1e-14)


@every
def test_gradients_agree_with_finite_differences(constraint):
    x = points(3, 5, size=0.4).requires_grad_()
    assert torch.autograd.gradcheck(constraint.project, x)
    assert torch.autograd.gradgradcheck(constraint.project, x)
    assert torch.autograd.gradcheck(constraint.aim, x)


@every
def test_mixtures_that_drifted_are_restored_by_the_projection(constraint):
    held, aim = constraint.project(points(30, 8)), constraint.project(points(30, 8, size=2.0))
    returns = 0.2 * points(30, 8).tanh()
    drifted = held * (1 + returns) / (1 + (held * returns).sum(-1, keepdim=True))
    mixed = torch.lerp(drifted, aim, 0.3)
    assert torch.allclose(constraint.restore(mixed), constraint.project(mixed), atol=1e-14)


@every
def test_a_higher_score_is_a_larger_weight(constraint):
    weights = constraint.aim(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], dtype=torch.float64))
    assert (weights.diff() >= -1e-15).all()
    assert weights[-1] > weights[0] or constraint.max_weight * 6 <= 1.2


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    x=st.lists(st.floats(-5, 5), min_size=1, max_size=8),
    share=st.floats(0, 1),
    low=st.floats(-2, 2),
    width=st.floats(0.01, 3),
    shift=st.floats(-50, 50),
)
def test_filling_keeps_bounds_sum_and_order_whatever_the_level(x, share, low, width, shift):
    x, high = torch.tensor(x, dtype=torch.float64), low + width
    total = (low + share * width) * len(x)
    w = fill(x, total=total, low=low, high=high)
    assert w.sum().item() == pytest.approx(total, abs=1e-12)
    assert w.min() >= low
    assert w.max() <= high
    assert (w[x.argsort()].diff() >= -1e-12).all()
    assert torch.allclose(fill(x + shift, total=total, low=low, high=high), w, atol=1e-12)


def test_ties_share_alike():
    assert torch.allclose(fill(torch.full((5,), 3.0), total=1.0, high=1.0), torch.full((5,), 0.2))


def test_limits_that_nothing_satisfies_are_refused():
    with pytest.raises(InputError, match=r"lets 4 assets hold 0\.8 of wealth, 1 is needed; raise max_weight .* 0\.25"):
        LongOnly(max_weight=0.2).check(4)
    with pytest.raises(InputError, match="long_short"):
        LongShort(net=-1.0, gross=2.0, max_weight=0.3).check(3)
    with pytest.raises(ValueError, match="less than the net exposure"):
        LongShort(net=2.0, gross=1.0)
    LongOnly(max_weight=1 / 7).check(7)
    LongOrCash(max_weight=0.01).check(2)
    LeverageCapped(max_weight=0.01).check(2)


def test_constraints_are_picked_by_kind():
    assert build(Constraint, {"kind": "long_short", "net": 0.5}) == LongShort(net=0.5)
    assert set(Constraint.registry) == {"long_only", "long_or_cash", "long_short", "leverage_capped"}
