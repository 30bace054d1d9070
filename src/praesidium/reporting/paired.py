"""Paired differences of two methods, one a seed: tests, effects and intervals. Negative is in favor of the method."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from praesidium.component import InputError
from praesidium.reporting.statistics import median

FLIPS = 10_000
MOST_ENUMERATED = 13  # 2^13 = 8192 patterns of signs are fewer than the random ones

Alternative = Literal["two-sided", "less"]


class MedianInterval(NamedTuple):
    """Two order statistics around a median.

    Attributes:
        lower: the lower one.
        upper: the upper one.
        ranks: their places, counted from 1 at the smallest.
        coverage: probability that they enclose the median of a continuous law; short of what was asked for where even
            the extremes of a small sample are.
    """

    lower: float
    upper: float
    ranks: tuple[int, int]
    coverage: float


def wilcoxon(differences: Float[Tensor, " seeds"], *, alternative: Alternative = "two-sided") -> float:
    """p-value of the signed-rank test that differences are symmetric about zero, exact at any sample size.

    Zeros are left out and ties share their mean rank, whose exact null law is taken: the p-value is the share of all
    patterns of signs that are as extreme. Few seeds have few patterns: three never reach below 1/4, or 1/8 one-sided.

    Args:
        differences: method - reference by seed; +inf where only the method diverged.
        alternative: ``less`` asks whether the differences lie below zero.

    Returns:
        A probability; 1 if all differences are zero.

    Raises:
        InputError: if there is no difference, or one is NaN.

    Source: Wilcoxon 1945; Hollander, Wolfe and Chicken 2014, section 3.1.
    """
    values = _checked(differences, "wilcoxon")
    values = values[values != 0]
    # Mean ranks are multiples of one half: twice a rank is a whole number of places on the grid of the null law.
    doubled = np.rint(2 * stats.rankdata(values.abs().numpy())).astype(int)
    law = np.zeros(doubled.sum() + 1)
    law[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(law)
        moved[rank:] = law[: len(law) - rank]
        law = (law + moved) / 2
    positive = doubled[(values > 0).numpy()].sum()
    below, above = law[: positive + 1].sum(), law[positive:].sum()
    return _p_value(below, above, alternative)


def sign_flip(
    differences: Float[Tensor, " seeds"],
    *,
    generator: torch.Generator,
    alternative: Alternative = "two-sided",
    flips: int = FLIPS,
) -> float:
    """p-value of the permutation test of the mean that differences are symmetric about zero.

    Every pattern of signs for up to 13 differences; random ones beyond, the observed pattern among them, so that the
    p-value is never zero.

    Args:
        differences: method - reference by seed, finite.
        generator: of the random signs, on a CPU; up to 13 differences leave it untouched.
        alternative: ``less`` asks whether the mean lies below zero.
        flips: number of random patterns.

    Returns:
        A probability; 1 if all differences are zero. Two-sided is the share of means as large in absolute value.

    Raises:
        InputError: if there is no difference, or one is not finite.

    Source: Fisher 1935; Phipson and Smyth 2010 for the count of the observed pattern.
    """
    values = _checked(differences, "sign_flip")
    if not values.isfinite().all():
        raise InputError("sign_flip: a difference is infinite, and a mean needs finite ones; report the wilcoxon test")
    number = len(values)
    if number <= MOST_ENUMERATED:
        signs = torch.cartesian_prod(*[torch.tensor([1, -1])] * number).view(-1, number)
    else:
        signs = 1 - 2 * torch.randint(2, (flips, number), generator=generator)
        signs = torch.cat([signs.new_ones(1, number), signs])
    totals, total = signs.double() @ values, values.sum()
    rounding = 1e-12 * values.abs().sum()  # patterns that only differ by the order of addition are as extreme
    if alternative == "less":
        return (totals <= total + rounding).double().mean().item()
    return (totals.abs() >= total.abs() - rounding).double().mean().item()


def hodges_lehmann(differences: Float[Tensor, " seeds"]) -> float:
    """Center of the differences: the median of the Walsh averages (d_i + d_j) / 2, i <= j.

    Args:
        differences: method - reference by seed; +inf where only the method diverged.

    Raises:
        InputError: if there is no difference, or one is NaN.

    Source: Hodges and Lehmann 1963.
    """
    values = _checked(differences, "hodges_lehmann")
    first, second = torch.triu_indices(len(values), len(values))
    return median((values[first] + values[second]) / 2).item()


def median_interval(values: Float[Tensor, " seeds"], *, confidence: float = 0.95) -> MedianInterval:
    """Shortest symmetric pair of order statistics that covers the median with at least the given probability.

    Distribution-free and conditional on the episodes. Thirty seeds give the 10th and the 21st, 95.7 %; five cannot
    reach 95 % and give their extremes, 93.75 %; one gives itself, 0 %.

    Raises:
        InputError: if there is no value, one is NaN, or ``confidence`` is not a fraction in (0, 1).

    Source: Thompson 1936; David and Nagaraja 2003, section 7.1.
    """
    ordered = _checked(values, "median_interval").sort().values
    if not 0 < confidence < 1:
        raise InputError(f"median_interval: confidence={confidence:g} is not a fraction in (0, 1); for 95 % say 0.95")
    number = len(ordered)
    ranks = np.arange(1, (number + 1) // 2 + 1)
    coverages = 1 - 2 * stats.binom.cdf(ranks - 1, number, 0.5)
    inner = max(0, int((coverages >= confidence).sum()) - 1)
    low, high = int(ranks[inner]), number + 1 - int(ranks[inner])
    coverage = max(0.0, float(coverages[inner]))  # a single value has none
    return MedianInterval(ordered[low - 1].item(), ordered[high - 1].item(), (low, high), coverage)


def probability_of_improvement(differences: Float[Tensor, " seeds"]) -> float:
    """P(d < 0) + P(d = 0) / 2: how often the method beats the reference at the same seed.

    Raises:
        InputError: if there is no difference, or one is NaN.

    Source: Bouthillier et al. 2021 (arXiv 2103.03098), who ask for 0.75 before they call a difference meaningful.
    """
    values = _checked(differences, "probability_of_improvement")
    return ((values < 0).double() + (values == 0).double() / 2).mean().item()


def equivalent(interval: tuple[float, float], *, margin: float) -> bool:
    """Whether two one-sided tests find an effect within the margin: the interval lies inside (-margin, margin).

    Tests at 5 % take the 90 % interval. An interval with a missing end shows nothing.

    Raises:
        InputError: if the margin is not positive, or the interval ends before it begins.

    Source: Schuirmann 1987.
    """
    lower, upper = interval
    if not margin > 0:
        raise InputError(f"equivalent: margin={margin:g} is not positive; give the largest effect that does not matter")
    if lower > upper:
        raise InputError(f"equivalent: the interval ends at {upper:g}, before it begins at {lower:g}; swap them")
    return bool(-margin < lower and upper < margin)


def _p_value(below: float, above: float, alternative: Alternative) -> float:
    return min(1.0, float(below if alternative == "less" else 2 * min(below, above)))


def _checked(values: Tensor, caller: str) -> Float[Tensor, " seeds"]:
    if len(values) == 0:
        raise InputError(f"{caller}: there are no values; at least one seed is needed")
    if values.isnan().any():
        raise InputError(f"{caller}: a value is NaN; give a run that diverged the infinity that ranks it worst")
    return values.double()
