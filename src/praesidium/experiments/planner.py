"""Planner: how many replicas train as one, and in how many processes, by what was measured."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from praesidium.experiments.grid import Cell
from praesidium.experiments.study import Study
from praesidium.policies import native

FULL = 32_768  # paths of a step beyond which a larger stack no longer helps a CPU core (benchmarks/replicas.py)
SLOW = 1024  # paths of a step from which on a stack is less than twice as fast as its replicas one by one
WORKER = 1.5e9  # bytes of a process, its share of mapped paths included
SPARE = 0.8  # of the free memory may be used


@dataclass(frozen=True)
class Plan:
    """How a grid is run.

    Attributes:
        batches: cells that train as one, in the order of the grid; those that are done are in none.
        jobs: processes.
        reason: both in words.
    """

    batches: list[list[Cell]]
    jobs: int
    reason: str


def plan(cells: Sequence[Cell], *, jobs: int | None = None, stack: int | None = None) -> Plan:
    """The plan of a grid.

    Args:
        cells: of the grid.
        jobs: processes, if the user says so; else as many as there are cores and memory, and one for a GPU.
        stack: replicas that train as one, if the user says so; else see :func:`stack_size`.
    """
    waiting = {place for place, cell in enumerate(cells) if not cell.run.check()}
    alike: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):  # done or not: what trains together must not depend on interruptions
        alike.setdefault(_likeness(cell), []).append(place)
    groups = [places for places in alike.values() if waiting & set(places)]
    device = cells[0].device if cells else "cpu"
    wanted = jobs or _workers(device)
    studies = [Study.model_validate(cells[places[0]].study) for places in groups]
    sizes = [
        min(len(places), stack) if stack else stack_size(study, len(places), device)
        for places, study in zip(groups, studies, strict=True)
    ]
    cut = [batch for places, size in zip(groups, sizes, strict=True) for batch in _cut(places, size)]
    batches = [left for batch in cut if (left := [place for place in batch if place in waiting])]
    workers = max(1, min(wanted, len(batches)))
    stacks = {
        f"{_paths(study)} paths a step: {size} as one" for study, size in zip(studies, sizes, strict=True) if size > 1
    }
    together = f"seeds stacked ({', '.join(sorted(stacks))})" if stacks else "seeds one at a time"
    where = f"{workers} process{'' if workers == 1 else 'es'} on {device}"
    reason = f"{together}; {where}; rollouts by {native.describe()}"
    return Plan([[cells[place] for place in batch] for batch in sorted(batches)], workers, reason)


def _cut(places: list[int], size: int) -> list[list[int]]:
    """Batches of at most ``size``, as equal as they can be."""
    count = math.ceil(len(places) / size)
    return [places[len(places) * part // count : len(places) * (part + 1) // count] for part in range(count)]


def stack_size(study: Study, replicas: int, device: str) -> int:
    """Replicas of a study to train as one: on a CPU as many as fill a core, on a GPU as many as fit its memory.

    It follows from the study alone, not from the number of processes, and with it the last bits of the results. Where
    a stack of all would be less than twice as fast as one after another, two stacks leave work for another core.
    """
    rule = study.policy.build(study.sizes, seed=0)
    if not isinstance(rule, nn.Module):
        return 1
    if device == "cpu":
        paths = _paths(study)
        return max(1, min(FULL // paths, replicas if paths < SLOW else math.ceil(replicas / 2)))
    return max(1, min(replicas, int(SPARE * _free(device) / _replica_bytes(study, rule))))


def _paths(study: Study) -> int:
    """Paths of one replica's step."""
    return study.train.episodes * len(study.environments)


def _likeness(cell: Cell) -> str:
    """What cells must have in common to train as one: all but the seed and what may differ in a stack."""
    study = dict(cell.study)
    study["objective"] = {name: value for name, value in study["objective"].items() if isinstance(value, bool | str)}
    study["train"] = {name: study["train"][name] for name in ("episodes", "pool", "labels")}
    return json.dumps([cell.dataset, cell.method, cell.device, study], sort_keys=True)


def _replica_bytes(study: Study, rule: nn.Module) -> float:
    """Memory of one replica on a device: its pool, its batch, and the graph of its tail."""
    numbers = len(study.state.phi_columns) + len(study.state.context_columns) + 4
    widest = max(one.shape[-1] for one in rule.parameters())
    pool = study.train.pool * len(study.environments) * study.data.horizon
    batch = _paths(study) * study.data.horizon
    tail = 2 * (1 - study.risk.level) * batch
    return 4.0 * (pool * numbers + batch * (numbers + widest) + 30 * tail * widest)


def _workers(device: str) -> int:
    if device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, SPARE * _free(device) / WORKER)))


def _free(device: str) -> float:
    """Bytes free on a device."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0])
    table = Path("/proc/meminfo")
    if not table.is_file():
        return float("inf")
    lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
    return 1024.0 * int(lines["MemAvailable"].split()[0])
