"""Grids: data sets x methods x seeds, in batches of cells that train as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from praesidium.component import InputError, fingerprint, unknown
from praesidium.data.environments import DataSet
from praesidium.experiments.composition import options
from praesidium.experiments.engines import Engine, Outcome, failed
from praesidium.experiments.hedging import perform
from praesidium.experiments.methods import BENCHMARK, STUDY, overrides_of
from praesidium.experiments.scenes import open_source, training_name
from praesidium.experiments.shelf import shelf_in
from praesidium.experiments.store import Busy, Run
from praesidium.experiments.study import Study, compose, register_members


@dataclass(frozen=True)
class Size:
    """What a preset runs if nothing else is said.

    Attributes:
        name: of the preset.
        datasets, methods, seeds: of its grid.
    """

    name: str
    datasets: str
    methods: tuple[str, ...]
    seeds: str


PRESETS = {
    one.name: one
    for one in (
        Size("quick", "synthetic_heston,sp500", BENCHMARK, "0..2"),
        Size("standard", "synthetic_heston,sp500", BENCHMARK, "0..9"),
        Size("paper", "synthetic_heston", STUDY, "0..29"),
    )
}


@dataclass(frozen=True)
class Cell:
    """One data set, method and seed of a grid, with the settings that the names stand for."""

    dataset: str
    method: str
    seed: int
    study: dict[str, Any]
    folder: Path
    device: str = "cpu"
    shelf: str | None = None

    def __str__(self) -> str:
        return f"{self.dataset}/{self.method}/seed_{self.seed}"

    @property
    def run(self) -> Run:
        """Where the cell lies, and what belongs there."""
        names = {"dataset": self.dataset, "method": self.method, "seed": self.seed}
        return Run(self.folder, {**names, **self.study})


def cells_of(
    *,
    datasets: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    root: Path,
    preset: str = "quick",
    overrides: Sequence[str] = (),
    own: Mapping[str, Sequence[str]] = {},
    device: str = "cpu",
    flat: bool = False,
) -> list[Cell]:
    """Compose and check every cell before any is run.

    Cells come by data set, seed and method: those of one data set and seed share their paths. Each lies in
    ``root/dataset/method/seed_n``; a single one may be ``flat``, in ``root`` itself, and is named after the method and
    the overrides that change it. ``own`` are further overrides by method, before those of all.

    Raises:
        InputError: if a name is unknown, a setting is out of bounds, a data set cannot be opened, or a folder holds a
            run with other settings.
    """
    for dataset in datasets:
        if dataset not in options("data"):
            raise InputError(unknown("datasets", dataset, options("data")))
    studies = {
        (dataset, method): compose(
            [f"data={dataset}", *overrides_of(method), f"study={preset}", *own.get(method, ()), *overrides]
        )
        for method in methods
        for dataset in datasets
    }
    changes = [one for one in overrides if one.startswith(("policy", "objective"))] if flat else []
    cells = [
        Cell(
            dataset,
            " ".join([method, *changes]),
            seed,
            studies[dataset, method].settings(),
            root if flat else root / dataset / method / f"seed_{seed}",
            device,
        )
        for dataset in datasets
        for seed in sorted(seeds)
        for method in methods
    ]
    waiting = [cell.study["data"] for cell in cells if not cell.run.check()]
    for data in {fingerprint(one): one for one in waiting}.values():
        open_source(DataSet.model_validate(data))
    return cells


def run_batch(batch: Sequence[Cell]) -> Iterator[Outcome]:
    """Run the cells of a batch that are not done; the task that engines are given."""
    register_members(batch[0].study["plugins"])
    with ExitStack() as held:
        ready = []
        for cell in batch:
            if not cell.run.check():
                try:
                    held.enter_context(cell.run.hold())
                except Busy:
                    yield Outcome(str(cell), "elsewhere")
                    continue
            if cell.run.check():
                yield Outcome(str(cell), "skipped")
            else:
                ready.append(cell)
        if ready:
            yield from _perform(ready)


def run_grid(batches: Sequence[Sequence[Cell]], engine: Engine, root: Path) -> Iterator[Outcome]:
    """Outcomes of the cells of all batches as they come in.

    Args:
        batches: cells that train as one, see :func:`praesidium.experiments.planner.plan`.
        engine: where they run.
        root: folder of the grid; what its processes share lies there for as long as it runs.
    """
    if not batches:
        return
    with shelf_in(root) as shelf:
        shared = [[replace(cell, shelf=str(shelf.folder)) for cell in batch] for batch in batches]
        owner = {str(cell): (cell.dataset, cell.seed) for batch in shared for cell in batch}
        left = Counter(owner.values())
        for outcome in engine.run(run_batch, shared):
            key = owner[outcome.cell]
            left[key] -= 1
            if not left[key]:
                shelf.drop(training_name(key[1]))
            yield outcome


def _perform(cells: Sequence[Cell]) -> Iterator[Outcome]:
    """Run cells as one stack; if they do not fit the memory of the device together, as two."""
    first = cells[0]
    results = perform(
        [Study.model_validate(cell.study) for cell in cells],
        [cell.seed for cell in cells],
        [cell.run for cell in cells],
        device=first.device,
        shelf=first.shelf,
    )
    try:
        for cell, error in zip(cells, results, strict=True):
            yield Outcome(str(cell), "done") if error is None else failed(cell, error)
    except torch.OutOfMemoryError:
        if len(cells) == 1:
            raise
        middle = len(cells) // 2
        yield from _perform(cells[:middle])
        yield from _perform(cells[middle:])


def parse_seeds(text: str) -> list[int]:
    """``0,1,2`` or ``0..29`` as numbers.

    Raises:
        InputError: if it is neither.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        if not first.isdigit() or (dots and not last.isdigit()):
            raise InputError(f"seeds: {text!r} is not a list of whole numbers; write 0,1,2 or 0..29")
        seeds.extend(range(int(first), int(last) + 1) if dots else [int(first)])
    if len(set(seeds)) < len(seeds) or not seeds:
        raise InputError(f"seeds: {text!r} is empty or names a seed twice; write each once, such as 0,1,2 or 0..29")
    return seeds


def parse_names(text: str, what: str) -> list[str]:
    """``a,b`` as names.

    Raises:
        InputError: if one is empty or comes twice.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"{what}: {text!r} has an empty or a repeated name; write each once, such as a,b")
    return names
