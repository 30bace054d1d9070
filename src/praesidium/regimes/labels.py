"""Label identity: which regime of one fit is which of another.

A likelihood does not know the names of its regimes, so that each refit may give them others. :class:`.RegimeModel`
orders them by volatility; what is here orders, aligns and compares the labels of anything.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from praesidium.component import InputError
from praesidium.regimes.model import RegimeModel
from praesidium.regimes.observations import refuse_other_rows


class Stability(NamedTuple):
    """How far two labelings of the same rows agree.

    Attributes:
        agreement: share of rows with the same regime once names are aligned.
        adjusted_rand: 1 for the same partition, 0 on average for partitions that know nothing of each other.
        as_named: share of rows with the same regime by the names they came with.
    """

    agreement: float
    adjusted_rand: float
    as_named: float


def order_by_volatility(returns: ArrayLike, probabilities: ArrayLike) -> NDArray[np.int64]:
    """The order in which regimes rise in volatility: the new k is the old ``order[k]``.

    Args:
        returns: (rows,), NaN where missing.
        probabilities: (rows, K), or (rows,) labels; rows with NaN or a negative label do not count.
    """
    shares, values = _shares(probabilities), np.asarray(returns, dtype=np.float64)
    if values.shape != shares.shape[:1]:
        raise InputError(
            f"returns: shape {values.shape} does not fit {len(shares)} rows of probabilities; give (rows,)"
        )
    weight = np.where(np.isnan(values)[:, np.newaxis], 0, shares)
    values = np.nan_to_num(values)[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        mean = (weight * values).sum(0) / weight.sum(0)
        variance = (weight * (values - mean) ** 2).sum(0) / weight.sum(0)
    return np.argsort(variance, kind="stable")


def align(reference: ArrayLike, other: ArrayLike) -> NDArray[np.int64]:
    """The order that renames the regimes of ``other`` so that most probability falls on those of ``reference``.

    Args:
        reference: (rows, K) probabilities or (rows,) labels; rows with NaN or a negative label do not count.
        other: the same rows by another fit, in either form.

    Returns:
        ``order``, (K): the new k is the old ``order[k]``, so that ``other[:, order]`` are the renamed probabilities and
        ``np.argsort(order)[labels]`` the renamed labels.

    Source: Kuhn 1955, the Hungarian method.
    """
    refuse_other_rows("align", reference, other)
    overlap = _overlap(reference, other)
    return linear_sum_assignment(overlap, maximize=True)[1]


def align_parameters(
    reference: Float[NDArray[np.float64], "regimes parameters"], other: Float[NDArray[np.float64], "regimes parameters"]
) -> Int[NDArray[np.int64], " regimes"]:
    """The order that renames regimes so that their parameters lie closest, each in units of its spread over regimes.

    Such as ``np.column_stack([model.means_, np.log(model.volatilities_)])``, where fits share no rows.
    """
    spread = np.concatenate([reference, other]).std(0)
    scale = np.where(spread > 0, spread, 1.0)
    away = ((reference[:, np.newaxis] - other) / scale) ** 2
    return linear_sum_assignment(away.sum(-1))[1]


def stability(reference: ArrayLike, other: ArrayLike) -> Stability:
    """How far two labelings of the same rows agree.

    Args:
        reference, other: (rows,) labels; rows with a negative label in either do not count.

    Raises:
        InputError: if they are no labels, of pandas with different indexes, or without a known row in common.
    """
    refuse_other_rows("stability", reference, other)
    one, two = np.asarray(reference), np.asarray(other)
    for labels in (one, two):
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"stability: shape {labels.shape} of {labels.dtype} is not whole labels (rows,); of probabilities "
                "take argmax(1)"
            )
    known = (one >= 0) & (two >= 0) if one.shape == two.shape else np.zeros(0, dtype=bool)
    if not known.any():
        raise InputError(f"stability: labels of shapes {one.shape} and {two.shape} have no known row in common")
    one, two = one[known], two[known]
    renamed = np.argsort(align(one, two))[two]
    rand = float(adjusted_rand_score(one, two))
    return Stability(float((one == renamed).mean()), rand, float((one == two).mean()))


def refit_stability(model: RegimeModel, X: Any, *, window: int, every: int, inputs: Any = None) -> pd.DataFrame:
    """Refit a model on trailing windows, and compare each fit with the one before on the rows that both have seen.

    Args:
        model: is cloned, not fitted.
        X: (rows,) or (rows, features), in the order of time.
        window: rows of each fit.
        every: rows from one fit to the next, fewer than ``window``.
        inputs: by row, for models that take them.

    Returns:
        A row for each refit, indexed by the number of rows before its end: ``agreement``, ``adjusted_rand`` and
        ``as_named`` of the filtered labels. ``as_named`` below ``agreement`` says that names were swapped.
    """
    rows = len(X)
    if not 0 < every < window <= rows - every:
        raise InputError(
            f"refit_stability: window={window} and every={every} do not fit {rows} rows; two windows have "
            "to overlap, such as window=1000 and every=250 of 2000"
        )
    found, ends = [], []
    before = None
    for end in range(window, rows + 1, every):
        part = slice(end - window, end)
        fit = cast(RegimeModel, clone(model)).fit(_cut(X, part), inputs=_cut(inputs, part))
        if before is not None:
            common = slice(end - window, end - every)
            labels = [np.asarray(one.predict(_cut(X, common), inputs=_cut(inputs, common))) for one in (before, fit)]
            found.append(stability(*labels))
            ends.append(end)
        before = fit
    return pd.DataFrame(found, index=pd.Index(ends, name="rows"), columns=list(Stability._fields))


def _cut(values: Any, part: slice) -> Any:
    if values is None:
        return None
    return values.iloc[part] if isinstance(values, pd.Series | pd.DataFrame) else values[part]


def _overlap(reference: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Probability mass by regime of one and of the other, square."""
    one, two = _shares(reference), _shares(other)
    if len(one) != len(two):
        raise InputError(f"align: {len(one)} and {len(two)} rows are not the same rows; cut them to those in common")
    most = max(one.shape[1], two.shape[1])
    mass = np.zeros((most, most))
    mass[: one.shape[1], : two.shape[1]] = one.T @ two
    return mass


def _shares(values: ArrayLike) -> NDArray[np.float64]:
    """Probabilities, of labels as well; zero where unknown."""
    array = np.asarray(values)
    if array.ndim == 2:
        return np.nan_to_num(array.astype(np.float64))
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"labels: shape {array.shape} of {array.dtype} is neither (rows, K) probabilities nor whole labels"
        )
    known = array >= 0
    return np.eye(int(array.max(initial=0)) + 1)[np.where(known, array, 0)] * known[:, np.newaxis]
