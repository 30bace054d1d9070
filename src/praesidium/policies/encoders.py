"""Encoders: what the decision head gets to see of the state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from praesidium.component import Component
from praesidium.hedging.state import State
from praesidium.policies.layers import Activation, Body, Dense
from praesidium.policies.policy import Sizes
from praesidium.training.reproducibility import stream


class EncoderNetwork(nn.Module, ABC):
    """phi: everything before the decision head.

    Attributes:
        remembers: whether what is prepared for a day depends on earlier days, so that all are prepared together.
    """

    remembers: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, state: State) -> tuple[Tensor, ...]:
        """What can be computed for all times before the rollout; each tensor has time first."""

    @abstractmethod
    def step(self, prepared: tuple[Tensor, ...], inventory: Tensor) -> Float[Tensor, "*batch width"]:
        """Head input of one day from that day's slice and the standardized inventory, or of all days at once.

        The inventory has an axis for the instruments where there are several.
        """


class Encoder(Component):
    """Settings of an encoder: perceptrons of ``depth`` layers of ``width`` units.

    Attributes:
        width: units of a layer.
        depth: layers before the decision head.
        activation: gradient penalties need second derivatives, which relu does not have.
    """

    width: int = Field(default=32, ge=1)
    depth: int = Field(default=2, ge=1)
    activation: Activation = "silu"

    @abstractmethod
    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        """The network, with initial values that depend on the seed alone."""

    def _body(self, inputs: int, name: str, sizes: Sizes, seed: int) -> Body:
        """A perceptron on features and the inventory in all instruments."""
        return Body(
            inputs,
            self.width,
            self.depth,
            seed=seed,
            name=name,
            inventory=sizes.instruments,
            activation=self.activation,
        )


class Joint(Encoder, kind="joint"):
    """One perceptron on all features and the inventory: the standard deep hedge (Buehler et al. 2019)."""

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        inputs = sizes.phi + sizes.context
        body = self._body(inputs, "joint", sizes, seed)
        return Sequential(body, "features")


class PhiOnly(Encoder, kind="phi_only"):
    """Structural features and the inventory; blind to the regime."""

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        return Sequential(self._body(sizes.phi, "phi", sizes, seed), "phi")


class ContextOnly(Encoder, kind="r_only"):
    """Regime features alone, without the inventory: the counterpart of ``phi_only``."""

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        body = _context(sizes, self.width, self.depth, seed, self.activation)
        return Sequential(body, "context")


class Split(Encoder, kind="split"):
    """Structural representation times a bounded factor of the regime: f(phi, inventory) (1 + a tanh g(context)).

    The last of the layers of g is linear, so that a factor may fall as far as it may rise.
    An unseen regime cannot move a unit by more than the share ``modulation``.

    Attributes:
        modulation: a, in [0, 1).
    """

    modulation: float = Field(default=0.25, ge=0, lt=1)

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        phi = self._body(sizes.phi, "phi", sizes, seed)
        context = _context(sizes, self.width, max(1, self.depth - 1), seed, self.activation)
        factor = Dense(self.width, self.width, stream(seed, "init", "factor"), hidden=True)
        return Modulated(phi, context, factor, self.modulation)


def _context(sizes: Sizes, width: int, depth: int, seed: int, activation: Activation) -> Body:
    """A body on the regime features, which do not depend on the inventory."""
    return Body(sizes.context, width, depth, seed=seed, name="context", inventory=0, activation=activation)


class Sequential(EncoderNetwork):
    """One body on some of the features."""

    def __init__(self, body: Body, inputs: Literal["features", "phi", "context"]) -> None:
        super().__init__()
        self.body, self.inputs = body, inputs

    def prepare(self, state: State) -> tuple[Tensor, ...]:
        return (self.body.prepare(getattr(state, self.inputs)),)

    def step(self, prepared: tuple[Tensor, ...], inventory: Tensor) -> Float[Tensor, "*batch width"]:
        return self.body.advance(prepared[0], inventory)


class Modulated(EncoderNetwork):
    """One body for the decision, one that may scale its units within bounds."""

    def __init__(self, phi: Body, context: Body, factor: Dense, modulation: float) -> None:
        super().__init__()
        self.phi, self.context, self.factor, self.modulation = phi, context, factor, modulation

    def prepare(self, state: State) -> tuple[Tensor, ...]:
        regime = self.factor(self.context.advance(self.context.prepare(state.context)))
        # 1 + a tanh(x) = 1 - a + 2 a sigmoid(2x): a sixth of the time of tanh on a CPU
        factor = torch.add(regime.new_tensor(1 - self.modulation), torch.sigmoid(2 * regime), alpha=2 * self.modulation)
        return self.phi.prepare(state.phi), factor

    def step(self, prepared: tuple[Tensor, ...], inventory: Tensor) -> Float[Tensor, "*batch width"]:
        return self.phi.advance(prepared[0], inventory) * prepared[1]
