"""Prices of two legs and the regimes of the same times, cut into windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.policies.hedger import Known
from praesidium.training.pieces import Filtering
from praesidium.training.reproducibility import stream

NAME = "train_delta_hedger"
FEWEST = 3  # times of a window: a first price, a return to decide on, a return to earn


@dataclass(frozen=True)
class HedgeData:
    """What is known along each sequence, and what both legs return, in double precision.

    Attributes:
        known: regimes, spot prices, transition.
        spot_returns, futures_returns: simple, of the period that ends at each time; zero at the first.
    """

    known: Known
    spot_returns: Float[Tensor, "batch time assets"]
    futures_returns: Float[Tensor, "batch time assets"]

    @classmethod
    def of(
        cls,
        spot_data: Any,
        futures_data: Any,
        vae_hmm: Filtering,
        *,
        K: int,
        n_assets: int,
        features: Any | None,
        transition: Tensor | None,
    ) -> HedgeData:
        """Check prices, filter the regimes of their times, and estimate the chain if it is not given.

        Raises:
            InputError: if shapes or dates do not fit, a price is not positive, or the filter reads something else.
        """
        from praesidium.regimes.belief import (  # noqa: PLC0415  (importing scikit-learn takes time)
            check_probabilities,
            check_transition,
            estimate_transition,
        )

        _check_dates(spot_data, futures_data)
        spot, futures = _prices("spot_data", spot_data, n_assets), _prices("futures_data", futures_data, n_assets)
        if spot.shape != futures.shape:
            raise InputError(
                f"{NAME}: spot_data {tuple(spot.shape)} and futures_data {tuple(futures.shape)} do not fit; give "
                "prices of the same times"
            )
        x = _features(features, spot, getattr(vae_hmm, "input_dim", None))
        if features is None:  # the first return is known at the second time
            spot, futures = spot[:, 1:], futures[:, 1:]
        if spot.shape[1] < FEWEST:
            raise InputError(f"{NAME}: {spot.shape[1]} times are too few; {FEWEST} are needed to decide and to earn")
        moves = spot.log().diff(dim=1).flatten(0, 1)
        if bool((moves.std(0) <= 1e-6 * moves.abs().amax(0)).all()):
            raise InputError(f"{NAME}: spot_data never moves, or always by the same; give prices with a risk to hedge")
        x = x.to(_place(vae_hmm), torch.get_default_dtype())
        lengths = torch.full((len(x),), x.shape[-1], device=x.device)
        with torch.no_grad():
            regimes = vae_hmm.filter(x, None, lengths).double().cpu()
        check_probabilities(NAME, regimes, K)
        if regimes.shape[:2] != spot.shape[:2]:
            raise InputError(
                f"{NAME}: the filter gives {tuple(regimes.shape[:2])} times for prices of {tuple(spot.shape[:2])}; "
                "give features (features, time) of the times of the prices"
            )
        if transition is None:
            transition = estimate_transition(regimes[:, :-1].flatten(0, 1), regimes[:, 1:].flatten(0, 1))
        check_transition(NAME, transition, K)
        earned = [one.diff(dim=1, prepend=one[:, :1]) / _before(one) for one in (spot, futures)]
        return cls(Known(regimes, spot, transition.double().cpu()), *earned)

    def to(self, like: Tensor) -> HedgeData:
        """The same on the device and in the precision of a tensor."""
        known = Known(*(one.to(like) for one in self.known))
        return HedgeData(known, self.spot_returns.to(like), self.futures_returns.to(like))

    def window(self, places: Sequence[tuple[int, int]], length: int) -> HedgeData:
        """Windows of ``length`` times, each given by its sequence and its first time."""

        def cut(values: Tensor) -> Tensor:
            return torch.stack([values[sequence, start : start + length] for sequence, start in places])

        known = Known(cut(self.known.regimes), cut(self.known.spot), self.known.transition)
        return HedgeData(known, cut(self.spot_returns), cut(self.futures_returns))

    def batches(self, count: int, *, window: int, seed: int, epoch: int) -> Iterator[HedgeData]:
        """All windows once, dealt out to ``count`` batches anew in each epoch. Every return is earned in one or two."""
        sequences, times = self.spot_returns.shape[:2]
        length = min(window, times)
        starts = sorted({*range(0, times - length + 1, length - 1), times - length})
        places = [(sequence, start) for sequence in range(sequences) for start in starts]
        order = torch.randperm(len(places), generator=stream(seed, "hedger", epoch))
        for dealt in order.tensor_split(min(count, len(places))):
            yield self.window([places[one] for one in dealt.tolist()], length)


def _place(model: object) -> torch.device:
    """Where a model computes."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next(parameters, torch.empty(0)).device


def _before(prices: Tensor) -> Tensor:
    """The price a time before each; the first stands for itself."""
    return torch.cat([prices[:, :1], prices[:, :-1]], dim=1)


def _check_dates(spot: Any, futures: Any) -> None:
    """Refuse tables whose dates do not rise, or are not the same in both; what is no table has no dates."""
    tables = {"spot_data": spot, "futures_data": futures}
    dated = {argument: one.index for argument, one in tables.items() if isinstance(one, pd.DataFrame)}
    for argument, dates in dated.items():
        if not (dates.is_monotonic_increasing and dates.is_unique):
            raise InputError(f"{NAME}: the dates of {argument} do not rise from row to row; sort them, each date once")
    if len(dated) < len(tables):
        return
    for row, (one, other) in enumerate(zip_longest(*dated.values(), fillvalue="no date")):
        if one != other:
            raise InputError(
                f"{NAME}: row {row} is {one} in spot_data and {other} in futures_data; give both on the same dates, "
                "such as those of spot_data.index.intersection(futures_data.index)"
            )


def _prices(argument: str, given: Any, n_assets: int) -> Float[Tensor, "batch time assets"]:
    prices = _numbers(given)
    prices = prices.unsqueeze(0) if prices.ndim == 2 else prices
    if prices.ndim != 3 or prices.shape[-1] != n_assets or not len(prices):
        raise InputError(
            f"{NAME}: {argument} has shape {tuple(prices.shape)}; give prices (time, {n_assets}) or "
            f"(batch, time, {n_assets})"
        )
    if not bool((prices.isfinite() & (prices > 0)).all()):
        raise InputError(f"{NAME}: {argument} holds numbers that are not positive prices; give prices, not returns")
    return prices


def _features(given: Any | None, spot: Tensor, reads: int | None) -> Float[Tensor, "batch channels time"]:
    if given is not None:
        x = _numbers(given)
        return x.unsqueeze(0) if x.ndim == 2 else x
    channels = spot.shape[-1]
    if reads not in {None, channels}:
        raise InputError(
            f"{NAME}: vae_hmm reads {reads} features, but without features= it is given the simple returns of "
            f"{channels} spot prices; pass features=({reads}, time), as it was trained on, of the times of the prices"
        )
    return (spot[:, 1:] / spot[:, :-1] - 1).transpose(1, 2)


def _numbers(given: Any) -> Tensor:
    return given.double().cpu() if isinstance(given, Tensor) else torch.tensor(np.asarray(given, dtype=np.float64))
