"""Engines: where the batches of a grid are run."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Literal

import torch
from pydantic import PositiveInt

from praesidium.component import Component

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 256 << 20  # bytes


@dataclass(frozen=True)
class Outcome:
    """What became of one cell.

    Attributes:
        cell: the name of the cell.
        status: ``done`` now; ``skipped``, it was done before; ``elsewhere``, another process has it; ``failed``.
        reason: why it failed.
    """

    cell: str
    status: Literal["done", "skipped", "elsewhere", "failed"]
    reason: str = ""


Batch = Sequence[Any]
"""Cells that are run together."""

Task = Callable[[Batch], Iterable[Outcome]]
"""Runs a batch, an outcome a cell; importable by name, so that a worker can be told to run it."""


class Engine(Component):
    """Runs a task on many batches. Never raises for a cell: one that fails is an outcome, and the others go on."""

    @abstractmethod
    def run(self, task: Task, batches: Sequence[Batch]) -> Iterator[Outcome]:
        """Outcomes in the order in which they come in."""


class Local(Engine, kind="local"):
    """Processes on this machine, each with one torch thread: two threads on a busy machine are slower than one.

    Attributes:
        jobs: number of processes; 1 stays in this one.
    """

    jobs: PositiveInt = 1

    def run(self, task: Task, batches: Sequence[Batch]) -> Iterator[Outcome]:
        if self.jobs == 1 or len(batches) <= 1:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            keep_memory()
            try:
                for batch in batches:
                    yield from attempt(task, batch)
            finally:
                torch.set_num_threads(threads)
            return
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(self.jobs, len(batches)), mp_context=context, initializer=_settle_in)
        futures = {pool.submit(attempt, task, batch): batch for batch in batches}
        try:
            for future in as_completed(futures):
                yield from _collect(future, futures[future])
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def attempt(task: Task, batch: Batch) -> list[Outcome]:
    """Run one batch; whatever goes wrong becomes the outcome of the cells that had none yet."""
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(task(batch))
    except Exception as error:
        done = {one.cell for one in outcomes}
        outcomes += [failed(cell, error) for cell in batch if str(cell) not in done]
    return outcomes


def failed(cell: Any, error: Exception) -> Outcome:
    """The outcome of a cell that went wrong."""
    if os.environ.get("PRAESIDIUM_DEBUG"):
        traceback.print_exception(error)
    return Outcome(str(cell), "failed", f"{type(error).__name__}: {error}")


def _collect(future: Future[list[Outcome]], batch: Batch) -> list[Outcome]:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "its worker process died (out of memory?); run the same command again"
        return [Outcome(str(cell), "failed", reason) for cell in batch]


def keep_memory() -> None:
    """Let this process keep what it frees: glibc hands tensors back to the system, a third of a step in page faults.

    Without glibc nothing happens.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if adjust is not None:
        for option, size in ((M_MMAP_THRESHOLD, KEPT), (M_TRIM_THRESHOLD, KEPT)):
            adjust(option, size)


def _settle_in() -> None:
    """One thread, and no life after the parent: an orphan would go on holding its cell."""
    torch.set_num_threads(1)
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
