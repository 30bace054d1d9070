"""Observations: what users hand over, as padded sequences, and results in the form in which they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError


@dataclass(frozen=True, eq=False)
class Observations:
    """Sequences of observations, padded to the longest.

    Attributes:
        values: float64; NaN where missing, and past the end.
        lengths: rows of each sequence.
        index: of the rows as they came, where they came in pandas.
    """

    values: Float[Tensor, "batch times features"]
    lengths: Int[Tensor, " batch"]
    index: pd.Index | None = None

    @property
    def missing(self) -> Tensor:
        """Which numbers are not there, (batch, times, features)."""
        return self.values.isnan()

    @property
    def rows(self) -> Float[Tensor, "rows features"]:
        """All rows one after the other, without padding."""
        return self.flatten(self.values)

    def flatten(self, values: Shaped[Tensor, "batch times *rest"]) -> Shaped[Tensor, "rows *rest"]:
        """Numbers by sequence and time as one table, without padding."""
        return torch.cat([one[:length] for one, length in zip(values, self.lengths.tolist(), strict=True)])

    def table(self, values: Float[Tensor, "batch times states"], names: Sequence[Any]) -> Any:
        """Numbers by sequence, time and state in the form of the input: a DataFrame with its index, or an array."""
        rows = self.flatten(values.detach()).numpy()
        return rows if self.index is None else pd.DataFrame(rows, index=self.index, columns=list(names))

    def column(self, values: Tensor, name: str) -> Any:
        """Whole numbers by sequence and time in the form of the input: a Series with its index, or an array."""
        rows = self.flatten(values).numpy()
        return rows if self.index is None else pd.Series(rows, index=self.index, name=name)


def observe(
    X: Any, *, lengths: Sequence[int] | NDArray[np.int64] | None = None, features: int | None = None, name: str = "X"
) -> Observations:
    """Check observations and cut them into sequences.

    Args:
        X: (rows,) or (rows, features), NumPy or pandas; NaN is missing.
        lengths: rows of each sequence, in order; None for one sequence.
        features: how many there have to be; None if any number will do.
        name: of the argument, for the message.

    Raises:
        InputError: if there are no rows, a number is infinite or no number, or shapes do not fit.
    """
    index = X.index if isinstance(X, pd.Series | pd.DataFrame) else None
    try:
        values = np.asarray(X.to_numpy() if index is not None else X, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"{name}: it holds something that is no number; give numbers, NaN where one is missing"
        ) from None
    if values.ndim == 1:
        values = values[:, np.newaxis]
    if values.ndim != 2 or len(values) == 0 or values.shape[1] == 0:
        raise InputError(f"{name}: shape {values.shape} is not (rows, features) with at least one of each")
    if np.isinf(values).any():
        raise InputError(f"{name}: {int(np.isinf(values).sum())} numbers are infinite; write NaN where one is missing")
    if features is not None and values.shape[1] != features:
        raise InputError(f"{name}: it has {values.shape[1]} columns, but {features} were fitted; give the same columns")
    counts = np.asarray([len(values)] if lengths is None else lengths, dtype=np.int64)
    if counts.ndim != 1 or (counts < 1).any() or counts.sum() != len(values):
        raise InputError(
            f"lengths: {counts.tolist()} do not cut {len(values)} rows into sequences; give positive numbers that "
            "sum to it"
        )
    padded = np.full((len(counts), int(counts.max()), values.shape[1]), np.nan)
    for row, part in zip(padded, np.split(values, np.cumsum(counts)[:-1]), strict=True):
        row[: len(part)] = part
    return Observations(torch.from_numpy(padded), torch.from_numpy(counts), index)


def observe_inputs(inputs: Any, observed: Observations) -> Float[Tensor, "batch times inputs"]:
    """Check covariates and cut them as observations are cut; zero past the end.

    Raises:
        InputError: if they are not known in each row of the observations.
    """
    given, rows = observe(inputs, name="inputs"), int(observed.lengths.sum())
    if len(given.rows) != rows:
        raise InputError(f"inputs: they have {len(given.rows)} rows, but X has {rows}; give a row for each")
    if given.index is not None and observed.index is not None and not given.index.equals(observed.index):
        raise InputError("inputs: their index is not that of X; align them, such as by inputs.reindex(X.index)")
    lost = int(given.rows.isnan().sum())
    if lost:
        raise InputError(f"inputs: {lost} numbers are missing; fill them by what was known then, such as by ffill()")
    return torch.nn.utils.rnn.pad_sequence(list(given.rows.split(observed.lengths.tolist())), batch_first=True)
