"""The objective family: from risks by environment to the loss of one training step."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import Component

Memory = dict[str, Tensor]
Reach = Literal["both", "phi", "psi"]


@runtime_checkable
class Sensitivities(Protocol):
    """Derivatives of the risks by environment, and what else the tail tells; computed only if asked for.

    All have a graph but :meth:`head_noise`. The tail is that of the risk, or a wider one where the study says so.
    """

    def head(self) -> Float[Tensor, "*replicas environments parameters"]:
        """Gradient of each environment's risk in the parameters of the decision head (psi)."""
        ...

    def head_halves(self) -> Float[Tensor, "halves *replicas environments parameters"]:
        """The same from two disjoint halves of the episodes; :meth:`head` is their mean."""
        ...

    def head_spread(self) -> Float[Tensor, "*replicas environments parameters"]:
        """Variance of the head gradients of single tail episodes around :meth:`head`, weighted as the tail is."""
        ...

    def head_noise(self) -> Float[Tensor, "*replicas environments"]:
        """Trace of the sampling covariance of :meth:`head`: its mean square error in a batch of this size."""
        ...

    def whole(self) -> Float[Tensor, "*replicas environments parameters"]:
        """Gradient of each environment's risk in all parameters (phi and psi)."""
        ...

    def scale(self) -> Float[Tensor, "*replicas environments"]:
        """Derivative of each environment's risk in a factor on all executed positions, at 1."""
        ...

    def residual(self) -> Float[Tensor, "*replicas environments"]:
        """Mean square distance of the position from delta over the days of the tail."""
        ...

    def moments(
        self,
    ) -> tuple[Float[Tensor, "*replicas environments width"], Float[Tensor, "*replicas environments width width"]]:
        """Mean and covariance of the head's inputs over the days of the tail."""
        ...


@dataclass(frozen=True)
class Terms:
    """A training loss in parts, one for each replica.

    Attributes:
        risk: aggregate of the risks by environment.
        penalty: what is added to it, its weight included.
        log: further numbers to write down, without a graph.
        reach: which parameters the penalty moves: all, those before the head (phi), or the head's (psi).
        head: gradient to take in the head in place of the loss's, for methods that edit gradients; without a graph.
    """

    risk: Float[Tensor, "*replicas"]
    penalty: Float[Tensor, "*replicas"]
    log: dict[str, Tensor] = field(default_factory=dict)
    reach: Reach = "both"
    head: Float[Tensor, "*replicas parameters"] | None = None

    @property
    def loss(self) -> Float[Tensor, "*replicas"]:
        """What is differentiated."""
        return self.risk + self.penalty


class Objective(Component):
    """Aggregates risks over training environments; sees no policy, no episode and no test environment.

    Many replicas with the same settings come in one call: environments are the last axis of risks, and replicas,
    where there are any, the first of everything. A replica's terms depend on its own rows alone.
    """

    compares: ClassVar[bool] = True
    """Whether it compares environments; with a single one it is then plain ERM."""

    @final
    def __call__(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        """The terms of one step; plain ERM, with a warning, where there is nothing to compare.

        Args:
            risks: CVaR of the loss in each training environment, in units of the frozen risk of the delta hedge.
            sensitivities: derivatives of the risks.
            ramp: weight of everything that is not plain ERM: 0 in the warm-up, rising to 1, then 1.
            memory: what the objective carries from step to step, replicas first; it may write here. Saved with every
                checkpoint.
        """
        if self.compares and risks.shape[-1] == 1:
            warnings.warn(
                f"{self.kind}: a single training environment leaves nothing to compare; this is plain ERM",
                stacklevel=2,
            )
            return plain_erm(risks)
        return self.terms(risks, sensitivities, ramp, memory)

    @abstractmethod
    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        """The terms of one step on at least two environments (any number where it does not compare them)."""


def plain_erm(risks: Float[Tensor, "*replicas environments"]) -> Terms:
    """The mean risk and nothing else."""
    return Terms(risk=risks.mean(-1), penalty=no_penalty(risks))


def no_penalty(risks: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas"]:
    """Zero of the right kind."""
    return torch.zeros_like(risks[..., 0])
