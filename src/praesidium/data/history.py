"""Data sets made of a real price history, by filtered historical simulation and window by window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from praesidium.component import InputError, unknown
from praesidium.data.day_labels import DayLabels
from praesidium.data.environments import DataSet, Environment, Source
from praesidium.data.frictions import NONE, Frictions
from praesidium.data.liquidity import stressed_share
from praesidium.data.prices import Prices
from praesidium.data.sources import PriceSource
from praesidium.data.splits import WINDOWS, IsoDate, Window, covered_segments, legal_starts, window_days
from praesidium.data.surfaces import MarkedSimulator, OptionSurface, QuotedSurface, SurfaceMarks
from praesidium.data.windows import WindowEpisodes, window_episodes
from praesidium.markets.filtered_history import FilteredHistory, tail_coverage
from praesidium.markets.garch import GJR, fit_gjr
from praesidium.markets.market import TRADING_DAYS

FEWEST_STARTS = 20
CLIP = FilteredHistory.clip


class HistoricalEnvironment(Environment):
    """Filtered simulation that starts inside a volatility band, or on days of a label.

    Attributes:
        band: annualized volatility [low, high) of the first day: one of the filtered variances of history in it.
        regime: in its place, the label of that day, as of ``Historical.labels``.
        residuals: ``training`` draws shocks from the training days, and first variances from all days up to their
            end that lie in no window; ``past`` draws both from everything before the window that
            ``Historical.crisis`` names.
    """

    band: tuple[float, float] | None = None
    regime: int | None = Field(default=None, ge=0)
    residuals: Literal["training", "past"] = "training"

    @model_validator(mode="after")
    def _ordered(self) -> HistoricalEnvironment:
        if (self.band is None) == (self.regime is None):
            raise ValueError("an environment starts in a band of volatility or on days of a regime; give one of them")
        if self.band is not None and not 0 <= self.band[0] < self.band[1]:
            raise ValueError(f"band {list(self.band)} is not an interval of volatilities such as [0.10, 0.25]")
        return self


class Historical(DataSet, kind="historical"):
    """Real prices: a GJR-GARCH-t of the training days drives simulated episodes; windows are evaluated as they were.

    Attributes:
        prices: where the closes come from.
        train_first, train_last: calendar of the training days. A training day belongs to an episode, history
            included, that lies inside it and touches no window.
        windows: stretches that training never touches and that are evaluated day by day.
        crisis: the window before which the shocks of ``past`` environments end.
        window_cost_rate: proportional cost in the windows.
        window_frictions: what else is charged in them.
        block: mean length in days of the blocks of resampled shocks. Longer ones than 1 let a network recognize the few
            training days and foresee the next, and replay rebounds that pull the spot back.
        premium: implied over forecast volatility.
        options: quotes by whose volatility surface everything is marked instead, in windows too. On their own day marks
            are those of the surface; on any other they go with the forecast: earlier ones too, where a surface is not
            yet known, and the report names the windows before it.
        labels: how days are told apart for environments that name a regime.
    """

    prices: PriceSource
    train_first: IsoDate = "2017-01-01"
    train_last: IsoDate = "2019-12-31"
    windows: tuple[Window, ...] = WINDOWS
    crisis: str = "covid_2020"
    window_cost_rate: float = Field(default=0.002, ge=0, lt=1)
    window_frictions: Frictions = NONE
    block: float = Field(default=1.0, ge=1)
    premium: PositiveFloat = 1.15
    options: OptionSurface | None = None
    labels: DayLabels | None = None
    environments: dict[str, HistoricalEnvironment]

    @model_validator(mode="after")
    def _crisis_exists(self) -> Historical:
        names = [window.name for window in self.windows]
        if self.crisis not in names:
            raise ValueError(unknown("crisis", self.crisis, names))
        named = [name for name, one in self.environments.items() if one.regime is not None]
        if named and self.labels is None:
            raise ValueError(
                f"labels: {', '.join(named)} start by regime; say how days are told apart: {{kind: regimes}}"
            )
        return self

    @property
    def settings_by_environment(self) -> Mapping[str, Environment]:
        return self.environments

    def open(self) -> Source:
        prices = self.prices.read()
        returns = prices.log_returns
        segments = self._training_segments(prices)
        gjr = fit_gjr(segments)
        variance = gjr.filter(returns, gjr.variance)
        (crisis,) = (window for window in self.windows if window.name == self.crisis)
        before = max(0, int(np.searchsorted(prices.dates, np.datetime64(crisis.first))) - 1)
        pools = {"training": gjr.standardize(segments)}
        if any(environment.residuals == "past" for environment in self.environments.values()):
            if before < TRADING_DAYS:
                raise InputError(
                    f"{prices.name}: {before} returns before the window {crisis.name}; {TRADING_DAYS} are needed"
                )
            pools["past"] = gjr.standardize([returns[:before]])
        started = {"training": self._calm(prices), "past": np.arange(len(variance)) < before}
        label = None if self.labels is None else np.append(-1, self.labels.label(returns, segments))
        simulators = {
            name: FilteredHistory(
                gjr=gjr,
                residuals=pools[environment.residuals],
                starts=self._starts(name, variance, started[environment.residuals], label, prices.name),
                block=self.block,
                premium_multiplier=self.premium,
            )
            for name, environment in self.environments.items()
        }
        windows, missing = self._real_windows(prices, gjr)
        report = self._report(prices, gjr, segments, simulators, pools, windows, missing)
        if self.options is None:
            return Source(simulators, windows, self.window_cost_rate, self.window_frictions, report=report)
        quoted = self.options.read(self.rate, self.dividend)
        marks, origin = self._marks(quoted, prices, gjr, variance)
        return Source(
            {name: MarkedSimulator(one, marks) for name, one in simulators.items()},
            {name: marks.of_window(one) for name, one in windows.items()},
            self.window_cost_rate,
            self.window_frictions,
            smile=quoted.surface,
            report={**report, "options": self._told(quoted, origin, windows)},
        )

    def _starts(
        self,
        name: str,
        variance: NDArray[np.float64],
        usable: NDArray[np.bool_],
        label: NDArray[np.int64] | None,
        source: str,
    ) -> NDArray[np.float64]:
        """The variances of the usable days in the band of an environment, or of its regime."""
        band, regime = self.environments[name].band, self.environments[name].regime
        if band is not None:
            volatility = np.sqrt(variance * TRADING_DAYS)
            chosen = usable & (volatility >= band[0]) & (volatility < band[1])
            where = f"filtered volatility lies in the band {band[0]:.0%}-{band[1]:.0%} of environment {name!r}"
        else:
            chosen = usable & (label == regime)
            where = f"the filtered regime is {regime}, that of environment {name!r},"
        if chosen.sum() < FEWEST_STARTS:
            mend = "widen the band" if band else "tell fewer regimes apart"
            raise InputError(
                f"{source}: {where} on {chosen.sum()} days that may be used; {FEWEST_STARTS} are needed: stage a "
                f"longer history, {mend}, or leave the environment out of its role"
            )
        return variance[chosen]

    def _marks(
        self, quoted: QuotedSurface, prices: Prices, gjr: GJR, variance: NDArray[np.float64]
    ) -> tuple[SurfaceMarks, str]:
        """Marks by the surface, and where the variance of its day comes from."""
        days, day = prices.dates.to_numpy(), np.datetime64(quoted.date)
        inside = bool(days[0] <= day <= days[-1])
        now = variance[np.searchsorted(days, day, side="right") - 1] if inside else gjr.variance

        def reference(days: Float[Tensor, " days"]) -> Float[Tensor, " days"]:
            return gjr.implied(days.new_tensor(float(now)), days, multiplier=self.premium, clip=CLIP)

        return SurfaceMarks(quoted.surface, reference), "filtered" if inside else "long-run"

    def _told(self, quoted: QuotedSurface, origin: str, windows: Mapping[str, WindowEpisodes]) -> dict[str, Any]:
        before = [name for name, one in windows.items() if one.starts.to_numpy()[0] < np.datetime64(quoted.date)]
        return {"date": quoted.date, **quoted.record, "variance": origin, "windows_before": before}

    def _calm(self, prices: Prices) -> NDArray[np.bool_]:
        """Days up to the end of training that lie in no window."""
        calm = np.asarray(prices.dates <= np.datetime64(self.train_last))
        for window in self.windows:
            calm[window_days(prices.dates, window)] = False
        return calm

    def _training_segments(self, prices: Prices) -> list[NDArray[np.float64]]:
        starts = legal_starts(
            prices.dates,
            self.windows,
            first=self.train_first,
            last=self.train_last,
            horizon=self.horizon,
            lookback=self.lookback,
        )
        covered = covered_segments(starts, horizon=self.horizon, lookback=self.lookback)
        if not covered:
            raise InputError(
                f"{prices.name} ({prices.dates[0]:%Y-%m-%d} to {prices.dates[-1]:%Y-%m-%d}) holds no training episode "
                f"between {self.train_first} and {self.train_last} outside the windows; set data.train_first and "
                "data.train_last to a calendar that it covers"
            )
        return [prices.log_returns[one.start : one.stop - 1] for one in covered]

    def _real_windows(self, prices: Prices, gjr: GJR) -> tuple[dict[str, WindowEpisodes], list[str]]:
        """Episodes of every window that the history holds, and the names of those that it does not."""
        episodes: dict[str, WindowEpisodes] = {}
        missing: list[str] = []
        for window in self.windows:
            days = window_days(prices.dates, window)
            if len(days) < 2 or days[-1] < self.lookback or days[0] + self.horizon >= len(prices.dates):
                missing.append(window.name)
                continue
            episodes[window.name] = window_episodes(
                prices, window, gjr=gjr, horizon=self.horizon, lookback=self.lookback, multiplier=self.premium
            )
        return episodes, missing

    def _report(
        self,
        prices: Prices,
        gjr: GJR,
        segments: list[NDArray[np.float64]],
        simulators: Mapping[str, FilteredHistory],
        pools: Mapping[str, NDArray[np.float64]],
        windows: Mapping[str, WindowEpisodes],
        missing: list[str],
    ) -> dict[str, Any]:
        return {
            "prices": f"{prices.name}, {prices.dates[0]:%Y-%m-%d} to {prices.dates[-1]:%Y-%m-%d}",
            "training_days": sum(len(segment) for segment in segments),
            "training_segments": len(segments),
            "gjr": {**vars(gjr), "persistence": gjr.persistence, "volatility": (gjr.variance * TRADING_DAYS) ** 0.5},
            "starts": {name: len(simulator.starts) for name, simulator in simulators.items()},
            "largest_residual": {name: float(np.abs(pool).max()) for name, pool in pools.items()},
            "windows": {
                name: {"days": len(one.days), "episodes": one.paths.count, "dropped": one.dropped}
                for name, one in windows.items()
            },
            "tail_coverage": self._tail_coverage(prices, gjr, pools["training"]),
            "windows_missing": missing,
            "liquidity": self._liquidity(prices),
        }

    def _liquidity(self, prices: Prices) -> dict[str, float | None] | str:
        """Share of each window's days in the highest quartile of illiquidity."""
        if prices.volume is None:
            return f"{prices.name} has no volumes, so that liquidity cannot be told"
        days = {window.name: window_days(prices.dates, window) for window in self.windows}
        return {name: stressed_share(prices, one) for name, one in days.items() if len(one)}

    def _tail_coverage(self, prices: Prices, gjr: GJR, pool: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
        """Largest shock of each window against that of the training pool, which cannot simulate a larger one."""
        returns = prices.log_returns
        shocks = (returns - gjr.mean) / np.sqrt(gjr.filter(returns, gjr.variance)[:-1])
        days = {window.name: window_days(prices.dates, window) for window in self.windows}
        found = {name: tail_coverage(pool, shocks[one[one > 0] - 1]) for name, one in days.items() if len(one) > 1}
        return {name: {**vars(one), "covered": one.covered} for name, one in found.items()}
