"""The run store: a cell is a folder, and a folder is done when its final metrics are there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from praesidium.component import InputError, fingerprint, flatten

CONFIG, LOG, FINAL, METADATA = "config.yaml", "metrics.jsonl", "final_metrics.json", "metadata.json"
EPISODES, CHECKPOINTS, ARTIFACTS, LOCK = "episodes.parquet", "checkpoints", "artifacts", ".lock"
PARTIAL = ".partial"  # a file that was being written when its process was killed
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C, five times as fast, where it was built
NAMES = ("dataset", "method", "seed")  # which run it is
PACKAGES = ("praesidium", "torch", "numpy", "pandas", "arch", "skfolio")


class Busy(Exception):
    """Another process runs this cell."""


@dataclass(frozen=True)
class Run:
    """One run on disk: its folder and the settings that belong there."""

    folder: Path
    settings: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the numbers; neither device nor number of workers."""
        return fingerprint(self.settings)

    def check(self) -> bool:
        """Whether the run is done.

        Raises:
            InputError: if the folder cannot be made, holds something that is no run, or a run with other settings.
        """
        check_folder(self.folder)
        config = self.folder / CONFIG
        if not config.is_file():
            files = self.folder.iterdir() if self.folder.exists() else ()
            if any(path.name != LOCK and path.suffix != PARTIAL for path in files):
                raise InputError(f"{self.folder} holds other files, not a run; choose another --out")
            return False
        there = read_config(self.folder)
        if there != self.settings:
            raise InputError(
                f"{self.folder} was made with other settings ({_changes(there, self.settings)}); choose "
                "another --out or delete it"
            )
        return (self.folder / FINAL).is_file()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the folder to this process.

        Raises:
            Busy: if another process has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / LOCK, blocking=False):
                yield
        except Timeout:
            raise Busy(str(self.folder)) from None

    def begin(self) -> None:
        """Write the settings."""
        write_text(self.folder / CONFIG, yaml.safe_dump(dict(self.settings), sort_keys=False))

    def finish(self, metrics: Mapping[str, Any], *, device: str, seconds: float, stack: int = 1) -> None:
        """Write the record, then the final metrics: with them the run is done.

        Args:
            metrics: the results.
            device: where they were computed.
            seconds: it took; a replica's share of its stack.
            stack: replicas that were trained as one.
        """
        record = {
            "fingerprint": self.fingerprint,
            "commit": commit(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in PACKAGES},
            "device": device,
            "seconds": round(seconds, 3),
            "stack": stack,
            "prereg": registration(),
        }
        write_text(self.folder / METADATA, json.dumps(record, indent=2))
        write_text(self.folder / FINAL, json.dumps(metrics, indent=2, allow_nan=False))


def check_folder(folder: Path) -> None:
    """Refuse what is no folder and cannot become one, before the work that would be written into it.

    Raises:
        InputError: names what is in the way.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"out: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"out: nothing may be written into {there}; name another folder")


class StepLog:
    """``metrics.jsonl``: one row a step; rows after the step of a resumed checkpoint are written anew."""

    def __init__(self, path: Path, *, resumed_at: int) -> None:
        kept = []
        if path.is_file() and resumed_at:
            with path.open() as file:
                kept = [line for line, _ in zip(file, range(resumed_at), strict=False)]
        write_text(path, "".join(kept))
        self._file = path.open("a")

    def __call__(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()  # to the system: what was logged outlives this process

    def close(self) -> None:
        """Nothing more is to come."""
        self._file.close()


def read_config(folder: Path) -> dict[str, Any]:
    """Settings of a run.

    Raises:
        InputError: if they are missing or damaged.
    """
    try:
        settings = yaml.load((folder / CONFIG).read_text(), Loader=LOADER)
    except (OSError, yaml.YAMLError):
        raise InputError(f"{folder}: its {CONFIG} cannot be read; give the folder of a run") from None
    if not isinstance(settings, dict):
        raise InputError(f"{folder / CONFIG}: holds no settings; delete the folder and run again")
    return settings


def read_metrics(folder: Path) -> dict[str, Any]:
    """The final metrics of a run.

    Raises:
        InputError: if there are none that can be read.
    """
    try:
        return json.loads((folder / FINAL).read_text())
    except (OSError, json.JSONDecodeError):
        raise InputError(f"{folder / FINAL}: cannot be read; delete the folder and run again") from None


@dataclass(frozen=True)
class Entry:
    """A run that was begun, as it lies in the store; each file is read when it is first asked for, and kept.

    Attributes:
        folder: of the run.
    """

    folder: Path

    @property
    def done(self) -> bool:
        """Whether it is finished."""
        return (self.folder / FINAL).is_file()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What it was made with, and its names."""
        return read_config(self.folder)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The final ones."""
        return read_metrics(self.folder)

    @property
    def names(self) -> dict[str, Any]:
        """Data set, method and seed."""
        return {name: self.settings[name] for name in NAMES}


def entries(root: Path, where: str = "*/*/seed_*") -> list[Entry]:
    """All runs below a folder, by path; ``where`` is the pattern of their folders."""
    folders = {path.parent for file in (CONFIG, FINAL) for path in root.glob(f"{where}/{file}")}
    return [Entry(folder) for folder in sorted(folders)]


def entries_by_seed(root: Path, dataset: str, method: str) -> dict[int, Entry]:
    """The runs of one method on one data set."""
    return {int(one.folder.name.removeprefix("seed_")): one for one in entries(root, f"{dataset}/{method}/seed_*")}


def finished(root: Path) -> list[Entry]:
    """The finished runs below a folder, by path.

    Raises:
        InputError: if there are none.
    """
    found = [one for one in entries(root) if one.done]
    if not found:
        raise InputError(f"{root}: there is no finished run here; run praesidium benchmark --out {root} first")
    return found


def write_text(path: Path, text: str) -> None:
    """Write a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + PARTIAL)
    scratch.write_text(text)
    os.replace(scratch, path)


def registration() -> str:
    """SHA-256 of the registered protocol that this version comes with."""
    return hashlib.sha256(files("praesidium.conf").joinpath("prereg.yaml").read_bytes()).hexdigest()


def commit() -> str | None:
    """Commit of the source tree that this package lies in; None for an installed copy."""
    asked = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


def _changes(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    old, new = flatten(there), flatten(here)
    keys = [key for key in {**old, **new} if old.get(key, "unset") != new.get(key, "unset")]
    shown = [f"{key} {old.get(key, 'unset')} -> {new.get(key, 'unset')}" for key in keys[:4]]
    return ", ".join(shown) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
