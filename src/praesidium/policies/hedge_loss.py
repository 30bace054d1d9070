"""What a hedge leaves of the risk, and what it costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError, unknown
from praesidium.policies.hedger import check_returns
from praesidium.risk import cvar

AVERSION = 10.0  # to the variance of a period's return


def delta_hedge_loss(
    hedge: Float[Tensor, "batch *time assets"],
    spot_returns: Float[Tensor, "batch times assets"],
    futures_returns: Float[Tensor, "batch times assets"],
    *,
    cost_rate: float,
    previous: Float[Tensor, "*batch assets"] | None = None,
    risk: str = "variance",
    risk_aversion: float = AVERSION,
    level: float = 0.95,
) -> Float[Tensor, ""]:
    """Risk of spot return + hedge x futures return, net of the costs of every change of the hedge.

    Args:
        hedge: ratios. (B, T, n): the one at t is decided at t and earns the returns of t + 1; (B, n): decided before
            the first return, held through all of them.
        spot_returns, futures_returns: simple returns of the same periods.
        cost_rate: proportional cost of what is traded in the futures, one way.
        previous: ratios held before the first, (B, n) or (n); none where left out, so that the first is paid for.
        risk: ``variance``, Var + (2 / a) mean cost: a risk-averse holder pays for what variance is worth, a / 2 times
            its amount; ``cvar``, the CVaR of a period's loss, in which costs count as they are.
        risk_aversion: a, for ``variance``.
        level: confidence, for ``cvar``.

    Returns:
        Mean over assets of the risk over all periods of all sequences; lower is better. NaN for a hedge that is NaN.

    Raises:
        InputError: if shapes do not fit, there is no period, a return is not finite, a number is out of bounds, or the
            risk is unknown.
    """
    check_terms("delta_hedge_loss", cost_rate=cost_rate, risk=risk, risk_aversion=risk_aversion)
    if spot_returns.shape != futures_returns.shape or hedge.shape not in (
        spot_returns.shape,
        (len(spot_returns), spot_returns.shape[-1]),
    ):
        raise InputError(
            f"delta_hedge_loss: hedge {tuple(hedge.shape)}, spot_returns {tuple(spot_returns.shape)} and "
            f"futures_returns {tuple(futures_returns.shape)} do not fit; give (batch, time, assets), or a hedge "
            "(batch, assets) that is held"
        )
    if previous is not None and previous.shape not in ((len(hedge), hedge.shape[-1]), hedge.shape[-1:]):
        raise InputError(
            f"delta_hedge_loss: previous {tuple(previous.shape)} does not fit hedge {tuple(hedge.shape)}; give "
            "(batch, assets) or (assets)"
        )
    if hedge.ndim == 3:
        held, spot, futures = hedge[:, :-1], spot_returns[:, 1:], futures_returns[:, 1:]
    else:
        held, spot, futures = hedge.unsqueeze(1).expand_as(spot_returns), spot_returns, futures_returns
    if not held.numel():
        raise InputError(
            f"delta_hedge_loss: hedge {tuple(hedge.shape)} over spot_returns {tuple(spot_returns.shape)} earns "
            "nothing; give a sequence and two times or more"
        )
    check_returns("delta_hedge_loss", "spot_returns", spot_returns)
    check_returns("delta_hedge_loss", "futures_returns", futures_returns)
    before = torch.zeros_like(held[:, 0]) if previous is None else previous.expand_as(held[:, 0])
    costs = cost_rate * held.diff(dim=1, prepend=before.unsqueeze(1)).abs()
    net = (spot + held * futures - costs).flatten(0, 1)
    return RISKS[risk](net, costs.flatten(0, 1), risk_aversion, level).mean()


def check_terms(caller: str, *, cost_rate: float, risk: str, risk_aversion: float) -> None:
    """Refuse terms of :func:`delta_hedge_loss` that are out of bounds."""
    if risk not in RISKS:
        raise InputError(unknown(f"{caller}: risk", risk, RISKS))
    if not 0 <= cost_rate < 1:
        raise InputError(f"{caller}: cost_rate={cost_rate:g} is not a rate in [0, 1); for 5 bp say 0.0005")
    if not risk_aversion > 0:
        raise InputError(f"{caller}: risk_aversion={risk_aversion:g} is not above 0; say such as {AVERSION:g}")


def _variance(net: Tensor, costs: Tensor, risk_aversion: float, level: float) -> Tensor:
    return net.var(0, correction=0) + 2 / risk_aversion * costs.mean(0)


def _cvar(net: Tensor, costs: Tensor, risk_aversion: float, level: float) -> Tensor:
    return cvar(-net.T, level=level)


RISKS: dict[str, Callable[[Tensor, Tensor, float, float], Tensor]] = {"variance": _variance, "cvar": _cvar}
