"""Rough Bergomi against an independent simulation of its law, and the skew at the money against its expansion."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import hyp2f1, ndtr

from praesidium.markets.rough_bergomi import RoughBergomi
from praesidium.training.reproducibility import stream

MARKET = RoughBergomi()
STEPS, DT = 40, 1 / 252


def gaussian_draws(paths, hurst, steps, dt, seed):
    """W's gains and X at times dt, 2 dt, ...: one Cholesky factor of their covariance, which has closed forms."""
    t = dt * np.arange(1, steps + 1)
    s, u = np.minimum.outer(t, t), np.maximum.outer(t, t)
    x = 2 * hurst * s ** (hurst + 0.5) * u ** (hurst - 0.5) / (hurst + 0.5) * hyp2f1(0.5 - hurst, 1, hurst + 1.5, s / u)
    since = [np.clip(t[:, None] - start, 0, None) ** (hurst + 0.5) for start in (t - dt, t)]
    with_w = math.sqrt(2 * hurst) * (since[0] - since[1]) / (hurst + 0.5)
    factor = np.linalg.cholesky(np.block([[dt * np.eye(steps), with_w.T], [with_w, x]]))
    draws = factor @ np.random.default_rng(seed).normal(size=(2 * steps, paths))
    return draws[:steps], draws[steps:]


def conditional_calls(strikes, paths=40_000):
    """Calls given W alone, a Black-Scholes price each, for the part of the spot's noise that is independent of it."""
    dw, x = gaussian_draws(paths, MARKET.hurst, STEPS, DT, seed=11)
    years = DT * np.arange(1, STEPS + 1)[:, None]
    v = MARKET.xi * np.exp(MARKET.eta * x - 0.5 * MARKET.eta**2 * years ** (2 * MARKET.hurst))
    v = np.vstack([np.full((1, paths), MARKET.xi), v[:-1]])
    forward = np.exp((MARKET.rho * np.sqrt(v) * dw - 0.5 * MARKET.rho**2 * v * DT).sum(0))
    width = np.sqrt((1 - MARKET.rho**2) * (v * DT).sum(0))
    for strike in strikes:
        d1 = np.log(forward / strike) / width + width / 2
        calls = forward * ndtr(d1) - strike * ndtr(d1 - width)
        yield strike, calls.mean(), calls.std() / math.sqrt(paths)


def test_calls_are_those_of_conditional_monte_carlo():
    spot, _ = MARKET.sample(paths=120_000, steps=STEPS, dt=DT, generator=stream("rough calls"))
    for strike, exact, error in conditional_calls((0.9, 1.0, 1.05)):
        payoff = (spot[-1].double() - strike).clamp(min=0)
        both = math.hypot(payoff.std().item() / math.sqrt(len(payoff)), error)
        assert abs(payoff.mean().item() - exact) < 3 * both, strike


def test_without_correlation_calls_are_black_scholes_over_the_realized_variance():
    spot, variance = RoughBergomi(rho=0.0).sample(paths=80_000, steps=STEPS, dt=DT, generator=stream("rough calls"))
    width = (variance[:-1].double().sum(0) * DT).sqrt()
    difference = (spot[-1].double() - 1).clamp(min=0) - (2 * torch.special.ndtr(width / 2) - 1)

    assert abs(difference.mean()) < 3 * difference.std() / math.sqrt(len(width))


@pytest.mark.parametrize("hurst", [0.1, 0.3])
def test_the_skew_at_the_money_is_a_power_of_maturity(hurst):
    """d sigma / d log K = rho eta sqrt(2H) T^{H - 1/2} / (2 (H + 1/2) (H + 3/2)) to the first order in eta.

    Bergomi and Guyon 2012, eq. 12, with the sum over the simulated periods in place of the time integral. The skew
    is that of the digital at the level of the call, (N(d2) - P[S > 1]) / vega, both with Black-Scholes on the same
    draws as control.
    """
    steps, paths, eta, rho, skews = 12, 120_000, 0.4, -0.9, []
    for days in (0.5, 20):
        T = days / 252
        dt, vega = T / steps, math.sqrt(T) * stats.norm.pdf(0.1 * math.sqrt(T))
        final, control = (
            RoughBergomi(hurst=hurst, eta=one, rho=rho)
            .sample(paths=paths, steps=steps, dt=dt, generator=stream("rough skew"), dtype=torch.float64)[0][-1]
            .numpy()
            for one in (eta, 0.0)
        )
        # N(d2) + call / 2 is 1/2 at the money, whatever the volatility.
        short = [(one > 1) + np.clip(one - 1, 0, None) / 2 for one in (control, final)]
        skew, error = (short[0] - short[1]).mean() / vega, (short[0] - short[1]).std() / math.sqrt(paths) / vega
        exact = rho * eta * math.sqrt(2 * hurst) / (2 * T**2 * (hurst + 0.5))
        exact *= dt * ((dt * np.arange(steps)) ** (hurst + 0.5)).sum()
        assert abs(skew - exact) < 3 * error
        assert abs(exact) > 12 * error
        skews.append(skew)
    assert math.log(skews[1] / skews[0]) / math.log(40) == pytest.approx(hurst - 0.5, abs=0.04)
