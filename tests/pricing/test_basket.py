import math

import numpy as np
import pytest
import torch

from praesidium.pricing import basket, black_scholes

CARRY = {"rate": 0.05, "dividend": 0.02}
YEAR = torch.ones(1, dtype=torch.float64)


def value(prices, strike, volatilities, *, tau=YEAR, **kwargs):
    columns = [torch.tensor(x, dtype=torch.float64).unsqueeze(-1) for x in (prices, volatilities)]
    return basket.price(columns[0], strike, tau, columns[1], **kwargs)


@pytest.mark.parametrize("right", ["call", "put"])
def test_assets_that_move_as_one_are_one(right):
    exact = black_scholes.price(0.4 * 1.1 * YEAR + 0.8 * 0.9, 1.0, 1.0, 0.3, **CARRY, right=right)
    found = value([1.1, 0.9], 1.0, [0.3, 0.3], weights=(0.4, 0.8), correlation=1.0, **CARRY, right=right)
    torch.testing.assert_close(found, exact, atol=1e-15, rtol=0)


def test_the_second_moment_is_that_of_the_sum():
    weights, prices, sigmas, rho = (0.2, 0.3, 0.6), (1.2, 0.9, 1.0), (0.2, 0.5, 0.3), 0.25
    parts = np.array(weights) * prices
    matrix = np.outer(sigmas, sigmas) * (rho + (1 - rho) * np.eye(3))
    second = parts @ np.exp(matrix) @ parts
    deviation = math.sqrt(math.log(second / parts.sum() ** 2))
    exact = black_scholes.price(parts.sum() * YEAR, 1.0, 1.0, deviation)
    torch.testing.assert_close(value(prices, 1.0, sigmas, weights=weights, correlation=rho), exact, atol=1e-15, rtol=0)


@pytest.mark.parametrize(
    ("sigmas", "rho", "error"), [((0.3, 0.3), 0.5, 1e-5), ((0.3, 0.3), -0.5, 3.5e-4), ((0.2, 0.6), 0.0, 1.2e-2)]
)
def test_the_error_is_as_stated(sigmas, rho, error):
    """Given the first of two prices, the option is a plain one on the second."""
    nodes, weights = (torch.as_tensor(one) for one in np.polynomial.hermite_e.hermegauss(150))
    first = 0.5 * torch.exp(sigmas[0] * nodes - 0.5 * sigmas[0] ** 2)
    second = 0.5 * torch.exp(sigmas[1] * rho * nodes - 0.5 * (sigmas[1] * rho) ** 2)
    for strike in (0.8, 1.0, 1.2):
        given = black_scholes.price(second, strike - first, 1.0, sigmas[1] * math.sqrt(1 - rho**2))
        exact = (weights * given).sum().item() / math.sqrt(2 * math.pi)
        found = value([1.0, 1.0], strike, sigmas, weights=(0.5, 0.5), correlation=rho).item()
        assert abs(found - exact) < error


def test_put_call_parity():
    call, put = (
        value([1.1, 0.9], 1.05, [0.3, 0.5], weights=(0.4, 0.8), correlation=0.2, **CARRY, right=right)
        for right in ("call", "put")
    )
    forward = math.exp(-0.02) * (0.4 * 1.1 + 0.8 * 0.9) - math.exp(-0.05) * 1.05
    assert (call - put).item() == pytest.approx(forward, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_are_finite_at_expiry(dtype):
    prices = torch.tensor([[0.5, 1.0, 1.5], [0.5, 1.0, 1.5]], dtype=dtype).requires_grad_()
    sigmas = torch.tensor([[0.2, 0.0, 0.2]] * 2, dtype=dtype).requires_grad_()
    tau = torch.zeros(1, dtype=dtype)
    found = basket.price(prices, 1.0, tau, sigmas, weights=(0.5, 0.5), correlation=0.5)
    assert found.tolist() == [0.0, 0.0, 0.5]
    assert all(one.isfinite().all() for one in torch.autograd.grad(found.sum(), (prices, sigmas)))
