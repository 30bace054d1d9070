"""A policy on episodes whose positions are known: all days at once, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.hedging.rollout import Scene
from praesidium.policies.policy import Decisions, TrainableRule
from praesidium.training.parameters import Parameters
from praesidium.training.recurrence import accumulate, adjoint, slopes


@dataclass(frozen=True)
class Counts:
    """How much everything counts that a loss was made of: its derivative in each.

    Attributes:
        losses: in the loss of each episode.
        scale: in the derivative of each loss in a factor on all positions.
        head: in the gradient of each episode's loss in the head.
        residual: in the mean square distance of each episode's positions from delta.
        features: in the inputs of the head.
        shares, ways: in the gradient of each episode's loss in all parameters, along one direction an environment;
            the share of an episode is zero in all environments but its own.
    """

    losses: Float[Tensor, "*replicas tail"]
    scale: Float[Tensor, "*replicas tail"] | None = None
    head: Float[Tensor, "*replicas tail parameters"] | None = None
    residual: Float[Tensor, "*replicas tail"] | None = None
    features: Float[Tensor, "steps *replicas tail width"] | None = None
    shares: Float[Tensor, "environments *replicas tail"] | None = None
    ways: Float[Tensor, "environments *values"] | None = None

    @property
    def first_order(self) -> bool:
        """Whether positions are all that counts."""
        return self.head is None and self.features is None and self.shares is None


class Replay:
    """Decisions of a policy on episodes whose positions are known, with their graph."""

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
        self.scene, self.cost_smoothing, self.graph = scene, cost_smoothing, graph
        self.before = torch.cat([torch.zeros_like(held[:1]), held[:-1]]).requires_grad_()
        self.decisions: Decisions = parameters.bind(self.values).decide(scene.state, self.before)
        self.vector = scene.several
        self.slopes = slopes(self.decisions.positions, self.before, vector=self.vector, graph=graph)

    def head(self) -> Float[Tensor, "*replicas tail parameters"]:
        """Gradient of each episode's loss in the head."""
        positions, outputs, features = self.decisions
        (direct,) = torch.autograd.grad(-self._gain().sum(), positions, retain_graph=True)
        total = adjoint(direct, self.slopes.detach())
        slope = _pull(positions, total, outputs, retain=True)
        features = torch.cat([features.detach(), torch.ones_like(features[..., :1])], dim=-1)
        return torch.einsum("t...o,t...f->...of", slope, features).flatten(-2)

    def scale(self) -> Float[Tensor, "*replicas tail"]:
        """Derivative of each loss in a factor on all positions."""
        return self._scale(graph=False)

    def along(
        self, shares: Float[Tensor, "environments *replicas tail"], ways: Float[Tensor, "environments *values"]
    ) -> Float[Tensor, "*replicas tail"]:
        """Derivative of each loss along the direction of its environment in all parameters, by its share; no graph."""
        return self._slope_everywhere(shares, ways).detach()

    def gradient(self, counts: Counts) -> Tensor:
        """Gradient in the parameters of all that counts."""
        positions = self.decisions.positions
        value = -(counts.losses * self._gain()).sum()
        if counts.residual is not None:
            value = value + (counts.residual * residual(positions, self.scene)).sum()
        if counts.scale is not None:
            value = value + (counts.scale * self._scale(graph=True)).sum()
        if counts.first_order:
            (direct,) = torch.autograd.grad(value, positions, retain_graph=True)
            return _pull(positions, adjoint(direct, self.slopes.detach()), self.values, retain=True)
        if counts.head is not None:
            value = value + self._slope_along(counts.head).sum()
        if counts.features is not None:
            value = value + (counts.features * self.decisions.features).sum()
        if counts.shares is not None and counts.ways is not None:
            value = value + self._slope_everywhere(counts.shares, counts.ways).sum()
        gradient, later = torch.autograd.grad(
            value, [self.values, self.before], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        # What a position does to the next day's inventory, and so to everything after, in units of its own decision.
        effect = adjoint(torch.cat([later[1:], torch.zeros_like(later[:1])]), self.slopes.detach())
        return gradient + _pull(positions, effect, self.values, retain=True)

    def _scale(self, *, graph: bool) -> Float[Tensor, "*replicas tail"]:
        positions = self.decisions.positions
        slope = torch.autograd.grad(self._gain().sum(), positions, create_graph=graph, retain_graph=True)[0]
        product = -(slope * positions).sum(0)
        return product.sum(-1) if self.vector else product

    def _gain(self) -> Float[Tensor, "*replicas tail"]:
        return self.scene.hedge_gain(self.decisions.positions, smoothing=self.cost_smoothing)

    def _slope_along(self, ways: Float[Tensor, "*replicas tail parameters"]) -> Float[Tensor, "*replicas tail"]:
        """Derivative of each loss along an own direction in the parameters of the head."""
        positions, outputs, features = self.decisions
        way = ways.unflatten(-1, (outputs.shape[-1], -1))
        push = torch.einsum("t...f,...of->t...o", features, way[..., :-1]) + way[..., -1]
        return self._moved_by(_along(positions, outputs, push))

    def _slope_everywhere(self, shares: Tensor, ways: Tensor) -> Float[Tensor, "*replicas tail"]:
        """Derivative of each loss along the direction of its environment in all parameters, by its share."""
        positions = self.decisions.positions
        pushes = [share * _along(positions, self.values, way) for share, way in zip(shares, ways, strict=True)]
        return self._moved_by(torch.stack(pushes).sum(0))

    def _moved_by(self, push: Tensor) -> Float[Tensor, "*replicas tail"]:
        """What a change of every day's decision does to the losses, its effect on later days included."""
        moved = accumulate(push, self.slopes)
        (direct,) = torch.autograd.grad(self._gain().sum(), self.decisions.positions, create_graph=True)
        gained = (direct * moved).sum(0)
        return -gained.sum(-1) if self.vector else -gained


def residual(positions: Tensor, scene: Scene) -> Float[Tensor, "*replicas tail"]:
    """Mean square distance of each episode's positions from the textbook hedge."""
    square = (positions - scene.state.hedge).square().mean(0)
    return square.sum(-1) if scene.several else square


def _along(values: Tensor, inputs: Tensor, way: Tensor) -> Tensor:
    """Directional derivative, with its graph: a backward pass is linear in what it starts from."""
    probe = torch.zeros_like(values).requires_grad_()
    return _pull(_pull(values, probe, inputs, graph=True), way, probe, graph=True)


def _pull(values: Tensor, weights: Tensor, inputs: Tensor, *, graph: bool = False, retain: bool = False) -> Tensor:
    """Derivative of <weights, values>. Written out, for torch's own argument for weights imports sympy: 36 MB."""
    return torch.autograd.grad((values * weights).sum(), inputs, create_graph=graph, retain_graph=retain or graph)[0]
