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
        names: of the features, where they came in a DataFrame and all are text.
    """

    values: Float[Tensor, "batch times features"]
    lengths: Int[Tensor, " batch"]
    index: pd.Index | None = None
    names: tuple[str, ...] | None = None

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
        InputError: if there are no rows, a number is infinite or no number, shapes do not fit, or dates do not rise
            within a sequence.
    """
    values, index = _values(X, name)
    if features is not None and values.shape[1] != features:
        raise InputError(f"{name}: it has {values.shape[1]} columns, but {features} were fitted; give the same columns")
    counts = np.asarray([len(values)] if lengths is None else lengths, dtype=np.int64)
    if counts.ndim != 1 or (counts < 1).any() or counts.sum() != len(values):
        raise InputError(
            f"lengths: {counts.tolist()} do not cut {len(values)} rows into sequences; give positive numbers that "
            "sum to it"
        )
    _refuse_disorder(index, counts, name)
    padded = np.full((len(counts), int(counts.max()), values.shape[1]), np.nan)
    for row, part in zip(padded, np.split(values, np.cumsum(counts)[:-1]), strict=True):
        row[: len(part)] = part
    names = tuple(X) if isinstance(X, pd.DataFrame) and all(isinstance(one, str) for one in X) else None
    return Observations(torch.from_numpy(padded), torch.from_numpy(counts), index, names)


def observe_inputs(inputs: Any, observed: Observations) -> Float[Tensor, "batch times inputs"]:
    """Check covariates and cut them as observations are cut; zero past the end.

    Raises:
        InputError: if they are not known in each row of the observations.
    """
    values, index = _values(inputs, "inputs")
    rows, lengths = int(observed.lengths.sum()), observed.lengths
    if len(values) != rows:
        raise InputError(f"inputs: they have {len(values)} rows, but X has {rows}; give a row for each")
    if index is not None and observed.index is not None and not index.equals(observed.index):
        raise InputError("inputs: their index is not that of X; align them, such as by inputs.reindex(X.index)")
    _refuse_disorder(index, lengths.numpy(), "inputs")
    lost = int(np.isnan(values).sum())
    if lost:
        raise InputError(f"inputs: {lost} numbers are missing; fill them by what was known then, such as by ffill()")
    return torch.nn.utils.rnn.pad_sequence(list(torch.tensor(values).split(lengths.tolist())), batch_first=True)


def refuse_other_rows(what: str, one: Any, two: Any) -> None:
    """Refuse what is to be compared row by row, but does not have the same rows.

    Raises:
        InputError: if both are of pandas and their indexes differ.
    """
    if all(isinstance(each, pd.Series | pd.DataFrame) for each in (one, two)) and not one.index.equals(two.index):
        raise InputError(f"{what}: the index of one is not that of the other; align them, such as by other.reindex")


def _values(X: Any, name: str) -> tuple[Float[np.ndarray, "rows features"], pd.Index | None]:
    """The numbers, checked, and the index of their rows where they came in pandas."""
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
    return values, index


def _refuse_disorder(index: pd.Index | None, lengths: Int[np.ndarray, " sequences"], name: str) -> None:
    """Refuse dates that do not rise within each sequence: a filter would take what came later for the past."""
    if not isinstance(index, pd.DatetimeIndex | pd.PeriodIndex):
        return
    wrong = ~np.asarray(index[1:] > index[:-1])
    wrong[np.cumsum(lengths)[:-1] - 1] = False
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{name}: {index[row + 1]} in row {row + 1} does not come after {index[row]} in row {row}; say "
            f"{name}.sort_index(), and keep one row for each date"
        )
