"""Several models of one kind that differ in their initial values and in what they have seen, used as their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

BLOCK = 128  # times that are drawn together


class MeanOutput(nn.Module):
    """The mean of the outputs of its members; a mean of weights that sum to one sums to one.

    Args:
        members: modules that take the same arguments.
        losses: of outputs and targets, with which each of them was trained.
    """

    def __init__(self, members: list[nn.Module], losses: list[Callable[[Tensor, Tensor], Tensor]]) -> None:
        super().__init__()
        self.members, self.losses = nn.ModuleList(members), losses

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        """Mean over members."""
        return torch.stack([one(*arguments, **named) for one in self.members]).mean(0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of the losses of the members at outputs of the whole."""
        return torch.stack([one(outputs, targets) for one in self.losses]).mean()


@torch.no_grad()
def reseeded(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy whose weight matrices hold the same numbers in another order.

    For entries drawn independently from one distribution, as initial values are, that is as good as another draw.
    Vectors (biases, scales of a normalization) stay.
    """
    copy = deepcopy(model)
    for one in copy.parameters():
        if one.ndim > 1:
            order = torch.randperm(one.numel(), generator=generator).to(one.device)
            one.copy_(one.flatten()[order].view_as(one))
    return copy


class Bootstrap:
    """How often one member sees a piece of a sequence.

    Each sequence is cut into equal blocks of about ``BLOCK`` times; as many blocks as there are in all are drawn with
    replacement, once; and a piece counts as often as its block was drawn. The block of a piece is the place of its
    start among the starts that its length allows, so that pieces cut at random fall on all blocks alike.

    Args:
        times: length of each sequence.
        generator: draws.

    Source: Kuensch 1989, with blocks that do not overlap (Carlstein 1986).
    """

    def __init__(self, times: Sequence[int], generator: torch.Generator) -> None:
        self._times = torch.tensor(times)
        self._blocks = (self._times / BLOCK).round().long().clamp(min=1)
        self._first = self._blocks.cumsum(0) - self._blocks
        total = int(self._blocks.sum())
        self.drawn = torch.randint(total, (total,), generator=generator).bincount(minlength=total)

    def counts(
        self, sequences: Int[Tensor, " batch"], starts: Int[Tensor, " batch"], lengths: Int[Tensor, " batch"]
    ) -> Int[Tensor, " batch"]:
        """Of each piece of a batch."""
        allowed = self._times[sequences] - lengths + 1
        return self.drawn[self._first[sequences] + self._blocks[sequences] * starts // allowed]
