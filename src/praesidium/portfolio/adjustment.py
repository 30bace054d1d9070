"""From aims to weights: trade part of the way, then hold what the limits allow."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.constraints import Constraint


def adjust(
    aims: Float[Tensor, "batch time assets"],
    rates: Float[Tensor, "batch time"],
    constraint: Constraint,
    *,
    previous: Float[Tensor, "batch assets"] | None = None,
    returns: Float[Tensor, "batch time assets"] | None = None,
    trade_every: int = 1,
) -> Float[Tensor, "batch time assets"]:
    """w_t = project(d_t + rate_t (aim_t - d_t)), d_t the weights of t - 1 after a period without trades.

    d_t,i = w_{t-1,i} (1 + r_t,i) / (1 + w_{t-1} . r_t); cash earns nothing.

    Args:
        aims: portfolios that would be held if trading were free; within the constraint.
        rates: share of the way to the aim that is traded, in [0, 1].
        constraint: what weights are allowed.
        previous: weights just before the first trade; where left out, the first decision is the aim.
        returns: simple returns, those at t from t - 1 to t; where left out, weights do not drift.
        trade_every: periods from one trade to the next, the first at the first time; in between weights drift, and
            may drift over a limit.

    Raises:
        InputError: if a portfolio loses all its wealth.

    Source: Garleanu and Pedersen 2013 (trade partially towards the aim).
    """
    first = aims[:, 0]
    if previous is not None:
        first = constraint.project(torch.lerp(previous, first, rates[:, :1]))
    if returns is None:
        return _without_drift(first, aims, rates, trade_every)
    held, path, wealth = first, [first], []
    for time, move in enumerate(returns.unbind(1)[1:], start=1):
        wealth.append(1 + (held * move).sum(-1, keepdim=True))
        held = held * (1 + move) / wealth[-1]
        if time % trade_every == 0:
            held = constraint.restore(torch.lerp(held, aims[:, time], rates[:, time, None]))
        path.append(held)
    if wealth and bool((torch.stack(wealth).detach() <= 0).any()):
        raise InputError("adjust: a portfolio loses all its wealth in one period; lower the leverage of the constraint")
    return torch.stack(path, dim=1)


def _without_drift(
    first: Float[Tensor, "batch assets"],
    aims: Float[Tensor, "batch time assets"],
    rates: Float[Tensor, "batch time"],
    trade_every: int,
) -> Float[Tensor, "batch time assets"]:
    """Mixtures of allowed weights, which are allowed as they are."""
    held, path = first, [first]
    traded = aims[:, trade_every::trade_every].unbind(1), rates[:, trade_every::trade_every, None].unbind(1)
    for aim, rate in zip(*traded, strict=True):
        held = torch.lerp(held, aim, rate)
        path.append(held)
    return torch.stack(path, dim=1).repeat_interleave(trade_every, dim=1)[:, : aims.shape[1]]
