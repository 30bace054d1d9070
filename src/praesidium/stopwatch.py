"""Where time goes: phases of the work, added up while somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Stopwatch:
    """Seconds and calls of each phase, without those of the phases inside it.

    Attributes:
        settle: called at each change of phase; a GPU, which works behind one's back, is waited for here.
    """

    settle: Callable[[], object] = lambda: None
    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    def enter(self, name: str) -> None:
        """Begin a phase inside the present one."""
        self._lap()
        self._open.append(name)
        self.calls[name] = self.calls.get(name, 0) + 1

    def leave(self) -> None:
        """End the present phase."""
        self._lap()
        self._open.pop()

    def _lap(self) -> None:
        self.settle()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


_looking: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


class phase:  # noqa: N801 - a context manager, named like one
    """``with phase("rollout"): ...`` counts towards the stopwatch of :func:`watch`, if there is one."""

    __slots__ = ("name", "stopwatch")

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.stopwatch = _looking.get()
        if self.stopwatch is not None:
            self.stopwatch.enter(self.name)

    def __exit__(self, *error: object) -> None:
        if self.stopwatch is not None:
            self.stopwatch.leave()


@contextmanager
def watch(stopwatch: Stopwatch) -> Iterator[Stopwatch]:
    """Add up the phases of what runs inside."""
    token = _looking.set(stopwatch)
    try:
        yield stopwatch
    finally:
        _looking.reset(token)
