"""The policy family."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from praesidium.component import Component
from praesidium.hedging.rollout import Rule


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


class Policy(Component):
    """How positions follow from the state: settings from which a rule is built."""

    @abstractmethod
    def build(self, sizes: Sizes, *, seed: int) -> Rule:
        """The rule itself; a trainable one is a ``torch.nn.Module`` whose parameters depend on the seed alone."""
