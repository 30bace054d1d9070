"""Bates: Heston with Merton's jumps."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton


class Bates(Heston, kind="bates"):
    """Heston's spot and variance with normal jumps in the log price: ``merton`` on a ``heston`` base, written flat.

    The settings of :class:`Heston`, and those of the jumps.

    Attributes:
        intensity: jumps a year.
        jump_mean: mean of the log jump.
        jump_sd: standard deviation of the log jump.

    Source: Bates 1996.
    """

    intensity: NonNegativeFloat = 1.0
    jump_mean: float = -0.05
    jump_sd: NonNegativeFloat = 0.04

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """The paths of the nested form, bit for bit."""
        return self._nested().sample(paths=paths, steps=steps, dt=dt, generator=generator, dtype=dtype)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """Heston's, plus intensity (jump_mean^2 + jump_sd^2)."""
        return self._nested().expected_variance(variance, years)

    def _nested(self) -> Merton:
        base = Heston(**{name: getattr(self, name) for name in Heston.model_fields})
        return Merton(base=base, intensity=self.intensity, jump_mean=self.jump_mean, jump_sd=self.jump_sd)
