"""Value of an option on a weighted sum of prices.

The sum is taken as lognormal with its own first two moments: exact for one asset, and for assets that move as one. For
two assets over a year the error is at most 0.001 % of the spot where both have 30 % and correlation 0.5, 0.03 % at
correlation -0.5, but 1 % for volatilities as far apart as 20 % and 60 %.

Source: Levy 1992; Brigo, Mercurio, Rapisarda and Scotti 2004, "Approximated moment-matching dynamics for basket
options pricing".
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.pricing import black_scholes
from praesidium.pricing.standardization import Broadcast, Right, present_value


def price(
    prices: Float[Tensor, "assets *#shape"],
    strike: float,
    tau: Float[Tensor, "*#shape"],
    volatilities: Float[Tensor, "assets *#shape"],
    *,
    weights: tuple[float, ...],
    correlation: float,
    rate: float = 0.0,
    dividend: float = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Value of max(sum of weights times prices - strike, 0), or of the reverse for a put.

    Args:
        prices: of the assets.
        strike: in their unit.
        tau: years to expiry.
        volatilities: annual, of each.
        weights: positive, of each.
        correlation: of any two log prices.
        rate, dividend: continuous, a year; the dividend is that of every asset.
        right: call or put.

    Raises:
        InputError: if the right is neither of the two.
    """
    parts = torch.stack([weight * one for weight, one in zip(weights, prices, strict=True)])
    total = parts.sum(0)
    shares = parts / total
    variance = torch.zeros_like(total + tau)
    for i, (own, sigma) in enumerate(zip(shares, volatilities, strict=True)):
        variance = variance + own.square() * torch.expm1(sigma.square() * tau)
        for other, its in zip(shares[:i], volatilities[:i], strict=True):
            variance = variance + 2 * own * other * torch.expm1(correlation * sigma * its * tau)
    variance = torch.log1p(variance)
    uncertain = variance > 0
    left = torch.where(uncertain, tau, 0)
    deviation = (torch.where(uncertain, variance, 1) / torch.where(uncertain, tau, 1)).sqrt()
    forward = present_value(total, dividend - rate, tau)
    return present_value(black_scholes.price(forward, strike, left, deviation, right=right), rate, tau)
