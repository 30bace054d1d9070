"""Losses by episode of many methods and seeds, read back from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.experiments import store

GAINS = ("pnl", "pnl_without_premium")  # columns that change sign to become losses


@dataclass(frozen=True)
class Losses:
    """One quantity of one environment, a table (seeds, episodes) for each method, lower = better.

    Attributes:
        tables: by method. Column i is the same episode in all of them; a rule that does not learn has one row.
        seeds: of the rows, rising; empty for a rule.
        missing: seeds that a method was asked for and has no finished run of; methods without any such are left out.
        absent: methods without a finished run.
    """

    tables: dict[str, Tensor]
    seeds: dict[str, tuple[int, ...]]
    missing: dict[str, tuple[int, ...]]
    absent: tuple[str, ...]

    def shared(self, *methods: str) -> tuple[int, ...]:
        """Seeds that all those of the methods have which learn, rising; of all methods if none is named."""
        learned = [set(self.seeds[name]) for name in methods or self.tables if self.seeds[name]]
        return tuple(sorted(set.intersection(*learned))) if learned else ()

    def paired(self, *methods: str) -> dict[str, Tensor]:
        """The tables on the :meth:`shared` seeds: row s is the same seed wherever there are seeds."""
        chosen, names = self.shared(*methods), methods or tuple(self.tables)
        return {
            name: self.tables[name][self.rows(name, chosen)] if self.seeds[name] else self.tables[name]
            for name in names
        }

    def rows(self, method: str, seeds: Sequence[int]) -> list[int]:
        """Where these seeds stand in the table of a method; its single row for each of them if it is a rule."""
        own = self.seeds[method]
        return [own.index(seed) if own else 0 for seed in seeds]


def read_losses(
    root: Path,
    dataset: str,
    environment: str,
    methods: Sequence[str],
    *,
    column: str = "pnl",
    seeds: Sequence[int] | None = None,
) -> Losses:
    """Read the finished runs of some methods in one environment.

    A method that was not trained and has the same episodes at every seed is a rule and becomes one row.

    Args:
        root: results folder.
        dataset: its name.
        environment: name of an environment or real window.
        methods: names, in the order of the result.
        column: what to read; ``pnl`` and ``pnl_without_premium`` change sign, drawdowns and turnover are kept.
        seeds: the seeds to ask for; without, every seed that any of the methods has begun.

    Raises:
        InputError: if a file cannot be read or the runs do not have the same number of episodes.
    """
    begun = {name: store.entries_by_seed(root, dataset, name) for name in methods}
    asked = sorted({seed for runs in begun.values() for seed in runs} if seeds is None else seeds)
    tables: dict[str, Tensor] = {}
    own: dict[str, tuple[int, ...]] = {}
    for name, runs in begun.items():
        finished = sorted(seed for seed, run in runs.items() if run.done and seed in asked)
        found = {seed: _read(runs[seed].folder, environment, column) for seed in finished}
        rows = {seed: row for seed, row in found.items() if len(row)}
        if rows:
            table = _stacked(rows, root / dataset / name)
            rule = bool((table == table[0]).all()) and not _trained(runs[min(rows)])
            tables[name], own[name] = (table[:1], ()) if rule else (table, tuple(rows))
    lengths = {name: table.shape[1] for name, table in tables.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{root / dataset}: episodes of {environment} differ ({lengths}); evaluate all methods alike")
    lacking = {name: tuple(seed for seed in asked if seed not in seeds) for name, seeds in own.items() if seeds}
    return Losses(
        tables=tables,
        seeds=own,
        missing={name: seeds for name, seeds in lacking.items() if seeds},
        absent=tuple(name for name in methods if name not in tables),
    )


def _read(folder: Path, environment: str, column: str) -> Float[Tensor, " episodes"]:
    """The episodes of a run, none if it does not know the environment."""
    path = folder / store.EPISODES
    try:
        table = pq.read_table(path, columns=[column], filters=[("environment", "=", environment)])
        values = torch.from_numpy(table.column(column).to_numpy().astype("float64"))
    except (OSError, pa.ArrowInvalid, KeyError):
        raise InputError(f"{path}: its column {column!r} cannot be read; delete the folder and run again") from None
    return -values if column in GAINS else values


def _stacked(rows: dict[int, Tensor], home: Path) -> Float[Tensor, "seeds episodes"]:
    lengths = {seed: len(row) for seed, row in rows.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{home}: the seeds have different numbers of episodes ({lengths}); evaluate them all alike")
    return torch.stack(list(rows.values()))


def _trained(run: store.Entry) -> bool:
    return any(key.startswith("training/") for key in run.metrics)
