"""Products of many small matrices in a logarithmic number of levels: the engine under exact inference.

A chain of T - 1 steps is a product of matrices. A tree of pairwise products has log2 T levels, each one batched
operation, where a loop over time has T. Going down the tree again with a vector gives the product before, or after,
each step. The same tree serves three semirings: sums of scaled probabilities, sums in logarithms, and maxima.

What stands before a step is made of the steps before it alone, so that later steps cannot move a bit of it.

Source: Blelloch 1990, "Prefix sums and their applications"; for hidden Markov models, Särkkä and García-Fernández 2021.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

STEP, VECTOR = (-2, -1), (-1,)  # axes of one
NEVER = -1e30  # logarithm of an impossible event: finite, so that derivatives are zero and not undefined


Steps = Float[Tensor, "batch steps states states"]
Vectors = Float[Tensor, "batch steps states"]


class Semiring(ABC):
    """How steps are written, multiplied with each other and with vectors."""

    def lift(self, logs: Float[Tensor, "*shape"], axes: tuple[int, ...]) -> tuple[Tensor, Tensor | float]:
        """What is computed with, from logarithms that may be minus infinity, and the logarithm of what was divided out.

        Args:
            logs: steps or vectors.
            axes: of one step or vector, which may be scaled by itself.
        """
        return logs.clamp(min=NEVER), 0.0

    @abstractmethod
    def times(self, left: Steps, right: Steps) -> tuple[Steps, Tensor | float]:
        """One product a step, and the logarithm of what was divided out of it."""

    @abstractmethod
    def forward(self, vectors: Vectors, steps: Steps) -> Vectors:
        """Row vectors times steps, up to a factor."""

    def backward(self, steps: Steps, vectors: Vectors) -> Vectors:
        """Steps times column vectors, up to a factor."""
        return self.forward(vectors, steps.mT)

    @abstractmethod
    def probabilities(self, values: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch states"]:
        """Shares that sum to one; NaN where all is impossible."""

    def append(self, many: Steps, one: Float[Tensor, "batch one states states"]) -> Tensor:
        """Steps with one more at the end."""
        return torch.cat([many, one], dim=1)

    def interleave(self, evens: Vectors, odds: Vectors) -> Float[Tensor, "batch twice states"]:
        """The first of the evens, the first of the odds, the second of the evens, and so on."""
        return torch.stack([evens, odds], dim=2).flatten(1, 2)


class Scaled(Semiring):
    """Probabilities up to a factor, which is divided out at every level: fast, for chains where every move is possible.

    An entry smaller than the largest by a factor of e^745 becomes zero, in single precision e^103. Where every
    transition has a probability of at least e^-200, or e^-25, no path through it could have counted.
    """

    def lift(self, logs: Float[Tensor, "*shape"], axes: tuple[int, ...]) -> tuple[Tensor, Tensor | float]:
        largest = logs.detach().amax(axes, keepdim=True)
        largest = torch.where(largest.isfinite(), largest, 0)
        return (logs - largest).exp(), largest

    def times(self, left: Steps, right: Steps) -> tuple[Steps, Tensor | float]:
        return _divided(left @ right)

    def forward(self, vectors: Vectors, steps: Steps) -> Vectors:
        moved = (vectors.unsqueeze(-2) @ steps).squeeze(-2)
        return moved / moved.detach().amax(-1, keepdim=True)

    def probabilities(self, values: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch states"]:
        return values / over_rows(values).unsqueeze(-1)


class Few(Scaled):
    """The same for a handful of states, with sequences and time innermost in memory.

    A product of 3 x 3 matrices is then three multiplications of long rows, which takes a third of the time of as many
    small matrix products. Shapes are those of the base class; only strides differ.
    """

    def lift(self, logs: Float[Tensor, "*shape"], axes: tuple[int, ...]) -> tuple[Tensor, Tensor | float]:
        return super().lift(_outward(_inward(logs, len(axes)).contiguous(), len(axes)), axes)

    def times(self, left: Steps, right: Steps) -> tuple[Steps, Tensor | float]:
        product = left[..., :, :1] * right[..., :1, :]
        for state in range(1, left.shape[-1]):
            product = torch.addcmul(product, left[..., :, state : state + 1], right[..., state : state + 1, :])
        return _divided(product)

    def forward(self, vectors: Vectors, steps: Steps) -> Vectors:
        moved = vectors[..., :1] * steps[..., 0, :]
        for state in range(1, vectors.shape[-1]):
            moved = torch.addcmul(moved, vectors[..., state : state + 1], steps[..., state, :])
        return moved / moved.detach().amax(-1, keepdim=True)

    def append(self, many: Steps, one: Float[Tensor, "batch one states states"]) -> Tensor:
        return _outward(torch.cat([_inward(many, 2), _inward(one, 2)], dim=-1), 2)

    def interleave(self, evens: Vectors, odds: Vectors) -> Float[Tensor, "batch twice states"]:
        return _outward(torch.stack([_inward(evens, 1), _inward(odds, 1)], dim=-1).flatten(-2), 1)


class Logarithmic(Semiring):
    """Logarithms of probabilities: exact where moves are impossible, such as in a chain that only goes forward."""

    def times(self, left: Steps, right: Steps) -> tuple[Steps, Tensor | float]:
        return (left.unsqueeze(-1) + right.unsqueeze(-3)).logsumexp(-2), 0.0

    def forward(self, vectors: Vectors, steps: Steps) -> Vectors:
        return (vectors.unsqueeze(-1) + steps).logsumexp(-2)

    def probabilities(self, values: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch states"]:
        return torch.where(values.amax(-1, keepdim=True) > NEVER / 2, values.softmax(-1), torch.nan)


class Maximal(Semiring):
    """Logarithms of the probability of the best path in place of the sum over paths."""

    def times(self, left: Steps, right: Steps) -> tuple[Steps, Tensor | float]:
        return (left.unsqueeze(-1) + right.unsqueeze(-3)).amax(-2), 0.0

    def forward(self, vectors: Vectors, steps: Steps) -> Vectors:
        return (vectors.unsqueeze(-1) + steps).amax(-2)

    def probabilities(self, values: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch states"]:
        return values.softmax(-1)


class Tree:
    """All products of neighbors, of neighbors of neighbors, and so on up to the product of all steps.

    Args:
        logs: logarithms of the steps; at least one.
        semiring: how to multiply.

    Attributes:
        levels: the steps, their products in pairs, the products of those in pairs, and so on; an odd level has a step
            more, which changes nothing.
        log_scale: logarithm of what was divided out of the product of all steps, by sequence.
    """

    def __init__(self, logs: Float[Tensor, "batch steps states states"], semiring: Semiring) -> None:
        self.semiring, self.count = semiring, logs.shape[1]
        rest = torch.eye(logs.shape[-1], dtype=logs.dtype, device=logs.device).log().expand(len(logs), 1, -1, -1)
        rest, _ = semiring.lift(rest, STEP)
        steps, scale = semiring.lift(logs, STEP)
        self.levels, self.log_scale = [steps], _summed(scale)
        while (last := self.levels[-1]).shape[1] > 1:
            if last.shape[1] % 2:
                last = self.levels[-1] = semiring.append(last, rest)
            product, scale = semiring.times(last[:, 0::2], last[:, 1::2])
            self.levels.append(product)
            self.log_scale = self.log_scale + _summed(scale)

    @property
    def steps(self) -> Float[Tensor, "batch steps states states"]:
        """The steps themselves."""
        return self.levels[0][:, : self.count]

    def before(self, start: Float[Tensor, "batch states"]) -> Float[Tensor, "batch steps states"]:
        """For each step, the row vector times all steps before it."""
        vectors = start.unsqueeze(1)
        for level in reversed(self.levels[:-1]):
            vectors = vectors[:, : level.shape[1] // 2]
            second = self.semiring.forward(vectors, level[:, 0::2])
            vectors = self.semiring.interleave(vectors, second)
        return vectors[:, : self.count]

    def after(self, end: Float[Tensor, "batch states"]) -> Float[Tensor, "batch steps states"]:
        """For each step, all steps after it times the column vector."""
        vectors = end.unsqueeze(1)
        for level in reversed(self.levels[:-1]):
            vectors = vectors[:, : level.shape[1] // 2]
            first = self.semiring.backward(level[:, 1::2], vectors)
            vectors = self.semiring.interleave(first, vectors)
        return vectors[:, : self.count]


def over_rows(values: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch"]:
    """Sum over the last axis, as a product where it is innermost, else one after the other.

    For a handful of states either takes a tenth of the time of a reduction.
    """
    if values.stride(-1) == 1:
        return values @ values.new_ones(values.shape[-1])
    first, *others = values.unbind(-1)
    return sum(others, first)


def over_columns(values: Float[Tensor, "*batch states states"]) -> Float[Tensor, "*batch states"]:
    """Sum over the last axis but one, one after the other, for the same reason."""
    first, *others = values.unbind(-2)
    return sum(others, first)


def _divided(product: Steps) -> tuple[Steps, Tensor]:
    """Each product over its largest entry, and the logarithm of that."""
    largest = product.detach().amax((-2, -1), keepdim=True)
    largest = torch.where(largest > 0, largest, 1)
    return product / largest, largest.log()


def innermost(vectors: Float[Tensor, "batch steps states"]) -> Float[Tensor, "batch steps states"]:
    """The same with sequences and time innermost in memory, as :class:`Few` has it."""
    return _outward(_inward(vectors, 1).contiguous(), 1)


def _inward(values: Tensor, states: int) -> Tensor:
    """The last axes, of states, first."""
    axes = range(values.ndim)
    return values.permute(*axes[-states:], *axes[:-states])


def _outward(values: Tensor, states: int) -> Tensor:
    """The inverse of :func:`_inward`."""
    axes = range(values.ndim)
    return values.permute(*axes[states:], *axes[:states])


def _summed(scale: Tensor | float) -> Tensor | float:
    return scale.flatten(1).sum(1) if isinstance(scale, Tensor) else scale
