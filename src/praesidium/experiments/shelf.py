"""A shelf: tensors that many processes need, made once and mapped into the memory of each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from praesidium.component import fingerprint
from praesidium.experiments.store import PARTIAL
from praesidium.stopwatch import phase

PREFIX, LOCK = ".shelf-", ".lock"

Tensors = dict[str, Tensor]


class Shelf:
    """A folder of tensors by name and settings.

    Args:
        folder: where they lie; without one, everything is made anew for each who asks.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def fetch(
        self, name: str, settings: Mapping[str, Any], make: Callable[[], tuple[Tensors, dict[str, Any]]]
    ) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and facts; the first to ask makes them, those who ask meanwhile wait, all others map the file."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}-{fingerprint(settings)}.safetensors"
        with FileLock(path.with_suffix(LOCK)):
            if not path.is_file():
                tensors, facts = make()
                with phase("write"):
                    scratch = path.with_suffix(PARTIAL)
                    save_file(
                        {key: one.contiguous() for key, one in tensors.items()},
                        scratch,
                        metadata={"facts": json.dumps(facts)},
                    )
                    os.replace(scratch, path)
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["facts"])  # noqa: SIM118

    def drop(self, name: str) -> None:
        """Forget what nobody will ask for again; who has it mapped keeps it."""
        if self.folder is not None:
            for path in self.folder.glob(f"{name}-*"):
                path.unlink(missing_ok=True)


@contextmanager
def shelf_in(root: Path) -> Iterator[Shelf]:
    """A shelf for one grid, gone when it ends; one that a killed grid left behind is cleared away."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{PREFIX}*"):
        try:
            with FileLock(left / LOCK, blocking=False):
                shutil.rmtree(left, ignore_errors=True)
        except (Timeout, OSError):
            continue  # its grid is alive
    folder = Path(mkdtemp(prefix=PREFIX, dir=root))
    try:
        with FileLock(folder / LOCK):
            yield Shelf(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
