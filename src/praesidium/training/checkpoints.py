"""Checkpoints: tensors in safetensors files, facts in their header; nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from praesidium.component import InputError

LAST = "last.safetensors"
SCRATCH = ".partial"


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write a file that is either whole or not there."""
    write(path, tensors, facts)
    move([path])


def write(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write what :func:`save` writes beside its place; :func:`move` makes it count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path.with_suffix(SCRATCH), metadata={"facts": json.dumps(facts)})


def move(paths: Sequence[Path]) -> None:
    """Make files count of which all have been written; what a kill leaves of it is for :func:`recover`."""
    for path in paths:
        os.replace(path.with_suffix(SCRATCH), path)


def recover(folders: Sequence[Path]) -> list[int]:
    """Finish the move of ``last.safetensors`` files, of trainings that run as one, in which a kill came between.

    If one training has come to a step, then all had been written at that step before it was moved: what lies beside
    the files of the others is whole. Else none had been moved, and what lies there may be cut; it does not count.

    Returns:
        Steps from which the trainings would continue; 0 where none was begun.
    """
    every = [folder / LAST for folder in folders]
    steps: list[int] = [load(path)[1]["step"] if path.is_file() else 0 for path in every]
    begun = set(steps)
    for place, path in enumerate(every):
        if path.with_suffix(SCRATCH).is_file():
            try:
                written = load(path.with_suffix(SCRATCH))[1]["step"]
            except InputError:
                continue
            if written > steps[place] and written in begun:
                move([path])
                steps[place] = written
    return steps


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file that :func:`save` wrote.

    Raises:
        InputError: if the file is missing or is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint; give a .safetensors file of a checkpoints folder")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError):
        raise InputError(f"{path}: not a checkpoint of Praesidium; give a .safetensors file that it wrote") from None


class BestCheckpoints:
    """Keeps the ``keep`` checkpoints of lowest validation risk in a folder, as ``step_000180.safetensors``."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.risks: dict[int, float] = {}

    def offer(self, step: int, risk: float, values: dict[str, Tensor]) -> None:
        """Keep these parameters if they are among the best; the earlier of two equal ones wins."""
        self.risks[step] = risk
        kept = sorted(self.risks, key=lambda one: (self.risks[one], one))[: self.keep]
        if step in kept:
            save(self.path(step), values, {"step": step, "validation_risk": risk})
        for other in set(self.risks) - set(kept):
            del self.risks[other]
            self.path(other).unlink(missing_ok=True)

    @property
    def best(self) -> int:
        """Step of the best checkpoint."""
        return min(self.risks, key=lambda one: (self.risks[one], one))

    def path(self, step: int) -> Path:
        """File of a step."""
        return self.folder / f"step_{step:06d}.safetensors"
