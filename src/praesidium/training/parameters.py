"""The parameters of a module as a row of numbers, and of many like it as a matrix."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Parameters(Generic[M]):
    """Puts rows of numbers into the places of a module's parameters, with their graph.

    Args:
        module: any module with the right names and shapes; it is left as it is.
    """

    def __init__(self, module: M) -> None:
        self.shapes = {name: one.shape for name, one in module.named_parameters()}
        self._shell = deepcopy(module).requires_grad_(False)
        self._places = [
            (self._shell.get_submodule(path), name) for path, _, name in (full.rpartition(".") for full in self.shapes)
        ]
        for place, name in self._places:
            delattr(place, name)

    def read(self, module: nn.Module) -> Float[Tensor, " parameters"]:
        """The numbers in a module."""
        return torch.cat([one.detach().flatten() for one in module.parameters()])

    def names(self, row: Float[Tensor, " parameters"]) -> dict[str, Tensor]:
        """The numbers by the names of a state dictionary."""
        parts = row.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def bind(self, values: Float[Tensor, "*replicas parameters"]) -> M:
        """The module with these numbers, valid until the next call; replicas come first in each parameter."""
        parts = values.split([shape.numel() for shape in self.shapes.values()], dim=-1)
        for (place, name), shape, part in zip(self._places, self.shapes.values(), parts, strict=True):
            setattr(place, name, part.unflatten(-1, shape))
        return self._shell
