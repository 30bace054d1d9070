"""Encoders of a belief about the regime: what it is now, and what it says of the days ahead."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.beliefs import ahead, belief_in, regimes_in
from praesidium.policies.encoders import Encoder, EncoderNetwork
from praesidium.policies.layers import Body
from praesidium.policies.policy import Sizes


class Regime(Encoder, kind="regime"):
    """Structural features, the filtered probability of each regime, and the inventory, in one perceptron.

    Probabilities are bounded: a market beyond all that was trained on looks like the most volatile regime, and moves
    nothing further. Needs ``state.regimes.n_regimes=3``, or another number of them.
    """

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        inputs = sizes.phi + regimes_in(sizes, self.kind)
        return Believing(self._body(inputs, "regime", sizes, seed), self.kind)


class Transition(Encoder, kind="transition"):
    """As ``regime``, with the probabilities of the days ahead and of a change: p, pA, ..., pA^lookahead, and
    1 - sum_k p_k A_kk^lookahead.

    All are functions of p and of the chain A, which a study fits once: they say nothing that p does not, in a form in
    which the network need not learn the chain.

    Attributes:
        lookahead: days ahead.
    """

    lookahead: int = Field(default=5, ge=1)

    def build(self, sizes: Sizes, *, seed: int) -> EncoderNetwork:
        inputs = sizes.phi + (self.lookahead + 1) * regimes_in(sizes, self.kind) + 1
        return Believing(self._body(inputs, "transition", sizes, seed), self.kind, self.lookahead)


class Believing(EncoderNetwork):
    """One body on the structural features and a belief, which may look ahead."""

    def __init__(self, body: Body, kind: str, lookahead: int = 0) -> None:
        super().__init__()
        self.body, self.kind, self.lookahead = body, kind, lookahead

    def prepare(self, state: State) -> tuple[Tensor, ...]:
        belief, chain = belief_in(state, self.kind)
        seen = ahead(belief, chain, lookahead=self.lookahead) if self.lookahead else belief
        return (self.body.prepare(torch.cat([state.phi, seen], dim=-1)),)

    def step(self, prepared: tuple[Tensor, ...], inventory: Tensor) -> Float[Tensor, "*batch width"]:
        return self.body.advance(prepared[0], inventory)
