"""Cleaning of option quotes: what is left of a day, why the rest went, forwards and implied volatilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.data.quotes import COLUMNS, OptionQuotes
from praesidium.pricing import black_scholes
from praesidium.pricing.implied_volatility import implied_volatility
from praesidium.pricing.svi import FEWEST

CALENDAR_DAYS = 365
WIDEST = 3.0  # ask over bid
STALE_DATES = 3
PAIRS = 5  # nearest to the money, behind a forward
KEPT = ("expiry", "tau", "strike", "right", "mid", "spread", "forward", "k", "volatility", "vega")
TICK = 0.01  # least spread that a quote is trusted to
REASONS = {
    "no_strike": "strike not above zero",
    "expired": "expiry not after the day",
    "one_sided": "bid or ask missing or zero",
    "crossed": "bid above ask",
    "wide": "ask above the largest multiple of the bid",
    "stale": f"bid, ask and volume the same on {STALE_DATES} days running",
    "duplicate": "contract quoted before",
    "below_intrinsic": "ask below the discounted intrinsic value",
    "above_bound": "mid not below the present value of forward or strike",
    "in_the_money": "the other right at the strike is out of the money",
    "thin_expiry": f"fewer than {FEWEST} strikes left at the expiry",
}

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class CleanQuotes:
    """Quotes of one day out of the money, fit for a surface.

    Attributes:
        date: day of the quotes.
        spot: of the underlying; None where nobody said it and forwards come from parity.
        rate, dividend: continuous, a year; the latter counts only where there is no parity.
        table: a row a quote by expiry and strike: expiry, tau (calendar days over 365), strike, right, mid, spread,
            forward, k (log of strike over forward), volatility (annual, of the mid), vega.
        forwards: forward and where it comes from (``parity`` or ``spot``) by expiry.
        counts: quotes of the day, those dropped by reason, those kept. A quote counts for the first reason that
            applies. ``stale`` is None where there are no volumes, or too few days, to tell.
        largest_difference: between a volatility given in the file and that of the mid; None where none is given.
    """

    date: str
    spot: float | None
    rate: float
    dividend: float
    table: pd.DataFrame
    forwards: dict[str, tuple[float, str]]
    counts: dict[str, int | None]
    largest_difference: float | None


def clean(
    quotes: OptionQuotes,
    *,
    date: str | None = None,
    spot: float | None = None,
    rate: float = 0.0,
    dividend: float = 0.0,
    widest: float = WIDEST,
) -> CleanQuotes:
    """The quotes of a day, cleaned, with forwards and implied volatilities.

    The forward of an expiry is the weighted median of K + e^(r tau) (C - P) over the five pairs whose mids are nearest
    to each other, weights one over the sum of their spreads; without pairs, the spot with carry. Puts are kept below
    the forward, calls from it on. Exercise before expiry is not allowed for: out of the money it is worth little.

    A quote that moves neither bid, ask nor volume on three days running is stale on the third; that nothing is traded
    alone does not make it so. Earlier days tell, later ones never do.

    Args:
        quotes: as read.
        date: the day; the last one if not given.
        spot: of the underlying; that of the file if not given.
        rate, dividend: continuous, a year.
        widest: largest ask over bid.

    Raises:
        InputError: if there are no quotes on the day, no forward can be told, or no expiry has five strikes left.
    """
    name, day = quotes.name, date or quotes.dates[-1]
    if day not in quotes.dates:
        raise InputError(f"{name}: no quotes on {day}; it has {quotes.dates[0]} to {quotes.dates[-1]}")
    if not widest > 1:
        raise InputError(f"widest: {widest} is not above 1; the ask may be so many times the bid")
    if spot is not None and not spot > 0:
        raise InputError(f"spot: {spot} is not above 0; give the price of the underlying")
    now = np.datetime64(day)
    everything: Columns = {column: quotes.table[column].to_numpy() for column in COLUMNS}
    own = _at(everything, everything["date"] == now)
    spot = float(np.nanmedian(own["spot"])) if spot is None and np.isfinite(own["spot"]).any() else spot
    bid, ask, strike, is_call = own["bid"], own["ask"], own["strike"], own["right"] == "call"
    own["mid"] = 0.5 * (bid + ask)
    own["tau"] = (own["expiry"] - now) / np.timedelta64(1, "D") / CALENDAR_DAYS

    drop = _Drop(len(bid))
    drop("no_strike", ~(strike > 0))
    drop("expired", own["tau"] <= 0)
    drop("one_sided", ~((bid > 0) & (ask > 0)))
    drop("crossed", bid > ask)
    drop("wide", ask > widest * bid)
    drop("stale", _stale(everything, now))
    drop("duplicate", _seen_before(own, drop.left))
    forwards: dict[str, tuple[float, str]] = {}
    own["forward"] = np.full(len(bid), np.nan)
    for expiry, part in _expiries(own, drop.left):
        forwards[expiry] = _forward(name, expiry, _at(own, part), spot, rate, dividend)
        own["forward"][part] = forwards[expiry][0]
    discount = np.exp(-rate * own["tau"])
    drop("below_intrinsic", ask < discount * np.where(is_call, 1, -1) * (own["forward"] - strike))
    drop("above_bound", own["mid"] >= discount * np.where(is_call, own["forward"], strike))
    drop("in_the_money", is_call != (strike >= own["forward"]))
    thin = np.zeros(len(bid), dtype=np.bool_)
    for _, part in _expiries(own, drop.left):
        thin[part] = len(np.unique(strike[part])) < FEWEST
    drop("thin_expiry", thin)

    if not drop.left.any():
        told = ", ".join(f"{reason} {count}" for reason, count in drop.counts.items() if count)
        raise InputError(f"{name}: no expiry on {day} has {FEWEST} usable strikes ({told}); give a fuller chain")
    kept = np.flatnonzero(drop.left)
    kept = kept[np.lexsort((strike[kept], own["expiry"][kept]))]
    own = _at(own, kept)
    own["spread"] = np.maximum(own["ask"] - own["bid"], TICK)
    own["k"] = np.log(own["strike"] / own["forward"])
    own["volatility"], own["vega"] = _implied(own, rate)
    differences = np.abs(own["implied"] - own["volatility"])
    return CleanQuotes(
        date=day,
        spot=spot,
        rate=rate,
        dividend=dividend,
        table=pd.DataFrame({column: own[column] for column in KEPT}),
        forwards={expiry: forwards[expiry] for expiry, _ in _expiries(own, np.ones(len(kept), dtype=np.bool_))},
        counts=drop.counts,
        largest_difference=float(np.nanmax(differences)) if np.isfinite(differences).any() else None,
    )


class _Drop:
    """Quotes that are left, and how many each reason took."""

    def __init__(self, count: int) -> None:
        self.left: Mask = np.ones(count, dtype=np.bool_)
        self._dropped: dict[str, int | None] = {}

    def __call__(self, reason: str, bad: Mask | None) -> None:
        """Drop what is bad; None where nobody can tell."""
        if bad is None:
            self._dropped[reason] = None
            return
        self._dropped[reason] = int((bad & self.left).sum())
        self.left = self.left & ~bad

    @property
    def counts(self) -> dict[str, int | None]:
        return {"quotes": len(self.left), **self._dropped, "kept": int(self.left.sum())}


def _at(own: Columns, rows: NDArray[Any]) -> Columns:
    return {name: one[rows] for name, one in own.items()}


def _expiries(own: Columns, left: Mask) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Each expiry with a quote left, and the rows of those."""
    for expiry in np.unique(own["expiry"][left]):
        yield str(expiry.astype("datetime64[D]")), np.flatnonzero(left & (own["expiry"] == expiry))


