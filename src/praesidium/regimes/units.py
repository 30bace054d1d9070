"""Units in which a model is fitted: of each feature, its mean and standard deviation over the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from praesidium.component import InputError

CLIP = 5.0  # standardized values beyond are as good as this one for a network


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
            InputError: if a feature was never observed, or is infinite somewhere.
        """
        counts = (~rows.isnan()).sum(0)
        if bool((bad := (counts == 0) | rows.isinf().any(0)).any()):
            columns = bad.nonzero().flatten().tolist()
            raise InputError(f"{name}: columns {columns} hold no number, or an infinite one; leave them out")
        center = rows.nanmean(0)
        spread = (rows - center).square().nanmean(0).sqrt()
        spread = torch.where(spread > 1e-12 * center.abs(), spread, 1.0)
        return cls(center, spread, float((counts * spread.log()).sum()))

    def standardized(self, values: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """In these units; missing stays missing."""
        return (values - self.center) / self.spread


class Standardizer(nn.Module):
    """(x - mean) / deviation by statistics of the training data, cut at +-5; a missing value becomes the mean, 0.

    Attributes:
        mean, deviation: of each channel; 0 and 1 before :meth:`fit`, deviation 1 where a channel does not vary.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(channels, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch time"]) -> None:
        """Take the statistics of what is neither missing nor padding.

        Raises:
            InputError: if a channel was never observed, or holds an infinite value.
        """
        units = Units.of(x.double().transpose(1, 2)[mask], "x")
        self.mean.copy_(units.center)
        self.deviation.copy_(units.spread)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        """Standardized values, in double precision."""
        standardized = (x.double() - self.mean.unsqueeze(-1)) / self.deviation.unsqueeze(-1)
        return standardized.nan_to_num(nan=0.0).clamp(-CLIP, CLIP)
