"""What a command says: results to the output, everything else beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def console() -> Any:
    """Where tables go; wide in a log."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 170)


def announce(text: str) -> None:
    """Say what is about to happen."""
    print(text, file=sys.stderr)


def complain(lines: Iterable[str]) -> None:
    """Say what went wrong."""
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
