"""Black-Scholes value, delta and gamma of a call, at rate zero.

All functions broadcast over spot, strike, years to expiry and annual volatility. A call with no uncertainty left
(no time, no volatility, or a spot or strike of zero) is worth its intrinsic value. Values and derivatives are finite
there too, and far from the money, in single and double precision.

Source: Black and Scholes 1973, with the discount factor 1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

EXPIRED = 1e-24  # total variance up to which only the intrinsic value is left; its inverse still fits single precision


def price(
    spot: Float[Tensor, "*#shape"],
    strike: Float[Tensor, "*#shape"] | float,
    tau: Float[Tensor, "*#shape"] | float,
    volatility: Float[Tensor, "*#shape"] | float,
) -> Float[Tensor, "*shape"]:
    """S N(d1) - K N(d2) with d1 = log(S/K) / w + w / 2, d2 = d1 - w, w = volatility sqrt(tau).

    Args:
        spot: price of the underlying.
        strike: in the unit of the spot.
        tau: years to expiry.
        volatility: annual.

    Returns:
        Value of one call, in the unit of the spot; never below the intrinsic value, also after rounding.
    """
    S, K, d1, width, live = _standardize(spot, strike, tau, volatility)
    # The out-of-the-money side (the put, where S > K) keeps its digits in the wings; parity adds the rest.
    in_the_money = S > K
    side = torch.where(in_the_money, -1.0, 1.0).to(d1.dtype)
    outside = (side * (S * _normal_cdf(side * d1) - K * _normal_cdf(side * (d1 - width)))).clamp(min=0)
    value = outside + torch.where(in_the_money, S - K, 0)
    return value if live is None else torch.where(live, value, torch.maximum(S - K, torch.zeros_like(d1)))


def delta(
    spot: Float[Tensor, "*#shape"],
    strike: Float[Tensor, "*#shape"] | float,
    tau: Float[Tensor, "*#shape"] | float,
    volatility: Float[Tensor, "*#shape"] | float,
) -> Float[Tensor, "*shape"]:
    """N(d1), the units of spot that hedge one call; 1{S > K} at expiry, and one half at the money.

    Args and shapes as in :func:`price`.
    """
    return _delta(*_standardize(spot, strike, tau, volatility))


def gamma(
    spot: Float[Tensor, "*#shape"],
    strike: Float[Tensor, "*#shape"] | float,
    tau: Float[Tensor, "*#shape"] | float,
    volatility: Float[Tensor, "*#shape"] | float,
) -> Float[Tensor, "*shape"]:
    """n(d1) / (S w), the change of delta with the spot; 0 at expiry.

    Args and shapes as in :func:`price`.
    """
    return _gamma(*_standardize(spot, strike, tau, volatility))


def greeks(
    spot: Float[Tensor, "*#shape"],
    strike: Float[Tensor, "*#shape"] | float,
    tau: Float[Tensor, "*#shape"] | float,
    volatility: Float[Tensor, "*#shape"] | float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """:func:`delta` and :func:`gamma` from one d1."""
    standardized = _standardize(spot, strike, tau, volatility)
    return _delta(*standardized), _gamma(*standardized)


def _delta(S: Tensor, K: Tensor, d1: Tensor, width: Tensor, live: Tensor | None) -> Tensor:
    value = _normal_cdf(d1)
    return value if live is None else torch.where(live, value, 0.5 + 0.5 * (S - K).sign())


def _gamma(S: Tensor, K: Tensor, d1: Tensor, width: Tensor, live: Tensor | None) -> Tensor:
    density = torch.exp(-0.5 * d1.square()) / math.sqrt(2 * math.pi)
    if live is None:
        return density / (S * width)
    return torch.where(live, density / (torch.where(live, S, 1) * width), 0)


def _standardize(
    spot: Tensor, strike: Tensor | float, tau: Tensor | float, volatility: Tensor | float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """S and K as tensors, d1, w, and where uncertainty is left, None for everywhere.

    Elsewhere d1 and w are harmless numbers.

    The inputs themselves are replaced there: a finite value could still carry an infinite derivative.
    """
    K, T, sigma = [x if isinstance(x, Tensor) else spot.new_tensor(x) for x in (strike, tau, volatility)]
    width = sigma * T.sqrt()
    some = min(width.numel(), spot.numel(), K.numel()) > 0
    if some and min(width.amin() ** 2, spot.amin(), K.amin()) > EXPIRED:  # the usual case, at a fraction of the time
        return spot, K, torch.log(spot / K) / width + 0.5 * width, width, None
    live = (sigma.square() * T > EXPIRED) & (spot > 0) & (K > 0)
    width = torch.where(live, sigma, 1) * torch.where(live, T, 1).sqrt()
    moneyness = torch.log(torch.where(live, spot, 1) / torch.where(live, K, 1))
    return spot, K, moneyness / width + 0.5 * width, width, live


def _normal_cdf(x: Tensor) -> Tensor:
    """N(x); unlike ``torch.special.ndtr`` exact to the last digits in the left tail."""
    return 0.5 * torch.erfc(-math.sqrt(0.5) * x)
