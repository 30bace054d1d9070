"""What one training step has measured, for as many replicas as train together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.experiments.tail import Tail


class Measured:
    """Risks of one step and what can be asked about them; rows are replicas.

    Args:
        own: tails of the risk.
        asked: tails that sensitivities are taken from: the very same ones, or wider ones.
        rows: replicas to speak of; all, if not given.

    Attributes:
        risks: scaled smoothed CVaR of each environment, with a graph to the tail losses.
    """

    def __init__(self, own: Sequence[Tail], asked: Sequence[Tail], rows: list[int] | None = None) -> None:
        self._own, self._asked, self._rows = own, asked, rows
        self.risks: Float[Tensor, "replicas environments"] = self._join([one.risks_by_replica for one in own])

    def of(self, rows: list[int]) -> Measured:
        """The same of some replicas."""
        return Measured(self._own, self._asked, rows)

    def head(self) -> Float[Tensor, "replicas environments parameters"]:
        """As :meth:`praesidium.objectives.objective.Sensitivities.head`, and so on."""
        return self._ask(Tail.head)

    def head_halves(self) -> Float[Tensor, "halves replicas environments parameters"]:
        return self._ask(Tail.head_halves, axis=1)

    def head_spread(self) -> Float[Tensor, "replicas environments parameters"]:
        return self._ask(Tail.head_spread)

    def head_noise(self) -> Float[Tensor, "replicas environments"]:
        return self._ask(Tail.head_noise)

    def whole(self) -> Float[Tensor, "replicas environments parameters"]:
        return self._ask(Tail.whole)

    def scale(self) -> Float[Tensor, "replicas environments"]:
        return self._ask(Tail.scale)

    def residual(self) -> Float[Tensor, "replicas environments"]:
        return self._ask(Tail.residual)

    def moments(
        self,
    ) -> tuple[Float[Tensor, "replicas environments width"], Float[Tensor, "replicas environments width width"]]:
        means, covariances = zip(*(one.moments() for one in self._asked), strict=True)
        return self._join(means), self._join(covariances)

    def gradient(self, loss: Float[Tensor, " replicas"]) -> Float[Tensor, "replicas parameters"]:
        """Gradient of each replica's loss, made of risks and of what was asked, in the parameters; of all replicas."""
        layers = [self._own] if self._asked is self._own else [self._own, self._asked]
        leaves = [(tail, name) for layer in layers for tail in layer for name in tail.leaves]
        inputs = [tail.leaves[name] for tail, name in leaves]
        parts = torch.autograd.grad(loss.sum(), inputs, retain_graph=True, allow_unused=True)
        total = torch.zeros(())
        for layer in layers:
            counts: list[dict[str, Tensor]] = [{"losses": torch.zeros_like(one.losses)} for one in layer]
            for (tail, name), part in zip(leaves, parts, strict=True):
                for place, one in enumerate(layer):
                    if one is tail and part is not None:
                        counts[place][name] = part
            total = total + torch.cat([tail.gradient(one) for tail, one in zip(layer, counts, strict=True)])
        return total

    def _ask(self, question: Callable[[Tail], Tensor], axis: int = 0) -> Tensor:
        return self._join([question(one) for one in self._asked], axis)

    def _join(self, parts: Sequence[Tensor], axis: int = 0) -> Tensor:
        joined = torch.cat(list(parts), dim=axis) if len(parts) > 1 else parts[0]
        return (
            joined if self._rows is None else joined.index_select(axis, torch.tensor(self._rows, device=joined.device))
        )
