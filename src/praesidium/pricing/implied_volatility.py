"""The volatility at which Black-Scholes gives a price."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from praesidium.pricing.standardization import (
    Amount,
    Broadcast,
    Number,
    Right,
    check_right,
    exercise,
    normal_cdf,
    normal_density,
    present_value,
)

STEPS = 4  # the worst of all prices that double precision can hold needs 3
RESOLVED = 1e-17  # what is less, of a difference of numbers around 1, is rounding
WIDEST = 80.0  # above the turn; no price in double precision needs as much total volatility


def implied_volatility(
    price: Amount,
    spot: Number,
    strike: Number,
    tau: Number,
    *,
    right: Right = "call",
    rate: Number = 0.0,
    dividend: Number = 0.0,
) -> Broadcast:
    """Annual volatility at which :func:`praesidium.pricing.black_scholes.price` is ``price``.

    As exact as the price allows: to about 1e-15 of total volatility for a price in double precision out of the money,
    to the rounding error of the price over its vega in the money. Each element is found by itself, the same in any
    batch. Worked out in double precision, given back in that of the price.

    NaN where there is none: a price below the intrinsic value of the present values, at or above its upper bound (the
    present value of the spot for a call, of the strike for a put) or NaN, no time left, a spot or strike that is not
    positive. A price of exactly the intrinsic value gives 0.

    Differentiable to any order in all numbers by the implicit function theorem, dsigma/dprice = 1 / vega; where the
    result is NaN or 0 (there without bound), the derivatives are 0, so that such elements can be masked afterwards.

    Args:
        price: of one option, in the unit of the spot.
        spot: price of the underlying.
        strike: in the unit of the spot.
        tau: years to expiry.
        right: to buy (``call``) or to sell (``put``).
        rate: of interest, continuous, a year.
        dividend: yield of the underlying, continuous, a year.

    Raises:
        InputError: if the right is neither of the two.

    Source: Jäckel 2015, Let's be rational, for the normalized price, its inflection and the scaled complementary error
    functions; guess, objective and iteration are simpler.
    """
    check_right(right)
    P, S, K, T = [torch.as_tensor(x, dtype=torch.float64, device=price.device) for x in (price, spot, strike, tau)]
    left = T > 0
    P, T = P.where(left, math.nan), T.where(left, 1)
    P, A, B = torch.broadcast_tensors(P, present_value(S, dividend, T), present_value(K, rate, T))
    width: Tensor = _TotalVolatility.apply(P, A, B, right)
    found = width > 0
    return (width.where(found, 1) / T.sqrt()).where(found, width.detach()).to(price.dtype)


class _TotalVolatility(torch.autograd.Function):
    """volatility sqrt(tau) from the price and the present values of spot and strike."""

    @staticmethod
    def forward(ctx: Any, price: Tensor, spot: Tensor, strike: Tensor, right: Right) -> Tensor:
        intrinsic = (spot - strike if right == "call" else strike - spot).clamp(min=0)
        bound = spot if right == "call" else strike
        ratio = spot / strike
        possible = (ratio > 0) & ratio.isfinite() & (price >= intrinsic) & (price < bound)
        # By parity what exceeds the intrinsic value is the price of the right that is out of the money.
        scale = torch.minimum(spot, strike)
        excess, room = (price - intrinsic) / scale, (bound - price) / scale
        some = possible & (excess > 0)
        width = torch.zeros_like(price).masked_fill(~possible, math.nan)
        width[some] = _solve(ratio[some].log().abs().neg(), excess[some], room[some])
        ctx.save_for_backward(spot, strike, width)
        ctx.right = right
        return width

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        found = ctx.saved_tensors[-1] > 0
        spot, strike, width = [x.where(found, 1) for x in ctx.saved_tensors]
        d1 = (spot / strike).log() / width + 0.5 * width
        by_price = grads[0].where(found, 0) / (spot * normal_density(d1))
        by_spot = -by_price * exercise(d1, spot, strike, None, ctx.right)
        by_strike = by_price * exercise(d1 - width, spot, strike, None, ctx.right)
        return by_price, by_spot, by_strike, None


def _solve(x: Tensor, excess: Tensor, room: Tensor) -> Tensor:
    """Total volatility of options out of the money.

    Args:
        x: log of spot over strike of the call, at most 0.
        excess: price over the smaller of spot and strike, in (0, 1).
        room: 1 - ``excess``, with all its digits.

    The price as a function of the total volatility is convex up to ``turn``, where vega is greatest, then concave. Its
    logarithm is concave, and so is that of the distance to its bound. Below the turn we equate the one, above it the
    other, and Halley's steps are kept inside what is known to enclose the solution.
    """
    turn = (-2 * x).sqrt().clamp(min=1e-150)
    excess, room = excess.log() + 0.5 * x, room.log() + 0.5 * x
    below = excess < _log_price(x, turn, -1.0)[0]
    side = torch.where(below, -1.0, 1.0).to(x.dtype)
    target = torch.where(below, excess, room)
    low, high = torch.where(below, 0, turn), torch.where(below, turn, turn + WIDEST)
    width = torch.where(below, _guess_below(x, turn, excess), _guess_above(x, turn, room)).clamp(low, high)
    for _ in range(STEPS):
        value, slope = _log_price(x, width, side)
        error = side * (target - value)
        low, high = torch.where(error <= 0, width, low), torch.where(error >= 0, width, high)
        newton = -error / slope
        bend = (x / width).square() / width - 0.25 * width + side * slope
        # At most twice Newton's step, and never back: of prices close to rounding the bend may be anything.
        halley = width + newton / (1 + 0.5 * newton * bend).clamp(min=0.5)
        width = torch.where((halley >= low) & (halley <= high), halley, 0.5 * (low + high))
    return width


def _log_price(x: Tensor, width: Tensor, side: Tensor | float) -> tuple[Tensor, Tensor]:
    """Log of the normalized price (side -1) or of its distance to its bound (side 1), and its slope, without sign.

    Both are e^(-(h^2 + t^2) / 2) / 2 times a sum of scaled complementary error functions, h = x / w and t = w / 2,
    whose arguments are not negative on the side of the turn where they are used, so that nothing overflows. The
    difference costs digits of the price that are worth some 1e-16 of total volatility.
    """
    h, t = x / width, 0.5 * width
    both = torch.special.erfcx(math.sqrt(0.5) * side * (h + t)) + side * torch.special.erfcx(math.sqrt(0.5) * (t - h))
    both = both.clamp(min=RESOLVED)
    return both.log() - math.log(2) - 0.5 * (h.square() + t.square()), math.sqrt(2 / math.pi) / both


def _guess_below(x: Tensor, turn: Tensor, excess: Tensor) -> Tensor:
    """From the turn down to the zero of its tangent linear in the price, from there with its cube root.

    Close to expiry the price is about 2 pi |x| / 27^(1/2) N(x / 3^(1/2) w)^3.
    """
    price, slope = _log_price(x, turn, -1.0)
    # The foot is about 1.25 |x| where x is small: soon a difference of equal numbers.
    foot = torch.maximum(turn - 1 / slope, torch.minimum(-x, 0.5 * turn))
    least = _log_price(x, foot, -1.0)[0]
    linear = foot + (turn - foot) * torch.expm1(excess - least) / torch.expm1(price - least)
    root = math.sqrt(3)
    share = torch.exp((excess - least).clamp(max=0) / 3)
    deep = x / (root * torch.special.ndtri(normal_cdf(x / (root * foot)) * share))
    return torch.where(excess < least, deep, linear)


def _guess_above(x: Tensor, turn: Tensor, room: Tensor) -> Tensor:
    """Room in proportion to N(-w / 2): exact at the turn, and everywhere at the money."""
    share = torch.exp((room - _log_price(x, turn, 1.0)[0]).clamp(max=0))
    return -2 * torch.special.ndtri(normal_cdf(-0.5 * turn) * share)
