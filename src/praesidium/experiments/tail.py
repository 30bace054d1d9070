"""The tail episodes of one step: what an objective may ask about them, and the gradient of whatever it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from praesidium.experiments.replay import Counts, Replay, residual
from praesidium.hedging.rollout import Scene
from praesidium.policies.policy import TrainableRule
from praesidium.stopwatch import phase
from praesidium.training.parameters import Parameters


@dataclass
class Tail:
    """Tail episodes of some replicas, in the order of their groups (replica by replica, environment by environment).

    The risk layer has a graph of its own, down to its leaves: the losses and what else was asked about each episode.
    What an objective makes of them is differentiated there first, which says how much each leaf counts.
    :meth:`gradient` takes these weights on through the policy.

    Attributes:
        parameters: puts numbers into the policy.
        values: parameters of the replicas.
        scene: the episodes.
        held: positions of the episodes on every day, known from the rollout.
        group: number of the (replica, environment) pair of each episode, rising.
        half: to which of two halves of the batch each episode belongs.
        losses: of the episodes; a leaf.
        risks: scaled risk of each group, a function of the losses.
        weights: scaled CVaR weight of each episode, a function of the losses.
        boundary: whether an episode lies on the boundary of the tail.
        scales: what the risk of each group was divided by.
        level: confidence of the risk.
        episodes: in each group, in the tail or not.
        cost_smoothing: rounding of the kink of the costs.
        rows: (day, episode) pairs differentiated at a time; bounds the memory of the graph.
    """

    parameters: Parameters[TrainableRule]
    values: Float[Tensor, "replicas parameters"]
    scene: Scene
    held: Float[Tensor, "steps tail *instruments"]
    group: Tensor
    half: Bool[Tensor, " tail"]
    losses: Float[Tensor, " tail"]
    risks: Float[Tensor, " groups"]
    weights: Float[Tensor, " tail"]
    boundary: Bool[Tensor, " tail"]
    scales: Float[Tensor, " groups"]
    level: float
    episodes: int
    cost_smoothing: float
    rows: int

    def __post_init__(self) -> None:
        self.replicas = len(self.values)
        self.environments = len(self.risks) // self.replicas
        self.leaves: dict[str, Tensor] = {"losses": self.losses}
        self._kept: Replay | None = None
        self._lay_out()

    @property
    def risks_by_replica(self) -> Float[Tensor, "replicas environments"]:
        """The risks as rows."""
        return self.risks.view(self.replicas, -1)

    def scale(self) -> Float[Tensor, "replicas environments"]:
        """Derivative of each risk in a factor on all positions."""
        if self.scene.proportional:  # each loss is owed - gain
            return self._sum_by_group(self.weights * (self.losses - self.scene.owed))
        leaf = self._leaf("scale", lambda: self._each(lambda replay: replay.scale()))
        return self._sum_by_group(self.weights * leaf)

    def head(self) -> Float[Tensor, "replicas environments parameters"]:
        """Gradient of each risk in the head: for each output, the weights and the bias.

        With y_t = W z_t + b on every day, it is the sum over days of dL/dy_t z_t', by tail weight; the effect of y_t
        on later days through the inventory is in it.
        """
        return self._sum_by_group(self.weights.unsqueeze(-1) * self._head_rows())

    def head_halves(self) -> Float[Tensor, "halves replicas environments parameters"]:
        """The same from either half of the batch; their mean is :meth:`head`."""
        rows = 2 * self.weights.unsqueeze(-1) * self._head_rows()
        return torch.stack([self._sum_by_group(rows * half.unsqueeze(-1)) for half in (~self.half, self.half)])

    def head_spread(self) -> Float[Tensor, "replicas environments parameters"]:
        """Variance of the gradients of single tail episodes, in units of the scaled risk."""
        square = self._sum_by_group((self.weights / self.scales[self.group]).unsqueeze(-1) * self._head_rows().square())
        return square - self.head().square()

    @torch.no_grad()
    def head_noise(self) -> Float[Tensor, "replicas environments"]:
        """Trace of the sampling covariance of :meth:`head`, by the influence function of the CVaR gradient.

        n Var = (Cov(G | tail) + level (g - g_q)(g - g_q)') / (1 - level), with g_q = E[G | L = VaR].

        Source: Hong and Liu 2009, section 5.
        """
        rows, edge = self._head_rows() / self.scales[self.group].unsqueeze(-1), self._edge()
        at_edge = self._sum_by_group(edge.unsqueeze(-1) * rows) / self._sum_by_group(edge).unsqueeze(-1)
        shift = (self.head() - at_edge).square().sum(-1)
        return (self.head_spread().clamp(min=0).sum(-1) + self.level * shift) / ((1 - self.level) * self.episodes)

    def whole(self) -> Float[Tensor, "replicas environments parameters"]:
        """Gradient of each risk in all parameters."""

        def make() -> Tensor:
            number = self.group % self.environments
            weights = self.weights.detach()
            each = [self._gradient({"losses": weights * (number == one)}) for one in range(self.environments)]
            return torch.stack(each, dim=1)

        return self._leaf("everywhere", make)

    def residual(self) -> Float[Tensor, "replicas environments"]:
        """Mean square distance of the positions from delta."""
        leaf = self._leaf("residual", lambda: residual(self.held, self.scene))
        return self._sum_by_group(self._shares() * leaf)

    def moments(
        self,
    ) -> tuple[Float[Tensor, "replicas environments width"], Float[Tensor, "replicas environments width width"]]:
        """Mean and covariance of the inputs of the head over all days."""

        def make() -> Tensor:
            parts = [replay.decisions.features.detach().movedim(0, -2) for _, replay in self._replayed(graph=False)]
            return self._flat(torch.cat(parts, dim=-3)) if parts else self._nothing(len(self.held), 1)

        features, shares = self._leaf("features", make), self._shares()
        mean = self._sum_by_group(shares.unsqueeze(-1) * features.mean(-2))
        away = features - mean.flatten(0, 1)[self.group].unsqueeze(-2)
        square = torch.einsum("itf,itg->ifg", away, away) / features.shape[-2]
        return mean, self._sum_by_group(shares[:, None, None] * square)

    def gradient(self, counts: dict[str, Tensor]) -> Float[Tensor, "replicas parameters"]:
        """Gradient in the parameters, given how much each of the leaves counts."""
        if not len(self.losses):
            return torch.zeros_like(self.values)
        if "everywhere" in counts:
            counts = counts | {"losses": counts["losses"] + self._moved_boundary(counts["everywhere"])}
        return self._gradient(counts)

    def _gradient(self, counts: dict[str, Tensor]) -> Float[Tensor, "replicas parameters"]:
        total = torch.zeros_like(self.values)
        ways = counts.get("everywhere")
        padded = {name: self._padded(one) for name, one in counts.items() if name != "everywhere"}
        weights = None if ways is None else self._by_environment(self.weights.detach())
        with phase("backward"):
            for span, replay in self._replayed(graph=ways is not None or "head" in counts):
                head, features = padded.get("head"), padded.get("features")
                scale, distance = (
                    padded[name][..., span] if name in padded else None for name in ("scale", "residual")
                )
                wanted = Counts(
                    losses=padded["losses"][..., span],
                    head=None if head is None else head[..., span, :],
                    scale=scale,
                    residual=distance,
                    features=None if features is None else features[..., span, :, :].movedim(-2, 0),
                    shares=None if weights is None else weights[..., span],
                    ways=None if ways is None else self._directions(ways),
                )
                total += replay.gradient(wanted).view_as(total)
        return total

    def _moved_boundary(self, ways: Float[Tensor, "replicas environments parameters"]) -> Float[Tensor, " tail"]:
        """What the losses count besides: the gradients of the risks move with the boundary of the tail."""
        inside = self._by_environment(torch.ones_like(self.weights))
        with phase("backward"):
            parts = [
                replay.along(inside[..., span], self._directions(ways)) for span, replay in self._replayed(graph=True)
            ]
        slopes = self._flat(torch.cat(parts, dim=-1))
        return torch.autograd.grad((self.weights * slopes).sum(), self.losses, retain_graph=True)[0]

    def _head_rows(self) -> Float[Tensor, "tail parameters"]:
        """Gradient of each episode's loss in the head; a leaf."""

        def make() -> Tensor:
            parts = [one.head() for _, one in self._replayed(graph=True)]
            return self._flat(torch.cat(parts, dim=-2)) if parts else self._nothing(1)

        return self._leaf("head", make)

    def _each(self, ask: Callable[[Replay], Tensor]) -> Float[Tensor, " tail"]:
        """A number of each episode, asked of its replay."""
        parts = [ask(one).detach() for _, one in self._replayed(graph=False)]
        return self._flat(torch.cat(parts, dim=-1)) if parts else self._nothing()

    def _nothing(self, *rest: int) -> Tensor:
        """No episode: that of losses which are no numbers, of which none is beyond the edge."""
        return self.losses.new_zeros(0, *rest)

    def _leaf(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        if name not in self.leaves:
            with phase("backward"):
                self.leaves[name] = make().detach().requires_grad_()
        return self.leaves[name]

    def _shares(self) -> Float[Tensor, " tail"]:
        """CVaR weights that sum to one in each group."""
        return self.weights * self.scales[self.group]

    def _edge(self) -> Float[Tensor, " tail"]:
        """Weights that sum to one over the boundary of each group; where it is empty, over the whole tail."""
        edge = self.boundary.to(self.weights.dtype)
        some = self._by_group(edge)[self.group] > 0
        edge = torch.where(some, edge, torch.ones_like(edge))
        return edge / self._by_group(edge)[self.group]

    def _replayed(self, *, graph: bool) -> Iterator[tuple[slice, Replay]]:
        """Decisions on the episodes, a span of the table at a time, with their graph; kept if there is one span."""
        for first, last in self._spans:
            replay = self._kept
            if replay is None or (graph and not replay.graph):
                replay = self._replay(first, last, graph=graph)
            if len(self._spans) == 1:
                self._kept = replay
            yield slice(first, last), replay

    def _replay(self, first: int, last: int, *, graph: bool) -> Replay:
        span = self._table[:, first:last]
        stacked = self.replicas > 1
        scene, held = self.scene, self.held
        if stacked or len(self._spans) > 1:
            scene, held = scene.take(span.flatten()), held.index_select(1, span.flatten())
        return Replay(
            parameters=self.parameters,
            values=self.values if stacked else self.values[0],
            scene=scene.replicas(self.replicas) if stacked else scene,
            held=held.unflatten(1, (self.replicas, -1)) if stacked else held,
            cost_smoothing=self.cost_smoothing,
            graph=graph,
        )

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

    def _by_environment(self, values: Float[Tensor, " tail"]) -> Float[Tensor, "environments *table"]:
        """Numbers in the order of the table, a table for each environment, zero for the episodes of the others."""
        number = self.group % self.environments
        return torch.stack([self._padded(values * (number == one)) for one in range(self.environments)])

    def _directions(self, ways: Float[Tensor, "replicas environments parameters"]) -> Tensor:
        """Directions with environments first, as the replay takes its parameters."""
        return ways.movedim(1, 0) if self.replicas > 1 else ways[0]

    def _by_group(self, values: Float[Tensor, "tail *rest"]) -> Float[Tensor, "groups *rest"]:
        return values.new_zeros(len(self.risks), *values.shape[1:]).index_add(0, self.group, values)

    def _sum_by_group(self, values: Float[Tensor, "tail *rest"]) -> Tensor:
        return self._by_group(values).view(self.replicas, self.environments, *values.shape[1:])
