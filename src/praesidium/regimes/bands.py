"""Volatility bands as a regime model: nothing is hidden, and every other model has to beat it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError, real, reals, whole
from praesidium.data.volatility import BANDS, realized_volatility
from praesidium.markets.market import TRADING_DAYS
from praesidium.regimes.densities import Laws, Normal, draw
from praesidium.regimes.model import RegimeModel
from praesidium.regimes.observations import Observations
from praesidium.regimes.shapes import Diagonal
from praesidium.regimes.units import Units

BAND_EDGES = tuple(upper for _, upper in BANDS.values())[:-1]  # of the bands low, medium, high and crisis
LEAST = 1e-30  # variance where nothing ever moves: rounding alone leaves more of a return


class VolatilityBands(RegimeModel, kind="bands"):
    """The regime is the band [lower, upper) that holds the realized volatility of the first column.

    That is sqrt(periods mean r^2) over the last ``window`` returns that were observed; a missing return leaves it as it
    was. The filter is zero or one, and NaN until the first window is full. Row by row the score is
    log sum_k P(z_t = k | z_t-1) N(x_t; mu_k, sigma_k^2): the chain of bands, and a normal law in each.

    Args:
        n_regimes: number of bands, K; None takes one more than ``edges``, or four.
        edges: annualized volatilities between bands, rising; None takes those that cut the training rows into bands of
            equal size. ``BAND_EDGES`` are those of :data:`praesidium.data.volatility.BANDS`.
        window: returns in the mean, the current one included.
        periods: returns in a year.
        pseudo_count: rows of prior knowledge about each band: moves anywhere alike, and moments of all rows.
        random_state: not used, nothing is random.

    Attributes:
        edges_: (K - 1), annualized.
        initial_: share of the training rows in each band, which stands for a band that is not known yet.
        variances_: (K, features), of each feature in each band; of the first one, the mean square of its realized
            volatility there, ``volatilities_`` squared.
    """

    n_regimes: Any  # a whole number or None
    edges_: NDArray[np.float64]
    variances_: NDArray[np.float64]

    def __init__(
        self,
        n_regimes: int | None = None,
        *,
        edges: Sequence[float] | None = None,
        window: int = 20,
        periods: float = TRADING_DAYS,
        pseudo_count: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.n_regimes = n_regimes
        self.edges = edges
        self.window = window
        self.periods = periods
        self.pseudo_count = pseudo_count
        self.random_state = random_state

    def _check(self) -> None:
        if self.edges is not None and not reals(self.edges):
            raise InputError(f"edges: {self.edges!r} are not volatilities between bands, such as {BAND_EDGES}")
        super()._check()
        if self.edges is not None:
            edges = np.asarray(self.edges, dtype=np.float64)
            if len(edges) + 1 != self._wanted:
                raise InputError(
                    f"edges: {len(edges)} make {len(edges) + 1} bands, but n_regimes={self.n_regimes}; leave one out"
                )
            if not (np.isfinite(edges).all() and (np.diff(edges, prepend=0) > 0).all()):
                raise InputError(f"edges: {edges.tolist()} are not rising positive volatilities; 0.25 is 25 % a year")
        if not whole(self.window):
            raise InputError(f"window: {self.window!r} is not a positive number of returns; 20 is usual")
        for name, usual in {"periods": TRADING_DAYS, "pseudo_count": 1}.items():
            value = getattr(self, name)
            if not (real(value) and 0 < value < math.inf):
                raise InputError(f"{name}: {value!r} is not a positive number; {usual} is usual")

    @property
    def _wanted(self) -> Any:
        if self.n_regimes is not None:
            return self.n_regimes
        return 4 if self.edges is None else len(self.edges) + 1

    def _fit(self, observed: Observations, inputs: Tensor | None) -> None:
        regimes, volatility = self._wanted, self._volatility(observed)
        known = volatility[~np.isnan(volatility)]
        if len(known) == 0:
            raise InputError(
                f"X: no sequence has {self.window} returns, which a window needs; give more or say window=5"
            )
        shares = np.arange(1, regimes) / regimes
        self.edges_ = np.quantile(known, shares) if self.edges is None else np.asarray(self.edges, dtype=np.float64)

        band, weight = self._band(volatility), float(self.pseudo_count)
        inside = np.eye(regimes)[band] * (band >= 0)[..., np.newaxis]
        moves = np.einsum("bti,btj->ij", inside[:, :-1], inside[:, 1:]) + weight / regimes
        self.transition_ = moves / moves.sum(-1, keepdims=True)
        count = inside.sum((0, 1))
        self.initial_ = (count + weight / regimes) / (count.sum() + weight)

        units = Units.of(observed.rows, "X")
        center, spread = units.center.numpy(), units.spread.numpy()
        away = np.nan_to_num(observed.values.numpy() - center)
        seen, first, second = (
            np.einsum("btk,btd->kd", inside, one) for one in (~observed.missing.numpy(), away, away**2)
        )
        mean = first / (seen + weight)
        self.means_ = center + mean
        self.variances_ = (second - 2 * mean * first + mean**2 * seen + weight * spread**2) / (seen + weight)

        periods = float(self.periods)
        overall = np.sqrt(periods * np.nanmean(observed.values[..., 0] ** 2))
        nearest = np.clip(overall, np.append(0, self.edges_), np.append(self.edges_, np.inf))
        squares = np.einsum("btk,bt->k", inside, np.nan_to_num(volatility) ** 2) + weight * nearest**2
        self.volatilities_ = np.sqrt(squares / (count + weight) / periods)
        self.variances_[:, 0] = self.volatilities_**2
        self.variances_ = np.maximum(self.variances_, LEAST)

    def _reorder(self, order: NDArray[np.int64]) -> None:
        super()._reorder(order)  # bands rise already, and so do the volatilities in them
        self.variances_ = self.variances_[order]

    def _filter(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        band = self._band(self._volatility(observed))
        return torch.from_numpy(np.where(band[..., np.newaxis] < 0, np.nan, np.eye(len(self.initial_))[band]))

    def _smooth(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        return self._filter(observed, inputs)

    def _decode(self, observed: Observations, inputs: Tensor | None) -> Int[Tensor, "batch times"]:
        return torch.from_numpy(self._band(self._volatility(observed)))

    def _log_likelihood(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, " batch"]:
        initial, transition = torch.from_numpy(self.initial_), torch.from_numpy(self.transition_)
        now = self._filter(observed, inputs)[:, :-1]
        ahead = torch.where(now.isnan(), initial, now @ transition)
        ahead = torch.cat([initial.expand(len(now), 1, -1), ahead], dim=1)
        rows = Diagonal(observed.values.flatten(0, 1))
        density = Normal().log_density(rows, self._laws).view_as(ahead)
        return (ahead.log() + density).logsumexp(-1).sum(-1)

    def _emit(self, states: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows features"]:
        return draw(states, self._laws, Diagonal, Normal(), generator)

    @property
    def _laws(self) -> Laws:
        dof = Normal().start(len(self.initial_))
        return Laws(torch.from_numpy(self.means_), torch.from_numpy(self.variances_), dof)

    def _volatility(self, observed: Observations) -> NDArray[np.float64]:
        """Annualized, (batch, times), by the observed returns up to each row; NaN until there are enough of them."""
        volatility = np.full(observed.values.shape[:2], np.nan)
        for row, returns, length in zip(volatility, observed.values[..., 0].numpy(), observed.lengths, strict=True):
            place = np.flatnonzero(~np.isnan(returns))
            latest = np.searchsorted(place, np.arange(int(length)), side="right") - 1  # observed return, -1 before any
            known = np.append(realized_volatility(returns[place], int(self.window)), np.nan)
            row[: int(length)] = known[latest]
        return volatility * math.sqrt(float(self.periods) / TRADING_DAYS)

    def _band(self, volatility: NDArray[np.float64]) -> NDArray[np.int64]:
        """Number of the band; -1 where the volatility is not known."""
        return np.where(np.isnan(volatility), -1, np.searchsorted(self.edges_, volatility, side="right"))
