"""The book of a traded portfolio: weights and returns in, net returns and turnover out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_book


class NetReturns(NamedTuple):
    """What each period brings, and what is traded at its start.

    Attributes:
        net: return on wealth after costs, a fraction of the wealth before the trade.
        turnover: sum of absolute changes of the weights, a fraction of wealth; a switch of the whole book is 2.
    """

    net: Float[Tensor, "batch periods"]
    turnover: Float[Tensor, "batch periods"]


def net_returns(
    weights: Float[Tensor, "batch *time assets"],
    returns: Float[Tensor, "batch times assets"],
    *,
    cost_rate: float = 0.0,
    previous: Float[Tensor, "batch assets"] | None = None,
) -> NetReturns:
    """Wealth W_{t+1} = W_t (1 - c tau_t) (1 + w_t . r_{t+1}), with tau_t = sum_i |w_t,i - drift(w_{t-1})_i|.

    Between two trades the weights drift with prices: drift(w_{t-1})_i = w_{t-1,i} (1 + r_t,i) / (1 + w_{t-1} . r_t).
    Cash is 1 - sum w: it earns nothing, costs nothing to trade and may be negative, so that any sign and leverage
    is allowed. Costs are paid by the whole book in proportion, which leaves the weights as decided; that a smaller
    book then trades a little less is of order c^2 and left out (:func:`praesidium.portfolio.ledger.run_ledger` has it).

    Args:
        weights: (B, T, n) are rebalanced: those at t are decided when the return of t is known and earn that of
            t + 1, over T - 1 periods. The last ones earn nothing in the window and their trade is not charged.
            (B, n) are held: bought before the first return, never traded again, earning all T.
        returns: simple returns a period, 0.01 = 1 %; the entry at t is from t - 1 to t.
        cost_rate: proportional cost c of a trade, a rate; 0.001 = 10 bp of what is bought or sold.
        previous: weights just before the first trade, drift included; from cash where left out.

    Returns:
        Net returns and turnover, (B, T - 1) for rebalanced and (B, T) for held weights.

    Raises:
        InputError: if shapes do not fit, the cost is no rate, or a book loses all its wealth.
    """
    check_book("net_returns", weights, returns, cost_rate, previous)
    if weights.ndim == 2:
        gross, later = _held(weights, returns)
    else:
        gross, later = _rebalanced(weights, returns)
    bought = weights if weights.ndim == 2 else weights[:, 0]
    trade = bought if previous is None else bought - previous
    turnover = torch.cat([trade.abs().sum(-1, keepdim=True), later], dim=1)
    cost = cost_rate * turnover
    _check_solvent(gross, cost)
    return NetReturns(gross - cost * (1 + gross), turnover)


def _rebalanced(
    weights: Float[Tensor, "batch time assets"], returns: Float[Tensor, "batch time assets"]
) -> tuple[Float[Tensor, "batch periods"], Float[Tensor, "batch trades"]]:
    """Gross returns, and the turnover of all trades that earn something but the first."""
    invested, earned = weights[:, :-1], returns[:, 1:]
    gross = (invested * earned).sum(-1)
    drifted = invested * (1 + earned) / (1 + gross).unsqueeze(-1)
    return gross, (invested[:, 1:] - drifted[:, :-1]).abs().sum(-1)


def _held(
    weights: Float[Tensor, "batch assets"], returns: Float[Tensor, "batch time assets"]
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch trades"]]:
    """Gross returns of what is bought once, and the trades that never come."""
    start = torch.ones_like(returns[:, :1])
    price = torch.cat([start, (1 + returns[:, :-1]).cumprod(1)], dim=1)
    wealth = 1 + (weights.unsqueeze(1) * (price - 1)).sum(-1, keepdim=True)
    gross = (weights.unsqueeze(1) * price / wealth * returns).sum(-1)
    return gross, torch.zeros_like(gross[:, 1:])


def _check_solvent(gross: Tensor, cost: Tensor) -> None:
    ruined = (gross <= -1) | (cost >= 1)
    if ruined.any():
        sample, period = ruined.nonzero()[0].tolist()
        raise InputError(
            f"net_returns: {int(ruined.any(-1).sum())} of {len(ruined)} books lose all their wealth (first: sample "
            f"{sample} in period {period}, gross return {gross[sample, period]:.3g}, "
            f"cost {cost[sample, period]:.3g}); bound the leverage of the weights"
        )
