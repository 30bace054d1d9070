"""Static arbitrage of a volatility surface: where it is, and the nearest surface without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from praesidium.component import InputError
from praesidium.pricing.surface import Surface
from praesidium.pricing.svi import FEWEST, STEEPEST, Slice, fit

REACH = 4.0  # checked log strikes lie within this many standard deviations, and at least within LEAST_REACH
LEAST_REACH = 1.5
POINTS = 801
MARGIN = 1e-6  # of g and of wing slopes, kept by what was mended
MOVED = 1e-6  # volatility by which a quote has moved

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SliceReport:
    """What became of one maturity. Volatilities are annual, in decimals.

    Attributes:
        tau: years.
        quotes: quotes of this maturity.
        moved: quotes whose volatility was moved.
        largest_move, rms_move: of the volatility at the quotes, against the slice that was fitted to them.
        g_before, g_after: least value of Durrleman's function.
        crossing_before, crossing_after: least total variance over that of the slice before, at any strike; negative is
            arbitrage. None for the first.
        how: how it was mended: ``unchanged``, ``refitted``, ``ssvi`` or ``parallel to the slice before``.
    """

    tau: float
    quotes: int
    moved: int
    largest_move: float
    rms_move: float
    g_before: float
    g_after: float
    crossing_before: float | None
    crossing_after: float | None
    how: str


def strikes(slices: Sequence[Slice], points: int = POINTS, reach: float = REACH) -> Array:
    """Log strikes at which slices are checked: dense, and far beyond what is quoted."""
    widest = max(math.sqrt(one.total_variance(0.0)) for one in slices)
    edge = max(reach * widest, LEAST_REACH)
    return np.linspace(-edge, edge, points)


def butterfly(one: Slice, k: Array) -> float:
    """Least value of Durrleman's function at the strikes and in the wings beyond; negative is arbitrage."""
    wings = [0.25 - slope**2 / 16 for slope in one.wings]  # the limits of g
    return float(min(one.durrleman(k).min(), *wings))


def calendar(earlier: Slice, later: Slice, k: Array) -> float:
    """Least excess of the later total variance, at the strikes and, by slopes, beyond; negative is arbitrage."""
    wings = [far - near for near, far in zip(earlier.wings, later.wings, strict=True)]
    return float(min((later.total_variance(k) - earlier.total_variance(k)).min(), *(min(one, 0.0) for one in wings)))


def clean(surface: Surface, quotes: Sequence[Array] | None = None) -> tuple[Surface, tuple[SliceReport, ...]]:
    """The surface without static arbitrage that is nearest to a given one, maturity by maturity from the first.

    A slice that has no arbitrage against itself or the mended slice before it stays as it is. Another one moves as
    little as it must in the squares of total variance at its quotes, with g >= 0 and no crossing on a dense grid of
    strikes and in both wings.

    Args:
        surface: as fitted.
        quotes: log strikes of the quotes of each slice, at which moves are measured; a grid of two standard deviations
            either way if not given.

    Raises:
        InputError: if a slice can be mended in none of the ways that are tried.

    Source: conditions: Gatheral and Jacquier 2014, lemma 2.2, definition 2.2 and theorem 4.2.
    """
    k, mended, reports = strikes(surface.slices), [], []
    for number, one in enumerate(surface.slices):
        at = _around(one) if quotes is None else quotes[number]
        before = mended[-1] if mended else None
        new, how = _mend(one, before, at, k)
        shift = np.abs(new.volatility(at) - one.volatility(at))
        original = surface.slices[number - 1] if number else None
        reports.append(
            SliceReport(
                tau=one.tau,
                quotes=len(at),
                moved=int((shift > MOVED).sum()),
                largest_move=float(shift.max()),
                rms_move=float(np.sqrt(np.mean(shift**2))),
                g_before=butterfly(one, k),
                g_after=butterfly(new, k),
                crossing_before=None if original is None else calendar(original, one, k),
                crossing_after=None if before is None else calendar(before, new, k),
                how=how,
            )
        )
        mended.append(new)
    return Surface(tuple(mended)), tuple(reports)


def from_quotes(
    tau: Array, k: Array, volatility: Array, *, weights: Array | None = None
) -> tuple[Surface, Surface, tuple[SliceReport, ...]]:
    """Fit a slice to each maturity, and clean the whole.

    Args:
        tau: years to maturity of each quote; equal numbers make a slice.
        k: log of strike over forward.
        volatility: annual implied volatility.
        weights: of the squared errors in total variance, such as vegas.

    Returns:
        The surface as fitted, the one without arbitrage, and what was moved.

    Raises:
        InputError: if a maturity has fewer than five strikes, or a quote is not positive and finite.
    """
    found = [np.flatnonzero(tau == one) for one in np.unique(tau)]
    if not found:
        raise InputError(f"surface: there are no quotes; a slice needs {FEWEST}")
    slices = [
        fit(k[one], volatility[one] ** 2 * tau[one], tau[one][0], weights=None if weights is None else weights[one])
        for one in found
    ]
    fitted = Surface(tuple(slices))
    cleaned, reports = clean(fitted, [k[one] for one in found])
    return fitted, cleaned, reports


def _around(one: Slice) -> Array:
    return math.sqrt(one.total_variance(0.0)) * np.linspace(-2, 2, 21)


def _holds(one: Slice, before: Slice | None, k: Array) -> bool:
    return butterfly(one, k) >= 0 and (before is None or calendar(before, one, k) >= 0)


