"""Where the time of a study goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from praesidium.component import InputError
from praesidium.experiments.engines import attempt
from praesidium.experiments.grid import Cell, run_batch
from praesidium.experiments.planner import Plan
from praesidium.stopwatch import Stopwatch, watch

PHASES = {
    "open": "prices read, variances fitted",
    "simulate": "paths drawn",
    "features": "states, Greeks and marks along them",
    "batch": "episodes of a step put together",
    "rollout": "policy on all episodes, no graph",
    "risk": "tail, CVaR and their weights",
    "objective": "penalties and weights",
    "backward": "policy on the tail episodes, with derivatives",
    "optimizer": "parameters moved",
    "validate": "policy on the validation episodes",
    "evaluate": "policy in every environment, its scores",
    "probe": "risks, head gradients and features on fresh episodes",
    "write": "logs, checkpoints, results",
}


@dataclass(frozen=True)
class Profile:
    """Seconds of one method.

    Attributes:
        method: its name.
        seconds: in all.
        phases: of them, by phase; what is in none of them is left over.
        calls: how often each phase was entered.
    """

    method: str
    seconds: float
    phases: dict[str, float]
    calls: dict[str, int]


def profile(plan: Plan, device: str) -> list[Profile]:
    """Run the batches of a plan in this process, in a folder that is thrown away, and time their phases.

    Each method is charged for what it is the first to need: paths and states are shared by those that follow.

    Raises:
        InputError: if a cell fails.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as folder:
            return _profile(plan, device, Path(folder))
    finally:
        torch.set_num_threads(threads)


def _profile(plan: Plan, device: str, folder: Path) -> list[Profile]:
    shelf = folder / "shelf"
    shelf.mkdir()
    watches: dict[str, Stopwatch] = {}
    totals: dict[str, float] = {}
    for batch in plan.batches:
        method = batch[0].method
        settle = (lambda: torch.cuda.synchronize(device)) if device.startswith("cuda") else (lambda: None)
        stopwatch = watches.setdefault(method, Stopwatch(settle=settle))
        begun = time.perf_counter()
        with watch(stopwatch):
            outcomes = attempt(run_batch, [_moved(cell, folder, shelf) for cell in batch])
        totals[method] = totals.get(method, 0.0) + time.perf_counter() - begun
        for outcome in outcomes:
            if outcome.status != "done":
                raise InputError(f"{outcome.cell}: {outcome.reason}")
    return [Profile(name, totals[name], one.seconds, one.calls) for name, one in watches.items()]


def _moved(cell: Cell, folder: Path, shelf: Path) -> Cell:
    return replace(cell, folder=folder / str(cell), shelf=str(shelf))
