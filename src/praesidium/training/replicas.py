"""Replicas: many trainings of one kind, stacked so that they run as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.training import checkpoints
from praesidium.training.adam import Adam
from praesidium.training.batching import BalancedBatches
from praesidium.training.checkpoints import BestCheckpoints
from praesidium.training.parameters import Parameters
from praesidium.training.recipe import Recipe
from praesidium.training.reproducibility import stream
from praesidium.training.schedule import cosine, ramp

Log = Callable[[dict[str, Any]], None]


@runtime_checkable
class Terms(Protocol):
    """A loss in parts, one row a replica."""

    @property
    def risk(self) -> Tensor: ...
    @property
    def penalty(self) -> Tensor: ...
    @property
    def loss(self) -> Tensor: ...
    @property
    def log(self) -> dict[str, Tensor]: ...
    @property
    def reach(self) -> str: ...
    @property
    def head(self) -> Tensor | None: ...


@runtime_checkable
class Objective(Protocol):
    """Makes terms of the risks of one batch; objectives with the same settings are equal."""

    def __call__(self, risks: Tensor, sensitivities: Any, ramp: float, memory: dict[str, Tensor]) -> Terms: ...


@dataclass(frozen=True)
class Replica:
    """One training.

    Attributes:
        module: its initial values; takes the best ones in the end.
        objective: turns risks into a loss.
        recipe: steps, rates, phases; in a stack all but the number of episodes may differ.
        batches: draws the episodes of a step.
        folder: where checkpoints go.
        log: receives one row of numbers a step.
        seed: of the units that dropout leaves out.
    """

    module: nn.Module
    objective: Objective
    recipe: Recipe
    batches: BalancedBatches
    folder: Path
    log: Log
    seed: int = 0


class Course:
    """How far a replica has come: its numbers between two stacks, its best checkpoints, and how it ended.

    Attributes:
        values, mean, square: parameters and moments of their gradients.
        memory: what the objective carries.
        error: why it ended before its time.
        over: whether no further step is to be taken.
    """

    def __init__(self, number: int, replica: Replica, parameters: Parameters[Any]) -> None:
        self.number, self.replica, self.parameters = number, replica, parameters
        self.values = parameters.read(replica.module)
        self.mean, self.square = torch.zeros_like(self.values), torch.zeros_like(self.values)
        self.memory: dict[str, Tensor] = {}
        self.best = BestCheckpoints(replica.folder, replica.recipe.keep)
        self.error: FloatingPointError | None = None
        self.step = self._resume()

    @property
    def over(self) -> bool:
        recipe = self.replica.recipe
        if self.error is not None or self.step >= recipe.steps:
            return True
        waited = self.step - self.best.best if self.best.risks else 0
        return recipe.patience is not None and waited >= recipe.patience * recipe.validate_every

    def ramp(self, step: int) -> float:
        """Weight of the penalty."""
        recipe = self.replica.recipe
        return ramp(step, recipe.steps, warmup=recipe.warmup, rise=recipe.rise)

    @property
    def named(self) -> dict[str, Tensor]:
        """The parameters, as in a state dictionary."""
        return self.parameters.names(self.values)

    def keep(self, risk: float | None) -> Path:
        """Keep the parameters if they are validated and among the best; write all that a resumed training needs.

        Returns:
            The file, which is still to be moved to its place.
        """
        if risk is not None and (self.ramp(self.step - 1) == 1 or self.step == self.replica.recipe.steps):
            self.best.offer(self.step, risk, self.named)
        parts = {
            "model": self.named,
            "optimizer": {"mean": self.mean, "square": self.square},
            "memory": self.memory,
            "batches": self.replica.batches.state(),
        }
        tensors = {f"{part}/{name}": value for part, content in parts.items() for name, value in content.items()}
        risks = {str(one): risk for one, risk in self.best.risks.items()}
        last = self.replica.folder / checkpoints.LAST
        checkpoints.write(last, tensors, {"step": self.step, "best": risks})
        return last

    def finish(self) -> None:
        """Load the best parameters into the module."""
        self.replica.module.load_state_dict(checkpoints.load(self.best.path(self.best.best))[0])

    def _resume(self) -> int:
        """Put everything back as it was after the last validation; 0 if there is nothing to resume."""
        last = self.replica.folder / checkpoints.LAST
        if not last.is_file():
            return 0
        tensors, facts = checkpoints.load(last)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "memory": {}, "batches": {}}
        for key, value in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = value
        if "mean" not in parts["optimizer"]:
            raise InputError(f"{last} comes from an earlier version; delete its folder to train anew")
        here = self.values.device
        self.values = torch.cat([parts["model"][name].flatten() for name in self.parameters.shapes]).to(here)
        self.mean, self.square = (parts["optimizer"][name].to(here) for name in ("mean", "square"))
        self.memory = {name: value.to(here) for name, value in parts["memory"].items()}
        self.replica.batches.restore(parts["batches"])
        self.best.risks = {int(step): risk for step, risk in facts["best"].items()}
        return facts["step"]


class Group:
    """Rows of a stack whose objectives and phases are the same, with what the objective carries for them."""

    def __init__(self, rows: list[int], courses: Sequence[Course]) -> None:
        first = courses[rows[0]]
        self.rows, self.lead, self.objective = rows, first, first.replica.objective
        self.memory = {name: torch.stack([courses[row].memory[name] for row in rows]) for name in first.memory}


class Stack:
    """Replicas at the same step, a row each; of one row only the last bits depend on how many others there are.

    Attributes:
        courses: the replicas, one a row.
        values: their parameters.
        adam: moments of their gradients.
        groups: rows that can be given to one objective together.
    """

    def __init__(self, courses: Sequence[Course], step: int) -> None:
        self.courses = list(courses)
        self.values: Float[Tensor, "replicas parameters"] = torch.stack([one.values for one in courses])
        self.adam = Adam(self.values)
        self.adam.mean, self.adam.square = (
            torch.stack([getattr(one, name) for one in courses]) for name in ("mean", "square")
        )
        self.adam.steps += step
        alike: list[list[int]] = []
        for row, course in enumerate(courses):
            same = next((rows for rows in alike if _alike(courses[rows[0]], course)), None)
            if same is None:
                alike.append([row])
            else:
                same.append(row)
        self.groups = [Group(rows, courses) for rows in alike]
        self._decay = self._column("weight_decay")
        self._clip = self._column("clip")

    def move(self, gradient: Float[Tensor, "replicas parameters"], step: int) -> Float[Tensor, " replicas"]:
        """Take the optimizer's step; returns the norm of each replica's gradient before it was clipped."""
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient = gradient * (self._clip / (norm + 1e-6)).clamp(max=1.0)
        rates = [one.replica.recipe.learning_rate * cosine(step, one.replica.recipe.steps) for one in self.courses]
        self.adam.step(self.values, gradient, self.values.new_tensor(rates).unsqueeze(1), self._decay)
        return norm.squeeze(1)

    def kept(self, units: Tensor, step: int) -> Tensor:
        """Factors that leave hidden units out of a step, the rest made up for it; 1 if there is no dropout.

        Source: Srivastava et al. 2014; one choice for all episodes and days as in Gal and Ghahramani 2016.
        """
        shares = [one.replica.recipe.dropout for one in self.courses]
        if not any(shares):
            return self.values.new_ones(())
        rows = []
        for course, share in zip(self.courses, shares, strict=True):
            drawn = torch.rand(int(units.max()) + 1, generator=stream("dropout", course.replica.seed, step))
            factors = torch.cat([(drawn >= share) / (1 - share), torch.ones(1)])  # -1 is the last
            rows.append(factors[units])
        return torch.stack(rows).to(self.values)

    def settle(self) -> None:
        """Give every replica its own numbers back."""
        for row, course in enumerate(self.courses):
            course.values, course.mean = self.values[row].clone(), self.adam.mean[row].clone()
            course.square = self.adam.square[row].clone()
        for group in self.groups:
            for place, row in enumerate(group.rows):
                self.courses[row].memory = {name: one[place].clone() for name, one in group.memory.items()}

    def _column(self, name: str) -> Float[Tensor, "replicas 1"]:
        numbers = [getattr(one.replica.recipe, name) for one in self.courses]
        return self.values.new_tensor(numbers).unsqueeze(1)


def _alike(one: Course, other: Course) -> bool:
    """Whether one call of an objective can serve both."""
    mine, yours = one.replica, other.replica
    phases = [(recipe.steps, recipe.warmup, recipe.rise) for recipe in (mine.recipe, yours.recipe)]
    return mine.objective == yours.objective and phases[0] == phases[1] and set(one.memory) == set(other.memory)
