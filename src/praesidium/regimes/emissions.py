"""Laws of an observation given its regime: a family with one member for each shape of tails."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

DEGREES = (2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 30.0, 60.0)  # tried when tails are fitted


class Law(NamedTuple):
    """Parameters of the laws of all regimes.

    Attributes:
        mean: (K, C).
        log_scale: (K, C), logarithm of the squared scale: of the variance if the law is Gaussian.
        dof: (K), degrees of freedom of the tails; infinite if the law is Gaussian.
    """

    mean: Float[Tensor, "regimes channels"]
    log_scale: Float[Tensor, "regimes channels"]
    dof: Float[Tensor, " regimes"]


class Emission(ABC):
    """A law with independent directions given its regime; a missing value (NaN) is integrated out.

    A member is a subclass with a ``kind``, such as ``class Gaussian(Emission, kind="gaussian")``.

    Attributes:
        tails: numbers that the law needs for its tails, 0 or 1.
    """

    registry: ClassVar[dict[str, type[Emission]]] = {}
    kind: ClassVar[str]
    tails: ClassVar[int]

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind
        Emission.registry[kind] = cls

    @abstractmethod
    def dof(self, raw: Float[Tensor, "regimes tails"]) -> Float[Tensor, " regimes"]:
        """Degrees of freedom from any real number."""

    @abstractmethod
    def raw(self, dof: Float[Tensor, " regimes"]) -> Float[Tensor, "regimes tails"]:
        """Inverse of :meth:`dof`."""

    @abstractmethod
    def log_density(self, x: Float[Tensor, "*batch channels"], law: Law) -> Float[Tensor, "*batch regimes"]:
        """log p(x | regime) of what was observed; 0 where nothing was."""

    @abstractmethod
    def variance(self, law: Law) -> Float[Tensor, "regimes channels"]:
        """Variance of each channel in each regime."""

    @abstractmethod
    def maximize(self, x: Float[Tensor, "rows channels"], weight: Float[Tensor, "rows regimes"], law: Law) -> Law:
        """A law under which rows with these weights are at least as likely as under ``law``: the M-step of EM."""

    @abstractmethod
    def mixing(self, dof: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
        """A factor for each draw from the normal law that gives it the tails."""

    def draw(
        self, states: Int[Tensor, "batch time"], law: Law, generator: torch.Generator
    ) -> Float[Tensor, "batch time channels"]:
        """One observation for each state."""
        mean, log_scale, dof = (one.detach().cpu()[states.cpu()] for one in law)
        normal = torch.randn(mean.shape, dtype=mean.dtype, generator=generator)
        return mean + (0.5 * log_scale).exp() * normal * self.mixing(dof, generator).unsqueeze(-1)


class Gaussian(Emission, kind="gaussian"):
    """Normal with a diagonal covariance matrix."""

    tails = 0

    def dof(self, raw: Float[Tensor, "regimes tails"]) -> Float[Tensor, " regimes"]:
        return raw.new_full((len(raw),), math.inf)

    def raw(self, dof: Float[Tensor, " regimes"]) -> Float[Tensor, "regimes tails"]:
        return dof.new_zeros(len(dof), 0)

    def log_density(self, x: Float[Tensor, "*batch channels"], law: Law) -> Float[Tensor, "*batch regimes"]:
        squares, log_scale, count = _distance(x, law)
        return -0.5 * (squares + log_scale + count * math.log(2 * math.pi))

    def variance(self, law: Law) -> Float[Tensor, "regimes channels"]:
        return law.log_scale.exp()

    def maximize(self, x: Float[Tensor, "rows channels"], weight: Float[Tensor, "rows regimes"], law: Law) -> Law:
        return _moments(x, weight, weight, law)

    def mixing(self, dof: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
        return torch.ones_like(dof)


class Student(Emission, kind="student"):
    """Multivariate t with a diagonal scale matrix: one shock of the tails hits all channels of a time at once.

    Source: Lange, Little and Taylor 1989; fitting: Liu and Rubin 1995, ECME.
    """

    tails = 1

    def dof(self, raw: Float[Tensor, "regimes tails"]) -> Float[Tensor, " regimes"]:
        return 2.05 + torch.nn.functional.softplus(raw.squeeze(-1))

    def raw(self, dof: Float[Tensor, " regimes"]) -> Float[Tensor, "regimes tails"]:
        return (dof - 2.05).expm1().log().unsqueeze(-1)

    def log_density(self, x: Float[Tensor, "*batch channels"], law: Law) -> Float[Tensor, "*batch regimes"]:
        return _student(*_distance(x, law), law.dof)

    def variance(self, law: Law) -> Float[Tensor, "regimes channels"]:
        return law.log_scale.exp() * (law.dof / (law.dof - 2)).unsqueeze(-1)

    def maximize(self, x: Float[Tensor, "rows channels"], weight: Float[Tensor, "rows regimes"], law: Law) -> Law:
        finite = law._replace(dof=law.dof.clamp(max=DEGREES[-1]))
        squares, _, count = _distance(x, finite)
        calm = weight * (finite.dof + count) / (finite.dof + squares)
        found = _moments(x, calm, weight, finite)
        degrees = torch.stack([found.dof, *(torch.full_like(found.dof, degree) for degree in DEGREES)])
        distance = _distance(x, found)
        scores = torch.stack([(weight * _student(*distance, dof)).sum(0) for dof in degrees])
        return found._replace(dof=degrees.gather(0, scores.argmax(0, keepdim=True)).squeeze(0))

    def mixing(self, dof: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
        draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        return torch.from_numpy(np.sqrt(dof.numpy() / draws.chisquare(dof.numpy())))


def _student(squares: Tensor, log_scale: Tensor, count: Tensor, dof: Tensor) -> Tensor:
    """Log density of a multivariate t from what :func:`_distance` gives."""
    half, total = dof / 2, (dof + count) / 2
    constant = total.lgamma() - half.lgamma() - 0.5 * (count * (dof * math.pi).log() + log_scale)
    return constant - total * (squares / dof).log1p()


def _distance(x: Tensor, law: Law) -> tuple[Tensor, Tensor, Tensor]:
    """Squared scaled distance, sum of log squared scales, number of channels: of what was observed, (..., K or 1)."""
    observed = ~x.isnan()
    known = torch.where(observed, x, 0).unsqueeze(-2)
    weight = observed.to(law.mean.dtype)
    precise = (-law.log_scale).exp()
    squares = (weight.unsqueeze(-2) * (known - law.mean).square() * precise).sum(-1)
    return squares, weight @ law.log_scale.T, weight.sum(-1, keepdim=True)


def _moments(x: Tensor, pull: Tensor, weight: Tensor, law: Law) -> Law:
    """Means weighted by ``pull``; squared scales sum pull (x - mean)^2 / sum weight; unchanged where all is missing."""
    observed = ~x.isnan()
    known, seen = torch.where(observed, x, 0), observed.to(law.mean.dtype)
    drawn, mass = pull.T @ seen, weight.T @ seen
    enough = mass > 1e-3
    mean = torch.where(enough, (pull.T @ known) / drawn.clamp(min=1e-12), law.mean)
    second = pull.T @ known.square() - 2 * mean * (pull.T @ known) + mean.square() * drawn
    variance = torch.where(enough, second / mass.clamp(min=1e-12), law.log_scale.exp())
    return Law(mean, variance.clamp(min=torch.finfo(variance.dtype).tiny).log(), law.dof)
