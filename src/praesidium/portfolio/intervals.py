"""How sure the figures are: intervals and paired differences from the stationary bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from jaxtyping import Float, Int

from praesidium.component import InputError, whole
from praesidium.portfolio.metrics import METRICS, Track
from praesidium.training.reproducibility import stream

_AT_ONCE = 50
"""Resampled tracks that are measured together: few enough for the cache."""

_LEAST = 11
"""Days of the shortest track that says how long it remembers: the choice of a block looks ceil(sqrt(days)) + 6 days
back, and divides by what is left of the track."""


def block_length(tracks: Mapping[str, Track]) -> int:
    """Mean length of a block, in days: the longest that any track asks for, by its returns or by their squares.

    Squares remember longer than returns, and every measure of risk depends on them. Tracks that never move ask for
    nothing, and those of fewer than 11 days are too short to tell: 1.

    Source: Politis and White 2004, corrected by Patton, Politis and White 2009, through ``arch``.
    """
    columns = [column for track in tracks.values() for column in (track.returns, track.returns**2)]
    moving = [column for column in columns if np.ptp(column) > 0]
    if not moving or len(moving[0]) < _LEAST:
        return 1
    lengths = optimal_block_length(np.column_stack(moving))["stationary"].to_numpy()
    return max(1, round(float(np.nanmax(lengths))))


def resampled_days(days: int, *, block: int, resamples: int, seed: int = 0) -> Int[np.ndarray, "days resamples"]:
    """Days of the stationary bootstrap: blocks of geometric length that start anywhere and wrap around the end.

    Args:
        days: length of a track.
        block: mean length of a block, at least 1.
        resamples: columns, independent of each other, at least 1.
        seed: the same seed gives the same days.

    Raises:
        InputError: if ``block`` or ``resamples`` is not a whole number of at least 1.

    Source: Politis and Romano 1994, through ``arch``.
    """
    for name, value in (("block", block), ("resamples", resamples)):
        if not whole(value):
            raise InputError(f"resample: {name}={value!r} is not a whole number of at least 1")
    seed_of_days = stream(seed, "stationary bootstrap").initial_seed()
    bootstrap = StationaryBootstrap(block, np.arange(days), seed=np.random.default_rng(seed_of_days))
    return np.stack([drawn[0] for drawn, _ in bootstrap.bootstrap(resamples)], axis=-1)


@dataclass(frozen=True, eq=False)
class Resampled:
    """Every metric of every strategy, as it was and on resampled days, the same days for all strategies.

    Attributes:
        strategies: names, in the order of the first axis.
        metrics: names, in the order of the second axis.
        estimates: metrics of the tracks themselves.
        replicates: metrics of the resampled tracks.
        block: mean length of a block, in days.
    """

    strategies: tuple[str, ...]
    metrics: tuple[str, ...]
    estimates: Float[np.ndarray, "strategies metrics"]
    replicates: Float[np.ndarray, "strategies metrics resamples"]
    block: int

    def intervals(self, *, level: float = 0.95) -> pd.DataFrame:
        """Percentile intervals: columns ``estimate``, ``low``, ``high``, rows by strategy and metric.

        Resampled tracks on which a metric is over nothing, such as a ratio where nothing is held, are left out; where
        the metric itself is, or on most of them, there is no interval: its ends are NaN.
        """
        low, high = _ends(self.replicates, level)
        return self._table({"estimate": self.estimates, "low": low, "high": high})

    def differences(self, baseline: str, *, level: float = 0.95) -> pd.DataFrame:
        """Metrics less those of ``baseline`` on the same days: columns ``estimate``, ``low``, ``high``, ``tie``.

        A tie is a difference whose interval covers zero, or cannot be told from it for want of a number.

        Raises:
            InputError: if there is no such strategy.
        """
        if baseline not in self.strategies:
            raise InputError(f"differences: baseline={baseline!r} is unknown; known: {', '.join(self.strategies)}")
        place = self.strategies.index(baseline)
        low, high = _ends(self.replicates - self.replicates[place], level)
        apart = (low > 0) | (high < 0)
        estimates = self.estimates - self.estimates[place]
        table = self._table({"estimate": estimates, "low": low, "high": high, "tie": ~apart})
        return table.drop(index=baseline, level="strategy")

    def _table(self, columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
        rows = pd.MultiIndex.from_product([self.strategies, self.metrics], names=["strategy", "metric"])
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=rows)


def resample(
    tracks: Mapping[str, Track], *, resamples: int = 1000, block: int | None = None, seed: int = 0
) -> Resampled:
    """Resample the days of all strategies together, and measure each anew.

    Drawdowns, worst years and turnover are those of the resampled order of days.

    Args:
        tracks: one track a strategy, over the same days.
        resamples: number of resampled tracks.
        block: mean length of a block in days; by default :func:`block_length`.
        seed: the same seed gives the same days.

    Raises:
        InputError: if tracks differ in length, there are fewer than two days, or ``block`` or ``resamples`` is not a
            whole number of at least 1.
    """
    lengths = {name: track.returns.shape for name, track in tracks.items()}
    days = max((shape[0] for shape in lengths.values()), default=0)
    uneven = [name for name, shape in lengths.items() if shape != (days,)]
    if uneven or days < 2:
        raise InputError(f"resample: strategies need tracks of equal length of two days or more, not {lengths}")
    block = block_length(tracks) if block is None else block
    drawn = resampled_days(days, block=block, resamples=resamples, seed=seed)
    replicates = np.empty((len(tracks), len(METRICS), resamples))
    for begin in range(0, resamples, _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        picked = np.ascontiguousarray(drawn[:, some])
        for place, track in enumerate(tracks.values()):
            replicates[place, :, some] = _measure(Track(track.returns[picked], track.daily_turnover[picked]))
    estimates = np.stack([_measure(track) for track in tracks.values()])
    return Resampled(tuple(tracks), tuple(METRICS), estimates, replicates, block)


def _measure(track: Track) -> Float[np.ndarray, "metrics *batch"]:
    return np.stack([metric.of(track) for metric in METRICS.values()])


def _ends(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    if not 0 < level < 1:
        raise InputError(f"intervals: level={level:g} is not a fraction in (0, 1); for 95 % say level=0.95")
    mostly = np.isnan(values).mean(-1) > 0.5
    known = np.where(mostly[..., None], 0, values)
    low, high = (
        np.where(mostly, np.nan, np.nanquantile(known, one, axis=-1)) for one in ((1 - level) / 2, (1 + level) / 2)
    )
    return low, high
