"""Rollout: a policy on paths with a liability, a thousand days at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.data.frictions import NONE, Frictions
from praesidium.hedging.dealing import Dealing
from praesidium.hedging.episode import Episode, Ledger, settle
from praesidium.hedging.instruments import contracts_of, spot_gains
from praesidium.hedging.state import State, choose
from praesidium.hedging.state_builder import StateBuilder
from praesidium.markets.paths import Paths

BLOCK = 4096  # paths whose states fit the cache together


@runtime_checkable
class Rule(Protocol):
    """What a policy is once its parameters exist."""

    def positions(self, state: State) -> Float[Tensor, "steps paths *instruments"]:
        """Position held over (t, t+1], from what is known at t; with several instruments the spot first."""
        ...


@runtime_checkable
class Pool(Protocol):
    """Episodes to draw from, made ready or made when they are taken."""

    def take(self, paths: Tensor | slice) -> Scene:
        """The scene on the chosen paths."""
        ...


@dataclass(frozen=True)
class Scene:
    """Paths with a liability on them as a trader meets them: enough to compute the loss of any positions.

    Attributes:
        state: what the trader sees.
        gains: what a unit of each instrument earns over (t, t+1], in money of inception.
        owed: payoff less premium, and margin.
        terms: of costs beside the proportional ones, as of :class:`praesidium.hedging.frictions.Frictions`; None where
            there are none.
        multiples: proportional costs of the instruments over that of the spot.
    """

    state: State
    gains: Float[Tensor, "steps *replicas paths *instruments"]
    owed: Float[Tensor, "*replicas paths"]
    terms: Float[Tensor, "*replicas paths kinds"] | None = None
    multiples: tuple[float, ...] = ()

    @classmethod
    def make(
        cls,
        paths: Paths,
        builder: StateBuilder,
        cost_rate: float,
        environment: int | None = None,
        *,
        frictions: Frictions = NONE,
    ) -> Scene:
        """Prepare paths for many rollouts."""
        _, gains = spot_gains(paths.episode, paths.discount, paths.growth)
        instruments, multiples = builder.instruments, ()
        if instruments:
            beside = [one.gains for one in contracts_of(paths, instruments)]
            gains = torch.stack([gains, *beside], dim=-1)
            multiples = (1.0, *(one.cost_multiple for one in instruments))
        owed, outflow = builder.liability.owed(paths), frictions.outflow(paths)
        terms = None if frictions.plain else gains.new_tensor(frictions.terms).expand(paths.count, -1)
        return cls(
            state=builder.build(paths, cost_rate, environment, frictions=frictions),
            gains=gains,
            owed=owed if outflow is None else owed + outflow.sum(0),
            terms=terms,
            multiples=multiples,
        )

    @classmethod
    def join(cls, scenes: list[Scene]) -> Scene:
        """One scene with the paths of all, in their order."""
        if len(scenes) == 1:
            return scenes[0]
        return cls(
            state=State.join([one.state for one in scenes]),
            gains=torch.cat([one.gains for one in scenes], dim=1),
            owed=torch.cat([one.owed for one in scenes]),
            terms=_joined_terms(scenes),
            multiples=scenes[0].multiples,
        )

    @property
    def count(self) -> int:
        """Number of paths."""
        return self.owed.shape[-1]

    def take(self, paths: Tensor | slice) -> Scene:
        """The scene on the chosen paths."""
        return replace(
            self,
            state=self.state.take(paths),
            gains=choose(self.gains, paths),
            owed=self.owed[paths],
            terms=None if self.terms is None else self.terms[paths],
        )

    def replicas(self, count: int) -> Scene:
        """The same paths as those of ``count`` replicas, which come one after the other."""
        return replace(
            self,
            state=self.state.replicas(count),
            gains=self.gains.unflatten(1, (count, -1)),
            owed=self.owed.view(count, -1),
            terms=None if self.terms is None else self.terms.view(count, -1, self.terms.shape[-1]),
        )

    @property
    def several(self) -> bool:
        """Whether there are several instruments, so that positions have an axis for them."""
        return self.state.prices is not None

    @property
    def proportional(self) -> bool:
        """Whether costs are a share of the traded value and nothing else: gains are then proportional to positions."""
        return self.terms is None

    def hedge_gain(
        self, positions: Float[Tensor, "steps *replicas paths *instruments"], *, smoothing: float = 0.0
    ) -> Float[Tensor, "*replicas paths"]:
        """What the hedge earned over the episode, net of trading costs."""
        costs = self._dealing.costs(positions, smoothing=smoothing)
        total = (positions * self.gains - costs).sum(0)
        return total.sum(-1) if self.several else total

    @property
    def _dealing(self) -> Dealing:
        state, terms = self.state, self.terms
        if state.prices is None:
            price = state.spot if state.discount is None else state.spot * state.discount
            closing = None if terms is None else price[-1] + self.gains[-1]
            return Dealing(price, state.cost_rate, None, state.spread, terms, closing)
        return Dealing(
            price=state.prices,
            rate=state.cost_rate.unsqueeze(-1) * state.prices.new_tensor(self.multiples),
            kept=state.kept,
            spread=None if state.spread is None else state.spread.unsqueeze(-1),
            terms=None if terms is None else terms.unsqueeze(-2),
            closing=None if terms is None else state.prices[-1] + self.gains[-1],
        )

    def losses(
        self, positions: Float[Tensor, "steps *replicas paths *instruments"], *, smoothing: float = 0.0
    ) -> Float[Tensor, "*replicas paths"]:
        """Terminal loss, premium included: payoff - premium - hedge gain; positive = bad."""
        return self.owed - self.hedge_gain(positions, smoothing=smoothing)


@dataclass(frozen=True)
class Trial:
    """Paths on which any policy can be judged: what it may see, and the ledger that it cannot.

    Attributes:
        state: as the policy sees it, in its precision.
        ledger: the market and the liability.
    """

    state: State
    ledger: Ledger

    @classmethod
    def make(
        cls,
        paths: Paths,
        builder: StateBuilder,
        cost_rate: float,
        *,
        frictions: Frictions = NONE,
        dtype: torch.dtype | None = None,
    ) -> Trial:
        """Prepare paths once for many policies; the state is made a block at a time."""
        blocks = [paths.take(slice(start, start + BLOCK)).to(dtype=dtype) for start in range(0, paths.count, BLOCK)]
        state = State.join([builder.build(block, cost_rate, frictions=frictions) for block in blocks])
        instruments = builder.instruments
        return cls(
            state, Ledger.open(paths, builder.liability, cost_rate, instruments=instruments, frictions=frictions)
        )

    def episodes(self, rule: Rule) -> Iterator[Episode]:
        """The books of a rule, a block of paths after the other: memory does not grow with their number."""
        for start in range(0, len(self.ledger.payoff), BLOCK):
            block = slice(start, start + BLOCK)
            state = self.state.take(block)
            with torch.no_grad():
                positions = state.within(rule.positions(state))
            yield self.ledger.take(block).settle(positions)


@torch.no_grad()
def rollout(
    rule: Rule,
    paths: Paths,
    builder: StateBuilder,
    cost_rate: float,
    *,
    frictions: Frictions = NONE,
    dtype: torch.dtype | None = None,
) -> Episode:
    """Let a policy hedge the liability on every path.

    Args:
        rule: the policy; it sees the state and its own inventory, nothing else.
        paths: the market.
        builder: makes the state; it knows the liability, the instruments, the limits and the training statistics.
        cost_rate: proportional cost of trading here.
        frictions: what else is charged here.
        dtype: precision of the state and of the policy; that of the paths if not given. Books are in float64.

    Returns:
        The books of all paths. The result does not depend on how the paths are cut into blocks, but for the last
        bits.
    """
    held = []
    for start in range(0, paths.count, BLOCK):
        block = paths.take(slice(start, start + BLOCK)).to(dtype=dtype)
        state = builder.build(block, cost_rate, frictions=frictions)
        held.append(state.within(rule.positions(state)))
    positions = torch.cat(held, dim=1)
    return settle(positions, paths, builder.liability, cost_rate, instruments=builder.instruments, frictions=frictions)


def _joined_terms(scenes: list[Scene]) -> Tensor | None:
    """Terms of all paths; those without any are charged nothing."""
    (kinds,) = {one.terms.shape[-1] for one in scenes if one.terms is not None} or (0,)
    if not kinds:
        return None
    return torch.cat([one.owed.new_zeros(len(one.owed), kinds) if one.terms is None else one.terms for one in scenes])
