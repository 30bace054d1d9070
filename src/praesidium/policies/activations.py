"""Activations, which may overwrite their input where no gradient is to be taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import gelu
from torch.nn.functional import silu as plain_silu

Activation = Literal["silu", "relu", "gelu", "tanh"]


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x)."""
    return _SiLU.apply(x) if torch.is_grad_enabled() else plain_silu(x, inplace=True)


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return torch.relu(x) if torch.is_grad_enabled() else torch.relu_(x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": silu,
    "relu": relu,
    "gelu": gelu,
    "tanh": torch.tanh,
}


class _SiLU(torch.autograd.Function):
    """torch takes the derivative of the derivative through a dozen elementary operations; here it is one formula."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return plain_silu(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return _Slope.apply(gradient, x)


class _Slope(torch.autograd.Function):
    """g f'(x) with f' = s (1 + x (1 - s)), s = sigmoid(x); and f'' = s (1 - s) (2 + x (1 - 2 s))."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(gradient, x)
        return torch.ops.aten.silu_backward(gradient, x)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        gradient, x = ctx.saved_tensors
        s = torch.sigmoid(x)
        if torch.is_grad_enabled():  # a third derivative is to come
            return outer * s * (1 + x * (1 - s)), gradient * outer * s * (1 - s) * (2 + x * (1 - 2 * s))
        bend = torch.addcmul(x, x, s, value=-2).add_(2).mul_(gradient).mul_(outer)
        return torch.ops.aten.silu_backward(outer, x), torch.ops.aten.sigmoid_backward(bend, s)
