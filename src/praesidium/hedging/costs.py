"""What trading costs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def proportional(
    trades: Float[Tensor, "steps *batch"],
    spot: Float[Tensor, "steps *batch"],
    rate: Tensor,
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, "steps *batch"]:
    """Proportional cost of each trade, in units of the spot at inception.

    Args:
        trades: change of position at times 0..horizon-1.
        spot: spot at these times.
        rate: fraction of the traded value; broadcasts.
        smoothing: rounds the kink of |trade| off, ``sqrt(trade^2 + smoothing^2) - smoothing``, for training only: the
            kink has no second derivative for a gradient penalty to follow.
    """
    size = (trades.square() + smoothing**2).sqrt() - smoothing if smoothing else trades.abs()
    return rate * spot * size


def quadratic(
    trades: Float[Tensor, "steps *batch"], price: Float[Tensor, "steps *batch"], coefficient: Tensor
) -> Float[Tensor, "steps *batch"]:
    """Temporary impact: a trade x moves its own price by ``coefficient`` x, so that it costs coefficient price x^2.

    Args:
        trades: change of position at times 0..horizon-1.
        price: of a unit at these times.
        coefficient: share of the price a unit traded.

    Source: Almgren and Chriss 2001, with a linear temporary impact.
    """
    return coefficient * price * trades.square()


def transient(
    trades: Float[Tensor, "steps *batch"], price: Float[Tensor, "steps *batch"], impact: Tensor, left: Tensor
) -> Float[Tensor, "steps *batch"]:
    """Transient impact of a block-shaped order book that refills exponentially.

    A trade x at displacement D costs price (D x + impact x^2 / 2) and moves the displacement to D + impact x, of which
    the share ``left`` is there at the next time. A round trip never earns anything while the price stands still.

    Args:
        trades: change of position at times 0..horizon-1.
        price: of a unit at these times, without the displacement.
        impact: share of the price by which a unit traded displaces it.
        left: e^{-resilience} a period.

    Source: Obizhaeva and Wang 2013, section 4, with the whole impact transient.
    """
    displaced, costs = torch.zeros_like(trades[0]), []
    for trade, now in zip(trades, price, strict=True):
        costs.append(now * (displaced * trade + 0.5 * impact * trade.square()))
        displaced = (displaced + impact * trade) * left
    return torch.stack(costs)


def fixed(
    trades: Float[Tensor, "steps *batch"], fee: Tensor, *, smoothing: float = 0.0
) -> Float[Tensor, "steps *batch"]:
    """A fee for each trade of any size.

    Args:
        trades: change of position at times 0..horizon-1.
        fee: in money of inception.
        smoothing: makes the step differentiable, x^2 / (x^2 + smoothing^2), for training only.
    """
    if not smoothing:
        return fee * (trades != 0)
    square = trades.square()
    return fee * square / (square + smoothing**2)
