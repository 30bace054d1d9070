"""Black-Scholes value of a call or a put, with its sensitivities of first order and its gamma.

All functions broadcast over spot, strike, years to expiry, annual volatility, and the continuous annual rates of
interest and dividends. An option with no uncertainty left (no time, no volatility, or a spot or strike of zero) is
worth its intrinsic value, that of the present values of spot and strike, and its sensitivities are those of the
intrinsic value: at the kink the mean of both sides, without the point mass of gamma (and without its trace in vega,
theta and the higher orders). Values and derivatives are finite there too, and far from the money, in single and double
precision; only a number that does not fit the precision is infinite.

Source: Black and Scholes 1973; Merton 1973, with dividends.
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
    exercise,
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
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Call: A N(d1) - B N(d2); put: B N(-d2) - A N(-d1).

    A = S e^(-q tau) and B = K e^(-r tau) are present values, d1 = log(A/B) / w + w / 2, d2 = d1 - w, and
    w = volatility sqrt(tau).

    Args:
        spot: S, price of the underlying.
        strike: K, in the unit of the spot.
        tau: years to expiry.
        volatility: annual.
        rate: r, of interest, continuous, a year.
        dividend: q, yield of the underlying, continuous, a year.
        right: to buy (``call``) or to sell (``put``).

    Returns:
        Value of one option, in the unit of the spot; never below the intrinsic value, also after rounding.

    Raises:
        InputError: if the right is neither of the two.
    """
    check_right(right)
    S, K, d1, width, *_, live = standardize(spot, strike, tau, volatility, rate, dividend)
    # The out-of-the-money side (the put, where S > K) keeps its digits in the wings; parity adds the rest.
    above = S > K
    side = torch.where(above, -1.0, 1.0).to(d1.dtype)
    outside = (side * (S * normal_cdf(side * d1) - K * normal_cdf(side * (d1 - width)))).clamp(min=0)
    value = outside + (torch.where(above, S - K, 0) if right == "call" else torch.where(above, 0, K - S))
    if live is None:
        return value
    exercised = S - K if right == "call" else K - S
    return torch.where(live, value, torch.maximum(exercised, torch.zeros_like(d1)))


def delta(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """dV/dS, the units of spot that hedge one option: e^(-q tau) N(d1) for a call, -e^(-q tau) N(-d1) for a put.

    At expiry 1{S > K} and -1{S < K}, and half of it at the money. Args, shapes and errors as in :func:`price`.
    """
    check_right(right)
    S, K, d1, *_, live = standardize(spot, strike, tau, volatility, rate, dividend)
    return present_value(exercise(d1, S, K, live, right), dividend, tau)


def gamma(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """d2V/dS2 = e^(-q tau) n(d1) / (S w), the change of delta with the spot, the same for both rights; 0 at expiry.

    Args, shapes and errors as in :func:`price`.
    """
    check_right(right)
    _, _, d1, width, *_, live = standardize(spot, strike, tau, volatility, rate, dividend)
    return present_value(_gamma(spot, d1, width, live), dividend, tau)


def greeks(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> tuple[Broadcast, Broadcast]:
    """:func:`delta` and :func:`gamma` from one d1."""
    check_right(right)
    S, K, d1, width, *_, live = standardize(spot, strike, tau, volatility, rate, dividend)
    slope, curve = exercise(d1, S, K, live, right), _gamma(spot, d1, width, live)
    return present_value(slope, dividend, tau), present_value(curve, dividend, tau)


def vega(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """dV/dvolatility = A n(d1) sqrt(tau), per unit of volatility (not per percent), the same for both rights.

    0 at expiry and at zero volatility. Args, shapes and errors as in :func:`price`.
    """
    check_right(right)
    S, _, d1, _, T, _, live = standardize(spot, strike, tau, volatility, rate, dividend)
    return only_live(S * normal_density(d1) * T.sqrt(), live)


def theta(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """-dV/dtau, the change of value as time passes, a year: -A n(d1) w / (2 tau) - r B N(d2) + q A N(d1) for a call.

    For a put the last two are r B N(-d2) - q A N(-d1). Args, shapes and errors as in :func:`price`.
    """
    check_right(right)
    S, K, d1, width, T, _, live = standardize(spot, strike, tau, volatility, rate, dividend)
    decay = only_live(S * normal_density(d1) * width / (2 * T), live)
    interest = rate * K * exercise(d1 - width, S, K, live, right)
    return dividend * S * exercise(d1, S, K, live, right) - interest - decay


def rho(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """dV/dr, per unit of the rate (not per percent): tau B N(d2) for a call, -tau B N(-d2) for a put.

    Args, shapes and errors as in :func:`price`.
    """
    check_right(right)
    S, K, d1, width, *_, live = standardize(spot, strike, tau, volatility, rate, dividend)
    return tau * K * exercise(d1 - width, S, K, live, right)


def _gamma(S: Tensor, d1: Tensor, width: Tensor, live: Tensor | None) -> Tensor:
    if live is None:
        return normal_density(d1) / (S * width)
    return torch.where(live, normal_density(d1) / (torch.where(live, S, 1) * width), 0)
