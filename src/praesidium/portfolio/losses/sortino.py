"""Mean return over downside deviation."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from praesidium.portfolio.losses.accounting import net_returns
from praesidium.portfolio.losses.arguments import check_book, check_positive


def sortino_loss(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    *,
    cost_rate: float = 0.0,
    previous: Float[Tensor, "batch assets"] | None = None,
    periods: float = 252,
    floor: float = 1e-3,
) -> Float[Tensor, ""]:
    """Minus the annualized Sortino ratio sqrt(periods) m / sqrt(d + floor^2) of net returns, mean over the batch.

    m is the mean and d the mean square of the losing part, min(r, 0), over all periods of the window (target 0).

    Args:
        weights: (B, T, n), those at t earn the return of t + 1; or (B, n) held over the window.
        returns: simple returns a period.
        cost_rate: proportional cost of a trade, a rate.
        previous: weights before the first trade; from cash where left out.
        periods: periods in a year.
        floor: least downside deviation, in units of return a period (0.001 = 10 bp); value and gradient stay finite
            and of the size of other windows where nothing is lost, which is common in short ones.

    Raises:
        InputError: see :func:`praesidium.portfolio.losses.net_returns`.

    Source: Sortino and van der Meer 1991.
    """
    check_book("sortino_loss", weights, returns, cost_rate, previous)
    check_positive("sortino_loss", periods=periods, floor=floor)
    net = net_returns(weights, returns, cost_rate=cost_rate, previous=previous).net
    downside = (net.clamp(max=0).square().mean(-1) + floor**2).sqrt()
    return -math.sqrt(periods) * (net.mean(-1) / downside).mean()
