"""Learning one batch after the other, with a slow average of the parameters beside the live ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from praesidium.component import InputError
from praesidium.training.descent import adam, descend

Tensors = list[Tensor] | tuple[Tensor, ...]


class OnlinePortfolioOptimizer:
    """Adam steps on data as they come, and an exponential moving average of parameters and buffers.

    average <- ema_decay average + (1 - ema_decay) live, after each step. The average starts at the parameters that the
    model has at the beginning, and these keep the weight ``ema_decay ** steps``: nothing is to be corrected for a model
    that was trained before; another remembers its initial values for about 1 / (1 - ema_decay) steps. Buffers that
    are no finite floating-point numbers (counters, masks) are those of the live model.

    Args:
        model: trained in place.
        lr: rate of Adam.
        ema_decay: weight of the old average, in [0, 1).

    Raises:
        InputError: if a number is out of bounds or the model has no parameter to train.

    Attributes:
        averaged: the average, a module of its own that shares nothing with ``model``.
    """

    def __init__(self, model: nn.Module, lr: float = 0.001, ema_decay: float = 0.999) -> None:
        name = type(self).__name__
        if not 0 <= ema_decay < 1:
            raise InputError(f"{name}: ema_decay={ema_decay:g} is not in [0, 1); 0.99 averages about 100 steps")
        self.model = model
        self.optimizer = adam(model, lr, name)
        self._average = AveragedModel(model, multi_avg_fn=_moving(ema_decay), use_buffers=True)
        self._average.update_parameters(model)
        self._live: list[Tensor] | None = None

    @property
    def averaged(self) -> nn.Module:
        """The module with the averaged parameters."""
        return self._average.module

    def update(self, batch: Sequence[Tensor], loss_fn: Callable[[Tensor, Tensor], Tensor]) -> float:
        """One step on ``(inputs, targets)``, then the average follows.

        Returns:
            ``loss_fn(model(inputs), targets)`` before the step.

        Raises:
            FloatingPointError: if the loss or its gradient is not finite; parameters and average are then as they were.
            RuntimeError: while the averaged parameters are in use.
        """
        if self._live is not None:
            raise RuntimeError(
                "OnlinePortfolioOptimizer.update: the averaged parameters are in use; call restore() first"
            )
        inputs, targets = batch
        with torch.enable_grad():
            value = descend(self.optimizer, loss_fn(self.model(inputs), targets), "OnlinePortfolioOptimizer.update")
        self._average.update_parameters(self.model)
        return value

    @torch.no_grad()
    def use_ema(self) -> ExitStack:
        """Put the averaged numbers into the model, until :meth:`restore` or the end of a ``with`` block.

        Values are copied, never shared: ``with online.use_ema(): weights = model(regimes)``.

        Raises:
            RuntimeError: if they are in use already.
        """
        if self._live is not None:
            raise RuntimeError("OnlinePortfolioOptimizer.use_ema: the averaged parameters are in use already")
        self._live = [one.detach().clone() for one in _numbers(self.model)]
        for place, one in zip(_numbers(self.model), _numbers(self.averaged), strict=True):
            place.copy_(one)
        stack = ExitStack()
        stack.callback(self.restore)
        return stack

    @torch.no_grad()
    def restore(self) -> None:
        """Put the live numbers back, bit by bit; where they are in place already, nothing happens."""
        if self._live is not None:
            for place, one in zip(_numbers(self.model), self._live, strict=True):
                place.copy_(one)
            self._live = None


def _numbers(model: nn.Module) -> chain[Tensor]:
    return chain(model.parameters(), model.buffers())


def _moving(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """The moving average of torch for what can be averaged; it would make NaN of a mask of -inf and truncate counts."""
    ema = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def move(averaged: Tensors, live: Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            ema(averaged, live, count)
        for old, new in zip(averaged, live, strict=True):
            old.copy_(torch.where(new.isfinite(), old, new) if new.is_floating_point() else new)

    return move
