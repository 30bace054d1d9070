"""The tail episodes of one step: sensitivities of their losses, and the gradient of whatever is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.rollout import Scene
from praesidium.policies.policy import Decisions, TrainableRule
from praesidium.stopwatch import phase
from praesidium.training.parameters import Parameters
from praesidium.training.recurrence import accumulate, adjoint, slopes


@dataclass
class Tail:
    """Tail episodes of some replicas, in the order of their groups (replica by replica, environment by environment).

    The risk layer has a graph of its own, down to the losses: what an objective makes of risks and sensitivities is
    differentiated there first, which says how much each episode's loss, and its loss's gradient in the head, count.
    :meth:`gradient` takes these weights on through the policy.

    Attributes:
        parameters: puts numbers into the policy.
        values: parameters of the replicas.
        scene: the episodes.
        held: positions of the episodes on every day, known from the rollout.
        group: number of the (replica, environment) pair of each episode, rising.
        losses: of the episodes; a leaf.
        risks: scaled risk of each group, a function of the losses.
        weights: scaled CVaR weight of each episode, a function of the losses.
        cost_smoothing: rounding of the kink of the costs.
        rows: (day, episode) pairs differentiated at a time; bounds the memory of the graph.
    """

    parameters: Parameters[TrainableRule]
    values: Float[Tensor, "replicas parameters"]
    scene: Scene
    held: Float[Tensor, "steps tail *instruments"]
    group: Tensor
    losses: Float[Tensor, " tail"]
    risks: Float[Tensor, " groups"]
    weights: Float[Tensor, " tail"]
    cost_smoothing: float
    rows: int

    def __post_init__(self) -> None:
        self.replicas = len(self.values)
        self.environments = len(self.risks) // self.replicas
        self._head: Tensor | None = None
        self._replays: dict[tuple[int, int], Replay] = {}
        self._lay_out()

    @property
    def risks_by_replica(self) -> Float[Tensor, "replicas environments"]:
        """The risks as rows."""
        return self.risks.view(self.replicas, -1)

    def scale(self) -> Float[Tensor, "replicas environments"]:
        """Derivative of each risk in a factor on all positions: each loss is owed - gain, and gain is proportional."""
        return self._sum_by_group(self.weights * (self.losses - self.scene.owed))

    def head(self) -> Float[Tensor, "replicas environments parameters"]:
        """Gradient of each risk in the head: for each output, the weights and the bias.

        With y_t = W z_t + b on every day, it is the sum over days of dL/dy_t z_t', by tail weight; the effect of y_t
        on later days through the inventory is in it.
        """
        with phase("backward"):
            rows = torch.cat([self._replay(*span, graph=True).head() for span in self._spans], dim=-2)
        self._head = self._flat(rows).detach().requires_grad_()
        return self._sum_by_group(self.weights.unsqueeze(-1) * self._head)

    def gradient(self) -> Float[Tensor, "replicas parameters"]:
        """Gradient in the parameters, once the loss has been differentiated in the losses and the head gradients."""
        total = torch.zeros_like(self.values)
        if self.losses.grad is None or not len(self.losses):
            return total
        with phase("backward"):
            counts = self._padded(self.losses.grad)
            ways = None if self._head is None or self._head.grad is None else self._padded(self._head.grad)
            for first, last in self._spans:
                span = slice(first, last)
                replay = self._replay(first, last, graph=ways is not None)
                way = None if ways is None else ways[..., span, :]
                total += replay.gradient(counts[..., span], way).view_as(total)
        return total

    def _replay(self, first: int, last: int, *, graph: bool) -> Replay:
        """Decisions on a span of episodes, with their graph; kept if it is the only span."""
        if (first, last) in self._replays:
            return self._replays[first, last]
        span = self._table[:, first:last]
        stacked = self.replicas > 1
        scene, held = self.scene, self.held
        if stacked or len(self._spans) > 1:
            scene, held = scene.take(span.flatten()), held.index_select(1, span.flatten())
        replay = Replay(
            parameters=self.parameters,
            values=self.values if stacked else self.values[0],
            scene=scene.replicas(self.replicas) if stacked else scene,
            held=held.unflatten(1, (self.replicas, -1)) if stacked else held,
            cost_smoothing=self.cost_smoothing,
            graph=graph,
        )
        if len(self._spans) == 1:
            self._replays[first, last] = replay
        return replay

    def _lay_out(self) -> None:
        """A table of episodes, a row a replica: short rows are filled up with an episode that will not count."""
        owner = self.group // self.environments
        size = torch.bincount(owner, minlength=self.replicas)
        start = size.cumsum(0) - size
        width = int(size.max()) if len(owner) else 0
        place = torch.arange(len(owner), device=owner.device) - start[owner]
        self._slots = owner * width + place
        self._table = torch.zeros(self.replicas, width, dtype=torch.long, device=owner.device)
        self._table.view(-1)[self._slots] = torch.arange(len(owner), device=owner.device)
        steps = max(1, self.rows // (len(self.held) * self.replicas))
        self._spans = [(first, min(first + steps, width)) for first in range(0, width, steps)]

    def _padded(self, values: Float[Tensor, "tail *rest"]) -> Tensor:
        """Numbers by episode in the order of the table, zero where it is filled up; one replica has no axis."""
        table = values.new_zeros(self._table.numel(), *values.shape[1:])
        table[self._slots] = values
        return table.view(*self._table.shape, *values.shape[1:]) if self.replicas > 1 else table

    def _flat(self, table: Tensor) -> Float[Tensor, "tail *rest"]:
        """The inverse of :meth:`_padded`."""
        return table.flatten(0, 1)[self._slots] if self.replicas > 1 else table

    def _sum_by_group(self, values: Float[Tensor, "tail *rest"]) -> Tensor:
        total = values.new_zeros(len(self.risks), *values.shape[1:]).index_add(0, self.group, values)
        return total.view(self.replicas, self.environments, *values.shape[1:])


class Replay:
    """A policy on episodes whose positions are known, all days at once, with its graph."""

    def __init__(
        self,
        parameters: Parameters[TrainableRule],
        values: Tensor,
        scene: Scene,
        held: Tensor,
        cost_smoothing: float,
        *,
        graph: bool,
    ) -> None:
        self.values = values.detach().requires_grad_()
        self.scene, self.cost_smoothing = scene, cost_smoothing
        self.before = torch.cat([torch.zeros_like(held[:1]), held[:-1]]).requires_grad_()
        self.decisions: Decisions = parameters.bind(self.values).decide(scene.state, self.before)
        self.vector = held.ndim > scene.owed.ndim + 1  # several instruments
        self.slopes = slopes(self.decisions.positions, self.before, vector=self.vector, graph=graph)

    def head(self) -> Float[Tensor, "*replicas tail parameters"]:
        """Gradient of each episode's loss in the head."""
        positions, outputs, features = self.decisions
        (direct,) = torch.autograd.grad(-self._gain().sum(), positions, retain_graph=True)
        total = adjoint(direct, self.slopes.detach())
        slope = _pull(positions, total, outputs, retain=True)
        features = torch.cat([features.detach(), torch.ones_like(features[..., :1])], dim=-1)
        return torch.einsum("t...o,t...f->...of", slope, features).flatten(-2)

    def gradient(self, counts: Float[Tensor, "*replicas tail"], ways: Tensor | None) -> Tensor:
        """Gradient in the parameters of sum counts * loss + <ways, gradient of the loss in the head>."""
        positions = self.decisions.positions
        if ways is None:
            (direct,) = torch.autograd.grad(-(counts * self._gain()).sum(), positions, retain_graph=True)
            total = adjoint(direct, self.slopes)
            return _pull(positions, total, self.values)
        value = (self._slope_along(ways) - counts * self._gain()).sum()
        gradient, later = torch.autograd.grad(value, [self.values, self.before], retain_graph=True)
        # What a position does to the next day's inventory, and so to everything after, in units of its own decision.
        effect = adjoint(torch.cat([later[1:], torch.zeros_like(later[:1])]), self.slopes.detach())
        return gradient + _pull(positions, effect, self.values)

    def _gain(self) -> Float[Tensor, "*replicas tail"]:
        return self.scene.hedge_gain(self.decisions.positions, smoothing=self.cost_smoothing)

    def _slope_along(self, ways: Float[Tensor, "*replicas tail parameters"]) -> Float[Tensor, "*replicas tail"]:
        """Derivative of each loss along an own direction in the parameters of the head."""
        positions, outputs, features = self.decisions
        way = ways.unflatten(-1, (outputs.shape[-1], -1))
        push = torch.einsum("t...f,...of->t...o", features, way[..., :-1]) + way[..., -1]
        moved = accumulate(_along(positions, outputs, push), self.slopes)
        (direct,) = torch.autograd.grad(self._gain().sum(), positions, create_graph=True)
        gained = (direct * moved).sum(0)
        return -gained.sum(-1) if self.vector else -gained


def _along(values: Tensor, inputs: Tensor, way: Tensor) -> Tensor:
    """Directional derivative, with its graph: a backward pass is linear in what it starts from."""
    probe = torch.zeros_like(values).requires_grad_()
    return _pull(_pull(values, probe, inputs, graph=True), way, probe, graph=True)


def _pull(values: Tensor, weights: Tensor, inputs: Tensor, *, graph: bool = False, retain: bool = False) -> Tensor:
    """Derivative of <weights, values>. Written out, for torch's own argument for weights imports sympy: 36 MB."""
    return torch.autograd.grad((values * weights).sum(), inputs, create_graph=graph, retain_graph=retain or graph)[0]
