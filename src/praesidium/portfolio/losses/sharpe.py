"""Mean return over volatility."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from praesidium.portfolio.losses.accounting import net_returns
from praesidium.portfolio.losses.arguments import check_book, check_positive

FLOOR = 1e-4  # one basis point a period, far below the volatility of what trades daily


def sharpe_loss(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    *,
    cost_rate: float = 0.0,
    previous: Float[Tensor, "batch assets"] | None = None,
    periods: float = 252,
    floor: float = FLOOR,
) -> Float[Tensor, ""]:
    """Minus the annualized Sharpe ratio sqrt(periods) m / sqrt(v + floor^2) of net returns, mean over the batch.

    m and v are the mean and the (population) variance over the window. Cash earns 0, so that nothing is subtracted.

    Args:
        weights: (B, T, n), those at t earn the return of t + 1; or (B, n) held over the window.
        returns: simple returns a period.
        cost_rate: proportional cost of a trade, a rate.
        previous: weights before the first trade; from cash where left out.
        periods: periods in a year.
        floor: least volatility, in units of return a period. It keeps value and gradient finite where returns do
            not vary (one period, or a book in cash) and shifts a volatility s by floor^2 / 2 s elsewhere.

    Raises:
        InputError: see :func:`praesidium.portfolio.losses.net_returns`.

    Source: Sharpe 1994.
    """
    check_book("sharpe_loss", weights, returns, cost_rate, previous)
    check_positive("sharpe_loss", periods=periods, floor=floor)
    net = net_returns(weights, returns, cost_rate=cost_rate, previous=previous).net
    volatility = (net.var(-1, correction=0) + floor**2).sqrt()
    return -math.sqrt(periods) * (net.mean(-1) / volatility).mean()
