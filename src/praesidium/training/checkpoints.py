"""Checkpoints: tensors in safetensors files, facts in their header; nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from praesidium.component import InputError

LAST = "last.safetensors"


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write a file that is either whole or not there."""
    os.replace(write(path, tensors, facts), path)


def write(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Write what :func:`save` writes beside its place; whoever moves it there makes it count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".partial")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, scratch, metadata={"facts": json.dumps(facts)})
    return scratch


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
