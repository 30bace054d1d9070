"""Encoders: what the decision head gets to see of the state."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from praesidium.component import Component
from praesidium.hedging.state import State
from praesidium.policies.layers import Body, Dense
from praesidium.policies.policy import Sizes
from praesidium.training.reproducibility import stream


class EncoderNetwork(nn.Module, ABC):
    """phi: everything before the decision head."""

    @abstractmethod
    def prepare(self, state: State) -> tuple[Tensor, ...]:
        """What can be computed for all times before the rollout; each tensor has time first."""

    @abstractmethod
    def step(self, prepared: tuple[Tensor, ...], inventory: Float[Tensor, " paths"]) -> Float[Tensor, "paths width"]:
        """Head input of one day from that day's slice and the standardized inventory."""


class Encoder(Component):
    """Settings of an encoder: perceptrons of ``depth`` layers of ``width`` SiLU units."""

    width: int = Field(default=32, ge=1)
    depth: int = Field(default=2, ge=1)

    @abstractmethod
    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        """The network, with initial values that depend on the seed alone."""


class Joint(Encoder, kind="joint"):
    """One perceptron on all features and the inventory: the standard deep hedge (Buehler et al. 2019)."""

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        body = Body(sizes.phi + sizes.context, self.width, self.depth, seed=seed, name="joint")
        return Sequential(body, ("phi", "context"))


class PhiOnly(Encoder, kind="phi_only"):
    """Structural features and the inventory; blind to the regime."""

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        return Sequential(Body(sizes.phi, self.width, self.depth, seed=seed, name="phi"), ("phi",))


class ContextOnly(Encoder, kind="r_only"):
    """Regime features alone, without the inventory: the counterpart of ``phi_only``."""

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        body = Body(sizes.context, self.width, self.depth, seed=seed, name="context", inventory=False)
        return Sequential(body, ("context",))


class Split(Encoder, kind="split"):
    """Structural representation times a bounded factor of the regime: f(phi, inventory) (1 + a tanh g(context)).

    The last of the layers of g is linear, so that a factor may fall as far as it may rise.
    An unseen regime cannot move a unit by more than the share ``modulation``.

    Attributes:
        modulation: a, in [0, 1).
    """

    modulation: float = Field(default=0.25, ge=0, lt=1)

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        phi = Body(sizes.phi, self.width, self.depth, seed=seed, name="phi")
        context = Body(sizes.context, self.width, max(1, self.depth - 1), seed=seed, name="context", inventory=False)
        factor = Dense(self.width, self.width, stream(seed, "init", "factor"))
        return Modulated(phi, context, factor, self.modulation)


class Sequential(EncoderNetwork):
    """One body on some of the features."""

    def __init__(self, body: Body, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.body, self.inputs = body, inputs

    def prepare(self, state: State) -> tuple[Tensor, ...]:
        features = [getattr(state, name) for name in self.inputs]
        return (self.body.prepare(features[0] if len(features) == 1 else torch.cat(features, dim=-1)),)

    def step(self, prepared: tuple[Tensor, ...], inventory: Float[Tensor, " paths"]) -> Float[Tensor, "paths width"]:
        return self.body.advance(prepared[0], inventory)


class Modulated(EncoderNetwork):
    """One body for the decision, one that may scale its units within bounds."""

    def __init__(self, phi: Body, context: Body, factor: Dense, modulation: float) -> None:
        super().__init__()
        self.phi, self.context, self.factor, self.modulation = phi, context, factor, modulation

    def prepare(self, state: State) -> tuple[Tensor, ...]:
        regime = self.factor(self.context.advance(self.context.prepare(state.context)))
        return self.phi.prepare(state.phi), 1 + self.modulation * torch.tanh(regime)

    def step(self, prepared: tuple[Tensor, ...], inventory: Float[Tensor, " paths"]) -> Float[Tensor, "paths width"]:
        return self.phi.advance(prepared[0], inventory) * prepared[1]
