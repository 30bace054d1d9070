import math

import numpy as np
import pytest
import torch

from praesidium.pricing import asian, black_scholes
from praesidium.training.reproducibility import stream

CARRY = {"rate": 0.05, "dividend": 0.02}


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


def fill(value, spot):
    return torch.full_like(spot, value)


def value(spot, strike, tau, volatility, fixings, **kwargs):
    return asian.price(spot, *(fill(one, spot) for one in (strike, tau, volatility, fixings)), **kwargs)


@pytest.mark.parametrize("right", ["call", "put"])
def test_one_price_makes_a_plain_option(right):
    spot = torch.linspace(0.5, 2.0, 9, dtype=torch.float64)
    plain = black_scholes.price(spot, 1.1, 0.3, 0.4, **CARRY, right=right)
    torch.testing.assert_close(value(spot, 1.1, 0.3, 0.4, 1, **CARRY, right=right), plain, atol=1e-14, rtol=0)


def test_two_prices_by_integration_over_the_first():
    """Given the first of two prices, the option is a plain one on the second."""
    nodes, weights = (torch.as_tensor(one) for one in np.polynomial.hermite_e.hermegauss(120))
    step, sigma, drift = 0.05, 0.3, 0.03
    first = torch.exp((drift - 0.5 * sigma**2) * step + sigma * math.sqrt(step) * nodes)
    for strike in (0.9, 1.0, 1.1):
        left = black_scholes.price(0.5 * first * math.exp(drift * step), strike - 0.5 * first, step, sigma)
        exact = (weights * left).sum().item() / math.sqrt(2 * math.pi) * math.exp(-0.05 * 2 * step)
        assert value(column(1.0), strike, 2 * step, sigma, 2, **CARRY).item() == pytest.approx(exact, abs=1.5e-4)


def test_moments_are_those_of_the_double_sum():
    """The value of a strike near the forward fixes the second moment."""
    n, tau, sigma, carry = 7, 0.5, 0.5, 0.03
    times = np.arange(1, n + 1) * tau / n
    mean = np.exp(carry * times).mean()
    second = np.exp(carry * np.add.outer(times, times) + sigma**2 * np.minimum.outer(times, times)).mean()
    deviation = math.sqrt(math.log(second / mean**2))
    exact = math.exp(-0.05 * tau) * black_scholes.price(column(mean), 1.0, 1.0, deviation)
    torch.testing.assert_close(value(column(1.0), 1.0, tau, sigma, n, **CARRY), exact, atol=1e-15, rtol=1e-13)


@pytest.mark.parametrize(("deviation", "error"), [(0.1, 1e-4), (0.3, 1e-3), (0.6, 4e-3)])
def test_the_error_is_as_stated(deviation, error):
    """Against simulation with the geometric mean, whose law is known, as control."""
    n = 60
    z = torch.randn(n, 8000, dtype=torch.float64, generator=stream("tests", "asian"))
    steps = deviation / math.sqrt(n) * torch.cat([z, -z], dim=1) - 0.5 * deviation**2 / n
    logs = steps.cumsum(0)
    m, v = -0.25 * deviation**2 * (n + 1) / n, deviation**2 * (n + 1) * (2 * n + 1) / (6 * n**2)
    for strike in (0.9, 1.0, 1.3):
        geometric = black_scholes.price(column(math.exp(m + v / 2)), strike, 1.0, math.sqrt(v)).item()
        beyond = (logs.exp().mean(0) - strike).clamp(min=0) - (logs.mean(0).exp() - strike).clamp(min=0)
        exact = geometric + beyond.mean().item()
        noise = 3 * (beyond[:8000] + beyond[8000:]).std().item() / 2 / 8000**0.5
        assert abs(value(column(1.0), strike, 1.0, deviation, n).item() - exact) < error + noise
        assert noise < 0.4 * error


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("carry", [{}, CARRY])
def test_greeks_are_derivatives(right, carry):
    spot = torch.linspace(0.7, 1.4, 8, dtype=torch.float64).requires_grad_()
    (delta,) = torch.autograd.grad(value(spot, 1.1, 0.4, 0.3, 5, **carry, right=right).sum(), spot, create_graph=True)
    (gamma,) = torch.autograd.grad(delta.sum(), spot)
    found = asian.greeks(spot, *(fill(one, spot) for one in (1.1, 0.4, 0.3, 5.0)), **carry, right=right)
    torch.testing.assert_close(found[0], delta, atol=1e-13, rtol=1e-12)
    torch.testing.assert_close(found[1], gamma, atol=1e-12, rtol=1e-11)


def test_a_strike_that_is_met_for_certain_leaves_a_forward():
    spot, times = torch.linspace(0.5, 2.0, 4, dtype=torch.float64), np.arange(1, 5) * 0.1
    exact = math.exp(-0.05 * 0.4) * (spot * np.exp(0.03 * times).mean() + 0.2)
    torch.testing.assert_close(value(spot, -0.2, 0.4, 0.3, 4, **CARRY), exact, atol=1e-15, rtol=1e-15)


def test_small_rates_lead_to_none():
    spot = column(0.9, 1.0, 1.2)
    torch.testing.assert_close(
        value(spot, 1.0, 0.4, 0.3, 30, rate=1e-9), value(spot, 1.0, 0.4, 0.3, 30), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_are_finite_without_time_or_volatility(dtype):
    spot, tau, sigma = torch.meshgrid(
        *(torch.tensor(x, dtype=dtype) for x in ([0.5, 1.0, 2.0], [0.0, 1 / 252, 1.0], [0.0, 1e-6, 0.2])), indexing="ij"
    )
    inputs = [x.clone().requires_grad_() for x in (spot, sigma)]
    found = asian.price(inputs[0], torch.ones_like(spot), tau, inputs[1], torch.full_like(spot, 9.0))
    assert found.isfinite().all()
    assert all(one.isfinite().all() for one in torch.autograd.grad(found.sum(), inputs))
    torch.testing.assert_close(found[:, 0, :], (spot[:, 0, :] - 1).clamp(min=0))
