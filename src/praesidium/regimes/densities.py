"""Laws of the observations in each regime: functions of the distance to its mean, with normal tails or Student's."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.regimes.shapes import Means, Scales, Shape, Weights

LEAST_DOF, MOST_DOF = 2.05, 200.0  # above 2 there is a variance; above 200 nobody can tell t from normal
HALVINGS = 45  # of the interval in which the degrees of freedom lie


class Laws(NamedTuple):
    """Parameters of the law of each regime.

    Attributes:
        mean: (regimes, features).
        scale: diagonals or matrices, see :mod:`.shapes`; the covariance matrix where tails are normal.
        dof: degrees of freedom, infinite where tails are normal.
    """

    mean: Means
    scale: Scales
    dof: Float[Tensor, " regimes"]


class Tails(ABC):
    """How fast density falls with distance.

    A member is a subclass with a ``kind``, such as ``class Normal(Tails, kind="gaussian")``.
    """

    registry: ClassVar[dict[str, type[Tails]]] = {}

    def __init_subclass__(cls, kind: str) -> None:
        super().__init_subclass__()
        Tails.registry[kind] = cls

    @abstractmethod
    def log_density(self, rows: Shape, laws: Laws) -> Weights:
        """log p(x_t | z_t = k) of what was observed in each row; 0 where nothing was."""

    @abstractmethod
    def maximize(self, rows: Shape, laws: Laws, weight: Weights) -> Laws:
        """Laws under which weighted rows are more likely than under ``laws``, or as likely: the M-step of EM."""

    @abstractmethod
    def start(self, regimes: int) -> Float[Tensor, " regimes"]:
        """Degrees of freedom to start from."""

    @abstractmethod
    def free(self, dof: Float[Tensor, " regimes"]) -> Tensor:
        """Real numbers that stand for the degrees of freedom."""

    @abstractmethod
    def bound(self, raw: Tensor, regimes: int) -> Float[Tensor, " regimes"]:
        """Inverse of :meth:`free`."""

    @abstractmethod
    def inflation(self, dof: Float[Tensor, " regimes"]) -> Float[Tensor, " regimes"]:
        """Covariance over scale."""

    @abstractmethod
    def mixing(self, dof: Float[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, " rows"]:
        """Factors that turn normal draws into draws with these tails."""


class Normal(Tails, kind="gaussian"):
    """Normal law."""

    def log_density(self, rows: Shape, laws: Laws) -> Weights:
        squares, determinant = rows.distance(laws.mean, laws.scale)
        return -0.5 * (squares + determinant + rows.count * math.log(2 * math.pi))

    def maximize(self, rows: Shape, laws: Laws, weight: Weights) -> Laws:
        mean, scale = rows.maximize(laws.mean, laws.scale, weight, weight)
        return Laws(mean, scale, laws.dof)

    def start(self, regimes: int) -> Float[Tensor, " regimes"]:
        return torch.full((regimes,), torch.inf, dtype=torch.float64)

    def free(self, dof: Float[Tensor, " regimes"]) -> Tensor:
        return dof[:0]

    def bound(self, raw: Tensor, regimes: int) -> Float[Tensor, " regimes"]:
        return raw.new_full((regimes,), torch.inf)

    def inflation(self, dof: Float[Tensor, " regimes"]) -> Float[Tensor, " regimes"]:
        return torch.ones_like(dof)

    def mixing(self, dof: Float[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, " rows"]:
        return torch.ones_like(dof)


class Student(Tails, kind="student"):
    """Multivariate t law: one shock hits all features of a row at once.

    Fitted by EM in which the scale of the shock is free as well, which takes fewer steps to the same optimum.

    Source: Lange, Little and Taylor 1989; Liu, Rubin and Wu 1998, "Parameter expansion to accelerate EM".
    """

    def log_density(self, rows: Shape, laws: Laws) -> Weights:
        squares, determinant = rows.distance(laws.mean, laws.scale)
        dof, half = laws.dof, (laws.dof + rows.count) / 2
        constant = half.lgamma() - (dof / 2).lgamma() - 0.5 * (rows.count * (dof * math.pi).log() + determinant)
        return constant - half * (squares / dof).log1p()

    def maximize(self, rows: Shape, laws: Laws, weight: Weights) -> Laws:
        squares, _ = rows.distance(laws.mean, laws.scale)
        half = (laws.dof + rows.count) / 2
        precision = 2 * half / (laws.dof + squares)
        log_precision = half.digamma() - half.log() + precision.log()
        mean, scale = rows.maximize(laws.mean, laws.scale, weight, weight * precision)
        share = weight / weight.sum(0)
        gap = (share * precision).sum(0).log() - (share * log_precision).sum(0)
        return Laws(mean, scale, torch.where(gap.isnan(), laws.dof, _solved(gap)))

    def start(self, regimes: int) -> Float[Tensor, " regimes"]:
        return torch.full((regimes,), 8.0, dtype=torch.float64)

    def free(self, dof: Float[Tensor, " regimes"]) -> Tensor:
        share = (dof / LEAST_DOF).log() / math.log(MOST_DOF / LEAST_DOF)
        return share.clamp(0.01, 0.99).logit()

    def bound(self, raw: Tensor, regimes: int) -> Float[Tensor, " regimes"]:
        return LEAST_DOF * (math.log(MOST_DOF / LEAST_DOF) * raw.sigmoid()).exp()

    def inflation(self, dof: Float[Tensor, " regimes"]) -> Float[Tensor, " regimes"]:
        return dof / (dof - 2)

    def mixing(self, dof: Float[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, " rows"]:
        draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        return torch.from_numpy(np.sqrt(dof.numpy() / draws.chisquare(dof.numpy())))


def _solved(gap: Float[Tensor, " regimes"]) -> Float[Tensor, " regimes"]:
    """The degrees of freedom n at which log(n/2) - digamma(n/2), which falls, has come down to ``gap``; in bounds."""
    low, high = torch.full_like(gap, math.log(LEAST_DOF)), torch.full_like(gap, math.log(MOST_DOF))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        half = middle.exp() / 2
        above = half.log() - half.digamma() > gap
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return ((low + high) / 2).exp()


def draw(
    states: Int[Tensor, " rows"], laws: Laws, shape: type[Shape], tails: Tails, generator: torch.Generator
) -> Float[Tensor, "rows features"]:
    """One observation in each of these regimes."""
    normal = torch.randn(len(states), laws.mean.shape[-1], 1, dtype=laws.mean.dtype, generator=generator)
    factors = torch.linalg.cholesky(shape.matrices(laws.scale))
    away = (factors[states] @ normal).squeeze(-1)
    return laws.mean[states] + away * tails.mixing(laws.dof[states], generator).unsqueeze(-1)
