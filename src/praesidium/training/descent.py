"""One step of an optimizer down a loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from praesidium.component import InputError

CLIP = 1.0  # largest norm of the gradient


def adam(model: nn.Module, rate: float, caller: str, argument: str = "lr") -> torch.optim.Adam:
    """Adam over the parameters of a model that are to be trained.

    Raises:
        InputError: if there are none, or the rate, an argument of the caller's, is no number from zero on.
    """
    if not (rate >= 0 and math.isfinite(rate)):
        raise InputError(f"{caller}: {argument}={rate:g} is not a learning rate; say a number from 0 on, such as 0.001")
    trained = [one for one in model.parameters() if one.requires_grad]
    if not trained:
        raise InputError(f"{caller}: {type(model).__name__} has no parameter to train; set its sizes or give another")
    return torch.optim.Adam(trained, lr=rate)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, where: str) -> float:
    """Take one step with the gradient of ``loss``, its norm clipped at one; no gradient is left behind.

    Args:
        optimizer: knows the parameters.
        loss: a scalar with its graph.
        where: begins the sentence of an error.

    Returns:
        The loss before the step.

    Raises:
        FloatingPointError: if the loss or its gradient is not finite; the parameters are then as they were.
    """
    value = checked(loss, where)
    optimizer.zero_grad()
    loss.backward()
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, CLIP)
    if not torch.isfinite(norm):
        optimizer.zero_grad()
        raise FloatingPointError(f"{where}: the gradient is {norm.item():g}; lower the learning rate or scale the data")
    optimizer.step()
    optimizer.zero_grad()
    return value


def checked(loss: Tensor, where: str) -> float:
    """The number that a loss is.

    Raises:
        FloatingPointError: if it is not finite.
        InputError: if it is not one number.
    """
    if loss.numel() != 1:
        raise InputError(f"{where}: the loss has shape {tuple(loss.shape)}; the loss function has to return one number")
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"{where}: the loss is {value}; lower the learning rate or look for missing data")
    return value
