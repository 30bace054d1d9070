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
OWN = np.sinh(np.linspace(-8, 8, 161))  # strikes of a slice, in its sigma from its m: its vertex, and far wings
MARGINS = (1e-6, 1e-5, 1e-4, 1e-3)  # of g, of wing slopes and of relative excess: the first that holds at all strikes
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
        crossing_before, crossing_after: least total variance over that of the slice before, by sqrt(1 + k^2); negative
            is arbitrage. None for the first.
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
    """Least value of Durrleman's function, at the strikes, about the vertex and in the wings; negative is arbitrage."""
    wings = [0.25 - slope**2 / 16 for slope in one.wings]  # the limits of g
    return min(_least(one.durrleman, _with_own(k, one)), *wings)


def calendar(earlier: Slice, later: Slice, k: Array) -> float:
    """Least excess of the later total variance over the earlier one, by sqrt(1 + k^2); negative is arbitrage.

    At the strikes, about both vertices and in the wings, where it tends to the difference of their slopes.
    """
    wings = [far - near for near, far in zip(earlier.wings, later.wings, strict=True)]
    return min(_least(lambda at: _excess(earlier, later, at), _with_own(k, earlier, later)), *wings)


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
        InputError: if the quotes are not those of each slice, or a slice can be mended in none of the ways tried.

    Source: conditions: Gatheral and Jacquier 2014, lemma 2.2, definition 2.2 and theorem 4.2.
    """
    if quotes is not None and (len(quotes) != len(surface.slices) or not all(map(len, quotes))):
        count = f"{len(quotes)} arrays of strikes for {len(surface.slices)} slices"
        raise InputError(f"surface: quotes has {count}; give one a slice, none of them empty")
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
        InputError: if the arrays differ in length, a maturity has fewer than five strikes, or a maturity or quote is
            not positive and finite.
    """
    given = [tau, k, volatility] if weights is None else [tau, k, volatility, weights]
    if len({one.shape for one in given}) > 1:
        raise InputError(
            f"surface: arrays of {', '.join(str(len(one)) for one in given)} quotes; give one of each a quote"
        )
    wrong = tau[~((tau > 0) & np.isfinite(tau))]
    if len(wrong):
        raise InputError(f"surface: a maturity of {wrong[0]:.4g} years is not positive and finite; leave it out")
    found = [np.flatnonzero(tau == one) for one in np.unique(tau)]
    if not found:
        raise InputError(f"surface: there are no quotes; a slice needs {FEWEST}")
    w, weigh = volatility**2 * tau, np.ones_like(k) if weights is None else weights
    fitted = Surface(tuple(fit(k[one], w[one], tau[one][0], weights=weigh[one]) for one in found))
    cleaned, reports = clean(fitted, [k[one] for one in found])
    return fitted, cleaned, reports


def _excess(earlier: Slice, later: Slice, k: Array) -> Array:
    return (later.total_variance(k) - earlier.total_variance(k)) / np.sqrt(1 + k * k)


def _with_own(k: Array, *slices: Slice) -> Array:
    return np.concatenate([k, *(one.m + one.sigma * OWN for one in slices)])


def _least(function: Callable[[Array], Array], points: Array) -> float:
    """Least value of a smooth function, also between the points: about each low one, these are made denser twice."""
    points = np.unique(points)
    for _ in range(2):
        values = np.pad(function(points), 1, constant_values=np.inf)
        low = np.flatnonzero((values[1:-1] <= values[:-2]) & (values[1:-1] <= values[2:]))
        # Points of two grids may lie a rounding error apart, and the lesser of the two on the wrong side.
        near, far = points[np.maximum(low - 3, 0)], points[np.minimum(low + 3, len(points) - 1)]
        points = np.unique(np.concatenate([points, np.linspace(near, far, 61).ravel()]))
    return float(function(points).min())


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

    families = {"ssvi": _ssvi(one.tau, at, target)}
    if before is not None:
        families["parallel to the slice before"] = _parallel(before, one.tau, at, target)
    for start in (one, *families.values()):
        keep(_constrained(start, before, at, target, k), "refitted")
    for how, candidate in families.items():
        keep(candidate, how)
    if not found:
        raise InputError(
            f"surface: the slice at {one.tau:.4g} years cannot be freed of arbitrage; leave its maturity out"
        )
    _, best, how = min(found, key=lambda candidate: candidate[0])
    return best, how


def _constrained(start: Slice, before: Slice | None, at: Array, target: Array, k: Array) -> Slice | None:
    """Least squares under all conditions, from a start; None where the search ends at a slice with arbitrage."""
    scale, coarse = float(np.mean(target)), k[:: max(1, len(k) // 200)]

    def make(x: Array) -> Slice | None:
        try:
            return Slice(start.tau, *map(float, (scale * x[0], *x[1:4], math.exp(x[4]))))
        except (InputError, OverflowError):
            return None

    def loss(x: Array) -> float:
        y = at - x[3]
        w = scale * x[0] + x[1] * (x[2] * y + np.sqrt(y * y + math.exp(2 * x[4])))
        return float((((w - target) / scale) ** 2).sum())

    count = len(coarse) + len(OWN) + 3 + (0 if before is None else len(coarse) + 2 * len(OWN) + 2)

    def conditions(x: Array, margin: float) -> Array:
        one = make(np.concatenate([x[:1], np.clip(x[1:2], 0, None), np.clip(x[2:3], -1, 1), x[3:]]))
        if one is None:
            return np.full(count, -1.0)
        left, right = one.wings
        parts = [
            np.array([one.least / scale - 1e-4]),
            one.durrleman(_with_own(coarse, one)) - margin,
            np.array([STEEPEST - margin - left, STEEPEST - margin - right]),
        ]
        if before is not None:
            points, near = _with_own(coarse, before, one), before.wings
            excess = _excess(before, one, points) / scale - margin
            parts += [excess, np.array([left - near[0] - margin, right - near[1] - margin])]
        return np.concatenate(parts)

    x0 = np.array([start.a / scale, start.b, start.rho, start.m, math.log(start.sigma)])
    level = (min(-2.0, 2 * x0[0]), max(4.0, 2 * x0[0]))
    bounds = [level, (0, 2), (-0.999, 0.999), (k[0], k[-1]), (math.log(1e-3), math.log(5))]
    x0 = np.clip(x0, *np.transpose(bounds))
    for margin in MARGINS:
        found = minimize(
            loss,
            x0,
            method="SLSQP",
            bounds=bounds,
            constraints=[{"type": "ineq", "fun": conditions, "args": (margin,)}],
            options={"maxiter": 100, "ftol": 1e-14},
        )
        candidate = make(found.x)
        if candidate is not None and _holds(candidate, before, k):
            return candidate
        x0 = found.x
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
