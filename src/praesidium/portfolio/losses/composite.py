"""Performance, costs, limits and tail in one loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.portfolio.losses.accounting import net_returns
from praesidium.portfolio.losses.arguments import check_beliefs, check_book, check_positive
from praesidium.portfolio.losses.contributions import check_covariance, variance_contributions
from praesidium.portfolio.losses.drawdown import path_drawdown
from praesidium.portfolio.losses.regime_conditional import regime_conditional_loss
from praesidium.portfolio.losses.sharpe import FLOOR, sharpe_loss
from praesidium.risk import cvar


def advanced_portfolio_loss(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    *,
    regime_probs: Float[Tensor, "batch times regimes"] | None = None,
    covariance: Float[Tensor, "*matrices assets assets"] | None = None,
    previous: Float[Tensor, "batch assets"] | None = None,
    cost_rate: float = 0.001,
    max_weight: float = 1.0,
    max_leverage: float = 1.0,
    limit_weight: float = 10.0,
    drawdown_weight: float = 1.0,
    cvar_weight: float = 10.0,
    variance_weight: float = 1.0,
    level: float = 0.95,
    periods: float = 252,
    floor: float = FLOOR,
) -> Float[Tensor, ""]:
    """Minus the Sharpe ratio of net returns, plus what drawdown, tail, variance and broken limits are charged.

    L = -sharpe + a_D D + a_C CVaR(-r) + a_V periods w' C w + a_L B with what is beyond the limits,
    B = sum_i relu(abs(w_i) - max_weight) + relu(sum_i abs(w_i) - max_leverage); each term is a mean over the batch, and
    the last two over time as well. r are net returns, after costs of the
    turnover from drifted weights (:func:`praesidium.portfolio.losses.net_returns`); D is the maximum drawdown of
    compounded wealth, start included. Without variation the ratio is finite, and so is the tail of a short window:
    the CVaR of 5 periods at 0.95 is the worst of them.

    Args:
        weights: (B, T, n), those at t earn the return of t + 1; or (B, n) held over the window.
        returns: simple returns a period.
        regime_probs: filtered probabilities (B, T, K); the ratio is then that of each regime by its share
            (:func:`praesidium.portfolio.losses.regime_conditional_loss`).
        covariance: C, of returns a period as known when the weights are decided: (n, n), (B, n, n) or (B, T, n, n).
            The variance term is there only with it.
        previous: weights before the first trade; from cash where left out.
        cost_rate: proportional cost of a trade, a rate; 0.001 = 10 bp.
        max_weight: largest position, long or short, free of charge.
        max_leverage: largest sum of absolute weights free of charge; 1 is a book without debt.
        limit_weight: a_L, loss for a limit broken by the whole of wealth.
        drawdown_weight: a_D, loss for a drawdown of 100 %.
        cvar_weight: a_C, loss for a CVaR of 100 % a period.
        variance_weight: a_V, loss for an annualized variance of 1; half a risk aversion.
        level: of the CVaR, in (0, 1).
        periods: periods in a year.
        floor: least volatility in the ratio, in units of return a period.

    Raises:
        InputError: if shapes do not fit or a number is out of bounds.

    Source: the tail is that of Rockafellar and Uryasev 2002, eq. 3 (:func:`praesidium.risk.cvar`).
    """
    check_book("advanced_portfolio_loss", weights, returns, cost_rate, previous)
    check_positive("advanced_portfolio_loss", max_weight=max_weight, max_leverage=max_leverage)
    if regime_probs is not None:
        check_beliefs("advanced_portfolio_loss", regime_probs, returns)
    if covariance is not None:
        check_covariance("advanced_portfolio_loss", weights, covariance)
    if regime_probs is None:
        total = sharpe_loss(weights, returns, cost_rate=cost_rate, previous=previous, periods=periods, floor=floor)
    else:
        total = regime_conditional_loss(
            weights, returns, regime_probs, cost_rate=cost_rate, previous=previous, periods=periods, floor=floor
        )
    net = net_returns(weights, returns, cost_rate=cost_rate, previous=previous).net
    total = total + drawdown_weight * path_drawdown(net).mean()
    total = total + cvar_weight * cvar(-net, level=level).mean()
    total = total + limit_weight * _limit_excess(weights, max_weight, max_leverage)
    if covariance is not None:
        total = total + variance_weight * periods * variance_contributions(weights, covariance).sum(-1).mean()
    return total


portfolio_loss = advanced_portfolio_loss


def _limit_excess(weights: Float[Tensor, "*batch assets"], max_weight: float, max_leverage: float) -> Float[Tensor, ""]:
    """sum_i relu(|w_i| - max_weight) + relu(sum_i |w_i| - max_leverage), mean over all books; 0 within the limits."""
    size = weights.abs()
    position = (size - max_weight).clamp(min=0).sum(-1)
    leverage = (size.sum(-1) - max_leverage).clamp(min=0)
    return (position + leverage).mean()
