"""The training loop. It knows tensors, not finance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from praesidium.training import checkpoints
from praesidium.training.batching import BalancedBatches
from praesidium.training.checkpoints import BestCheckpoints
from praesidium.training.recipe import Recipe
from praesidium.training.schedule import cosine, ramp


@runtime_checkable
class Terms(Protocol):
    """A loss in parts."""

    @property
    def risk(self) -> Tensor: ...
    @property
    def penalty(self) -> Tensor: ...
    @property
    def loss(self) -> Tensor: ...
    @property
    def log(self) -> dict[str, Tensor]: ...


@runtime_checkable
class Objective(Protocol):
    """Makes terms of the risks of one batch."""

    def __call__(self, risks: Tensor, sensitivities: Any, ramp: float, memory: dict[str, Tensor]) -> Terms: ...


@runtime_checkable
class Task(Protocol):
    """What is learned."""

    def risks(self, batch: list[slice]) -> tuple[Tensor, Any]:
        """Risks by environment on a batch, with their graph, and their sensitivities."""
        ...

    def validate(self) -> float:
        """Risk on the validation set, without a graph."""
        ...


Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Fitted:
    """Outcome of a training; the module holds the best parameters.

    Attributes:
        best_step: optimizer steps taken when the best validation risk was reached.
        best_risk: that risk.
        optimizer_steps: steps that the optimizer took in total.
    """

    best_step: int
    best_risk: float
    optimizer_steps: int


def fit(
    module: nn.Module,
    task: Task,
    objective: Objective,
    recipe: Recipe,
    batches: BalancedBatches,
    *,
    folder: Path,
    log: Log,
) -> Fitted:
    """Train in three phases, validate on the way, end with the best parameters.

    A training that was killed continues from ``folder/last.safetensors`` and ends with the same numbers.

    Args:
        module: what is trained, in place.
        task: gives the risks.
        objective: turns them into a loss.
        recipe: steps, rates, phases.
        batches: draws the episodes of a step.
        folder: where checkpoints go.
        log: receives one row of numbers a step.

    Raises:
        FloatingPointError: if the loss or its gradient is no longer finite.
    """
    parameters = [one for one in module.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    memory: dict[str, Tensor] = {}
    best = BestCheckpoints(folder, recipe.keep)
    start = _resume(folder, module, optimizer, memory, batches, best)
    for step in range(start, recipe.steps):
        weight = ramp(step, recipe.steps, warmup=recipe.warmup, rise=recipe.rise)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * cosine(step, recipe.steps)
        risks, sensitivities = task.risks(batches.draw())
        terms = objective(risks, sensitivities, weight, memory)
        if not torch.isfinite(terms.loss):
            raise FloatingPointError(f"the loss is {terms.loss.item()} at step {step}; lower train.learning_rate")
        optimizer.zero_grad(set_to_none=True)
        terms.loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient is {norm.item()} at step {step}; lower train.learning_rate")
        optimizer.step()
        row = {"step": step + 1, "ramp": weight, "gradient_norm": norm.item(), "risks": risks.tolist()}
        row |= {"risk": terms.risk.item(), "penalty": terms.penalty.item()}
        row |= {name: value.tolist() for name, value in terms.log.items()}
        last = step + 1 == recipe.steps
        validated = last or (step + 1) % recipe.validate_every == 0
        if validated:
            row["validation_risk"] = task.validate()
        log(row)  # before the checkpoint: what a resumed training does not repeat must have been logged
        if validated:
            if weight == 1 or last:
                best.offer(step + 1, row["validation_risk"], module)
            _save_last(folder, step + 1, module, optimizer, memory, batches, best)
    module.load_state_dict(checkpoints.load(best.path(best.best))[0])
    return Fitted(best.best, best.risks[best.best], recipe.steps)


def resumable_step(folder: Path) -> int:
    """Step from which a training in this folder would continue; 0 if none was begun."""
    return checkpoints.load(folder / checkpoints.LAST)[1]["step"] if (folder / checkpoints.LAST).is_file() else 0


def _save_last(
    folder: Path,
    step: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    memory: dict[str, Tensor],
    batches: BalancedBatches,
    best: BestCheckpoints,
) -> None:
    parts = {
        "model": dict(module.state_dict()),
        "optimizer": checkpoints.pack_optimizer(optimizer),
        "memory": memory,
        "batches": batches.state(),
    }
    tensors = {f"{part}/{name}": value for part, content in parts.items() for name, value in content.items()}
    risks = {str(one): risk for one, risk in best.risks.items()}
    checkpoints.save(folder / checkpoints.LAST, tensors, {"step": step, "best": risks})


def _resume(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    memory: dict[str, Tensor],
    batches: BalancedBatches,
    best: BestCheckpoints,
) -> int:
    """Put everything back as it was after the last validation; 0 if there is nothing to resume."""
    if not (folder / checkpoints.LAST).is_file():
        return 0
    tensors, facts = checkpoints.load(folder / checkpoints.LAST)
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "memory": {}, "batches": {}}
    for key, value in tensors.items():
        part, name = key.split("/", 1)
        parts[part][name] = value
    device = next(module.parameters()).device
    module.load_state_dict(parts["model"])
    checkpoints.unpack_optimizer(optimizer, parts["optimizer"])
    memory |= {name: value.to(device) for name, value in parts["memory"].items()}
    batches.restore(parts["batches"])
    best.risks = {int(step): risk for step, risk in facts["best"].items()}
    return facts["step"]
