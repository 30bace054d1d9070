"""Scales on which an estimator is closer to normal than on its own, and what is allowed there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from praesidium.markets.calibration.estimate import Estimate

Z95 = 1.959963984540054
NEARLY_ALL = 0.9  # share of the allowed range beyond which an interval says nothing
ON_BOUND = 0.01  # likewise, from a bound


@dataclass(frozen=True)
class Scale:
    """A monotone map of a parameter to the line, its inverse, and the derivative of the inverse at a parameter."""

    forward: Callable[[float], float]
    backward: Callable[[float], float]
    slope: Callable[[float], float]


LOG = Scale(math.log, math.exp, lambda value: value)
ATANH = Scale(math.atanh, math.tanh, lambda value: 1 - value * value)
TWENTIETHS = Scale(lambda value: 20 * value, lambda point: point / 20, lambda value: 0.05)


@dataclass(frozen=True)
class Coordinate:
    """A parameter that may lie in [low, high], worked with on a scale."""

    name: str
    low: float
    high: float
    scale: Scale

    @property
    def bounds(self) -> tuple[float, float]:
        """What is allowed, on the scale."""
        return self.scale.forward(self.low), self.scale.forward(self.high)

    def estimate(self, point: float, error: float) -> Estimate:
        """From a point and its standard error on the scale; the interval is cut at the bounds."""
        low, high = self.bounds
        below, above = max(point - Z95 * error, low), min(point + Z95 * error, high)
        value = self.scale.backward(point)
        wide = above - below > NEARLY_ALL * (high - low)
        return Estimate(
            value=value,
            standard_error=self.scale.slope(value) * error,
            low=self.scale.backward(below),
            high=self.scale.backward(above),
            identified=not wide and not self.sits_on_bound(point),
        )

    def sits_on_bound(self, point: float) -> bool:
        """Whether the point is as good as on a bound."""
        low, high = self.bounds
        return min(point - low, high - point) < ON_BOUND * (high - low)

    def warning(self, estimate: Estimate) -> str | None:
        """One sentence where the data do not tell the parameter."""
        if estimate.identified:
            return None
        interval, allowed = f"[{estimate.low:.3g}, {estimate.high:.3g}]", f"[{self.low:g}, {self.high:g}]"
        why = f"its 95 % interval {interval} covers nearly all that is allowed, {allowed}"
        if self.sits_on_bound(self.scale.forward(estimate.value)):
            why = f"{estimate.value:.3g} sits on a bound of what is allowed, {allowed}; its 95 % interval is {interval}"
        return f"{self.name} is not identified: {why}; draw it from there and do not rely on the point"
