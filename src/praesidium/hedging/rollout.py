"""Rollout: a policy on paths with a liability, a thousand days at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.costs import proportional
from praesidium.hedging.episode import Episode, Ledger, settle, trades
from praesidium.hedging.state import State, StateBuilder, choose
from praesidium.markets.paths import Paths

BLOCK = 4096  # paths whose states fit the cache together


@runtime_checkable
class Rule(Protocol):
    """What a policy is once its parameters exist."""

    def positions(self, state: State) -> Float[Tensor, "steps paths"]:
        """Position held over (t, t+1], from what is known at t."""
        ...


@runtime_checkable
class Pool(Protocol):
    """Episodes to draw from, made ready or made when they are taken."""

    def take(self, paths: Tensor | slice) -> Scene:
        """The scene on the chosen paths."""
        ...


@dataclass(frozen=True)
class Scene:
    """Paths with a liability on them as a trader meets them: enough to compute the loss of any positions."""

    state: State
    gains: Float[Tensor, "steps *replicas paths"]
    owed: Float[Tensor, "*replicas paths"]

    @classmethod
    def make(cls, paths: Paths, builder: StateBuilder, cost_rate: float, environment: int | None = None) -> Scene:
        """Prepare paths for many rollouts."""
        liability = builder.liability
        years = torch.full_like(paths.implied[0], paths.horizon * paths.dt)
        premium = liability.value(paths.episode[0], years, paths.implied[0])
        return cls(
            state=builder.build(paths, cost_rate, environment),
            gains=paths.episode.diff(dim=0),
            owed=liability.payoff(paths.episode) - premium,
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
        )

    @property
    def count(self) -> int:
        """Number of paths."""
        return self.owed.shape[-1]

    def take(self, paths: Tensor | slice) -> Scene:
        """The scene on the chosen paths."""
        return replace(self, state=self.state.take(paths), gains=choose(self.gains, paths), owed=self.owed[paths])

    def replicas(self, count: int) -> Scene:
        """The same paths as those of ``count`` replicas, which come one after the other."""
        gains, owed = self.gains.unflatten(1, (count, -1)), self.owed.view(count, -1)
        return Scene(self.state.replicas(count), gains, owed)

    def hedge_gain(
        self, positions: Float[Tensor, "steps *replicas paths"], *, smoothing: float = 0.0
    ) -> Float[Tensor, "*replicas paths"]:
        """What the hedge earned over the episode, net of trading costs."""
        costs = proportional(trades(positions), self.state.spot, self.state.cost_rate, smoothing=smoothing)
        return (positions * self.gains - costs).sum(0)

    def losses(
        self, positions: Float[Tensor, "steps *replicas paths"], *, smoothing: float = 0.0
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
    def make(cls, paths: Paths, builder: StateBuilder, cost_rate: float, *, dtype: torch.dtype | None = None) -> Trial:
        """Prepare paths once for many policies; the state is made a block at a time."""
        blocks = [paths.take(slice(start, start + BLOCK)).to(dtype=dtype) for start in range(0, paths.count, BLOCK)]
        state = State.join([builder.build(block, cost_rate) for block in blocks])
        return cls(state, Ledger.open(paths, builder.liability, cost_rate))

    def episodes(self, rule: Rule) -> Iterator[Episode]:
        """The books of a rule, a block of paths after the other: memory does not grow with their number."""
        for start in range(0, len(self.ledger.payoff), BLOCK):
            block = slice(start, start + BLOCK)
            with torch.no_grad():
                positions = rule.positions(self.state.take(block))
            yield self.ledger.take(block).settle(positions)


@torch.no_grad()
def rollout(
    rule: Rule, paths: Paths, builder: StateBuilder, cost_rate: float, *, dtype: torch.dtype | None = None
) -> Episode:
    """Let a policy hedge the liability on every path.

    Args:
        rule: the policy; it sees the state and its own inventory, nothing else.
        paths: the market.
        builder: makes the state; it knows the liability and the training statistics.
        cost_rate: proportional cost of trading here.
        dtype: precision of the state and of the policy; that of the paths if not given. Books are in float64.

    Returns:
        The books of all paths. The result does not depend on how the paths are cut into blocks.
    """
    blocks = [slice(start, start + BLOCK) for start in range(0, paths.count, BLOCK)]
    positions = [rule.positions(builder.build(paths.take(block).to(dtype=dtype), cost_rate)) for block in blocks]
    return settle(torch.cat(positions, dim=1), paths, builder.liability, cost_rate)
