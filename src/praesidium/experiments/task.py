"""The training task: risks by environment from the tail alone, for many replicas at once.

A CVaR and all of its derivatives depend on the tail episodes only. All episodes are rolled out without a graph, a
cache-sized tile at a time; the positions of those in the tail are then known, so that the network can be evaluated and
differentiated on all of their days at once, and what one day does to the next is a scan of numbers
(:mod:`praesidium.training.recurrence`). Exact, to second order where a penalty needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.diagnostics.scorecard import LEVEL
from praesidium.experiments.measured import Measured
from praesidium.experiments.tail import Tail
from praesidium.hedging.rollout import Pool, Scene
from praesidium.policies.layers import Dense
from praesidium.policies.policy import TrainableRule
from praesidium.risk import cvar, smoothed_cvar, tail_edge
from praesidium.stopwatch import phase
from praesidium.training.parameters import Parameters

TILE = 8192  # paths whose states fit the cache of a core together
HEAD = "head."  # how the names of the head's parameters begin
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
        scale: what the risks of each replica are divided by, one number or one for each environment.
        asked_level: confidence of the CVaR whose derivatives objectives are given, if it is another one.
        pooled: whether the episodes of all environments make up a single one.
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
        scale: Sequence[float | Sequence[float]],
        asked_level: float | None = None,
        pooled: bool = False,
        tile: int = TILE,
    ) -> None:
        self.parameters = Parameters(rule)
        self.pools, self.validation = pools, validation
        self.level, self.smoothing, self.cost_smoothing = level, smoothing, cost_smoothing
        self.scale, self.pooled, self.tile = scale, pooled, tile
        self.asked_level = level if asked_level is None else asked_level
        self.head, self.head_order = _head_of(self.parameters)
        self.units = _units_of(rule, self.parameters)

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
        rolled = [self._roll_out(values[one], batches[one], replicas[one]) for one in rows]
        own = [self._tail(one, self.level) for one in rolled]
        asked = own if self.asked_level == self.level else [self._tail(one, self.asked_level) for one in rolled]
        return Measured(own, asked)

    @torch.no_grad()
    def _roll_out(self, values: Tensor, batches: Sequence[list[slice]], replicas: Sequence[int]) -> _Rolled:
        """All episodes of as many replicas as fit a tile, or of one that may take several, without a graph."""
        runs = [
            (pool, run)
            for number, batch in zip(replicas, batches, strict=True)
            for pool, run in zip(self.pools[number], batch, strict=True)
        ]
        rule = self.parameters.bind(values if len(values) > 1 else values[0])
        tiles, parts, whole = self._tiles(runs), [], None
        for tile in tiles:
            with phase("batch"):
                scene = Scene.join([pool.take(run) for pool, run in tile])
            with phase("rollout"):
                parts.append(self._roll(rule, scene, len(values)))
            whole = scene if len(tiles) == 1 else None
        return _Rolled(runs, parts, whole, values, [self.scale[number] for number in replicas])

    def _tail(self, rolled: _Rolled, level: float) -> Tail:
        """The episodes on which a CVaR and its derivatives depend."""
        values = rolled.values
        with phase("risk"), torch.no_grad():
            groups = len(values) if self.pooled else len(rolled.runs)
            losses = torch.cat([one for one, _ in rolled.parts]).view(groups, -1)
            edge = tail_edge(losses, level=level, smoothing=self.smoothing)
            group, member = (losses > edge[0] - edge[1]).nonzero(as_tuple=True)
            episodes = losses.shape[1]
            where = group * episodes + member
        with phase("batch"):
            scene, held = rolled.take(where)
        with phase("risk"):
            tail_losses = losses.flatten()[where].requires_grad_()
            scales = torch.as_tensor(rolled.scales, dtype=losses.dtype, device=losses.device).view(len(values), -1)
            scales = (
                (scales.mean(1, keepdim=True) if self.pooled else scales).expand(-1, groups // len(values)).flatten()
            )
            risks, weights = smoothed_cvar(tail_losses, group, edge, level=level, episodes=episodes)
            return Tail(
                parameters=self.parameters,
                values=values,
                scene=scene,
                held=held,
                group=group,
                half=member % 2 == 0,
                losses=tail_losses,
                risks=risks / scales,
                weights=weights / scales[group],
                boundary=weights.detach() * (1 - level) * episodes < 1,
                scales=scales,
                level=level,
                episodes=episodes,
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


@dataclass(frozen=True)
class _Rolled:
    """All episodes of a step after the pass without a graph, in the order of their runs.

    Attributes:
        runs: pool and episodes of each (replica, environment) pair.
        parts: losses and positions, by tile.
        whole: the scene, where it is one tile.
        values: parameters of the replicas.
        scales: what the risks of each replica are divided by, or those of each environment.
    """

    runs: list[tuple[Pool, slice]]
    parts: list[tuple[Tensor, Tensor]]
    whole: Scene | None
    values: Tensor
    scales: list[float | Sequence[float]]

    def take(self, where: Tensor) -> tuple[Scene, Float[Tensor, "steps chosen *instruments"]]:
        """Scene and positions of episodes by their rising numbers."""
        held = _gather([one for _, one in self.parts], where)
        if self.whole is not None:
            return self.whole.take(where), held
        size = self.runs[0][1].stop - self.runs[0][1].start
        run, member = where // size, where % size
        chosen = [
            pool.take(episodes.start + member[run == number]) for number, (pool, episodes) in enumerate(self.runs)
        ]
        return Scene.join(chosen), held


def _gather(parts: Sequence[Tensor], where: Tensor) -> Float[Tensor, "steps chosen *instruments"]:
    """Columns by their rising numbers, counted through all parts; the parts are never joined."""
    counts = [one.shape[1] for one in parts]
    ends = torch.tensor(counts, device=where.device).cumsum(0)
    shares = torch.searchsorted(where, ends).diff(prepend=ends.new_zeros(1)).tolist()
    starts = [int(end) - count for end, count in zip(ends, counts, strict=True)]
    columns = zip(parts, where.split(shares), starts, strict=True)
    return torch.cat([one.index_select(1, some - start) for one, some, start in columns], dim=1)


def _head_of(parameters: Parameters[TrainableRule]) -> tuple[Tensor, Tensor | None]:
    """Which parameters are the head's, and their places in the order of head gradients; None for several heads."""
    ends = torch.tensor([shape.numel() for shape in parameters.shapes.values()]).cumsum(0).tolist()
    start = dict(zip(parameters.shapes, [0, *ends], strict=False))
    inside = torch.zeros(ends[-1], dtype=torch.bool)
    for name, end in zip(parameters.shapes, ends, strict=True):
        inside[start[name] : end] = name.startswith(HEAD)
    weights = [name for name in start if name.startswith(HEAD) and name.endswith("weight")]
    if len(weights) != 1:
        return inside, None
    (weight,) = weights
    rows = torch.arange(parameters.shapes[weight].numel()).view(parameters.shapes[weight]).T + start[weight]
    bias = torch.arange(rows.shape[0]).unsqueeze(1) + start[weight.replace("weight", "bias")]
    return inside, torch.cat([rows, bias], dim=1).flatten()


def _units_of(rule: TrainableRule, parameters: Parameters[TrainableRule]) -> Tensor:
    """For each parameter the number of the hidden unit that it multiplies, or -1."""
    parts, count = [], 0
    for name, shape in parameters.shapes.items():
        path, _, own = name.rpartition(".")
        layer = rule.get_submodule(path)
        if own == "weight" and isinstance(layer, Dense) and layer.hidden:
            parts.append((count + torch.arange(shape[0])).repeat_interleave(shape[1]))
            count += shape[0]
        else:
            parts.append(torch.full((shape.numel(),), -1))
    return torch.cat(parts)
