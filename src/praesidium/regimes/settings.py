"""What a setting may be: scikit-learn checks none, and a grid of them comes as NumPy numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from praesidium.component import InputError, unknown


def whole(value: Any, least: int = 1) -> bool:
    """Whether it is a whole number of at least so much, Python's or NumPy's; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def real(value: Any) -> bool:
    """Whether it is a number, Python's or NumPy's; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def reals(values: Any) -> bool:
    """Whether it is a sequence of numbers, or an array of them with one axis."""
    return (isinstance(values, Sequence) or getattr(values, "ndim", 0) == 1) and all(map(real, values))


def check_name(name: str, value: Any, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones."""
    if not isinstance(value, str) or value not in known:
        raise InputError(unknown(name, value, known))
