"""Recursions in time whose values are known: their derivatives, all times at once but for one cheap scan.

With x_t = A_t(x_{t-1}), t = 0..T-1, and the slopes J_t = dA_t / dx_{t-1} at the known values, a small change d_t of A_t
moves x by x'_t = d_t + J_t x'_{t-1}; and a function with derivatives g_t in x_t has the total derivatives
l_t = g_t + J_{t+1}^T l_{t+1} in A_t. The expensive part, evaluating A_t and its derivatives, needs no order in time.

Slopes have the shape of x where x is a scalar at each time and path, and one axis more where it is a vector (the
last two are a Jacobian).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def slopes(decided: Tensor, before: Tensor, *, vector: bool = False, graph: bool = False) -> Tensor:
    """J_t = dA_t / dx_{t-1} for maps that treat every time and path by itself.

    Args:
        decided: A_t(x_{t-1}) with its graph.
        before: x_{t-1}, a leaf of that graph.
        vector: whether the last axis is that of a vector.
        graph: whether the slopes are differentiated further.
    """
    columns = decided.unbind(-1) if vector else [decided]
    rows = [
        torch.autograd.grad(one.sum(), before, create_graph=graph, retain_graph=True, allow_unused=True)[0]
        for one in columns
    ]
    whole = [torch.zeros_like(before) if row is None else row for row in rows]
    return torch.stack(whole, dim=-2) if vector else whole[0]


def accumulate(changes: Tensor, slopes: Tensor) -> Tensor:
    """x'_t = d_t + J_t x'_{t-1} with x'_{-1} = 0; differentiable once."""
    return _Accumulate.apply(changes, slopes)


@torch.no_grad()
def adjoint(derivatives: Tensor, slopes: Tensor) -> Tensor:
    """l_t = g_t + J_{t+1}^T l_{t+1} with l_T = 0."""
    return _scan(derivatives.flip(0), _shifted(_transposed(slopes, derivatives)).flip(0)).flip(0)


class _Accumulate(torch.autograd.Function):
    """The scan and, backwards, its adjoint."""

    @staticmethod
    def forward(ctx: Any, changes: Tensor, slopes: Tensor) -> Tensor:  # type: ignore[override]
        moved = _scan(changes, slopes)
        ctx.save_for_backward(moved, slopes)
        return moved

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        moved, slopes = ctx.saved_tensors
        total = adjoint(gradient, slopes)
        before = torch.cat([torch.zeros_like(moved[:1]), moved[:-1]])
        if slopes.ndim > moved.ndim:
            return total, total.unsqueeze(-1) * before.unsqueeze(-2)
        return total, total * before


def _scan(changes: Tensor, slopes: Tensor) -> Tensor:
    """x_t = d_t + J_t x_{t-1}."""
    moved = torch.empty_like(changes)
    moved[0] = changes[0]
    vector = slopes.ndim > changes.ndim
    for before, now, change, slope in zip(moved[:-1], moved[1:], changes[1:], slopes[1:], strict=True):
        if vector:
            torch.add(change, (slope @ before.unsqueeze(-1)).squeeze(-1), out=now)
        else:
            torch.addcmul(change, slope, before, out=now)
    return moved


def _transposed(slopes: Tensor, values: Tensor) -> Tensor:
    return slopes.mT if slopes.ndim > values.ndim else slopes


def _shifted(slopes: Tensor) -> Tensor:
    """J_{t+1} at place t; the last place is never read."""
    return torch.cat([slopes[1:], slopes[:1]])
