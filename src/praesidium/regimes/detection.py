"""How soon a change of regime is noticed, and how often one is noticed that is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from praesidium.component import InputError
from praesidium.regimes.observations import refuse_other_rows

PERIODS = 252


@dataclass(frozen=True)
class Detection:
    """Changes of regime, true and told.

    Attributes:
        accuracy: share of the days with the right label.
        delay: mean days from a true change until its regime is told, of the changes that were noticed; NaN if none was.
        missed: share of the true changes whose regime ends before it is ever told.
        false_alarms: changes told a year into a regime that is not the true one of that day.
        changes: true changes.
    """

    accuracy: float
    delay: float
    missed: float
    false_alarms: float
    changes: int


def detection(states: ArrayLike, told: ArrayLike, *, periods: float = PERIODS) -> Detection:
    """Compare labels that were told, day by day, with the true regimes.

    Args:
        states: the true regime of each day, (days,).
        told: the regime that was told on that day, (days,), under the same names.
        periods: days of a year.

    Raises:
        InputError: if there are not as many labels as states, or none, or both are of pandas with different indexes.
    """
    refuse_other_rows("detection", states, told)
    states, told = np.asarray(states), np.asarray(told)
    if states.shape != told.shape or states.ndim != 1 or not len(states):
        raise InputError(f"told: shape {told.shape} does not match the {states.shape} true regimes; give one a day")
    delays = _delays(states, told)
    noticed = delays[~np.isnan(delays)]
    moved = np.flatnonzero(np.diff(told) != 0) + 1
    return Detection(
        accuracy=float((states == told).mean()),
        delay=float(noticed.mean()) if len(noticed) else float("nan"),
        missed=float(np.isnan(delays).mean()) if len(delays) else float("nan"),
        false_alarms=float((told[moved] != states[moved]).sum() * periods / len(states)),
        changes=len(delays),
    )


def _delays(states: Int[np.ndarray, " days"], told: Int[np.ndarray, " days"]) -> NDArray[np.float64]:
    """Days after each true change until its regime is told; NaN where it ends before that."""
    firsts = np.flatnonzero(np.diff(states) != 0) + 1
    ends = np.append(firsts, len(states))[1:]
    found = []
    for first, end in zip(firsts, ends, strict=True):
        right = np.flatnonzero(told[first:end] == states[first])
        found.append(float(right[0]) if len(right) else float("nan"))
    return np.array(found)
