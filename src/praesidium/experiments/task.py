"""The training task: risks by environment from the tail alone, for many replicas at once.

A CVaR and all of its derivatives depend on the tail episodes only. All episodes are rolled out without a graph, a
cache-sized tile at a time; the positions of those in the tail are then known, so that the network can be evaluated and
differentiated on all of their days at once, and what one day does to the next is a scan of numbers
(:mod:`praesidium.training.recurrence`). Exact, to second order where a penalty needs it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.diagnostics.scorecard import LEVEL
from praesidium.experiments.tail import Tail
from praesidium.hedging.rollout import Pool, Scene
from praesidium.policies.policy import TrainableRule
from praesidium.risk import cvar, smoothed_cvar, tail_edge
from praesidium.stopwatch import phase
from praesidium.training.parameters import Parameters

TILE = 8192  # paths whose states fit the cache of a core together
REPLAYED = 4  # (day, episode) pairs of the tail differentiated at a time, by path of a tile


class HedgingTask:
    """Smoothed CVaR of the loss in each environment and its gradient, for every replica.

    Args:
        rule: the policy in training; any with the right shapes, the numbers come with each call.
        pools: of each replica, a pool of episodes for each training environment.
        validation: the scenes on which checkpoints are compared, the same for all replicas.
        level: confidence of the CVaR.
        smoothing: half width of the tail boundary in standard deviations.
        cost_smoothing: rounding of the kink of the costs.
        scale: what the risks of each replica are divided by.
        tile: paths rolled out together; on a GPU the more the better.
    """

    def __init__(
        self,
        rule: TrainableRule,
        pools: Sequence[Sequence[Pool]],
        validation: Sequence[Scene],
        *,
        level: float,
        smoothing: float,
        cost_smoothing: float,
        scale: Sequence[float],
        tile: int = TILE,
    ) -> None:
        self.parameters = Parameters(rule)
        self.pools, self.validation = pools, validation
        self.level, self.smoothing, self.cost_smoothing = level, smoothing, cost_smoothing
        self.scale, self.tile = scale, tile

    def measure(
        self, values: Float[Tensor, "replicas parameters"], batches: Sequence[list[slice]], replicas: Sequence[int]
    ) -> Measured:
        """Risks of each replica on equally many episodes of each environment.

        Args:
            values: parameters of the replicas.
            batches: the run of episodes that each replica takes from the pool of each environment.
            replicas: which replica each row belongs to.
        """
        paths = sum(run.stop - run.start for run in batches[0])
        together = max(1, self.tile // paths)
        rows = [slice(start, start + together) for start in range(0, len(replicas), together)]
        return Measured([self._measure(values[one], batches[one], replicas[one]) for one in rows])

    def _measure(self, values: Tensor, batches: Sequence[list[slice]], replicas: Sequence[int]) -> Tail:
        """The tails of as many replicas as fit a tile, or of one that may take several."""
        runs = [
            (pool, run)
            for number, batch in zip(replicas, batches, strict=True)
            for pool, run in zip(self.pools[number], batch, strict=True)
        ]
        rule = self.parameters.bind(values if len(values) > 1 else values[0])
        tiles, parts, whole = self._tiles(runs), [], None
        with torch.no_grad():
            for tile in tiles:
                with phase("batch"):
                    scene = Scene.join([pool.take(run) for pool, run in tile])
                with phase("rollout"):
                    parts.append(self._roll(rule, scene, len(values)))
                whole = scene if len(tiles) == 1 else None
            with phase("risk"):
                losses = torch.cat([one for one, _ in parts]).view(len(runs), -1)
                edge = tail_edge(losses, level=self.level, smoothing=self.smoothing)
                group, member = (losses > edge[0] - edge[1]).nonzero(as_tuple=True)
                episodes = losses.shape[1]
        with phase("batch"):
            where = group * episodes + member
            held = _gather([one for _, one in parts], where)
            if whole is not None:
                scene = whole.take(where)
            else:
                chosen = [member[group == number] for number in range(len(runs))]
                scene = Scene.join([pool.take(run.start + one) for (pool, run), one in zip(runs, chosen, strict=True)])
        with phase("risk"):
            tail_losses = losses.flatten()[where].requires_grad_()
            scales = torch.as_tensor([self.scale[number] for number in replicas], dtype=losses.dtype)
            risks, weights = smoothed_cvar(tail_losses, group, edge, level=self.level, episodes=episodes)
            scales = scales.to(losses.device).repeat_interleave(len(runs) // len(replicas))
            return Tail(
                parameters=self.parameters,
                values=values,
                scene=scene,
                held=held,
                group=group,
                losses=tail_losses,
                risks=risks / scales,
                weights=weights / scales[group],
                cost_smoothing=self.cost_smoothing,
                rows=REPLAYED * self.tile,
            )

    def _tiles(self, runs: Sequence[tuple[Pool, slice]]) -> list[list[tuple[Pool, slice]]]:
        """The batch in pieces of at most a tile; one piece where it fits."""
        if sum(run.stop - run.start for _, run in runs) <= self.tile:
            return [list(runs)]
        return [
            [(pool, slice(start, min(start + self.tile, run.stop)))]
            for pool, run in runs
            for start in range(run.start, run.stop, self.tile)
        ]

    def _roll(self, rule: TrainableRule, scene: Scene, replicas: int) -> tuple[Tensor, Tensor]:
        """Losses and positions of a tile."""
        state = scene.state.replicas(replicas) if replicas > 1 else scene.state
        positions = rule.positions(state)
        positions = positions.flatten(1, 2) if replicas > 1 else positions
        return scene.losses(positions, smoothing=self.cost_smoothing), positions

    @torch.no_grad()
    def validate(self, values: Float[Tensor, "replicas parameters"]) -> list[float]:
        """Exact CVaR-95 of each replica, mean over the validation environments, in units of the spot."""
        with phase("validate"):
            return [self._validate(row) for row in values]

    def _validate(self, row: Float[Tensor, " parameters"]) -> float:
        rule = self.parameters.bind(row)
        risks = []
        for scene in self.validation:
            starts = range(0, scene.count, self.tile)
            tiles = (scene.take(slice(start, start + self.tile)) for start in starts)
            losses = torch.cat([one.losses(rule.positions(one.state)) for one in tiles])
            risks.append(cvar(losses.double(), level=LEVEL))
        return torch.stack(risks).mean().item()


def _gather(parts: Sequence[Tensor], where: Tensor) -> Float[Tensor, "steps tail"]:
    """Columns by their rising numbers, counted through all parts; the parts are never joined."""
    counts = [one.shape[1] for one in parts]
    ends = torch.tensor(counts, device=where.device).cumsum(0)
    shares = torch.searchsorted(where, ends).diff(prepend=ends.new_zeros(1)).tolist()
    starts = [int(end) - count for end, count in zip(ends, counts, strict=True)]
    columns = zip(parts, where.split(shares), starts, strict=True)
    return torch.cat([one.index_select(1, some - start) for one, some, start in columns], dim=1)


class Measured:
    """Risks of one step and what can be asked about them; rows are replicas.

    Attributes:
        risks: scaled smoothed CVaR of each environment, with a graph to the tail losses.
    """

    def __init__(self, tails: list[Tail]) -> None:
        self._tails = tails
        self._head: Tensor | None = None
        self.risks: Float[Tensor, "replicas environments"] = torch.cat([one.risks_by_replica for one in tails])

    def head(self) -> Float[Tensor, "replicas environments parameters"]:
        """Gradient of each risk in the weights and the bias of the linear head."""
        if self._head is None:
            self._head = torch.cat([one.head() for one in self._tails])
        return self._head

    def scale(self) -> Float[Tensor, "replicas environments"]:
        """Derivative of each risk in a factor on all executed positions: minus the mean hedge gain in the tail."""
        return torch.cat([one.scale() for one in self._tails])

    def gradient(self, loss: Float[Tensor, " replicas"]) -> Float[Tensor, "replicas parameters"]:
        """Gradient of each replica's loss, made of risks and of what was asked, in its parameters."""
        loss.sum().backward()
        return torch.cat([one.gradient() for one in self._tails])
