"""Regime models on one price history: fitted on its first part, judged on the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.data.asset_prices import holes
from praesidium.data.sheet import parse_day
from praesidium.data.sources import prices_by_name
from praesidium.experiments.composition import CONF
from praesidium.markets.market import TRADING_DAYS
from praesidium.markets.switching import Switching
from praesidium.regimes import hmm
from praesidium.regimes.causality import deciding
from praesidium.regimes.detection import detection
from praesidium.regimes.model import RegimeModel, of_prices
from praesidium.regimes.reliability import reliability
from praesidium.training.reproducibility import stream

SIMULATED = "markov_switching"
DAYS = 5000  # of the simulated market
SHARE = 0.6  # of the history that models are fitted on, if no day is named
FEWEST = 60


@dataclass(frozen=True, eq=False)
class History:
    """Prices, and what is known about their regimes.

    Attributes:
        name: of the data.
        prices: by day.
        market: the simulated market, where there is one.
        states: its true regime behind the return of each day but the first, the calmest 0.
    """

    name: str
    prices: pd.Series
    market: Switching | None = None
    states: NDArray[np.int64] | None = None

    @property
    def returns(self) -> pd.Series:
        """Log returns, by the day on which they are known."""
        return pd.Series(np.diff(np.log(self.prices.to_numpy())), self.prices.index[1:], name="return")

    @property
    def holes(self) -> list[str]:
        """What has to be said of days that lie far apart."""
        return holes(self.prices.index)

    def rows_until(self, day: str | None) -> int:
        """Returns up to a day, that one included; three fifths of all if none is named.

        Raises:
            InputError: if that is no day, leaves too few before or after it, or the price does not move before it.
        """
        count = len(self.prices) - 1
        rows = min(round(SHARE * count), count - FEWEST)
        if count < 2 * FEWEST:
            raise InputError(
                f"data: {self.name} has {count} returns; {2 * FEWEST} are needed, half to fit on and half to judge by"
            )
        if day is not None:
            if not isinstance(self.prices.index, pd.DatetimeIndex):
                raise InputError(f"until: {self.name} has no dates; leave it out")
            rows = int(np.count_nonzero(self.prices.index[1:] <= parse_day("until", day)))
            if not FEWEST <= rows <= count - FEWEST:
                first, last = (f"{one:%Y-%m-%d}" for one in (self.prices.index[FEWEST], self.prices.index[-FEWEST - 1]))
                raise InputError(
                    f"until: {day} leaves {rows} of {count} returns to fit on; name a day between {first} and {last}"
                )
        if np.ptp(self.returns.to_numpy()[:rows]) == 0:
            raise InputError(f"data: {self.name} does not move in its first {rows} returns, which have no regimes")
        return rows


def history(data: str, *, seed: int = 0) -> History:
    """A price history by name: ``sp500``, ``real_spy``, a CSV, or the market ``markov_switching``.

    Raises:
        InputError: if there is no such name or the prices cannot be used.
    """
    if data == SIMULATED:
        market = Switching()
        drawn = market.simulate(
            paths=1, horizon=DAYS, lookback=0, generator=stream(seed, "regimes", "market"), dtype=torch.float64
        )
        assert drawn.regime is not None
        rank = np.argsort(np.argsort(market.volatilities))
        return History(data, pd.Series(drawn.spot[:, 0].numpy()), market, rank[drawn.regime[:-1, 0].numpy()])
    prices = prices_by_name(data, SIMULATED)
    return History(prices.name, pd.Series(prices.close, index=prices.dates))


def models(names: Sequence[str], *, n_regimes: int, settings: Mapping[str, Any]) -> dict[str, RegimeModel]:
    """Unfitted models by name, set up for returns.

    Raises:
        InputError: if a name or a setting is unknown or out of bounds.
    """
    return {name: of_prices(name, **{"n_regimes": n_regimes, **_of_returns(name), **settings}) for name in names}


def _of_returns(name: str) -> dict[str, Any]:
    """Settings without which a model cannot work on returns alone; a plugin's has none."""
    file = CONF / "regimes" / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")).get("parameters", {}) if file.is_file() else {}