def _contracts(own: Columns) -> list[tuple[Any, ...]]:
    return list(zip(own["expiry"].tolist(), own["strike"].tolist(), own["right"].tolist(), strict=True))


def _seen_before(own: Columns, left: Mask) -> Mask:
    """Whether the contract is among the quotes left before."""
    seen: set[tuple[Any, ...]] = set()
    again = np.zeros(len(left), dtype=np.bool_)
    for row, contract in enumerate(_contracts(own)):
        again[row] = contract in seen
        if left[row]:
            seen.add(contract)
    return again


def _stale(everything: Columns, now: np.datetime64) -> Mask | None:
    """Of the quotes on the day, whether the contract was quoted the same on the last days that it was quoted on."""
    own = _at(everything, everything["date"] <= now)
    if len(np.unique(own["date"])) < STALE_DATES or np.isnan(own["volume"]).all():
        return None
    days, quotes = own["date"].tolist(), np.stack([own["bid"], own["ask"], own["volume"]], axis=1)
    history: dict[tuple[Any, ...], dict[Any, Array]] = {}
    for contract, day, quote in zip(_contracts(own), days, quotes, strict=True):
        history.setdefault(contract, {}).setdefault(day, quote)
    same = {}
    for contract, quoted in history.items():
        last = np.stack([quoted[day] for day in sorted(quoted)[-STALE_DATES:]])
        same[contract] = len(last) == STALE_DATES and bool((last == last[0]).all())
    today = own["date"] == now
    return np.array([same[one] for one, is_now in zip(_contracts(own), today, strict=True) if is_now], dtype=np.bool_)


def _forward(
    name: str, expiry: str, own: Columns, spot: float | None, rate: float, dividend: float
) -> tuple[float, str]:
    """Forward of one expiry, and where it comes from."""
    tau, is_call = float(own["tau"][0]), own["right"] == "call"
    strikes, calls, puts = np.intersect1d(own["strike"][is_call], own["strike"][~is_call], return_indices=True)
    if not len(strikes):
        if spot is None:
            raise InputError(f"{name}: no spot, and no call and put of one strike that expire {expiry}; give --spot")
        return spot * float(np.exp((rate - dividend) * tau)), "spot"
    apart = own["mid"][is_call][calls] - own["mid"][~is_call][puts]
    spread = (own["ask"] - own["bid"])[is_call][calls] + (own["ask"] - own["bid"])[~is_call][puts]
    near = np.argsort(np.abs(apart), kind="stable")[:PAIRS]
    implied = strikes[near] + np.exp(rate * tau) * apart[near]
    return _weighted_median(implied, 1 / np.maximum(spread[near], TICK)), "parity"


def _weighted_median(values: Array, weights: Array) -> float:
    """The least value at which half of the weight is reached; the middle of two where it is just half."""
    order = np.argsort(values)
    values, reached = values[order], weights[order].cumsum() / weights.sum()
    place = int(np.searchsorted(reached, 0.5 - 1e-12))
    if abs(reached[place] - 0.5) < 1e-12:
        return float(0.5 * (values[place] + values[place + 1]))
    return float(values[place])


def _implied(own: Columns, rate: float) -> tuple[Array, Array]:
    """Volatility of each mid, and vega; on the forward, so that the dividend has no say."""
    volatility, vega = np.empty(len(own["mid"])), np.empty(len(own["mid"]))
    for right in ("call", "put"):
        rows = own["right"] == right
        mid, forward, strike, tau = (torch.tensor(own[name][rows]) for name in ("mid", "forward", "strike", "tau"))
        found = implied_volatility(mid, forward, strike, tau, right=right, rate=rate, dividend=rate)
        volatility[rows] = found.numpy()
        vega[rows] = black_scholes.vega(forward, strike, tau, found, rate=rate, dividend=rate).numpy()
    return volatility, vega
