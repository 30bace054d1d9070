"""Scorecard: the numbers of one policy in one environment."""

from __future__ import annotations

import math

from praesidium.diagnostics.efficiency import expected_return_risk
from praesidium.hedging.episode import Episode, Tally
from praesidium.risk import cvar, cvar_standard_error, sortino

LEVEL = 0.95

Scores = dict[str, float | None]


def finite(value: float) -> float | None:
    """The value, or None where it is not a number: a Sortino ratio without a loss."""
    return value if math.isfinite(value) else None


def scorecard(episode: Episode | Tally) -> Scores:
    """Measures over independent episodes, in units of the spot at inception; missing ones are None.

    Returns:
        ``cvar95`` of the terminal loss with the premium and its standard error ``cvar95_se``, ``cvar95_no_premium``,
        ``mean_pnl`` (premium included), ``max_drawdown`` (mean over episodes, of the marked book), ``turnover`` (mean
        sum of absolute trades), ``sortino`` of the terminal profit; ``return_risk`` (ER), mean profit by CVaR-95;
        ``turnover_ratio`` (TR), absolute trades by absolute positions.
    """
    losses = -episode.pnl
    held = episode.held.sum().item()
    risk, profit = cvar(losses, level=LEVEL).item(), -losses.mean().item()
    return {
        "cvar95": risk,
        "cvar95_se": cvar_standard_error(losses, level=LEVEL).item(),
        "cvar95_no_premium": cvar(-episode.pnl_without_premium, level=LEVEL).item(),
        "mean_pnl": profit,
        "max_drawdown": episode.drawdown.mean().item(),
        "turnover": episode.turnover.mean().item(),
        "sortino": finite(sortino(episode.pnl).item()),
        "return_risk": expected_return_risk(profit, risk),
        "turnover_ratio": episode.turnover.sum().item() / held if held else None,
    }
