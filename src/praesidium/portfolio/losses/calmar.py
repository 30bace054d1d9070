"""Mean return over maximum drawdown."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.portfolio.losses.accounting import net_returns
from praesidium.portfolio.losses.arguments import check_book, check_positive
from praesidium.portfolio.losses.drawdown import path_drawdown


def calmar_loss(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    *,
    cost_rate: float = 0.0,
    previous: Float[Tensor, "batch assets"] | None = None,
    periods: float = 252,
    floor: float = 0.01,
) -> Float[Tensor, ""]:
    """Minus the Calmar ratio periods m / sqrt(D^2 + floor^2) of net returns, mean over the batch.

    m is the mean return a period, and D the maximum drawdown of compounded wealth, start included.

    Args:
        weights: (B, T, n), those at t earn the return of t + 1; or (B, n) held over the window.
        returns: simple returns a period.
        cost_rate: proportional cost of a trade, a rate.
        previous: weights before the first trade; from cash where left out.
        periods: periods in a year.
        floor: least drawdown, a fraction of wealth (0.01 = 1 %); value and gradient stay finite where wealth never
            falls.

    Raises:
        InputError: see :func:`praesidium.portfolio.losses.net_returns`.

    Source: Young 1991.
    """
    check_book("calmar_loss", weights, returns, cost_rate, previous)
    check_positive("calmar_loss", periods=periods, floor=floor)
    net = net_returns(weights, returns, cost_rate=cost_rate, previous=previous).net
    fall = (path_drawdown(net).square() + floor**2).sqrt()
    return -periods * (net.mean(-1) / fall).mean()
