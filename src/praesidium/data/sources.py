"""Where real prices come from."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from praesidium.component import Component, InputError
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
