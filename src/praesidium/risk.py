"""Risk functionals and path statistics. Losses are positive = bad; lower risk is better."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError


def cvar(losses: Float[Tensor, "*batch episodes"], *, level: float) -> Float[Tensor, "*batch"]:
    """Conditional value at risk: the mean of the worst ``1 - level`` share of losses.

    Exact for a share that is not a whole number of episodes: the boundary loss counts by the remaining fraction.

    Args:
        losses: losses, positive = bad, in units of the spot at inception.
        level: confidence in (0, 1); 0.95 looks at the worst 5 %.

    Returns:
        One risk a batch element, same unit. At least the value at risk, at most the maximum.

    Raises:
        InputError: if ``level`` is not a fraction, or there is no episode.

    Source: Rockafellar and Uryasev 2002, eq. 3; Acerbi and Tasche 2002, def. 2.6.
    """
    worst, weights = _tail(losses, level, "cvar")
    return (worst * weights).sum(-1)


def cvar_standard_error(losses: Float[Tensor, "*batch episodes"], *, level: float) -> Float[Tensor, "*batch"]:
    """Asymptotic standard error of :func:`cvar` for independent episodes, from its influence function.

    se^2 = Var[(L - VaR)_+] / (n (1 - level)^2).

    Source: Hong and Liu 2009, theorem 3.1. Nominal 95 % intervals cover 92-95 % from about 1,000 episodes on.
    """
    worst, _ = _tail(losses, level, "cvar_standard_error")
    excess = (losses - worst[..., -1:]).clamp(min=0)
    return excess.std(-1, correction=0) / ((1 - level) * losses.shape[-1] ** 0.5)


def _tail(losses: Tensor, level: float, caller: str) -> tuple[Tensor, Tensor]:
    """The worst losses in falling order, and the weights with which they make up the CVaR."""
    _check_level(level, caller)
    count = losses.shape[-1]
    if count == 0:
        raise InputError(f"{caller}: there are no losses; at least one episode is needed")
    mass = (1 - level) * count
    # 1 - 0.95 is a little above 0.05: without this, 5 % of 100 would be five losses and a speck of a sixth.
    whole = round(mass) if abs(mass - round(mass)) < 1e-9 * count else int(mass)
    used = max(1, min(count, whole + (mass - whole > 1e-9 * count)))
    weights = torch.full((used,), 1 / mass, dtype=losses.dtype, device=losses.device)
    weights[-1] = 1 - (used - 1) / mass
    return losses.topk(used, dim=-1).values, weights


def _check_level(level: float, caller: str) -> None:
    if not 0 < level < 1:
        hint = f"; did you mean {level / 100:g}?" if 1 < level < 100 else "; for the worst 5 % say level=0.95"
        raise InputError(f"{caller}: level={level:g} is not a fraction in (0, 1){hint}")


# ---- smoothed CVaR, for training -----------------------------------------------------------------------------------


def hinge(excess: Tensor, width: Tensor) -> Tensor:
    """Integral of :func:`soft_step`: 0 below ``-width``, ``excess`` above ``width``, a parabola between."""
    inside = (excess + width).clamp(min=0) ** 2 / (4 * width)
    return torch.where(excess > width, excess, inside)


def soft_step(excess: Tensor, width: Tensor) -> Tensor:
    """Linear step from 0 at ``-width`` to 1 at ``width``: the share of a loss that lies in the tail."""
    return ((excess + width) / (2 * width)).clamp(0, 1)


@torch.no_grad()
def tail_edge(
    losses: Float[Tensor, "*batch episodes"], *, level: float, smoothing: float
) -> tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch 1"]]:
    """Smoothed value at risk tau, the root of mean soft_step(L - tau) = 1 - level, and the width of the smoothing.

    Only episodes with a loss above ``tau - width`` contribute to the smoothed CVaR or to any of its derivatives.

    Args:
        losses: losses of all episodes; no gradient is taken.
        level: confidence in (0, 1).
        smoothing: half width of the boundary in standard deviations of the losses.
    """
    _check_level(level, "tail_edge")
    eps = torch.finfo(losses.dtype).eps
    resolved = 1000 * eps * (losses.abs().amax(-1, keepdim=True) + eps)  # rounding must not fill or empty the boundary
    width = torch.maximum(smoothing * losses.std(-1, keepdim=True), resolved)
    mass, episodes = (1 - level) * losses.shape[-1], losses.shape[-1]
    worst = losses.double().topk(min(episodes, 2 * math.ceil(mass) + 64), dim=-1, sorted=False).values
    tau = _where_filled(worst, width.double(), mass)
    if worst.shape[-1] < episodes and (worst.amin(-1, keepdim=True) > tau - width).any():
        tau = _where_filled(losses.double(), width.double(), mass)  # the boundary reaches below the worst looked at
    return tau.to(losses.dtype), width


def _where_filled(
    losses: Float[Tensor, "*batch episodes"], width: Float[Tensor, "*batch 1"], mass: float
) -> Float[Tensor, "*batch 1"]:
    """The tau at which sum soft_step(losses - tau) = mass: that sum is linear between the points losses +- width."""
    points, order = torch.cat([losses + width, losses - width], dim=-1).sort(dim=-1, descending=True)
    enters = torch.where(order < losses.shape[-1], 1.0, -1.0).to(losses.dtype)
    inside = enters.cumsum(-1)[..., :-1]  # losses on the boundary, between a point and the next lower one
    filled = (inside * -points.diff(dim=-1)).cumsum(-1) / (2 * width)  # at the lower end of each interval
    place = (filled < mass).sum(-1, keepdim=True).clamp(max=filled.shape[-1] - 1)
    below, slope = (one.gather(-1, place) for one in (filled, inside))
    return points.gather(-1, place + 1) + (below - mass) * 2 * width / slope.clamp(min=1)


def smoothed_cvar(
    tail: Float[Tensor, " tail"],
    group: Tensor,
    edge: tuple[Float[Tensor, "groups 1"], Float[Tensor, "groups 1"]],
    *,
    level: float,
    episodes: int,
) -> tuple[Float[Tensor, " groups"], Float[Tensor, " tail"]]:
    """Smoothed CVaR of each group of episodes from its tail alone, right in value and to second order.

    R = tau + mean hinge(L - tau) / (1 - level). One differentiable Newton step for tau keeps the movement of the
    boundary in second derivatives; sorting or top-k would lose it.

    Args:
        tail: losses above ``tau - width`` of their group, with their graph; every such loss must be there.
        group: the group of each tail loss, int64.
        edge: tau and width by group, from :func:`tail_edge` over all episodes.
        level: confidence in (0, 1).
        episodes: number of episodes in each group, tail or not.

    Returns:
        The risk of each group, and the CVaR weight of each tail loss (they sum to one in a group).

    Source: Rockafellar and Uryasev 2000, eq. 4, with a hinge of compact support.
    """
    start, width = (part.squeeze(-1) for part in edge)
    mass = (1 - level) * episodes
    wide = width[group]
    zero = torch.zeros_like(start)
    excess = tail - start[group]
    filled = zero.index_add(0, group, soft_step(excess, wide))
    slope = zero.index_add(0, group, ((excess.abs() < wide) / (2 * wide)).detach())
    tau = start + torch.where(slope > 0, (filled - mass) / slope.clamp(min=1e-30), zero)
    weights = soft_step(tail - tau[group], wide) / mass
    risk = tau + zero.index_add(0, group, hinge(tail - tau[group], wide)) / mass
    return risk, weights


# ---- statistics of a P&L path --------------------------------------------------------------------------------------


def max_drawdown(values: Float[Tensor, "times *batch"]) -> Float[Tensor, "*batch"]:
    """Largest fall from a running peak along time, in the unit of ``values``; 0 for a path that never falls."""
    return (values.cummax(0).values - values).amax(0)


def sortino(profits: Float[Tensor, "*batch episodes"]) -> Float[Tensor, "*batch"]:
    """Mean profit over the root mean square of the losing part (target 0); infinite where nothing is lost.

    Source: Sortino and van der Meer 1991.
    """
    return profits.mean(-1) / profits.clamp(max=0).square().mean(-1).sqrt()
