"""The neural policy: encoder x head x output."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies import native
from praesidium.policies.encoders import Encoder, EncoderNetwork, Split
from praesidium.policies.heads import Head, HeadNetwork, Shared
from praesidium.policies.outputs import Output, Residual
from praesidium.policies.policy import Decisions, Policy, Sizes, TrainableRule

ROWS = 8192  # (day, path) pairs that the encoder prepares at a time, so that they stay in the cache


class Neural(Policy, kind="neural"):
    """A policy to be trained. The default starts at delta and lets the regime modulate within bounds.

    Attributes:
        encoder: what the head sees.
        head: one for all environments, or one for each.
        output: how the head's numbers become a position.
    """

    encoder: Encoder = Split()
    head: Head = Shared()
    output: Output = Residual()

    def build(self, sizes: Sizes, *, seed: int) -> NeuralRule:
        self.output.check(sizes)
        outputs = self.output.outputs * sizes.instruments
        head = self.head.build(self.encoder.width, outputs, sizes.environments, seed=seed, gain=self.output.gain)
        return NeuralRule(self.encoder.build(sizes, seed=seed), head, self.output)


class NeuralRule(TrainableRule):
    """Encoder, head and output with parameters."""

    def __init__(self, encoder: EncoderNetwork, head: HeadNetwork, output: Output) -> None:
        super().__init__()
        self.encoder, self.head, self.output = encoder, head, output

    def positions(self, state: State) -> Float[Tensor, "steps *replicas paths *instruments"]:
        if not torch.is_grad_enabled() and state.anchor is None and state.limits is None:
            done = native.positions(self.encoder, self.head, self.output, state)
            if done is not None:
                return done
        mean, deviation = state.inventory
        position, held = torch.zeros_like(state.hedge[0]), []
        block = len(state.delta) if self.encoder.remembers else max(1, ROWS // position.numel())
        for first in range(0, len(state.delta), block):
            days = state.days(slice(first, first + block))
            prepared = self.encoder.prepare(days)
            for day, textbook in enumerate(self.output.textbook(days)):
                position = position if days.kept is None else position * days.kept[day]
                features = self.encoder.step(tuple(part[day] for part in prepared), (position - mean) / deviation)
                position = self._position(self.head(features, state.environment), textbook, position, state)
                held.append(position)
        return torch.stack(held)

    def decide(self, state: State, held: Float[Tensor, "steps *replicas paths *instruments"]) -> Decisions:
        mean, deviation = state.inventory
        if state.kept is not None:
            held = held * state.kept.view(len(held), *[1] * (held.ndim - 2), -1)
        features = self.encoder.step(self.encoder.prepare(state), (held - mean) / deviation)
        outputs = self.head(features, state.environment)
        return Decisions(self._position(outputs, self.output.textbook(state), held, state), outputs, features)

    def _position(self, outputs: Tensor, textbook: Tensor, held: Tensor, state: State) -> Tensor:
        if state.anchor is not None:
            outputs = outputs.unflatten(-1, (state.anchor.shape[-1], -1))
        wanted = self.output.position(outputs, textbook, held)
        return wanted if state.limits is None else state.limits.apply(wanted, held)
