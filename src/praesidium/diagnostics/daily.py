"""Real windows, day by day: dependent rows, few of them in the tail, and intervals only where there is enough."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch

from praesidium.data.windows import WindowEpisodes
from praesidium.diagnostics.bootstrap import block_length, bootstrap_error
from praesidium.diagnostics.efficiency import expected_return_risk, volatility_ratio
from praesidium.diagnostics.scorecard import LEVEL, Scores, finite
from praesidium.hedging.episode import Episode, by_day
from praesidium.risk import cvar, max_drawdown, sortino

ENOUGH = 3.0
ROLLING = 20  # days of a volatility


@dataclass(frozen=True)
class DailyScores:
    """A window's scores by day.

    Attributes:
        scores: as of :func:`praesidium.diagnostics.scorecard.scorecard`, of daily rows; ``cvar95_se`` is None where
            the effective sample is below three.
        rows: one row a day: date, profit and number of open episodes.
        effective: smaller of the number of independent blocks and the number of tail days.
        highest_volatility: largest realized volatility of 20 days in the window.
    """

    scores: Scores
    rows: pd.DataFrame
    effective: float
    highest_volatility: float


def daily_scores(episode: Episode, window: WindowEpisodes) -> DailyScores:
    """Scores of a ladder: an episode is opened on each day of the window; a day's profit is the mean of the open ones.

    Daily profit is mark-to-market, the premium included, in units of each episode's spot at inception.
    """
    profit = window.ladder(episode.daily)
    some = torch.isfinite(profit)
    daily, losses = profit[some], -profit[some]
    block = block_length(losses.numpy())
    effective, error = effective_sample(len(losses), block=block), None
    if effective >= ENOUGH:
        error = bootstrap_error(losses.numpy(), block=block)
    traded = window.ladder(by_day(episode.trades.abs()))[some].mean().item()
    held = window.ladder(by_day(episode.positions.abs()))[some].mean().item()
    risk, gain = cvar(losses, level=LEVEL).item(), daily.mean().item()
    scores: Scores = {
        "cvar95": risk,
        "cvar95_se": error,
        "cvar95_no_premium": None,  # a premium is received once an episode, not once a day
        "mean_pnl": gain,
        "max_drawdown": max_drawdown(torch.cat([daily.new_zeros(1), daily.cumsum(0)])).item(),
        "turnover": traded,
        "sortino": finite(sortino(daily).item()),
        "return_risk": expected_return_risk(gain, risk),
        "turnover_ratio": traded / held if held else None,
        "volatility_ratio": volatility_ratio(daily.unsqueeze(1)) if len(daily) > ROLLING else None,
    }
    open_episodes = (window.steps >= 0).sum(1)[some.numpy()]
    rows = pd.DataFrame({"date": window.days[some.numpy()], "pnl": daily.numpy(), "open_episodes": open_episodes})
    return DailyScores(scores, rows, effective, window.highest_volatility)


def effective_sample(days: int, *, block: float) -> float:
    """The smaller of independent blocks and tail days: a CVaR-95 rests on the worst 5 % of the rows."""
    return min(days / block, (1 - LEVEL) * days)
