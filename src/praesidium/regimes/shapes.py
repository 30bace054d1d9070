"""Shapes of scale matrices: what a diagonal or a full matrix for each regime makes of rows with missing numbers.

A shape knows the rows, and tells how far each is from each regime and which means and matrices fit weighted rows best.
What is missing is integrated out exactly: a row counts by what was observed of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

TINY = 1e-10  # a regime with a smaller sum of weights keeps its parameters
BLOCK = 128  # rows that are multiplied at a time

Means = Float[Tensor, "regimes features"]
Scales = Float[Tensor, "regimes features *square"]
Weights = Float[Tensor, "rows regimes"]


class Shape(ABC):
    """Rows of observations under scale matrices of one shape.

    Args:
        rows: (rows, features), NaN where missing.

    Attributes:
        count: (rows, 1), numbers observed in each row.
    """

    registry: ClassVar[dict[str, type[Shape]]] = {}

    def __init_subclass__(cls, kind: str) -> None:
        super().__init_subclass__()
        Shape.registry[kind] = cls

    def __init__(self, rows: Float[Tensor, "rows features"]) -> None:
        self.seen = (~rows.isnan()).to(rows.dtype)
        self.known = torch.where(rows.isnan(), 0, rows)
        self.count = self.seen.sum(-1, keepdim=True)

    @abstractmethod
    def distance(self, mean: Means, scale: Scales) -> tuple[Weights, Weights]:
        """Squared Mahalanobis distance of each row to each regime, and the log-determinant of the scale matrix."""

    @abstractmethod
    def maximize(self, mean: Means, scale: Scales, weight: Weights, pull: Weights) -> tuple[Means, Scales]:
        """Means and scale matrices that fit weighted rows best, given the old ones where numbers are missing.

        Args:
            mean, scale: the old ones.
            weight: of each row in each regime.
            pull: the same times the expected precision of the row, which holds outliers off; one for the normal law.
        """

    @staticmethod
    @abstractmethod
    def parameters(features: int) -> int:
        """Free numbers in a matrix."""

    @staticmethod
    @abstractmethod
    def units(regimes: int, features: int) -> Scales:
        """Uncorrelated features of variance one."""

    @staticmethod
    @abstractmethod
    def raised(scale: Scales, least: float) -> Scales:
        """The nearest matrices without a variance below ``least`` in any direction."""

    @staticmethod
    @abstractmethod
    def free(scale: Scales, least: float) -> Tensor:
        """Real numbers that stand for matrices with variances above ``least``."""

    @staticmethod
    @abstractmethod
    def bound(raw: Tensor, least: float) -> Scales:
        """Inverse of :meth:`free`."""

    @staticmethod
    @abstractmethod
    def matrices(scale: Scales) -> Float[Tensor, "regimes features features"]:
        """The scale matrices, written out."""

    @staticmethod
    @abstractmethod
    def restored(scale: Scales, spread: Float[Tensor, " features"]) -> Scales:
        """The scale matrices once feature d is measured in units ``spread[d]`` times smaller."""


class Diagonal(Shape, kind="diag"):
    """Uncorrelated features: ``scale`` (regimes, features) holds the diagonals."""

    def distance(self, mean: Means, scale: Scales) -> tuple[Weights, Weights]:
        squares = self._away(mean).square() @ (1 / scale).unsqueeze(-1)
        return squares.squeeze(-1).T, self.seen @ scale.log().T

    def maximize(self, mean: Means, scale: Scales, weight: Weights, pull: Weights) -> tuple[Means, Scales]:
        total, mass = pull.T @ self.seen, weight.T @ self.seen
        enough = total > TINY
        mean = torch.where(enough, (pull.T @ self.known) / total.clamp(min=TINY), mean)
        second = (pull.T.unsqueeze(1) @ self._away(mean).square()).squeeze(1)
        precision = (pull.sum(0) / weight.sum(0)).unsqueeze(-1)
        return mean, torch.where(enough, second / (precision * mass).clamp(min=TINY), scale)

    def _away(self, mean: Means) -> Float[Tensor, "regimes rows features"]:
        return (self.known - mean.unsqueeze(1)) * self.seen

    @staticmethod
    def parameters(features: int) -> int:
        return features

    @staticmethod
    def units(regimes: int, features: int) -> Scales:
        return torch.ones(regimes, features, dtype=torch.float64)

    @staticmethod
    def raised(scale: Scales, least: float) -> Scales:
        return scale.clamp(min=least)

    @staticmethod
    def free(scale: Scales, least: float) -> Tensor:
        return (scale - least).clamp(min=1e-3 * least).log()

    @staticmethod
    def bound(raw: Tensor, least: float) -> Scales:
        return least + raw.exp()

    @staticmethod
    def matrices(scale: Scales) -> Float[Tensor, "regimes features features"]:
        return scale.diag_embed()

    @staticmethod
    def restored(scale: Scales, spread: Float[Tensor, " features"]) -> Scales:
        return scale * spread.square()


class Pattern(NamedTuple):
    """Rows in which the same features were observed.

    Attributes:
        rows, seen, missing: which rows, and which features were and were not observed in them.
        values: what was observed.
    """

    rows: Int[Tensor, " some"]
    seen: Int[Tensor, " observed"]
    missing: Int[Tensor, " lost"]
    values: Float[Tensor, "some observed"]


class Full(Shape, kind="full"):
    """Correlated features: ``scale`` (regimes, features, features) holds the matrices."""

    def __init__(self, rows: Float[Tensor, "rows features"]) -> None:
        super().__init__(rows)
        codes = np.packbits(self.seen.bool().numpy(), axis=1)
        _, first, kind = np.unique(codes.view(f"V{codes.shape[1]}"), return_index=True, return_inverse=True)
        kinds, kind = self.seen[torch.from_numpy(first)], torch.from_numpy(kind.reshape(-1))
        self.patterns: list[Pattern] = []
        for place, observed in enumerate(kinds.bool()):
            some, seen = (kind == place).nonzero().squeeze(-1), observed.nonzero().squeeze(-1)
            missing = (~observed).nonzero().squeeze(-1)
            self.patterns.append(Pattern(some, seen, missing, self.known[some][:, seen]))
        self.sorted = torch.cat([one.rows for one in self.patterns]).argsort()

    def distance(self, mean: Means, scale: Scales) -> tuple[Weights, Weights]:
        squares, determinants = [], []
        for one in self.patterns:
            factor = torch.linalg.cholesky(scale[:, one.seen][:, :, one.seen])
            unit = torch.eye(len(one.seen), dtype=factor.dtype, device=factor.device)
            inverse = torch.linalg.solve_triangular(factor, unit.expand_as(factor), upper=False)
            away = one.values - mean[:, one.seen].unsqueeze(1)
            squares.append(_in_blocks(away, inverse.mT).square().sum(-1).T)
            log_diagonal = factor.diagonal(dim1=-2, dim2=-1).log()
            determinants.append(2 * log_diagonal.sum(-1).expand(len(one.rows), -1))
        return torch.cat(squares)[self.sorted], torch.cat(determinants)[self.sorted]

    def maximize(self, mean: Means, scale: Scales, weight: Weights, pull: Weights) -> tuple[Means, Scales]:
        filled, unknown = self._filled(mean, scale, weight)
        total = pull.sum(0)
        enough, divisor = total > TINY, total.clamp(min=TINY)
        center = (pull.T.unsqueeze(1) @ filled).squeeze(1) / divisor.unsqueeze(-1)
        center = torch.where(enough.unsqueeze(-1), center, mean)
        away = filled - center.unsqueeze(1)
        second = (away * pull.T.unsqueeze(-1)).mT @ away + unknown
        second = (second + second.mT) / 2 / divisor[:, None, None]
        return center, torch.where(enough[:, None, None], second, scale)

    def _filled(
        self, mean: Means, scale: Scales, weight: Weights
    ) -> tuple[Float[Tensor, "regimes rows features"], Float[Tensor, "regimes features features"]]:
        """What is expected of each row in each regime, and the summed covariance of what is not known of it.

        Source: Little and Rubin 2002, section 11.2; the covariance takes no pull: Liu and Rubin 1995, section 3.
        """
        filled = self.known.repeat(len(mean), 1, 1)
        unknown = torch.zeros_like(scale)
        for one in self.patterns:
            if not len(one.missing) or not len(one.seen):
                continue  # nothing to fill in, or nothing to fill it in from: such a row has no weight
            across = scale[:, one.seen][:, :, one.missing]
            factor = torch.linalg.cholesky(scale[:, one.seen][:, :, one.seen])
            slope = torch.cholesky_solve(across, factor)
            expected = mean[:, one.missing].unsqueeze(1) + (one.values - mean[:, one.seen].unsqueeze(1)) @ slope
            filled[:, one.rows.unsqueeze(-1), one.missing] = expected
            left = scale[:, one.missing][:, :, one.missing] - across.mT @ slope
            unknown[:, one.missing.unsqueeze(-1), one.missing] += weight[one.rows].sum(0)[:, None, None] * left
        return filled, unknown

    @staticmethod
    def parameters(features: int) -> int:
        return features * (features + 1) // 2

    @staticmethod
    def units(regimes: int, features: int) -> Scales:
        return torch.eye(features, dtype=torch.float64).repeat(regimes, 1, 1)

    @staticmethod
    def raised(scale: Scales, least: float) -> Scales:
        values, vectors = torch.linalg.eigh(scale)
        if bool((values >= least).all()):
            return scale
        return (vectors * values.clamp(min=least).unsqueeze(-2)) @ vectors.mT

    @staticmethod
    def free(scale: Scales, least: float) -> Tensor:
        above = Full.raised(scale - least * torch.eye(scale.shape[-1], dtype=scale.dtype), 1e-3 * least)
        factor = torch.linalg.cholesky(above)
        diagonal = factor.diagonal(dim1=-2, dim2=-1)
        return factor.tril(-1) + diagonal.log().diag_embed()

    @staticmethod
    def bound(raw: Tensor, least: float) -> Scales:
        factor = raw.tril(-1) + raw.diagonal(dim1=-2, dim2=-1).exp().diag_embed()
        return factor @ factor.mT + least * torch.eye(raw.shape[-1], dtype=raw.dtype)

    @staticmethod
    def matrices(scale: Scales) -> Float[Tensor, "regimes features features"]:
        return scale

    @staticmethod
    def restored(scale: Scales, spread: Float[Tensor, " features"]) -> Scales:
        return scale * spread.unsqueeze(-1) * spread


def _in_blocks(
    rows: Float[Tensor, "regimes some features"], matrices: Float[Tensor, "regimes features features"]
) -> Float[Tensor, "regimes some features"]:
    """Rows times matrices, always the same number of rows at a time.

    The rounding of a product may depend on how many rows it has, and later rows must not move a bit of earlier ones.
    """
    count = rows.shape[1]
    blocks = pad(rows, (0, 0, 0, -count % BLOCK)).split(BLOCK, dim=1)
    return torch.cat([block @ matrices for block in blocks], dim=1)[:, :count]
