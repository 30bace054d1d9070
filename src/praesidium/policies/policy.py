"""The policy family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

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
        instruments: number of instruments, the spot among them.
        regimes: number of regimes that the state tells apart; 0 without a view of them.
        option: whether the first instrument beside the spot is an option.
    """

    phi: int
    context: int
    environments: int
    instruments: int = 1
    regimes: int = 0
    option: bool = False


class Decisions(NamedTuple):
    """What a rule decides on every day, and how it came to it, with the graph.

    Attributes:
        positions: held over (t, t+1].
        outputs: what the head said.
        features: what the head saw.
    """

    positions: Float[Tensor, "steps *replicas paths *instruments"]
    outputs: Float[Tensor, "steps *replicas paths outputs"]
    features: Float[Tensor, "steps *replicas paths width"]


class TrainableRule(nn.Module, ABC):
    """A rule with parameters, which ends in a linear decision head (``head``, whose parameters are named ``head.``).

    Of the past positions a decision may depend on the last one alone, and each path is decided by itself. All
    parameters lie in :class:`~praesidium.policies.layers.Dense` layers, so that replicas can be stacked.
    """

    @abstractmethod
    def positions(self, state: State) -> Float[Tensor, "steps *replicas paths *instruments"]:
        """Roll the rule forward: the position of one day is the inventory of the next."""

    @abstractmethod
    def decide(self, state: State, held: Float[Tensor, "steps *replicas paths *instruments"]) -> Decisions:
        """Decisions of all days at once, given what was held before each."""


class Policy(Component):
    """How positions follow from the state: settings from which a rule is built."""

    @abstractmethod
    def build(self, sizes: Sizes, *, seed: int) -> Rule:
        """The rule itself; one with parameters is a :class:`TrainableRule`, and they depend on the seed alone.

        Raises:
            InputError: if the state or the instruments lack what it cannot do without.
        """
