"""Model-agnostic meta-learning: initial parameters from which few steps lead far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from praesidium.component import InputError
from praesidium.training.descent import adam, checked, descend

Examples = Sequence[Tensor]
Task = Sequence[Examples]
Loss = Callable[[Tensor, Tensor], Tensor]


class MetaPortfolioOptimizer:
    """MAML: finds parameters theta whose loss after adaptation to a task is low, on average over tasks.

    theta_0 = theta, theta_{i+1} = theta_i - inner_lr grad L_support(theta_i), and theta moves down the gradient of
    mean_tasks L_query(theta_n), taken through all n steps (second derivatives included).

    A task is ``(support, query)``, each ``(inputs, targets)``; a loss is ``loss_fn(model(inputs), targets)``, a scalar.
    The parameters of the model change in :meth:`meta_update` alone. Those that need no gradient stay as they are.

    Args:
        model: any module.
        inner_lr: step of the adaptation (plain gradient descent).
        outer_lr: rate of Adam for the initial parameters; 0 leaves them as they are.
        n_inner_steps: gradient steps of an adaptation.

    Raises:
        InputError: if a rate is negative, there is no step, or the model has no parameter to train.

    Source: Finn, Abbeel and Levine 2017, algorithm 2.
    """

    def __init__(
        self, model: nn.Module, inner_lr: float = 0.01, outer_lr: float = 0.001, n_inner_steps: int = 5
    ) -> None:
        name = type(self).__name__
        if n_inner_steps < 1:
            raise InputError(f"{name}: n_inner_steps={n_inner_steps} adapts nothing; say at least 1")
        if not inner_lr > 0:
            raise InputError(f"{name}: inner_lr={inner_lr:g} adapts nothing; say a number above 0, such as 0.01")
        self.model, self.inner_lr, self.n_inner_steps = model, inner_lr, n_inner_steps
        self.optimizer = adam(model, outer_lr, name, "outer_lr")

    def adapt(self, support: Examples, loss_fn: Loss) -> dict[str, Tensor]:
        """Parameters after the inner steps on ``support``, by name; the model stays as it is, buffers included.

        Use them with ``torch.func.functional_call(model, adapted, (inputs,))``, or keep them by
        ``model.load_state_dict(adapted, strict=False)``.

        Raises:
            FloatingPointError: if the loss is no longer finite on the way.
        """
        buffers = {name: one.clone() for name, one in self.model.named_buffers()}
        adapted = self._adapted(support, loss_fn, buffers, create_graph=False)
        return {name: one.detach() for name, one in adapted.items()}

    def meta_loss(self, tasks: Sequence[Task], loss_fn: Loss) -> Tensor:
        """Mean over tasks of the query loss after adaptation, with its graph back to the initial parameters.

        Raises:
            InputError: if there is no task, or one is no pair of pairs.
            FloatingPointError: if the loss of an adaptation is not finite.
        """
        _check(tasks)
        losses = []
        for support, (inputs, targets) in tasks:
            with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
                adapted = self._adapted(support, loss_fn, {}, create_graph=True)
                losses.append(loss_fn(functional_call(self.model, adapted, (inputs,)), targets))
        return torch.stack(losses).mean()

    def meta_update(self, tasks: Sequence[Task], loss_fn: Loss) -> float:
        """One outer step.

        Returns:
            :meth:`meta_loss` before the step.

        Raises:
            InputError: as :meth:`meta_loss`.
            FloatingPointError: if a loss or the gradient is not finite; the model is then as it was.
        """
        with torch.enable_grad():
            return descend(self.optimizer, self.meta_loss(tasks, loss_fn), f"{type(self).__name__}.meta_update")

    def _adapted(
        self, support: Examples, loss_fn: Loss, buffers: dict[str, Tensor], *, create_graph: bool
    ) -> dict[str, Tensor]:
        """Parameters after the inner steps; ``buffers`` take the place of those of the model."""
        inputs, targets = support
        now: dict[str, Tensor] = {name: one for name, one in self.model.named_parameters() if one.requires_grad}
        with torch.enable_grad():
            for step in range(self.n_inner_steps):
                loss = loss_fn(functional_call(self.model, now | buffers, (inputs,)), targets)
                checked(loss, f"{type(self).__name__}: inner step {step + 1} with inner_lr={self.inner_lr:g}")
                slopes = torch.autograd.grad(
                    loss, list(now.values()), create_graph=create_graph, materialize_grads=True
                )
                now = {
                    name: one - self.inner_lr * slope for (name, one), slope in zip(now.items(), slopes, strict=True)
                }
        return now


def sample_tasks(batches: Iterable[Examples], *, support: float = 0.5) -> list[Task]:
    """One task from each batch of windows: adapt on their early part, judge on the rest.

    Args:
        batches: ``(inputs, targets)``, both (batch, time, ...), such as from a ``DataLoader``.
        support: share of the times to adapt on, in (0, 1).

    Raises:
        InputError: if a batch has no time axis, its two parts differ in it, or a part of the task would be empty.
    """
    if not 0 < support < 1:
        raise InputError(f"sample_tasks: support={support:g} is not a share in (0, 1); say 0.5 for the early half")
    tasks: list[Task] = []
    for inputs, targets in batches:
        if inputs.ndim < 2 or targets.ndim < 2 or inputs.shape[:2] != targets.shape[:2] or inputs.shape[1] < 2:
            raise InputError(
                f"sample_tasks: inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)} are not both "
                "(batch, time, ...) with the same two or more times"
            )
        times = inputs.shape[1]
        cut = min(max(round(support * times), 1), times - 1)
        tasks.append(((inputs[:, :cut], targets[:, :cut]), (inputs[:, cut:], targets[:, cut:])))
    return tasks


def _check(tasks: Sequence[Task]) -> None:
    if not len(tasks):
        raise InputError("MetaPortfolioOptimizer: tasks is empty; give at least one (support, query)")
    for place, task in enumerate(tasks):
        if len(task) != 2 or any(len(examples) != 2 for examples in task):
            raise InputError(
                f"MetaPortfolioOptimizer: tasks[{place}] is not (support, query), each (inputs, targets); "
                "sample_tasks makes such tasks"
            )
