"""Statistics over paired seeds, with percentile intervals from resampled seeds and episodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.reporting.pigeonhole import Resampled


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; NaN where there is none."""

    point: float
    lower: float
    upper: float

    @property
    def tie(self) -> bool:
        """Of a difference: its interval covers zero."""
        return self.lower <= 0 <= self.upper

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return not (math.isnan(self.lower) or math.isnan(self.upper))


def interval(values: Float[Tensor, " draws"], *, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval: the values that leave ``(1 - confidence) / 2`` of the draws outside on either side.

    Both ends are drawn values, the outer ones where a quantile falls between two. NaN if any draw is NaN.

    Raises:
        InputError: if there is no draw, or ``confidence`` is not a fraction in (0, 1).
    """
    if not 0 < confidence < 1:
        raise InputError(f"interval: confidence={confidence:g} is not a fraction in (0, 1); for 95 % say 0.95")
    if len(values) == 0:
        raise InputError("interval: there are no values; at least one draw is needed")
    outside = (1 - confidence) / 2
    lower = values.quantile(outside, interpolation="lower")
    return lower.item(), values.quantile(1 - outside, interpolation="higher").item()


def estimate(statistic: Callable[..., Tensor], *quantities: Resampled, confidence: float = 0.95) -> Estimate:
    """A statistic of the seeds: its value as observed, and the percentile interval of its value in the draws.

    Args:
        statistic: takes a tensor (..., seeds) for each quantity and returns one (...): it is called with what was
            observed and with what was drawn. The seeds are paired.
        quantities: of the same draws.
        confidence: of the interval, in (0, 1).
    """
    observed = statistic(*(quantity.observed for quantity in quantities))
    drawn = statistic(*(quantity.drawn for quantity in quantities))
    return Estimate(observed.item(), *interval(drawn, confidence=confidence))


def median(values: Float[Tensor, "*batch seeds"]) -> Float[Tensor, "*batch"]:
    """Median over the seeds, halfway between the middle two of an even number; infinities count, NaN passes through."""
    return (values.median(-1).values - (-values).median(-1).values) / 2


def reduction(
    method: Float[Tensor, "*batch seeds"], reference: Float[Tensor, "*batch seeds"]
) -> Float[Tensor, "*batch seeds"]:
    """rho = 1 - R_method / R_reference: the share of the reference's risk that the method takes away.

    -inf where only the method diverged, 1 where only the reference did, NaN where both did.

    Raises:
        InputError: if a risk of the reference is not positive, where a share of it means nothing.
    """
    if not (reference > 0).all():
        raise InputError(
            f"reduction: a risk of the reference is {reference.min():g}, not positive; compare differences instead"
        )
    return 1 - method / reference


def median_reduction(method: Resampled, reference: Resampled, *, confidence: float = 0.95) -> Estimate:
    """Median over paired seeds of the :func:`reduction`, with its pigeonhole interval."""
    return estimate(lambda ours, theirs: median(reduction(ours, theirs)), method, reference, confidence=confidence)


def median_difference(method: Resampled, reference: Resampled, *, confidence: float = 0.95) -> Estimate:
    """Median over paired seeds of method - reference, in the unit of both, with its pigeonhole interval."""
    return estimate(lambda ours, theirs: median(ours - theirs), method, reference, confidence=confidence)
