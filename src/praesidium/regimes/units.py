"""Units in which a model is fitted: of each feature, its mean and standard deviation over the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError


@dataclass(frozen=True, eq=False)
class Units:
    """Center and spread of each feature, and what its densities lose by the change of units.

    Attributes:
        center, spread: (features); the spread of a constant feature is one.
        log_volume: log p in standardized units minus log p in those of the observations, over all training rows.
    """

    center: Float[Tensor, " features"]
    spread: Float[Tensor, " features"]
    log_volume: float

    @classmethod
    def of(cls, rows: Float[Tensor, "rows features"], name: str) -> Units:
        """Those of training rows.

        Raises:
            InputError: if a feature was never observed.
        """
        counts = (~rows.isnan()).sum(0)
        if bool((counts == 0).any()):
            empty = [place for place, count in enumerate(counts.tolist()) if count == 0]
            raise InputError(f"{name}: columns {empty} hold no number; leave them out")
        center = rows.nanmean(0)
        spread = (rows - center).square().nanmean(0).sqrt()
        spread = torch.where(spread > 1e-12 * center.abs(), spread, 1.0)
        return cls(center, spread, float((counts * spread.log()).sum()))

    def standardized(self, values: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """In these units; missing stays missing."""
        return (values - self.center) / self.spread
