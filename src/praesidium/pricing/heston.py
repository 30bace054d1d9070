"""Heston's stochastic volatility, also with Merton's jumps (Bates): prices and sensitivities to the last digits.

Source: Heston 1993; Bates 1996.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.pricing.fourier import LARGEST_TILT, estimated_reach, expected_minimum
from praesidium.pricing.merton import by_parity, poisson_terms, sensitivities
from praesidium.pricing.standardization import EXPIRED, Amount, Broadcast, Number, Right, check_right, present_value

DIGITS = -math.log(1e-16)
BLOCK = 256  # options at once: their nodes stay in the cache


class Greeks(NamedTuple):
    """Value and sensitivities of one option.

    Without jumps, the hedge in the spot alone that leaves the least variance is
    ``delta + rho * xi * variance_vega / spot``.

    Attributes:
        price: the value, as by :func:`price`.
        delta: d price / d spot, while the variance stays.
        gamma: d2 price / d spot2.
        variance_vega: d price / d variance.
        variance_vanna: d2 price / d spot d variance.
        theta: -d price / d tau, the change of value as time passes, a year.
    """

    price: Tensor
    delta: Tensor
    gamma: Tensor
    variance_vega: Tensor
    variance_vanna: Tensor
    theta: Tensor


def price(
    spot: Amount,
    strike: Number,
    tau: Number,
    variance: Number,
    *,
    theta: Number,
    kappa: Number,
    xi: Number,
    rho: Number,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
    intensity: Number = 0.0,
    jump_mean: Number = 0.0,
    jump_sd: Number = 0.0,
) -> Broadcast:
    """A European option where dv = kappa (theta - v) dt + xi sqrt(v) dB, d<B, W> = rho dt, and the spot may jump.

    Computed in double precision, to about 1e-15 of the spot, at any maturity and variance. Differentiable in all
    arguments. Jumps are averaged over their number, as in :mod:`praesidium.pricing.merton`: their cost is that of as
    many prices as jumps have a probability that counts.

    Args:
        spot: price of the underlying.
        strike: in the unit of the spot.
        tau: years to expiry; at 0 the payoff is left.
        variance: v now, a year.
        theta: long-run variance, a year.
        kappa: speed of mean reversion, a year.
        xi: volatility of the variance; 0 makes it deterministic.
        rho: correlation of spot and variance.
        rate: of interest, continuous, a year.
        dividend: yield of the underlying, continuous, a year.
        right: to buy (``call``) or to sell (``put``).
        intensity: jumps a year.
        jump_mean: mean of the log jump.
        jump_sd: standard deviation of the log jump.

    Returns:
        Value of one option, in the unit and precision of the spot, between its intrinsic value and its bound (the
        present value of the spot for a call, of the strike for a put), also after rounding.

    Raises:
        InputError: if an argument is out of its bounds, or more than 600 jumps are expected until expiry.
    """
    check_right(right)
    options, shape = _flatten(
        spot, strike, tau, variance, theta, kappa, xi, rho, rate, dividend, intensity, jump_mean, jump_sd
    )
    values = [_value(block, right) for block in _blocks(options)]
    return torch.cat(values).view(shape).to(spot.dtype)


def greeks(
    spot: Amount,
    strike: Number,
    tau: Number,
    variance: Number,
    *,
    theta: Number,
    kappa: Number,
    xi: Number,
    rho: Number,
    rate: Number = 0.0,
    dividend: Number = 0.0,
    right: Right = "call",
    intensity: Number = 0.0,
    jump_mean: Number = 0.0,
    jump_sd: Number = 0.0,
) -> Greeks:
    """Value and sensitivities by automatic differentiation; they carry no gradient. Arguments as in :func:`price`."""
    check_right(right)
    options, shape = _flatten(
        spot, strike, tau, variance, theta, kappa, xi, rho, rate, dividend, intensity, jump_mean, jump_sd
    )
    parts = []
    for block in _blocks(_Options(*(x.detach() for x in options))):

        def value(S: Tensor, v: Tensor, T: Tensor, block: _Options = block) -> Tensor:
            return _value(block._replace(spot=S, variance=v, tau=T), right)

        parts.append(sensitivities(value, block.spot, block.variance, block.tau))
    return Greeks(*(torch.cat(column).view(shape).to(spot.dtype) for column in zip(*parts, strict=True)))


def characteristic_function(
    u: Complex[Tensor, "*#shape"] | Float[Tensor, "*#shape"],
    tau: Number,
    variance: Number,
    *,
    theta: Number,
    kappa: Number,
    xi: Number,
    rho: Number,
    intensity: Number = 0.0,
    jump_mean: Number = 0.0,
    jump_sd: Number = 0.0,
) -> Complex[Tensor, "*shape"]:
    """E[e^(i u X)] of X = log(S_T / F), the log price against its forward, so that it is 1 at u = 0 and u = -i.

    Args:
        u: real, or complex with -1 <= Im u <= 0; beyond, where moments may be infinite, nothing is checked.
        tau: years from now to T.
        variance: as the others in :func:`price`.
        theta: long-run variance, a year.
        kappa: speed of mean reversion, a year.
        xi: volatility of the variance.
        rho: correlation of spot and variance.
        intensity: jumps a year.
        jump_mean: mean of the log jump.
        jump_sd: standard deviation of the log jump.

    Returns:
        In double precision. No branch is cut: the logarithm inside is continuous in u.
    """
    z = u.to(torch.complex128)
    jump = torch.exp(1j * z * jump_mean - 0.5 * z.square() * _double(jump_sd, z) ** 2) - 1
    compensator = torch.expm1(_double(jump_mean, z) + 0.5 * _double(jump_sd, z) ** 2)
    jumps = _double(intensity, z) * _double(tau, z) * (jump - 1j * z * compensator)
    heston = _exponent(z, *(_double(x, z) for x in (tau, variance, theta, kappa, xi, rho)))
    return torch.exp(heston + jumps)


class _Options(NamedTuple):
    """All arguments of :func:`price`, flat, in double precision."""

    spot: Tensor
    strike: Tensor
    tau: Tensor
    variance: Tensor
    theta: Tensor
    kappa: Tensor
    xi: Tensor
    rho: Tensor
    rate: Tensor
    dividend: Tensor
    intensity: Tensor
    jump_mean: Tensor
    jump_sd: Tensor


def _flatten(spot: Tensor, *others: Number) -> tuple[_Options, torch.Size]:
    tensors = torch.broadcast_tensors(*(_double(x, spot) for x in (spot, *others)))
    options = _Options(*(x.reshape(-1) for x in tensors))
    for name in ("spot", "strike", "tau", "variance", "theta", "xi"):
        if not (getattr(options, name) >= 0).all():
            raise InputError(f"{name}={getattr(options, name).amin():g} is no number from 0 up; give it one")
    if not (options.kappa > 0).all():
        raise InputError(f"kappa={options.kappa.amin():g} is not above 0; for no reversion say kappa=1e-9")
    if not (options.rho.abs() <= 1).all():
        raise InputError(f"rho={options.rho[options.rho.abs().argmax()]:g} is no correlation; it lies in [-1, 1]")
    return options, tensors[0].shape


def _double(x: Number, like: Tensor) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float64, device=like.device)


def _blocks(options: _Options) -> Iterator[_Options]:
    return (_Options(*block) for block in zip(*(x.split(BLOCK) for x in options), strict=True))


def _value(x: _Options, right: Right) -> Tensor:
    S, K = present_value(x.spot, x.dividend, x.tau), present_value(x.strike, x.rate, x.tau)
    outside = torch.zeros_like(S)
    if S.numel():
        for weight, growth, spread in poisson_terms(x.tau, x.intensity, x.jump_mean, x.jump_sd):
            digits = max(DIGITS + math.log(max(weight.amax().item(), 1e-300)), 1.0)  # fewer for what counts less
            outside = outside + weight * _outside(x, S * growth, K, K > S, spread, digits)
    return by_parity(outside, S, K, right)


def _outside(x: _Options, F: Tensor, K: Tensor, upside: Tensor, spread: Tensor, digits: float) -> Tensor:
    """A call where ``upside``, elsewhere a put, on the forward F; ``spread`` adds to the variance of its logarithm."""
    lost = -torch.expm1(-x.kappa * x.tau) / x.kappa
    total = x.theta * (x.tau - lost) + x.variance * lost + spread
    live = (total > EXPIRED) & (F > 0) & (K > 0)
    tau, v, total, forward, strike = (torch.where(live, one, 1) for one in (x.tau, x.variance, total, F, K))
    moneyness = torch.log(forward / strike)
    parameters = [one.unsqueeze(-1) for one in (tau, v, x.theta, x.kappa, x.xi, x.rho)]

    def exponent(z: Tensor) -> Tensor:
        return _exponent(z, *parameters) - 0.5 * spread.unsqueeze(-1) * (z.square() + 1j * z)

    with torch.no_grad():
        tilt, farthest = _contour(x, moneyness, total, spread, v + x.kappa * x.theta * tau, digits)
    share = expected_minimum(moneyness, exponent, tilt=tilt, reach=farthest, digits=digits)
    least = torch.minimum(F, K)
    received = torch.where(upside, F, K)
    return torch.maximum(received - torch.where(live, strike * share, least), received - least)


def _contour(
    x: _Options, k: Tensor, total: Tensor, spread: Tensor, supply: Tensor, digits: float
) -> tuple[Tensor, Tensor]:
    """Tilt and reach, from how the integrand falls.

    First as e^(ikz - total z^2 / 2), later as e^(ikz - (sqrt(1 - rho^2) + i rho) V z) with V = supply / xi, where the
    supply of variance is v + kappa theta tau. The correlation has a say in the tilt as far as the second law has one.
    """
    V = supply / x.xi.clamp(min=1e-8)
    scale = torch.minimum(V, 3 * total.sqrt())
    tilt = LARGEST_TILT * ((k - x.rho * scale) / scale.clamp(min=1e-300)).clamp(-1, 1)
    rate = V * (1 - x.rho.square()).sqrt() * tilt.cos() + (k - V * x.rho) * tilt.sin()
    # With a correlation of one, the second law may not fall at all: then the next order does, slowly.
    farthest = estimated_reach(total, torch.maximum(rate, V / 20), tilt=tilt, digits=digits)
    return tilt, torch.minimum(farthest, torch.sqrt(2 * digits / (spread * torch.cos(2 * tilt))))


def _exponent(
    z: Tensor, tau: Tensor, variance: Tensor, theta: Tensor, kappa: Tensor, xi: Tensor, rho: Tensor
) -> Tensor:
    """log E[e^(iz log(S_T / F))] = A + B v, in terms that neither cancel nor divide by xi.

    With q = z^2 + iz, beta = kappa - i rho xi z, D = sqrt(beta^2 + xi^2 q), E = (1 - e^(-D tau)) / D and
    m = q / (beta + D): B = -q E / (2 (1 - x)) and A = kappa theta m (E log(1 - x) / (-x) - tau), x = xi^2 m E / 2.
    1 - x is (1 - g e^(-D tau)) / (1 - g) of the "little trap", whose principal logarithm is the continuous one.

    Source: Albrecher, Mayer, Schoutens and Tistaert 2007; Lord and Kahl 2010, on the logarithm.
    """
    q = z.square() + 1j * z
    beta = kappa - 1j * rho * xi * z
    D = torch.sqrt(beta.square() + xi.square() * q)
    E = -torch.expm1(-D * tau) / D
    m = q / (beta + D)
    x = 0.5 * xi.square() * m * E
    B = -0.5 * q * E / (1 - x)
    return B * variance + kappa * theta * m * (E * _log_ratio(x) - tau)


def _log_ratio(x: Tensor) -> Tensor:
    """log(1 - x) / (-x), 1 at x = 0; by real functions, at a third of the time of the complex logarithm."""
    some = x != 0
    x = torch.where(some, x, 0.5)
    a, b = -x.real, -x.imag
    log = torch.complex(0.5 * torch.log1p(a * (2 + a) + b.square()), torch.atan2(b, 1 + a))
    return torch.where(some, -log / x, 1)
