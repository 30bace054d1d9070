"""Where real prices come from."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from praesidium.component import Component, InputError, unknown
from praesidium.data.prices import Prices, read_staged, sp500

STAGED = "data/processed/spy_prices.csv"


class PriceSource(Component):
    """A price history."""

    @abstractmethod
    def read(self) -> Prices:
        """The prices.

        Raises:
            InputError: if they are not there or not fit for use.
        """


class EmbeddedSP500(PriceSource, kind="sp500"):
    """S&P 500 index closes 1990-2022, which come with skfolio; nothing is downloaded."""

    def read(self) -> Prices:
        return sp500()


class Staged(PriceSource, kind="csv"):
    """A CSV that ``praesidium stage`` has brought in.

    Attributes:
        path: relative paths start at the working directory.
    """

    path: str = STAGED

    def read(self) -> Prices:
        path = Path(self.path)
        if not path.is_file():
            raise InputError(f"{path}: no prices are staged there; bring some in with: praesidium stage FILE")
        return read_staged(path)


def prices_by_name(data: str, *others: str) -> Prices:
    """Prices as the command line names them: ``sp500``, ``real_spy``, or a CSV that would pass staging.

    Args:
        data: the name, or the file.
        others: further names that the caller knows, for the message.

    Raises:
        InputError: if there is no such name, or the prices cannot be used.
    """
    if data == "sp500":
        return sp500()
    if data == "real_spy":
        return Staged().read()
    if Path(data).suffix.lower() != ".csv":
        raise InputError(unknown("data", data, ("sp500", "real_spy", *others, "FILE.csv")))
    return read_staged(Path(data))
