"""Causality as a contract: where decisions are made, whatever looks ahead is refused.

A smoothed probability p(z_t | x_1..T) knows the days after t. Traded on, it earns what nobody can earn. Backtests run
inside :func:`deciding`; there smoothing and decoding raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from praesidium.component import InputError

_DECIDING: ContextVar[bool] = ContextVar("deciding", default=False)


class LookAhead(InputError):
    """Something that knows the future was asked for where a decision is made."""


@contextmanager
def deciding() -> Iterator[None]:
    """Inside, only what was known at the time may be asked for."""
    token = _DECIDING.set(True)
    try:
        yield
    finally:
        _DECIDING.reset(token)


def refuse_look_ahead(what: str) -> None:
    """Raise if a decision is being made.

    Args:
        what: the call that looks ahead, such as ``GaussianHMM.smooth``.

    Raises:
        LookAhead: inside :func:`deciding`.
    """
    if _DECIDING.get():
        raise LookAhead(
            f"{what}: it looks ahead, and a decision is being made; use filter, predict or forecast, which know the "
            "past alone"
        )
