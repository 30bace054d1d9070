"""Temperature scaling: make regime probabilities as sure as they are right."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from scipy.optimize import root_scalar
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.belief import MISSING, ROUNDING, check_labels


class TemperatureScaling(nn.Module):
    """softmax(log p / T), with the one temperature T > 0 that has the best log score on labels.

    T > 1 makes probabilities less sure, T < 1 surer; the order of regimes stays. The score is convex in 1 / T, so that
    the optimum within ``bounds`` is found exactly. At a bound, :meth:`summary` says what that means: labels that
    contradict the probabilities would push T to infinity.

    In markets nobody sees the true regime. Labels may be the smoothed or decoded regimes of the *next* periods of a
    training window, against forecasts made from filtered probabilities; fit and use on different windows.

    Args:
        bounds: least and greatest temperature.

    Attributes:
        at_bound_: whether the temperature ended at one of the bounds.
        informative_: whether some temperature scores better than equal probabilities.

    Source: Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks", section 4.2.
    """

    at_bound_: bool
    informative_: bool

    def __init__(self, *, bounds: tuple[float, float] = (0.05, 20.0)) -> None:
        super().__init__()
        if not 0 < bounds[0] < bounds[1] < math.inf:
            raise InputError(f"TemperatureScaling: bounds={bounds} are not 0 < least < greatest; say bounds=(0.05, 20)")
        self.bounds = bounds
        self.log_temperature = nn.Parameter(torch.zeros((), dtype=torch.float64))

    @property
    def temperature(self) -> float:
        """T; one before :meth:`fit`."""
        return float(self.log_temperature.detach().exp())

    def fit(
        self, log_probabilities: Float[Tensor, "*batch regimes"], labels: Int[Tensor, "*labels"]
    ) -> TemperatureScaling:
        """Find the temperature with the best log score of the labels.

        Args:
            log_probabilities: or logits; a constant a row does not matter. Regimes are the last axis.
            labels: 0 .. K - 1; -1 where unknown, which does not count.

        Raises:
            InputError: probabilities in place of their logarithms, labels out of bounds or none known, NaN, or a label
                whose probability is zero.
        """
        shape, wanted = tuple(labels.shape), tuple(log_probabilities.shape)
        if shape != wanted[:-1]:
            raise InputError(
                f"TemperatureScaling.fit: labels have shape {shape} and log_probabilities {wanted}; wanted is one "
                f"label for each row {wanted[:-1]} of regimes, the last axis: transpose (batch, regimes, time) first"
            )
        known = labels.flatten() != MISSING
        rows = log_probabilities.detach().double().flatten(0, -2)[known]
        target = labels.flatten()[known]
        _check(rows, target)
        rows = rows - rows.amax(-1, keepdim=True)
        excess = rows - rows.gather(-1, target.unsqueeze(-1))

        def slope(log_temperature: float) -> float:
            """Derivative of the mean - log p of the labels in 1 / T: the expected less the actual logit."""
            weights = (rows * math.exp(-log_temperature)).softmax(-1)
            return float(torch.where(weights > 0, weights * excess, 0.0).sum(-1).mean())

        low, high = (math.log(bound) for bound in self.bounds)
        # The slope in 1 / T rises with 1 / T, and so falls with T; flat everywhere means that T does not matter.
        if slope(low) <= 0 <= slope(high):
            found = 0.0 if low <= 0 <= high else low
        elif slope(low) <= 0:
            found = low
        elif slope(high) >= 0:
            found = high
        else:
            found = float(root_scalar(slope, bracket=(low, high), method="brentq", xtol=1e-12).root)
        self.at_bound_ = found in (low, high)
        self.informative_ = bool(excess.mean() < 0)  # the slope at 1 / T = 0
        with torch.no_grad():
            self.log_temperature.fill_(found)
        return self

    def forward(self, log_probabilities: Float[Tensor, "*batch regimes"]) -> Float[Tensor, "*batch regimes"]:
        """Calibrated probabilities from log-probabilities or logits."""
        return (log_probabilities / self.log_temperature.exp().to(log_probabilities.dtype)).softmax(-1)

    transform = forward

    def summary(self) -> str:
        """The temperature found, and what it means if it is at a bound."""
        if not self.at_bound_:
            return f"TemperatureScaling: T = {self.temperature:.4g}"
        low, high = self.bounds
        if self.temperature > 1 and not self.informative_:
            return (
                f"TemperatureScaling: T = {high:g} is the upper bound; the probabilities say nothing about the labels, "
                "or the opposite, so that equal probabilities would score better: use other probabilities"
            )
        if self.temperature > 1:
            return (
                f"TemperatureScaling: T = {high:g} is the upper bound; the probabilities are surer still than they are "
                "right: raise the bound, or find out why"
            )
        return (
            f"TemperatureScaling: T = {low:g} is the lower bound; the most probable regime is nearly always the "
            "label, so that no forecast would be too sure: more labels are needed"
        )


def _check(rows: Float[Tensor, "rows regimes"], target: Int[Tensor, " rows"]) -> None:
    caller, K = "TemperatureScaling.fit", rows.shape[-1]
    if len(rows) == 0:
        raise InputError(f"{caller}: no label is known; at least one is needed")
    check_labels(caller, target, K)
    if bool(rows.isnan().any()):
        raise InputError(f"{caller}: log_probabilities hold NaN; give those periods the label -1")
    if bool((rows >= 0).all()) and bool(((rows.sum(-1) - 1).abs() < ROUNDING).all()):
        raise InputError(f"{caller}: log_probabilities are probabilities, rows that sum to one; give their log()")
    if bool(rows.gather(-1, target.unsqueeze(-1)).isneginf().any()):
        raise InputError(f"{caller}: a label has probability 0, which no temperature mends; clamp probabilities first")
