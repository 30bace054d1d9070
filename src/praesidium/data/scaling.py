"""Standardization by training statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Scaler:
    """Subtracts the training mean, divides by the training deviation, clips what lies far outside.

    Attributes:
        mean: mean of each feature over all training times and paths.
        deviation: standard deviation of each; 1 where a feature does not vary.
        clip: bound of the standardized feature, in deviations.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    clip: float

    @classmethod
    def fit(cls, samples: Sequence[Float[Tensor, "times paths features"]], *, clip: float) -> Scaler:
        """Statistics of the union of the samples, each sample (one an environment) with equal weight."""
        flat = [sample.flatten(0, -2).double() for sample in samples]
        mean = torch.stack([one.mean(0) for one in flat]).mean(0)
        variance = torch.stack([(one - mean).square().mean(0) for one in flat]).mean(0)
        deviation = variance.sqrt()
        deviation = torch.where(deviation > 1e-12, deviation, torch.ones_like(deviation))
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()), clip)

    def __call__(self, features: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        mean, deviation = features.new_tensor(self.mean), features.new_tensor(self.deviation)
        return (features - mean).div_(deviation).clamp_(-self.clip, self.clip)

    def clipped_share(self, features: Float[Tensor, "*batch features"]) -> float:
        """Share of the features that the bound cuts off."""
        standardized = (features - features.new_tensor(self.mean)) / features.new_tensor(self.deviation)
        return (standardized.abs() > self.clip).double().mean().item()
