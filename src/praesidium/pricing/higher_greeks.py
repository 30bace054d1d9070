"""Black-Scholes sensitivities of second and third order: how delta, gamma and vega themselves move.

All are the same for calls and puts, but for :func:`charm` under dividends. Those with time are per year of calendar
time that passes, -d/dtau; those with volatility per unit of volatility (not per percent). At expiry, at zero
volatility, and at a spot or strike of zero they are 0, but for the dividends in charm. Values and derivatives are
finite there too, and far from the money; only what does not fit the precision is infinite.

Arguments, shapes, errors and symbols are those of :func:`praesidium.pricing.black_scholes.price`; d1' = (r - q) / w -
d2 / (2 tau) is the slope of d1 in tau.

Source: Haug 2007, The Complete Guide to Option Pricing Formulas, chapter 2, with all times as above.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from praesidium.pricing.black_scholes import delta
from praesidium.pricing.standardization import (
    Amount,
    Broadcast,
    Number,
    Right,
    check_right,
    normal_density,
    only_live,
    present_value,
    standardize,
)


def vanna(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of delta with volatility, and of vega with the spot: -e^(-q tau) n(d1) d2 / volatility."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    return only_live(-x.density * x.d2 / x.volatility, x.near)


def volga(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of vega with volatility (vomma): vega d1 d2 / volatility."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    return only_live(x.vega * x.d1 * x.d2 / x.volatility, x.near)


def charm(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of delta as time passes, a year: q delta - e^(-q tau) n(d1) d1'."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    slope = delta(spot, strike, tau, volatility, rate=rate, dividend=dividend, right=right)
    return dividend * slope - only_live(x.density * x.drift, x.near)


def veta(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of vega as time passes, a year: vega (q + d1 d1' - 1 / (2 tau))."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    return only_live(x.vega * (dividend + x.d1 * x.drift - 0.5 / x.tau), x.near)


def speed(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of gamma with the spot: -gamma (1 + d1 / w) / S."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    return only_live(-x.gamma * (1 + x.d1 / x.width) / x.spot, x.near)


def zomma(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of gamma with volatility: gamma (d1 d2 - 1) / volatility."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    return only_live(x.gamma * (x.d1 * x.d2 - 1) / x.volatility, x.near)


def color(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of gamma as time passes, a year: gamma (q + d1 d1' + 1 / (2 tau))."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    return only_live(x.gamma * (dividend + x.d1 * x.drift + 0.5 / x.tau), x.near)


def ultima(
    spot: Amount,
    strike: Number,
    tau: Number,
    volatility: Number,
    *,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
) -> Broadcast:
    """Change of volga with volatility: vega (d1 d2 (d1 d2 - 1) - d1^2 - d2^2) / volatility^2."""
    x = _smooth(spot, strike, tau, volatility, rate, dividend, right)
    both = x.d1 * x.d2
    return only_live(x.vega * (both * (both - 1) - x.d1.square() - x.d2.square()) / x.volatility.square(), x.near)


class _Smooth(NamedTuple):
    spot: Tensor
    density: Tensor  # e^(-q tau) n(d1)
    d1: Tensor
    d2: Tensor
    drift: Tensor  # the slope of d1 in tau
    gamma: Tensor
    vega: Tensor
    width: Tensor
    tau: Tensor
    volatility: Tensor
    near: Tensor  # where the density is not 0


def _smooth(
    spot: Tensor, strike: Number, tau: Number, volatility: Number, rate: Number, dividend: Number, right: Right
) -> _Smooth:
    """The parts of the formulas; harmless numbers where no uncertainty is left.

    So also where the density underflows: the infinite derivative of a factor would not yield to its zero.
    """
    check_right(right)
    _, _, d1, width, T, sigma, live = standardize(spot, strike, tau, volatility, rate, dividend)
    density = normal_density(d1)
    near = density > 0 if live is None else live & (density > 0)
    d1, width, T, sigma, S = [torch.where(near, x, 1) for x in (d1, width, T, sigma, spot)]
    density, d2 = present_value(density, dividend, T), d1 - width
    drift = (rate - dividend) / width - d2 / (2 * T)
    return _Smooth(S, density, d1, d2, drift, density / (S * width), density * S * T.sqrt(), width, T, sigma, near)
