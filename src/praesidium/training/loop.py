"""The training loop, for one replica or many at once. It knows tensors, not finance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from praesidium.stopwatch import phase
from praesidium.training import checkpoints
from praesidium.training.parameters import Parameters
from praesidium.training.replicas import Course, Group, Replica, Stack


@runtime_checkable
class Measured(Protocol):
    """What a task knows about one batch of each replica.

    Attributes:
        risks: of each replica (first axis) in each environment (second), with a graph.
    """

    risks: Tensor

    def of(self, rows: list[int]) -> Measured:
        """The same of some replicas; objectives are given it as their sensitivities."""
        ...

    def gradient(self, loss: Tensor) -> Tensor:
        """Gradient of each replica's loss in its parameters, of all replicas; may be asked for several losses."""
        ...


@runtime_checkable
class Task(Protocol):
    """What is learned.

    Attributes:
        head: whether a parameter belongs to the head.
        head_order: places of the head's parameters in the order of an edited head gradient; None if there is none.
        units: number of the hidden unit that each parameter multiplies, or -1.
    """

    head: Tensor
    head_order: Tensor | None
    units: Tensor

    def measure(self, values: Tensor, batches: Sequence[list[slice]], replicas: Sequence[int]) -> Measured:
        """Measure replicas, with the rows of ``values`` as their parameters, on a batch of each."""
        ...

    def validate(self, values: Tensor) -> list[float]:
        """Risk of each row on the validation set."""
        ...


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


def fit(replicas: Sequence[Replica], task: Task) -> list[Fitted | FloatingPointError]:
    """Train in three phases, validate on the way, end with the best parameters.

    Each replica goes its own way, as if it were alone: a replica that ends early or fails leaves the others, and one
    that was killed continues from its ``last.safetensors`` and joins them when they have come as far.

    Args:
        replicas: modules of one kind, with the same number of episodes in a batch.
        task: gives the risks; knows replicas by their number.

    Returns:
        For each replica what became of it: an error if its loss or its gradient was no longer finite.
    """
    checkpoints.recover([one.folder for one in replicas])
    parameters = Parameters(replicas[0].module)
    courses = [Course(number, replica, parameters) for number, replica in enumerate(replicas)]
    stack: Stack | None = None
    while going := _nearest(courses):
        step = going[0].step
        if stack is None or stack.courses != going:
            if stack is not None:
                stack.settle()
            stack = Stack(going, step)
        _advance(stack, task, step)
    for course in courses:
        if course.error is None:
            course.finish()
    return [one.error or Fitted(one.best.best, one.best.risks[one.best.best], one.step) for one in courses]


def _nearest(courses: Sequence[Course]) -> list[Course]:
    """Those that have come least far, of all that are not over."""
    waiting = [one for one in courses if not one.over]
    first = min((one.step for one in waiting), default=0)
    return [one for one in waiting if one.step == first]


def _advance(stack: Stack, task: Task, step: int) -> None:
    """One optimizer step of every replica, and the validations that are due."""
    courses = stack.courses
    kept = stack.kept(task.units, step)
    measured = task.measure(
        stack.values * kept, [one.replica.batches.draw() for one in courses], [one.number for one in courses]
    )
    with phase("objective"):
        terms = [_terms(group, measured, step, alone=len(stack.groups) == 1) for group in stack.groups]
        loss = _rows([one.loss for one in terms], stack.groups)
        finite = torch.isfinite(loss)
    gradient = _gradient(stack.groups, terms, measured, task, finite) * kept
    with phase("optimizer"), torch.no_grad():
        norms = stack.move(gradient, step)
    with phase("write"):
        rows = _log_rows(stack, measured.risks, terms, norms, step)
        for course, value, norm in zip(courses, loss.tolist(), norms.tolist(), strict=True):
            course.step = step + 1
            _check(course, value, norm, step)
    due = [place for place, one in enumerate(courses) if one.error is None and _due(one)]
    if due:
        stack.settle()
        for place, risk in zip(due, task.validate(stack.values[due]), strict=True):
            rows[place]["validation_risk"] = risk
    with phase("write"):
        sound = [(course, row) for course, row in zip(courses, rows, strict=True) if course.error is None]
        for course, row in sound:
            course.replica.log(row)  # before the checkpoint: a resumed training repeats nothing older
        if due:  # all and at once: those that came to different steps would go on apart, and round differently
            checkpoints.move([course.keep(row.get("validation_risk")) for course, row in sound])


def _terms(group: Group, measured: Measured, step: int, *, alone: bool) -> Any:
    """Terms of the rows of one group."""
    weight = group.lead.ramp(step)
    mine = measured if alone else measured.of(group.rows)
    return group.objective(mine.risks, mine, weight, group.memory)


def _gradient(groups: list[Group], terms: list[Any], measured: Measured, task: Task, finite: Tensor) -> Tensor:
    """Gradient of the losses that are finite; penalties and edited gradients go where their terms say."""
    apart = [one.reach != "both" for one in terms]
    joint = _rows([one.risk if alone else one.loss for one, alone in zip(terms, apart, strict=True)], groups)
    gradient = measured.gradient(torch.where(finite, joint, 0.0))
    for group, one, alone in zip(groups, terms, apart, strict=True):
        if alone and one.penalty.requires_grad:
            inside = task.head.to(gradient.device)
            moved = measured.gradient(torch.where(finite[group.rows], one.penalty, 0.0))
            gradient[group.rows] += moved[group.rows] * (inside if one.reach == "psi" else ~inside)
    for group, one in zip(groups, terms, strict=True):
        if one.head is not None:
            if task.head_order is None:
                raise ValueError("an objective that edits head gradients needs a single head for all environments")
            rows = torch.tensor(group.rows, device=gradient.device).unsqueeze(1)
            gradient[rows, task.head_order.to(gradient.device)] = one.head
    return gradient


def _rows(parts: list[Tensor], groups: list[Group]) -> Tensor:
    """Rows of all groups in the order of the stack."""
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([row for group in groups for row in group.rows])
    return torch.cat(parts)[order.argsort().to(parts[0].device)]


def _log_rows(stack: Stack, risks: Tensor, terms: list[Any], norms: Tensor, step: int) -> list[dict[str, Any]]:
    """What each replica writes down."""
    every = {"gradient_norm": norms.tolist(), "risks": risks.tolist()}
    rows: list[dict[str, Any]] = [
        {"step": step + 1, "ramp": one.ramp(step), **{name: numbers[place] for name, numbers in every.items()}}
        for place, one in enumerate(stack.courses)
    ]
    for group, term in zip(stack.groups, terms, strict=True):
        lists = {"risk": term.risk.tolist(), "penalty": term.penalty.tolist()}
        lists |= {name: value.tolist() for name, value in term.log.items()}
        for place, row in enumerate(group.rows):
            rows[row] |= {name: numbers[place] for name, numbers in lists.items()}
    return rows


def _check(course: Course, loss: float, norm: float, step: int) -> None:
    for what, value in (("loss", loss), ("gradient", norm)):
        if not abs(value) < float("inf"):
            course.error = FloatingPointError(f"the {what} is {value} at step {step}; lower train.learning_rate")
            return


def _due(course: Course) -> bool:
    recipe = course.replica.recipe
    return course.step == recipe.steps or course.step % recipe.validate_every == 0
