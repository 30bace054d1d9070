"""An encoder that remembers what it has seen."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.encoders import Encoder, EncoderNetwork
from praesidium.policies.layers import Body
from praesidium.policies.memory import Memory
from praesidium.policies.policy import Sizes
from praesidium.training.reproducibility import stream


class LSTM(Encoder, kind="lstm"):
    """A memory of all features of the episode so far, and of the regimes where the state has a view of them; a
    perceptron on it, on the structural features of the day, and on the inventory.

    The memory counts as one of the ``depth`` layers. It does not see the inventory: what was held before is a function
    of what was seen, and the last position joins in the perceptron.
    """

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        memory = Memory(sizes.phi + sizes.context + sizes.regimes, self.width, stream(seed, "init", "memory"))
        body = Body(
            sizes.phi + self.width,
            self.width,
            max(1, self.depth - 1),
            seed=seed,
            name="remembered",
            inventory=sizes.instruments,
            activation=self.activation,
        )
        return Remembering(memory, body)


class Remembering(EncoderNetwork):
    """A memory before a body."""

    remembers: ClassVar[bool] = True

    def __init__(self, memory: Memory, body: Body) -> None:
        super().__init__()
        self.memory, self.body = memory, body

    def prepare(self, state: State) -> tuple[Tensor, ...]:
        seen = state.features if state.regimes is None else torch.cat([state.features, state.regimes], dim=-1)
        return (self.body.prepare(torch.cat([state.phi, self.memory(seen)], dim=-1)),)

    def step(self, prepared: tuple[Tensor, ...], inventory: Tensor) -> Float[Tensor, "*batch width"]:
        return self.body.advance(prepared[0], inventory)
