"""The allocation study: strategies walked forward over one price table, and measured side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from threadpoolctl import threadpool_limits

from praesidium.component import Component, InputError, build, unknown
from praesidium.data.asset_prices import INDEX, STOCKS, AssetPrices
from praesidium.data.sheet import parse_day
from praesidium.experiments.allocation_strategies import STRATEGIES, Effort, Schedule, Terms
from praesidium.experiments.composition import composed, options
from praesidium.experiments.engines import Engine, Outcome
from praesidium.experiments.store import PARTIAL, write_text
from praesidium.portfolio.backtest import decide
from praesidium.portfolio.intervals import resample
from praesidium.portfolio.metrics import Track

PRICES, WALKS, INTERVALS, DIFFERENCES = "prices.parquet", "strategies", "allocation.csv", "differences.csv"
RETURNS = "returns_delay_{}.csv"
FIRST = {STOCKS: "2005-01-03", INDEX: "1998-03-05"}
BASELINES = ("min_variance", "jump_timing", "buy_and_hold")
SLOWEST = ("networks", "portfolios", "timing")


class Preset(Component):
    """What is spent.

    Attributes:
        effort: on the strategies.
        resamples: on the intervals.
    """

    effort: Effort
    resamples: int = Field(ge=100)


def preset_of(name: str, overrides: Sequence[str] = ()) -> Preset:
    """A preset by its name, with overrides such as ``effort.epochs=60``.

    Raises:
        InputError: if the name or a setting is unknown, or a setting is out of bounds.
    """
    if name not in options("portfolio"):
        raise InputError(unknown("preset", name, options("portfolio")))
    return build(Preset, composed(f"portfolio/{name}", overrides, fields=Preset.model_fields))


class AllocationStudy(Component):
    """Everything that decides the numbers.

    Attributes:
        data: name of the price table.
        sha256: of the prices, from the first row to the last day.
        caution: what every report on these prices has to say.
        first: day of the first decision.
        last: last day.
        strategies: in the order of the tables.
        cost_rate: of a trade over its value, 0.001 = 10 bp.
        delays: closes between decision and trade; 1 trades at the next close.
        seed: of all that is drawn.
        resamples: of the stationary bootstrap.
        effort: what is spent on each strategy.
    """

    data: str
    sha256: str
    caution: str
    first: str
    last: str
    strategies: tuple[str, ...]
    cost_rate: float = Field(ge=0, lt=1)
    delays: tuple[int, ...] = Field(min_length=1)
    seed: int
    resamples: int = Field(ge=100)
    effort: Effort

    @property
    def baselines(self) -> tuple[str, ...]:
        """What the others are compared with: minimum variance, or buy and hold where it is missing; jump timing."""
        there = [name for name in BASELINES if name in self.strategies]
        return tuple(there[:2])


def study_of(
    prices: AssetPrices,
    preset: Preset,
    *,
    strategies: Sequence[str] | None = None,
    first: str | None = None,
    last: str | None = None,
    cost_rate: float = 0.001,
    delays: Sequence[int] = (1, 5),
    seed: int = 0,
) -> tuple[AllocationStudy, pd.DataFrame]:
    """A checked study, and the prices it needs.

    Args:
        prices: of one asset or more.
        preset: what is spent.
        strategies: names; by default all that can hold these assets.
        first: day of the first decision, or of the next close; by default 2005-01-03 for the bundled stocks, 1998-03-05
            for the bundled index, else the day on which the optimizers have a whole window.
        last: last day, or the close before.
        cost_rate, delays, seed: see :class:`AllocationStudy`.

    Raises:
        InputError: if a name is unknown, a strategy needs more assets, a number is out of bounds, or too few rows lie
            before or after the first decision.
    """
    assets = prices.closes.shape[1]
    able = [name for name, entry in STRATEGIES.items() if entry.least_assets <= assets]
    for name in strategies or ():
        if name not in STRATEGIES:
            raise InputError(unknown("strategies", name, STRATEGIES))
        if name not in able:
            raise InputError(
                f"strategies: {name} chooses between assets, and {prices.name} has {assets}; known for one asset: "
                f"{', '.join(able)}"
            )
    if min(delays, default=0) < 0 or len(set(delays)) < len(delays):
        raise InputError(f"delays: {list(delays)} are not different numbers of closes; say 1,5")
    effort = preset.effort
    closes = prices.closes if last is None else prices.closes.loc[prices.closes.index <= parse_day("last", last)]
    if len(closes) < 2 * effort.least:
        raise InputError(
            f"data, last: {prices.name} has {len(closes)} rows{'' if last is None else f' up to {last}'}; "
            f"{2 * effort.least} are needed, half of them before the first decision"
        )
    opening, begin = first or FIRST.get(prices.name), effort.portfolios.window
    if opening is not None:
        begin = int(np.count_nonzero(closes.index < parse_day("first", opening)))
    if not effort.least <= begin <= len(closes) - effort.least:
        raise InputError(
            f"first: {prices.name} has {len(closes)} rows, and the first decision would come after {begin}; it needs "
            f"{effort.least} before and as many from it on, so name another day or give more prices"
        )
    if max(delays, default=0) >= len(closes) - begin:
        raise InputError(
            f"delays: {max(delays)} closes after a decision are more than there are, {len(closes) - begin} from the "
            "first decision on; say 1,5"
        )
    chosen = tuple(strategies or able)
    still = closes.columns[closes.iloc[max(0, begin - effort.portfolios.window) : begin].nunique() == 1]
    stuck = [name for name in chosen if STRATEGIES[name].needs_moves]
    if len(still) and stuck:
        raise InputError(
            f"data: {still[0]} does not move before the first decision on {closes.index[begin]:%Y-%m-%d}, which "
            f"{' and '.join(stuck)} cannot use; leave it out (what weights leave is cash) or name other --strategies"
        )
    settings = {
        "data": prices.name,
        "sha256": AssetPrices(prices.name, closes, prices.caution).sha256,
        "caution": prices.caution,
        "first": f"{closes.index[begin]:%Y-%m-%d}",
        "last": f"{closes.index[-1]:%Y-%m-%d}",
        "strategies": chosen,
        "cost_rate": cost_rate,
        "delays": tuple(delays),
        "seed": seed,
        "resamples": preset.resamples,
        "effort": effort,
    }
    return build(AllocationStudy, settings), closes


@dataclass(frozen=True)
class Walk:
    """One strategy of a study, to be walked in a worker process.

    Attributes:
        study: settings of the study.
        strategy: name.
        folder: of the study.
    """

    study: Mapping[str, Any]
    strategy: str
    folder: Path

    def __str__(self) -> str:
        return self.strategy

    @property
    def file(self) -> Path:
        """Returns, turnover and weights by day and delay; with it the walk is done."""
        return self.folder / WALKS / f"{self.strategy}.parquet"


def run_walks(study: AllocationStudy, closes: pd.DataFrame, folder: Path, engine: Engine) -> Iterator[Outcome]:
    """Walk every strategy that is not done, the slowest kinds first; what fails is an outcome."""
    write_parquet(closes, folder / PRICES)
    walks = [Walk(study.settings(), name, folder) for name in study.strategies]
    walks.sort(key=lambda walk: SLOWEST.index(STRATEGIES[walk.strategy].group))
    yield from engine.run(walk_all, [[walk] for walk in walks])


def walk_all(batch: Sequence[Walk]) -> Iterator[Outcome]:
    """The task that engines are given. One thread of linear algebra: more are slower, and could round otherwise."""
    for one in batch:
        if one.file.exists():
            yield Outcome(str(one), "skipped")
            continue
        with threadpool_limits(1):
            walked = walk(build(AllocationStudy, one.study), one.strategy, pd.read_parquet(one.folder / PRICES))
        write_parquet(walked, one.file)
        yield Outcome(str(one), "done")


def walk(study: AllocationStudy, strategy: str, closes: pd.DataFrame) -> pd.DataFrame:
    """Decide once, trade with each delay: a row for each delay and day out of sample.

    Returns:
        ``delay``, ``return`` net of costs, ``turnover``, and ``weight_ASSET``, held from that close to the next; the
        index is the date.
    """
    entry, effort = STRATEGIES[strategy], study.effort
    schedule: Schedule = getattr(effort, entry.schedule)
    decisions = decide(
        entry.make(Terms(effort, study.seed, study.cost_rate)),
        closes,
        refit_every=schedule.every,
        train_window=schedule.window,
        start=study.first,
    )
    parts = []
    for delay in study.delays:
        book = decisions.traded(delay=delay, cost_rate=study.cost_rate)
        told = pd.DataFrame({"delay": delay, "return": book.returns, "turnover": book.turnover})
        parts.append(told.join(book.weights.astype(np.float32).add_prefix("weight_")))
    return pd.concat(parts).rename_axis("date")


def measure(study: AllocationStudy, folder: Path) -> dict[str, float | None]:
    """Intervals and paired differences of all strategies that are done, written into the folder.

    Returns:
        The estimates by ``delay/strategy/metric``; None where a ratio is over nothing.
    """
    done = [name for name in study.strategies if Walk({}, name, folder).file.exists()]
    walked = {name: _read_walk(Walk({}, name, folder).file) for name in done}
    intervals, differences = {}, {}
    for delay in study.delays if done else ():
        own = {name: frame.loc[frame["delay"] == delay] for name, frame in walked.items()}
        tracks = {name: Track(frame["return"].to_numpy(), frame["turnover"].to_numpy()) for name, frame in own.items()}
        with threadpool_limits(1):
            drawn = resample(tracks, resamples=study.resamples, seed=study.seed)
        intervals[delay] = drawn.intervals()
        differences |= {(delay, name): drawn.differences(name) for name in study.baselines if name in done}
        returns = pd.DataFrame({name: frame["return"] for name, frame in own.items()})
        write_text(folder / RETURNS.format(delay), returns.to_csv(float_format="%.10g"))
    if not done:
        return {}
    table = pd.concat(intervals, names=["delay"])
    write_text(folder / INTERVALS, table.to_csv(float_format="%.10g"))
    if differences:
        paired = pd.concat(differences, names=["delay", "baseline"])
        write_text(folder / DIFFERENCES, paired.to_csv(float_format="%.10g"))
    figures = table["estimate"].astype(object).where(table["estimate"].notna(), None)
    return {"/".join(map(str, key)): figure for key, figure in zip(table.index.to_list(), figures, strict=True)}


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + PARTIAL)
    frame.to_parquet(scratch)
    os.replace(scratch, path)


def _read_walk(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file, columns=["delay", "return", "turnover"])
    except (OSError, ValueError):
        raise InputError(f"{file}: cannot be read; delete it and run the same command again") from None
