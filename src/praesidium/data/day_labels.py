"""Labels of the days of a price history, by which environments may be chosen in place of volatility bands."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from praesidium.component import Component


class DayLabels(Component):
    """How the days of a history are told apart."""

    @abstractmethod
    def label(self, log_returns: NDArray[np.float64], training: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
        """A label for each return, the calmest days 0, from the returns up to it.

        Args:
            log_returns: of the whole history.
            training: the stretches of it that anything may be learned from.
        """
