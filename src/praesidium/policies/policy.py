"""The policy family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import Component
from praesidium.hedging.rollout import Rule
from praesidium.hedging.state import State


@dataclass(frozen=True)
class Sizes:
    """What a network must know before it can be made.

    Attributes:
        phi: number of structural features.
        context: number of regime features.
        environments: number of training environments.
    """

    phi: int
    context: int
    environments: int


@dataclass
class Trace:
    """Head inputs and outputs of every day of a rollout, with their graph: what head gradients are made of."""

    features: list[Float[Tensor, "paths width"]] = field(default_factory=list)
    outputs: list[Float[Tensor, "paths outputs"]] = field(default_factory=list)


class TrainableRule(nn.Module, ABC):
    """A rule with parameters, which ends in a linear decision head."""

    @abstractmethod
    def positions(self, state: State, trace: Trace | None = None) -> Float[Tensor, "steps paths"]:
        """Position held over (t, t+1], from what is known at t.

        Args:
            state: what the policy may look at.
            trace: filled with what the head saw and said, if given.
        """


class Policy(Component):
    """How positions follow from the state: settings from which a rule is built."""

    @abstractmethod
    def build(self, sizes: Sizes, *, seed: int) -> Rule:
        """The rule itself; one with parameters is a :class:`TrainableRule`, and they depend on the seed alone."""
