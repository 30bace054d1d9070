"""Merton's jump diffusion: Black-Scholes given the number of jumps, averaged over its Poisson law.

Source: Merton 1976, eq. 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from praesidium.component import InputError
from praesidium.pricing import black_scholes
from praesidium.pricing.standardization import (
    EXPIRED,
    Amount,
    Broadcast,
    Number,
    Right,
    check_right,
    present_value,
)

NEGLIGIBLE = 1e-18  # probability of more jumps, at which the series ends
MOST_JUMPS = 600.0  # expected; the probability of none still fits double precision


class Greeks(NamedTuple):
    """Value and sensitivities of one option.

    Attributes:
        price: the value, as by :func:`price`.
        delta: d price / d spot.
        gamma: d2 price / d spot2.
        vega: d price / d volatility, per unit (not per percent).
        vanna: d2 price / d spot d volatility.
        theta: -d price / d tau, the change of value as time passes, a year.
    """

    price: Tensor
    delta: Tensor
    gamma: Tensor
    vega: Tensor
    vanna: Tensor
    theta: Tensor


def price(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
    intensity: Number = 0.0,
    jump_mean: Number = 0.0,
    jump_sd: Number = 0.0,
) -> Broadcast:
    """sum_n P(n jumps) Black-Scholes(S e^(n (mean + sd^2 / 2) - c tau), K, volatility^2 tau + n sd^2).

    The compensator c = intensity (e^(mean + sd^2 / 2) - 1) keeps the discounted spot a martingale. The series runs on
    the side that is out of the money, which keeps its digits there, until more jumps have no weight in double
    precision; parity gives the other side. Differentiable in all arguments.

    Args:
        spot: price of the underlying.
        strike: in the unit of the spot.
        tau: years to expiry; at 0 the payoff is left.
        volatility: annual, of the diffusion.
        rate: of interest, continuous, a year.
        dividend: yield of the underlying, continuous, a year.
        right: to buy (``call``) or to sell (``put``).
        intensity: jumps a year.
        jump_mean: mean of the log jump.
        jump_sd: standard deviation of the log jump.

    Returns:
        Value of one option, in the unit of the spot, between its intrinsic value and its bound (the present value of
        the spot for a call, of the strike for a put), also after rounding.

    Raises:
        InputError: if the right is neither of the two, or the intensity or the deviation of jumps is negative, or
            more than 600 jumps are expected until expiry.
    """
    check_right(right)
    K, T, sigma = (torch.as_tensor(x, dtype=spot.dtype, device=spot.device) for x in (strike, tau, volatility))
    S, K = present_value(spot, dividend, T), present_value(K, rate, T)
    upside = K > S
    outside = torch.zeros_like(S * K)
    for weight, growth, spread in poisson_terms(T, intensity, jump_mean, jump_sd):
        variance = sigma.square() * T + spread
        live = variance > EXPIRED
        width = torch.where(live, torch.where(live, variance, 1).sqrt(), 0)
        # At rate zero, a put on S struck at K is a call on K struck at S.
        outside = outside + weight * black_scholes.price(
            torch.where(upside, S * growth, K), torch.where(upside, K, S * growth), 1.0, width
        )
    return by_parity(outside, S, K, right)


def greeks(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
    intensity: Number = 0.0,
    jump_mean: Number = 0.0,
    jump_sd: Number = 0.0,
) -> Greeks:
    """Value and sensitivities by automatic differentiation; they carry no gradient. Arguments as in :func:`price`."""
    values = (spot, strike, tau, volatility, rate, dividend, intensity, jump_mean, jump_sd)
    S, K, T, sigma, r, q, lam, mean, sd = torch.broadcast_tensors(
        *(torch.as_tensor(x, dtype=spot.dtype, device=spot.device).detach() for x in values)
    )

    def value(S: Tensor, sigma: Tensor, T: Tensor) -> Tensor:
        jumps = {"intensity": lam, "jump_mean": mean, "jump_sd": sd}
        return price(S, K, T, sigma, rate=r, dividend=q, right=right, **jumps)

    return Greeks(*sensitivities(value, S, sigma, T))


def poisson_terms(tau: Tensor, intensity: Number, mean: Number, sd: Number) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For n = 0, 1, ... jumps until ``tau``: probability, growth of the forward against its mean, added log variance.

    Ends where the rest has no weight in double precision, neither in probability nor in expected spot.
    """
    lam, mean, sd = (torch.as_tensor(x, dtype=tau.dtype, device=tau.device) for x in (intensity, mean, sd))
    for name, value in (("intensity", lam), ("jump_sd", sd)):
        if not (value >= 0).all():
            raise InputError(f"{name}={value.amin():g} is no number from 0 up; give it one")
    log_factor = mean + 0.5 * sd.square()
    expected = lam * tau
    tilted = expected * log_factor.exp()
    count = _number_of_terms(max((x.amax().item() for x in (expected, tilted) if x.numel()), default=0.0))
    compensator = expected * torch.expm1(log_factor)
    weight = torch.exp(-expected)
    for n in range(count):
        yield weight, torch.exp(n * log_factor - compensator), n * sd.square()
        weight = weight * expected / (n + 1)


def by_parity(outside: Tensor, S: Tensor, K: Tensor, right: Right) -> Tensor:
    """The option of this right, from the one that is out of the money: a call where K > S, elsewhere a put.

    Args:
        outside: value of the option that is out of the money.
        S: present value of the spot.
        K: present value of the strike.
        right: of the option that is wanted.
    """
    outside = torch.minimum(outside, torch.minimum(S, K))
    return outside + (torch.where(K > S, 0, S - K) if right == "call" else torch.where(K > S, K - S, 0))


def sensitivities(
    price: Callable[[Tensor, Tensor, Tensor], Tensor], spot: Tensor, level: Tensor, tau: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Price; d/dS, d2/dS2, d/dx, d2/dS dx and -d/dtau, where x is the level of uncertainty; all of one shape."""
    with torch.enable_grad():
        S, x, T = (one.detach().clone().requires_grad_() for one in (spot, level, tau))
        value = price(S, x, T)
        (slope,) = torch.autograd.grad(value.sum(), S, create_graph=True)
        first, decay = torch.autograd.grad(value.sum(), (x, T), retain_graph=True, materialize_grads=True)
        curve, cross = torch.autograd.grad(slope.sum(), (S, x), materialize_grads=True)
    return value.detach(), slope.detach(), curve, first, cross, -decay


def _number_of_terms(expected: float) -> int:
    """Jumps beyond which the Poisson law of this mean has no weight."""
    if not expected <= MOST_JUMPS:
        raise InputError(
            f"{expected:g} jumps are expected until expiry, at most {MOST_JUMPS:g} can be; lower intensity"
        )
    n, term = 0, math.exp(-expected)
    while n < expected or term > NEGLIGIBLE:
        n += 1
        term *= expected / n
    return max(n, 1)
