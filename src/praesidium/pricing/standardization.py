"""An option in standard form: present values, d1 and total volatility, safe where no uncertainty is left."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError

Amount: TypeAlias = Float[Tensor, "*#shape"]
Number: TypeAlias = Float[Tensor, "*#shape"] | float
Broadcast: TypeAlias = Float[Tensor, "*shape"]
Right: TypeAlias = Literal["call", "put"]

EXPIRED = 1e-24  # total variance up to which only the intrinsic value is left; its inverse still fits single precision


class Standardized(NamedTuple):
    """What all formulas are made of.

    Attributes:
        spot: S e^(-q tau), its present value.
        strike: K e^(-r tau), its present value.
        d1: log(spot / strike) / width + width / 2.
        width: total volatility, volatility sqrt(tau).
        tau: years to expiry.
        volatility: annual.
        live: where uncertainty is left, None for everywhere. Elsewhere the four before are harmless numbers.
    """

    spot: Tensor
    strike: Tensor
    d1: Tensor
    width: Tensor
    tau: Tensor
    volatility: Tensor
    live: Tensor | None


def standardize(
    spot: Tensor, strike: Number, tau: Number, volatility: Number, rate: Number, dividend: Number
) -> Standardized:
    """The option in standard form.

    Where nothing uncertain is left, the inputs are replaced before any formula sees them: a finite value could still
    carry an infinite derivative.
    """
    K, T, sigma = [x if isinstance(x, Tensor) else spot.new_tensor(x) for x in (strike, tau, volatility)]
    A, B = present_value(spot, dividend, T), present_value(K, rate, T)
    width = sigma * T.sqrt()
    some = min(width.numel(), spot.numel(), K.numel()) > 0
    if some and min(width.amin() ** 2, spot.amin(), K.amin()) > EXPIRED:  # the usual case, at a fraction of the time
        live, moneyness = None, torch.log(spot / K)
    else:
        live = (sigma.square() * T > EXPIRED) & (spot > 0) & (K > 0)
        T, sigma = torch.where(live, T, 1), torch.where(live, sigma, 1)
        width = sigma * T.sqrt()
        moneyness = torch.log(torch.where(live, spot, 1) / torch.where(live, K, 1))
    if not (_is_zero(rate) and _is_zero(dividend)):
        moneyness = moneyness + (rate - dividend) * T
    return Standardized(A, B, moneyness / width + 0.5 * width, width, T, sigma, live)


def present_value(amount: Tensor, rate: Number, tau: Number) -> Tensor:
    """amount e^(-rate tau); the amount itself, at no cost, for a rate that is the number zero."""
    if _is_zero(rate):
        return amount
    decay = -rate * tau
    return amount * (decay.exp() if isinstance(decay, Tensor) else math.exp(decay))


def check_right(right: str) -> None:
    """A right that is neither of the two is an error, never a call by default."""
    if right not in ("call", "put"):
        raise InputError(f"right={right!r} is unknown; say 'call' or 'put'")


def exercise(d: Tensor, spot: Tensor, strike: Tensor, live: Tensor | None, right: Right) -> Tensor:
    """N(d) for a call, -N(-d) for a put: the probability of exercise, with the sign in which it trades the underlying.

    Where no uncertainty is left it is 0 or 1 by the present values, and one half where these are equal.
    """
    value = normal_cdf(d) if right == "call" else -normal_cdf(-d)
    if live is None:
        return value
    return torch.where(live, value, (0.5 if right == "call" else -0.5) + 0.5 * (spot - strike).sign())


def only_live(value: Tensor, live: Tensor | None) -> Tensor:
    """The value where uncertainty is left, elsewhere 0."""
    return value if live is None else torch.where(live, value, 0)


def normal_cdf(x: Tensor) -> Tensor:
    """N(x); unlike ``torch.special.ndtr`` exact to the last digits in the left tail."""
    return 0.5 * torch.erfc(-math.sqrt(0.5) * x)


def normal_density(x: Tensor) -> Tensor:
    """n(x), the derivative of N."""
    return torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)


def _is_zero(rate: Number) -> bool:
    return isinstance(rate, (float, int)) and rate == 0  # a tensor may want its derivative
