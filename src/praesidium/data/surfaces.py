"""Volatility surfaces of option quotes: made, kept in a file, and put behind the marks of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import Component, InputError
from praesidium.data.environments import Simulator
from praesidium.data.quote_cleaning import CleanQuotes, clean
from praesidium.data.quotes import OptionQuotes, read_quotes
from praesidium.data.sheet import read_content
from praesidium.data.splits import IsoDate
from praesidium.data.windows import WindowEpisodes
from praesidium.markets.market import TRADING_DAYS
from praesidium.markets.paths import Paths
from praesidium.pricing.arbitrage import from_quotes
from praesidium.pricing.surface import Surface

FORMAT = "praesidium volatility surface"
SYNTHETIC = "synthetic"
SHIPPED = "synthetic_heston_surface.json"


@dataclass(frozen=True, eq=False)
class QuotedSurface:
    """A surface without static arbitrage, and where it comes from.

    Attributes:
        surface: by log of strike over forward and years.
        date: day of the quotes.
        record: plain data: file, its SHA-256, spot, rates, forwards, counts of the cleaning, what was moved by
            expiry, and the distance of the surface to the quotes.
    """

    surface: Surface
    date: str
    record: dict[str, Any]


class OptionSurface(Component):
    """The surface behind the marks of a data set.

    Attributes:
        path: a surface that ``praesidium quotes --out`` has written (.json), or a CSV of option quotes, of which it is
            made anew, in seconds; ``synthetic`` is the one of simulated quotes that comes with the package.
            Relative paths start at the working directory.
        date: day of the quotes in a CSV; the last one if not given.
        spot: of the underlying on that day, if the CSV does not tell.
    """

    path: str = SYNTHETIC
    date: IsoDate | None = None
    spot: float | None = None

    def read(self, rate: float, dividend: float) -> QuotedSurface:
        """The surface; quotes are discounted at these rates.

        Raises:
            InputError: if there is none, or no surface can be made of the quotes.
        """
        path = Path(str(files("praesidium.data") / SHIPPED)) if self.path == SYNTHETIC else Path(self.path)
        if path.suffix != ".json":
            return make_surface(
                (quotes := read_quotes(path, date=self.date)),
                clean(quotes, date=self.date, spot=self.spot, rate=rate, dividend=dividend),
            )
        found = read_surface(path)
        if self.date not in (None, found.date):
            raise InputError(f"{path}: is the surface of {found.date}, not of {self.date}; leave data.options.date out")
        return found


def make_surface(quotes: OptionQuotes, cleaned: CleanQuotes) -> QuotedSurface:
    """Slices by expiry, fitted by squared errors of price over spread, then freed of static arbitrage.

    Raises:
        InputError: if a slice cannot be freed of arbitrage.
    """
    table = cleaned.table
    tau, k, volatility, vega, spread = (table[name].to_numpy() for name in ("tau", "k", "volatility", "vega", "spread"))
    # A price moves by vega / (2 volatility tau) with the total variance.
    weights = (vega / (2 * volatility * tau * spread)) ** 2
    _, surface, reports = from_quotes(tau, k, volatility, weights=weights)
    fitted = surface.volatility(torch.tensor(k), torch.tensor(tau)).numpy()
    away = [np.abs(fitted - volatility)[tau == one.tau] for one in surface.slices]
    expiries = [
        {
            "expiry": expiry,
            "forward": forward,
            "forward_from": origin,
            **asdict(report),
            "rms_error": float(np.sqrt(np.mean(distance**2))),
            "largest_error": float(distance.max()),
        }
        for (expiry, (forward, origin)), report, distance in zip(cleaned.forwards.items(), reports, away, strict=True)
    ]
    record = {
        "source": quotes.name,
        "sha256": quotes.sha256,
        "spot": cleaned.spot,
        "rate": cleaned.rate,
        "dividend": cleaned.dividend,
        "counts": cleaned.counts,
        "largest_difference_to_given_volatility": cleaned.largest_difference,
        "expiries": expiries,
    }
    return QuotedSurface(surface, cleaned.date, record)


def check_destination(path: Path) -> None:
    """Refuse to write a surface over anything else.

    Raises:
        InputError: if the path does not end in .json, or another file is there.
    """
    if path.suffix != ".json":
        raise InputError(f"{path}: the surface goes into a file that ends in .json")
    if path.exists():
        try:
            read_surface(path)
        except InputError:
            raise InputError(f"{path}: holds something else than a surface; choose another --out") from None


def write_surface(found: QuotedSurface, path: Path) -> None:
    """Keep a surface; :func:`read_surface` is the inverse.

    Raises:
        InputError: as of :func:`check_destination`.
    """
    check_destination(path)
    content = {"format": FORMAT, "date": found.date, **found.record, "slices": found.surface.settings()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_surface(path: Path) -> QuotedSurface:
    """A surface that was kept.

    Raises:
        InputError: if the file is not there or holds none.
    """
    text = read_content(path, "a surface that praesidium quotes has written")
    try:
        content = json.loads(text)
        if content.pop("format") != FORMAT:
            raise ValueError
        return QuotedSurface(Surface.restore(content.pop("slices")), content.pop("date"), content)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: holds no surface; write one with: praesidium quotes FILE.csv --out {path}") from None


@dataclass(frozen=True, eq=False)
class SurfaceMarks:
    """Marks that are those of the surface on its own day, and go with the data set's volatility on any other.

    At the money and with d days left the volatility is implied(d) surface(d) / reference(d); at other strikes it has
    the shape of the smile at the same log of strike over forward, whatever the spot (sticky moneyness). The ratio of
    surface to reference is one number for each d, so that a mark knows no more of the prices than implied(d) does.

    Attributes:
        surface: of the quotes.
        reference: the data set's own volatility on the day of the quotes, by days left.
    """

    surface: Surface
    reference: Callable[[Float[Tensor, " days"]], Float[Tensor, " days"]]

    def level(self, implied: Float[Tensor, "rebalances paths"], left: Sequence[int]) -> Tensor:
        """Volatility at the money in place of the data set's own, over the days left at each time."""
        days = torch.tensor(list(left), dtype=torch.float64)
        ratio = self.surface.volatility(torch.zeros_like(days), days / TRADING_DAYS) / self.reference(days)
        return implied * ratio.to(implied).unsqueeze(-1)

    def onto(self, paths: Paths, left: Sequence[Sequence[int]]) -> Paths:
        """The paths with these marks, over the days left of the liability and of each listed option."""
        own, *listed = left
        marked = None
        if paths.listed is not None:
            marked = torch.stack([self.level(one, days) for one, days in zip(paths.listed, listed, strict=True)])
        return replace(paths, implied=self.level(paths.implied, own), listed=marked, smile=self.surface)

    def of_window(self, window: WindowEpisodes) -> WindowEpisodes:
        """Real episodes with these marks."""
        days = [range(window.paths.horizon, -1, -1)]
        mark = window.mark
        return replace(window, paths=self.onto(window.paths, days), mark=lambda left: self.level(mark(left), left))


@dataclass(frozen=True, eq=False)
class MarkedSimulator:
    """A simulator whose options are marked by a surface."""

    simulator: Simulator
    marks: SurfaceMarks

    def simulate(
        self, *, paths: int, horizon: int, lookback: int, generator: torch.Generator, left: Sequence[Sequence[int]] = ()
    ) -> Paths:
        """The same prices as the simulator's own."""
        drawn = self.simulator.simulate(paths=paths, horizon=horizon, lookback=lookback, generator=generator, left=left)
        return self.marks.onto(drawn, left or [range(horizon, -1, -1)])
