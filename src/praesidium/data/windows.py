"""Real episodes: every start inside a calendar window, cut from a price history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError
from praesidium.data.prices import Prices
from praesidium.data.splits import Window, window_days
from praesidium.data.volatility import realized_volatility
from praesidium.markets.garch import GJR
from praesidium.markets.market import TRADING_DAYS
from praesidium.markets.paths import Paths


@dataclass(frozen=True, eq=False)
class WindowEpisodes:
    """Overlapping real episodes; neighbors share all but one day, so they are far from independent.

    Attributes:
        paths: one path for each start, double precision.
        starts: inception of each path.
        days: trading days of the window.
        steps: (days, episodes); the step t of the episode whose profit and loss from close t to close t + 1 falls
            on that day's close, or -1 where the episode is not open. The first day of the window has none.
        highest_volatility: largest realized volatility of 20 days that ended in the window.
        dropped: starts inside the window that the history does not hold in full, lookback to maturity.
        mark: implied volatility at times 0..horizon, given the days left then.
    """

    paths: Paths
    starts: pd.DatetimeIndex
    days: pd.DatetimeIndex
    steps: NDArray[np.int64]
    highest_volatility: float
    dropped: int
    mark: Callable[[Sequence[int]], Tensor]

    def marked(self, left: Sequence[Sequence[int]]) -> Paths:
        """The paths with marks over these days left, the liability first, as of a market's ``simulate``."""
        implied, *listed = [self.mark(days) for days in left]
        return replace(self.paths, implied=implied, listed=torch.stack(listed) if listed else None)

    def ladder(self, by_step: Float[Tensor, "steps episodes"]) -> Float[Tensor, " days"]:
        """Mean over the open episodes on each day of the window; NaN on a day with none open."""
        step = torch.as_tensor(self.steps, device=by_step.device)
        is_open = step >= 0
        values = by_step.gather(0, step.clamp(min=0))
        return torch.where(is_open, values, 0.0).sum(1) / is_open.sum(1)


def window_episodes(
    prices: Prices,
    window: Window,
    *,
    gjr: GJR,
    horizon: int,
    lookback: int,
    multiplier: float = 1.15,
    clip: tuple[float, float] = (0.08, 1.2),
) -> WindowEpisodes:
    """All episodes of ``horizon`` days that start inside a window; they may end after it.

    The implied volatility of a day comes from the variance filtered through the history up to that day, started at
    the long-run variance; nothing looks ahead. Fit ``gjr`` on training days only.

    Raises:
        InputError: if the history holds no day of the window, or no complete episode.
    """
    days = window_days(prices.dates, window)
    held = f"the prices of {prices.name} run from {prices.dates[0]:%Y-%m-%d} to {prices.dates[-1]:%Y-%m-%d}"
    if len(days) == 0:
        raise InputError(f"window {window.name}: no trading day between {window.first} and {window.last}; {held}")
    starts = days[(days >= lookback) & (days + horizon < len(prices.close))]
    if len(starts) == 0:
        needs = f"{lookback} days before and {horizon} days after its start"
        raise InputError(f"window {window.name}: an episode needs {needs}; {held}")

    rows = starts + np.arange(-lookback, horizon + 1)[:, None]
    variance = gjr.filter(prices.log_returns, gjr.variance)
    known = torch.as_tensor(variance[rows[lookback:]])

    def mark(left: Sequence[int]) -> Tensor:
        days = torch.tensor(list(left), dtype=torch.float64).unsqueeze(-1)
        return gjr.implied(known, days, multiplier=multiplier, clip=clip)

    paths = Paths(
        spot=torch.as_tensor(prices.close[rows] / prices.close[starts]),
        implied=mark(range(horizon, -1, -1)),
        dt=1 / TRADING_DAYS,
        lookback=lookback,
    )
    steps = days[:, None] - starts - 1
    steps[(steps < 0) | (steps >= horizon)] = -1
    trailing = realized_volatility(prices.log_returns)[np.maximum(days - 1, 0)]
    return WindowEpisodes(
        paths=paths,
        starts=prices.dates[starts],
        days=prices.dates[days],
        steps=steps,
        highest_volatility=float(np.nanmax(trailing)),
        dropped=len(days) - len(starts),
        mark=mark,
    )
