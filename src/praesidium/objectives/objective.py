"""The objective family: from risks by environment to the loss of one training step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import Component

Memory = dict[str, Tensor]


@runtime_checkable
class Sensitivities(Protocol):
    """Derivatives of the risks by environment, with their graph; computed only if they are asked for."""

    def head(self) -> Float[Tensor, "*replicas environments parameters"]:
        """Gradient of each environment's risk in the parameters of the decision head (psi)."""
        ...

    def scale(self) -> Float[Tensor, "*replicas environments"]:
        """Derivative of each environment's risk in a factor on all executed positions, at 1."""
        ...


@dataclass(frozen=True)
class Terms:
    """A training loss in parts, one for each replica.

    Attributes:
        risk: aggregate of the risks by environment.
        penalty: what is added to it, its weight included.
        log: further numbers to write down, without a graph.
    """

    risk: Float[Tensor, "*replicas"]
    penalty: Float[Tensor, "*replicas"]
    log: dict[str, Tensor] = field(default_factory=dict)

    @property
    def loss(self) -> Float[Tensor, "*replicas"]:
        """What is differentiated."""
        return self.risk + self.penalty


class Objective(Component):
    """Aggregates risks over training environments; sees no policy, no episode and no test environment.

    Many replicas with the same settings come in one call: environments are the last axis of risks, and replicas,
    where there are any, the first of everything. A replica's terms depend on its own rows alone.
    """

    @abstractmethod
    def __call__(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        """The terms of one step.

        Args:
            risks: CVaR of the loss in each training environment, in units of the frozen risk of the delta hedge.
            sensitivities: derivatives of the risks.
            ramp: weight of everything that is not plain ERM: 0 in the warm-up, rising to 1, then 1.
            memory: what the objective carries from step to step, replicas first; it may write here. Saved with every
                checkpoint.
        """


def no_penalty(risks: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas"]:
    """Zero of the right kind."""
    return torch.zeros_like(risks[..., 0])
