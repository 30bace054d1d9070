"""What trading costs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def proportional(
    trades: Float[Tensor, "steps *batch"],
    spot: Float[Tensor, "steps *batch"],
    rate: Float[Tensor, "*batch"],
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, "steps *batch"]:
    """Proportional cost of each trade, in units of the spot at inception.

    Args:
        trades: change of position at times 0..horizon-1.
        spot: spot at these times.
        rate: fraction of the traded value.
        smoothing: rounds the kink of |trade| off, ``sqrt(trade^2 + smoothing^2) - smoothing``, for training only: the
            kink has no second derivative for a gradient penalty to follow.
    """
    size = (trades.square() + smoothing**2).sqrt() - smoothing if smoothing else trades.abs()
    return rate * spot * size
