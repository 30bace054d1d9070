"""Table: one episode on paths of several environments, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError
from praesidium.gymnasium.book import Book

SHOWN = ("spot", "delta", "cost", "pnl")  # of a book


class Seat(NamedTuple):
    """The paths of one environment.

    Attributes:
        name: of the environment.
        paths: where they sit at the table.
        book: what they hold and earn.
    """

    name: str
    paths: slice
    book: Book


class Table:
    """Books that are kept together, in the order of the paths.

    Args:
        count: number of paths.
        seats: every path has one.
    """

    def __init__(self, count: int, seats: Sequence[Seat]) -> None:
        self.count, self.seats = count, seats
        longest = max(len(one.name) for one in seats)
        self._names = np.empty(count, dtype=f"<U{longest}")
        for one in seats:
            self._names[one.paths] = one.name

    @property
    def over(self) -> bool:
        """Whether the liabilities have matured."""
        return self.seats[0].book.over

    def observe(self) -> Float32[np.ndarray, "paths width"]:
        """As of :attr:`praesidium.gymnasium.book.Book.observation`."""
        return self._gather([one.book.observation for one in self.seats], np.float32)

    def tell(self) -> dict[str, NDArray[np.generic]]:
        """What is not for the policy to see: spot, delta, cost of the last day, profit so far, environment."""
        told = {name: self._gather([getattr(one.book, name) for one in self.seats], np.float64) for name in SHOWN}
        return {**told, "environment": self._names.copy()}

    def advance(self, actions: object) -> Float64[np.ndarray, " paths"]:
        """Act on every path, and hold over the next period.

        Returns:
            Profits, as of :meth:`praesidium.gymnasium.book.Book.advance`.

        Raises:
            InputError: if the actions are not finite or not as many as there are paths and instruments, or the episode
                is over.
        """
        given = np.asarray(actions, dtype=np.float32)
        instruments = self.seats[0].book.instruments
        if given.shape != (self.count, instruments) or not np.isfinite(given).all():
            raise InputError(
                f"step: the actions {actions!r} are not {self.count} x {instruments} finite numbers, "
                "one for each path and instrument; take them from the action space"
            )
        wanted = torch.tensor(given[:, 0] if instruments == 1 else given)
        return self._gather([one.book.advance(wanted[one.paths]) for one in self.seats], np.float64)

    def _gather(self, parts: Sequence[Tensor], kind: type[np.floating]) -> NDArray[Any]:
        """One array of all paths, of its own memory."""
        gathered = np.empty((self.count, *parts[0].shape[1:]), dtype=kind)
        for one, part in zip(self.seats, parts, strict=True):
            gathered[one.paths] = part.numpy()
        return gathered
