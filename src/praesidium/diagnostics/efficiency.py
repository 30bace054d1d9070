"""Efficiency and steadiness of a hedge: what it returns for its risk, how much it trades, how evenly it goes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError

BLOCK = 256  # paths whose rolling windows are held at once: few enough to stay near the cache


def expected_return_risk(mean_pnl: float, cvar: float) -> float | None:
    """ER = E[PnL] / CVaR95(-PnL), without unit; higher is better for a positive mean.

    For a negative mean a lower risk makes it worse: never show it without its numerator.

    Args:
        mean_pnl: mean terminal profit, premium included.
        cvar: CVaR-95 of the terminal loss, in the same unit.

    Returns:
        The ratio; None where the CVaR is not positive: without a loss in the tail it ranks nothing.

    Source: the HIRM paper, section 4.4.
    """
    return mean_pnl / cvar if cvar > 0 else None


def turnover_ratio(positions: Float[Tensor, "steps paths"]) -> float | None:
    """TR = sum |q_t - q_{t-1}| / sum |q_t| over all days and paths, the book empty before the first; lower is better.

    A ratio of means, so that paths that hardly hold a position do not dominate. None where none is ever held.

    Source: the HIRM paper, section 4.3.3, for positions.
    """
    positions = positions.double()
    held = positions.abs().sum().item()
    trades = positions.diff(dim=0, prepend=torch.zeros_like(positions[:1]))
    return None if held == 0 else trades.abs().sum().item() / held


def volatility_ratio(daily: Float[Tensor, "steps paths"], window: int = 20) -> float | None:
    """VR = Std_t[v_t] / E_t[v_t], v_t the standard deviation of the last ``window`` days; mean over paths.

    Low where the hedge fluctuates evenly, high where it is calm at one time and wild at another. Without unit, and the
    same for every scale and constant drift of the profit. Both deviations are population ones.

    Args:
        daily: mark-to-market profit of each day, in any unit.
        window: days in a rolling window; the window moves by a day.

    Returns:
        At least 0. Paths of constant profit have no ratio and are left out; None if none is left.

    Raises:
        InputError: if the window has fewer than two days, or there are not at least two windows.

    Source: the HIRM paper, section 4.3.2.
    """
    ratios = volatility_ratios(daily, window)
    known = ratios[ratios.isfinite() | ~daily.isfinite().all(0)]
    return known.mean().item() if len(known) else None


def volatility_ratios(daily: Float[Tensor, "steps paths"], window: int = 20) -> Float[Tensor, " paths"]:
    """The ratio of :func:`volatility_ratio` on each path; NaN for one of constant profit."""
    if not 2 <= window < len(daily):
        raise InputError(
            f"volatility_ratio: window={window} does not fit {len(daily)} days; "
            f"take at least 2 days and fewer than there are"
        )
    ratios = []
    for paths in daily.split(BLOCK, dim=1):
        volatility = _rolling_deviation(paths.double(), window)
        level, spread = volatility.mean(0), volatility.std(0, correction=0)
        ratios.append(torch.where(level != 0, spread / level, torch.nan))
    return torch.cat(ratios)


def _rolling_deviation(daily: Float[Tensor, "steps paths"], window: int) -> Float[Tensor, "windows paths"]:
    """Population standard deviation of each run of ``window`` days, in two passes."""
    runs = (daily - daily[:1]).unfold(0, window, 1)  # a constant path becomes exactly zero
    return (runs - runs.mean(-1, keepdim=True)).square_().mean(-1).sqrt()