def _mend(one: Slice, before: Slice | None, at: Array, k: Array) -> tuple[Slice, str]:
    """The nearest slice without arbitrage, and how it was found."""
    if _holds(one, before, k):
        return one, "unchanged"
    found: list[tuple[float, Slice, str]] = []
    target = one.total_variance(at)

    def keep(candidate: Slice | None, how: str) -> None:
        if candidate is not None and _holds(candidate, before, k):
            found.append((float(((candidate.total_variance(at) - target) ** 2).sum()), candidate, how))

    ssvi = _ssvi(one.tau, at, target)
    for start in (one, ssvi, *(() if before is None else (_parallel(before, one.tau, at, target),))):
        keep(_constrained(start, before, at, target, k), "refitted")
    keep(ssvi, "ssvi")
    if before is not None:
        keep(_parallel(before, one.tau, at, target), "parallel to the slice before")
    if not found:
        raise InputError(
            f"surface: the slice at {one.tau:.4g} years cannot be freed of arbitrage; leave its maturity out"
        )
    _, best, how = min(found, key=lambda candidate: candidate[0])
    return best, how


def _constrained(start: Slice, before: Slice | None, at: Array, target: Array, k: Array) -> Slice | None:
    """Least squares under all conditions, from a start; None where the search ends outside its domain."""
    scale, coarse = float(np.mean(target)), k[:: max(1, len(k) // 200)]

    def make(x: Array) -> Slice | None:
        try:
            return Slice(start.tau, scale * x[0], x[1], x[2], x[3], math.exp(x[4]))
        except (InputError, OverflowError):
            return None

    def loss(x: Array) -> float:
        y = at - x[3]
        w = scale * x[0] + x[1] * (x[2] * y + np.sqrt(y * y + math.exp(2 * x[4])))
        return float((((w - target) / scale) ** 2).sum())

    def conditions(x: Array) -> Array:
        one = make(np.concatenate([x[:1], np.clip(x[1:2], 0, None), np.clip(x[2:3], -1, 1), x[3:]]))
        if one is None:
            return np.full(1 + len(coarse) * (1 if before is None else 2) + (2 if before is None else 4), -1.0)
        left, right = one.wings
        parts = [
            np.array([one.least / scale - 1e-4]),
            one.durrleman(coarse) - MARGIN,
            np.array([STEEPEST - MARGIN - left, STEEPEST - MARGIN - right]),
        ]
        if before is not None:
            excess = (one.total_variance(coarse) - before.total_variance(coarse)) / scale - MARGIN
            near = before.wings
            parts += [excess, np.array([left - near[0] - MARGIN, right - near[1] - MARGIN])]
        return np.concatenate(parts)

    x0 = np.array([start.a / scale, start.b, start.rho, start.m, math.log(start.sigma)])
    bounds = [(-2, 4), (0, 2), (-0.999, 0.999), (k[0], k[-1]), (math.log(1e-3), math.log(5))]
    x0 = np.clip(x0, [low for low, _ in bounds], [high for _, high in bounds])
    found = minimize(
        loss,
        x0,
        method="SLSQP",
        bounds=bounds,
        constraints=[{"type": "ineq", "fun": conditions}],
        options={"maxiter": 300, "ftol": 1e-14},
    )
    candidate = make(found.x)
    if candidate is None or _holds(candidate, before, k):
        return candidate
    return _lifted(candidate, lambda one: _holds(one, before, k))


def _lifted(one: Slice, holds: Callable[[Slice], bool]) -> Slice | None:
    """The slice with as little more total variance at every strike as conditions ask for that it hardly breaks."""
    for power in range(8):
        raised = one.raised(one.total_variance(0.0) * 1e-6 * 10 ** (power / 2))
        if holds(raised):
            return raised
    return None


def _ssvi(tau: float, at: Array, target: Array) -> Slice:
    """Nearest slice of the family that has no butterfly arbitrage by its parameters alone.

    w = theta / 2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)) with theta phi (1 + |rho|) < 4 and
    theta phi^2 (1 + |rho|) <= 4.
    """

    def loss(x: Array) -> float:
        theta, rho, phi = math.exp(x[0]), x[1], math.exp(x[2])
        w = theta / 2 * (1 + rho * phi * at + np.sqrt((phi * at + rho) ** 2 + 1 - rho**2))
        return float(((w / target - 1) ** 2).sum())

    def room(x: Array) -> Array:
        theta, phi = math.exp(x[0]), math.exp(x[2])
        tilt = 1 + abs(x[1])
        return np.array([4 - 1e-3 - theta * phi * tilt, 4 - 1e-3 - theta * phi**2 * tilt])

    theta = float(np.interp(0.0, np.sort(at), target[np.argsort(at)]))
    found = minimize(
        loss,
        [math.log(theta), -0.3, math.log(min(1.0, 1 / math.sqrt(theta)))],
        method="SLSQP",
        bounds=[(-14, 3), (-0.99, 0.99), (-6, 6)],
        constraints=[{"type": "ineq", "fun": room}],
        options={"maxiter": 300, "ftol": 1e-14},
    )
    theta, rho, phi = math.exp(found.x[0]), found.x[1], math.exp(found.x[2])
    flat = math.sqrt(1 - rho**2)
    return Slice(tau, theta / 2 * (1 - rho**2), theta * phi / 2, float(rho), float(-rho / phi), flat / phi)


def _parallel(before: Slice, tau: float, at: Array, target: Array) -> Slice:
    """The slice before with a constant more of total variance, nearest to the target."""
    more = max(float(np.mean(target - before.total_variance(at))), 1e-6 * before.total_variance(0.0))
    return Slice(tau, before.a + more, before.b, before.rho, before.m, before.sigma)