def summary(model: RegimeModel, seen: History) -> pd.DataFrame:
    """What tells the regimes apart: a row each.

    Columns: annualized volatility and mean, mean stay in days, share of days on which it is the most likely one, its
    probability now, and that in a month.
    """
    returns = seen.returns.to_numpy()
    with deciding():
        now = np.asarray(model.filter(returns))
        ahead = np.asarray(model.forecast(returns, steps=TRADING_DAYS // 12))
    regimes = now.shape[1]
    told = np.bincount(now.argmax(1), minlength=regimes) / len(now)
    return pd.DataFrame(
        {
            "volatility": model.volatilities_ * TRADING_DAYS**0.5,
            "mean": model.means_[:, 0] * TRADING_DAYS,
            "stay": hmm.durations(torch.from_numpy(model.transition_)).numpy(),
            "days": told,
            "now": now[-1],
            "in a month": ahead[-1],
        },
        index=pd.RangeIndex(regimes, name="regime"),
    )


def compare(candidates: Mapping[str, RegimeModel], seen: History, rows: int) -> pd.DataFrame:
    """Fit each model on the first rows and judge what it filters on the others, never refitted: a row each.

    Columns: ``log_score``, mean log-density of a day's return before it came, in nats, beyond that of one normal law
    fitted on the same rows; ``spread``, volatility of the days after the wildest regime was told over that after the
    calmest; ``switches`` a year; ``seconds`` of the fit. Where the truth is known also ``accuracy``, ``state_score``
    (mean log-probability of the true regime, minus infinity where it was ruled out), ``ece``, ``delay`` in days,
    ``missed`` and ``false_alarms`` a year, and a first row for the filter that knows the market.
    """
    returns, table = seen.returns.to_numpy(), {}
    for model in candidates.values() if seen.market else ():
        _check_count(seen, model.n_regimes)
    base = _normal(returns, rows)
    if seen.market is not None:
        table["the market itself"] = {"log_score": np.nan, "seconds": np.nan} | _judged(_oracle(seen), seen, rows)
    for name, model in candidates.items():
        begun = time.perf_counter()
        model.fit(returns[:rows])
        seconds = time.perf_counter() - begun
        with deciding():
            told = np.asarray(model.filter(returns))
        gained = (model.score(returns) - model.score(returns[:rows])) / (len(returns) - rows) - base
        table[name] = {"log_score": gained, "seconds": seconds} | _judged(told, seen, rows)
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("model")


def _judged(told: NDArray[np.float64], seen: History, rows: int) -> dict[str, float]:
    returns, labels = seen.returns.to_numpy(), told.argmax(1)
    after = [returns[rows + 1 :][labels[rows:-1] == regime] for regime in (0, told.shape[1] - 1)]
    known = min(map(len, after)) > 1
    found = {
        "spread": float(after[1].std() / after[0].std()) if known else float("nan"),
        "switches": float((np.diff(labels[rows:]) != 0).mean() * TRADING_DAYS),
    }
    if seen.states is None:
        return found
    _check_count(seen, told.shape[1])
    states = seen.states[rows:]
    judged, seen_changes = reliability(told[rows:], states), detection(states, labels[rows:])
    return found | {
        "accuracy": seen_changes.accuracy,
        "state_score": judged.log_score,
        "ece": judged.ece,
        "delay": seen_changes.delay,
        "missed": seen_changes.missed,
        "false_alarms": seen_changes.false_alarms,
    }


def _check_count(seen: History, regimes: int | None) -> None:
    """Refuse another number of regimes than the market has; None is not known before the fit."""
    assert seen.market is not None
    count = len(seen.market.volatilities)
    if regimes not in (None, count):
        raise InputError(f"regimes: {regimes} are asked for, but the market has {count}; say so many")


def _oracle(seen: History) -> NDArray[np.float64]:
    """The filter that knows the chain and the volatility of each of its states."""
    assert seen.market is not None
    order = np.argsort(seen.market.volatilities)
    scale = np.array(seen.market.volatilities)[order] / TRADING_DAYS**0.5
    returns = torch.tensor(seen.returns.to_numpy())
    law = torch.distributions.Normal(torch.from_numpy(-0.5 * scale**2), torch.from_numpy(scale))
    chain = torch.from_numpy(seen.market.transition()[np.ix_(order, order)])
    start = torch.from_numpy(seen.market.stationary[order])
    return hmm.filtered(start.log(), chain.log(), law.log_prob(returns.unsqueeze(-1)).unsqueeze(0))[0].numpy()


def _normal(returns: NDArray[np.float64], rows: int) -> float:
    """Mean log-density of the later returns under the normal law of the first ones."""
    mean, variance = returns[:rows].mean(), returns[:rows].var()
    return float(-0.5 * (np.log(2 * np.pi * variance) + (returns[rows:] - mean) ** 2 / variance).mean())
