"""Rollout: a policy on paths with a liability, a thousand days at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.costs import proportional
from praesidium.hedging.episode import Episode, settle, trades
from praesidium.hedging.state import State, StateBuilder
from praesidium.markets.paths import Paths

BLOCK = 4096  # paths whose states fit the cache together


@runtime_checkable
class Rule(Protocol):
    """What a policy is once its parameters exist."""

    def positions(self, state: State) -> Float[Tensor, "steps paths"]:
        """Position held over (t, t+1], from what is known at t."""
        ...


@dataclass(frozen=True)
class Scene:
    """Paths with a liability on them as a trader meets them: enough to compute the loss of any positions."""

    state: State
    gains: Float[Tensor, "steps paths"]
    owed: Float[Tensor, " paths"]

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
        return cls(
            state=State.join([one.state for one in scenes]),
            gains=torch.cat([one.gains for one in scenes], dim=1),
            owed=torch.cat([one.owed for one in scenes]),
        )

    def take(self, paths: Tensor | slice) -> Scene:
        """The scene on the chosen paths."""
        return replace(self, state=self.state.take(paths), gains=self.gains[:, paths], owed=self.owed[paths])

    def hedge_gain(self, positions: Float[Tensor, "steps paths"], *, smoothing: float = 0.0) -> Float[Tensor, " paths"]:
        """What the hedge earned over the episode, net of trading costs."""
        costs = proportional(trades(positions), self.state.spot, self.state.cost_rate, smoothing=smoothing)
        return (positions * self.gains - costs).sum(0)

    def losses(self, positions: Float[Tensor, "steps paths"], *, smoothing: float = 0.0) -> Float[Tensor, " paths"]:
        """Terminal loss, premium included: payoff - premium - hedge gain; positive = bad."""
        return self.owed - self.hedge_gain(positions, smoothing=smoothing)


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
