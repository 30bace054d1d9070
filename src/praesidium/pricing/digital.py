"""Black-Scholes value of a cash-or-nothing option, with its delta and gamma.

Arguments broadcast as in :mod:`praesidium.pricing.black_scholes`. The call pays 1 above the strike and the put 1 at the
strike and below, so that both together are a bond. Without uncertainty left that is their value, and the Greeks are 0.

Source: Reiner and Rubinstein 1991, "Unscrambling the binary code".
"""

from __future__ import annotations

import torch
from torch import Tensor

from praesidium.pricing.standardization import (
    Amount,
    Broadcast,
    Number,
    Right,
    check_right,
    normal_cdf,
    normal_density,
    only_live,
    present_value,
    standardize,
)


def price(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: float = 0.0,
    dividend: float = 0.0,
    right: Right = "call",
) -> Broadcast:
    """e^(-r tau) N(d2) for a call, e^(-r tau) N(-d2) for a put.

    Args:
        spot: price of the underlying.
        strike: in the unit of the spot.
        tau: years to expiry.
        volatility: annual.
        rate, dividend: continuous, a year.
        right: call or put.

    Returns:
        Value of one unit of money paid, between 0 and e^(-r tau).

    Raises:
        InputError: if the right is neither of the two.
    """
    check_right(right)
    S, K, d1, width, *_, live = standardize(spot, strike, tau, volatility, rate, dividend)
    side = 1 if right == "call" else -1
    likely = normal_cdf(side * (d1 - width))
    if live is not None:
        certain = (S > K) if right == "call" else (S <= K)
        likely = torch.where(live, likely, certain.to(likely.dtype))
    return present_value(likely, rate, tau)


def greeks(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: float = 0.0,
    dividend: float = 0.0,
    right: Right = "call",
) -> tuple[Broadcast, Broadcast]:
    """Delta e^(-r tau) n(d2) / (S w) and gamma -e^(-r tau) n(d2) d1 / (S w)^2 of a call, their negatives for a put.

    Args, shapes and errors as in :func:`price`.
    """
    check_right(right)
    *_, d1, width, _, _, live = standardize(spot, strike, tau, volatility, rate, dividend)
    scale = width * (spot if live is None else torch.where(live, spot, 1))
    density = normal_density(d1 - width) * (1 if right == "call" else -1)
    slope: Tensor = only_live(density / scale, live)
    curve: Tensor = only_live(-density * d1 / scale.square(), live)
    return present_value(slope, rate, tau), present_value(curve, rate, tau)
