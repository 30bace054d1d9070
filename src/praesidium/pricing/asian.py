"""Value of an option on the mean of prices at equally spaced times to come, with its delta and gamma.

The mean is taken as lognormal with its own first two moments, which are exact for the discrete times. That is exact
for one price, and the better the smaller sigma sqrt(tau): over all strikes the error is at most 0.01 % of the spot at
0.1, 0.1 % at 0.3 and 0.4 % at 0.6, too much in the money and too little far out of it. What has entered a mean already
lowers the strike; a strike of zero or less is certain to be exercised, and the value then exact.

Source: Levy 1992, "Pricing European average rate currency options"; Turnbull and Wakeman 1991.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from praesidium.pricing import black_scholes
from praesidium.pricing.standardization import Amount, Broadcast, Right, present_value


def price(
    spot: Amount,
    strike: Amount,
    tau: Amount,
    volatility: Amount,
    fixings: Amount,
    *,
    rate: float = 0.0,
    dividend: float = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Value of max(mean - strike, 0), or of max(strike - mean, 0) for a put.

    Args:
        spot: price of the underlying.
        strike: in the unit of the spot; may be negative.
        tau: years to the last price of the mean, which is expiry.
        volatility: annual.
        fixings: number of prices in the mean, at tau / fixings, 2 tau / fixings, ..., tau; at least 1.
        rate, dividend: continuous, a year.
        right: call or put.

    Raises:
        InputError: if the right is neither of the two.
    """
    mean, left, deviation = _mean(tau, volatility, fixings, rate - dividend)
    return present_value(black_scholes.price(spot * mean, strike, left, deviation, right=right), rate, tau)


def greeks(
    spot: Amount,
    strike: Amount,
    tau: Amount,
    volatility: Amount,
    fixings: Amount,
    *,
    rate: float = 0.0,
    dividend: float = 0.0,
    right: Right = "call",
) -> tuple[Broadcast, Broadcast]:
    """Delta and gamma of :func:`price`, whose arguments, shapes and errors they share."""
    mean, left, deviation = _mean(tau, volatility, fixings, rate - dividend)
    slope, curve = black_scholes.greeks(spot * mean, strike, left, deviation, right=right)
    return present_value(slope * mean, rate, tau), present_value(curve * mean.square(), rate, tau)


def _mean(tau: Tensor, volatility: Tensor, fixings: Tensor, carry: float) -> tuple[Tensor, Tensor, Tensor]:
    """Expected mean over the spot; years (0 without variance) and volatility that give the mean its variance.

    With w_j = e^(carry t_j), the relative variance is the sum over i and j of w_i w_j expm1(sigma^2 min(t_i, t_j)),
    over the square of the sum of w_j. That form keeps its digits where the variance is small.
    """
    step = tau / fixings
    growth, rise = carry * step, volatility.square() * step
    total = _geometric(growth, fixings, carry)
    variance = torch.zeros_like(rise + total)
    for j in range(1, int(fixings.amax()) + 1):
        later = _geometric(growth, fixings - j, carry)
        weight = (2 * later * growth.exp() + 1) * (2 * (j - 1) * growth).exp() if carry else 2 * later + 1
        variance = variance + torch.where(j <= fixings, weight * torch.expm1(j * rise), 0)
    variance = torch.log1p(variance / total.square())
    uncertain = variance > 0
    left = torch.where(uncertain, tau, 0)
    deviation = (torch.where(uncertain, variance, 1) / torch.where(uncertain, tau, 1)).sqrt()
    return growth.exp() * total / fixings, left, deviation


def _geometric(growth: Tensor, count: Tensor, carry: float) -> Tensor:
    """Sum of e^(k growth) over k = 0..count - 1."""
    if not carry:
        return count
    still = growth.abs() < math.sqrt(torch.finfo(growth.dtype).tiny)
    safe = torch.where(still, 1, growth)
    return torch.where(still, count, torch.expm1(count * safe) / torch.expm1(safe))
