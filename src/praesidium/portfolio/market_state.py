"""What is known when weights are decided."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError


class MarketState(NamedTuple):
    """Everything that a decision may look at; the entry at t holds what is known at t.

    Attributes:
        regimes: filtered probabilities.
        forecast: probabilities of the regimes of the next period.
        features: characteristics of each asset, not standardized.
        previous: weights just before the first decision, drift included; None where nothing is held.
        returns: simple returns from t - 1 to t; None where weights are not to drift.
    """

    regimes: Float[Tensor, "batch time regimes"]
    forecast: Float[Tensor, "batch time regimes"]
    features: Float[Tensor, "batch time assets features"] | None
    previous: Float[Tensor, "batch assets"] | None
    returns: Float[Tensor, "batch time assets"] | None

    @staticmethod
    def of(
        caller: str,
        regimes: Tensor,
        forecast: Tensor | None,
        features: Tensor | None,
        previous: Tensor | None,
        returns: Tensor | None,
        *,
        sizes: tuple[int, int, int],
        dtype: torch.dtype,
    ) -> MarketState:
        """Check shapes, give one decision a time axis, and take regimes to stay where no forecast is given.

        Args:
            caller: named in errors.
            regimes: (B, T, K), or (B, K) for one decision; the others alike.
            forecast, features, previous, returns: as in :class:`MarketState`.
            sizes: regimes, assets, features of an asset.
            dtype: what the network computes in.

        Raises:
            InputError: if a shape does not fit.
        """
        count, assets, width = sizes
        if regimes.ndim not in {2, 3} or regimes.shape[-1] != count or 0 in regimes.shape:
            raise InputError(
                f"{caller}: regimes have shape {tuple(regimes.shape)}; give (batch, time, {count}) or (batch, {count}) "
                "for one decision (VAE_HMM gives (batch, regimes, time): transpose(1, 2), or use model.filter)"
            )
        lead = tuple(regimes.shape[:-1])
        wanted = {
            "forecast": (forecast, (*lead, count)),
            "features": (features, (*lead, assets, width)),
            "previous": (previous, (lead[0], assets)),
            "returns": (returns, (*lead, assets)),
        }
        for name, (value, shape) in wanted.items():
            if value is not None and tuple(value.shape) != shape:
                raise InputError(f"{caller}: {name} has shape {tuple(value.shape)}; give {shape} to match the regimes")

        def prepared(value: Tensor) -> Tensor:
            return (value.unsqueeze(1) if regimes.ndim == 2 else value).to(dtype)

        return MarketState(
            prepared(regimes),
            prepared(regimes if forecast is None else forecast),
            None if features is None else prepared(features),
            None if previous is None else previous.to(dtype),
            None if returns is None else prepared(returns),
        )
