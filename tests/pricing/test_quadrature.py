import math

import pytest
import torch

from praesidium.pricing import black_scholes, digital
from praesidium.pricing.quadrature import expectation, unit_rule, valuation

CARRY = {"rate": 0.05, "dividend": 0.02}
SPOT = torch.linspace(0.7, 1.4, 101, dtype=torch.float64)


def fill(value, spot=SPOT):
    return torch.full_like(spot, value)


def kink(strike):
    return lambda price: (price - strike).clamp(min=0)


def jump(strike):
    return lambda price: (price > strike).to(price.dtype)


@pytest.mark.parametrize("sigma", [0.03, 0.2, 1.0])
def test_a_power_is_exact(sigma):
    tau, power = 0.4, 1.7
    mean = SPOT**power * math.exp(power * 0.03 * tau + 0.5 * power * (power - 1) * sigma**2 * tau - 0.05 * tau)
    found = valuation(lambda price: price**power, SPOT, fill(tau), fill(sigma), **CARRY)
    torch.testing.assert_close(found.value, mean, atol=0, rtol=2e-10)
    torch.testing.assert_close(found.delta, power * mean / SPOT, atol=0, rtol=1e-9)
    torch.testing.assert_close(found.gamma, power * (power - 1) * mean / SPOT**2, atol=1e-8, rtol=1e-7)
    torch.testing.assert_close(found.vega, power * (power - 1) * sigma * tau * mean, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("width", [0.0126, 0.02, 0.15])
@pytest.mark.parametrize("strike", [1.0, 1.037, 0.93])
def test_kinks_and_jumps_cost_what_is_stated(width, strike):
    at = SPOT, fill(1.0), fill(width)
    kinked = (expectation(kink(strike), *at) - black_scholes.price(SPOT, strike, 1.0, width)).abs().max().item()
    jumped = (expectation(jump(strike), *at) - digital.price(SPOT, strike, 1.0, width)).abs().max().item()
    assert kinked < 2e-4 * width
    assert jumped < (1e-4 if strike == 1 else 1.3e-2)


def test_greeks_of_a_kink_and_a_jump():
    at = SPOT, fill(0.25), fill(0.2)
    call, delta, gamma, vega = valuation(kink(1.0), *at, **CARRY)
    plain = SPOT, 1.0, 0.25, 0.2
    torch.testing.assert_close(call, black_scholes.price(*plain, **CARRY), atol=1e-5, rtol=0)
    torch.testing.assert_close(delta, black_scholes.delta(*plain, **CARRY), atol=1e-4, rtol=0)
    torch.testing.assert_close(gamma, black_scholes.gamma(*plain, **CARRY), atol=2e-3, rtol=0)
    torch.testing.assert_close(vega, black_scholes.vega(*plain, **CARRY), atol=2e-4, rtol=0)
    torch.testing.assert_close(
        valuation(jump(1.0), *at, **CARRY).delta, digital.greeks(*plain, **CARRY)[0], atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("payoff", [kink(1.03), jump(1.03)])
def test_greeks_are_the_derivatives_of_the_value(payoff):
    spot, sigma = SPOT.clone().requires_grad_(), fill(0.2).requires_grad_()
    value = expectation(payoff, spot, fill(0.1), sigma, **CARRY)
    delta, vega = torch.autograd.grad(value.sum(), (spot, sigma), create_graph=True)
    (gamma,) = torch.autograd.grad(delta.sum(), spot)
    found = valuation(payoff, SPOT, fill(0.1), fill(0.2), **CARRY)
    torch.testing.assert_close(found.value, value, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.delta, delta, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.gamma, gamma, atol=1e-7, rtol=0)
    torch.testing.assert_close(found.vega, vega, atol=1e-8, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_expiry_the_payoff_is_left(dtype):
    spot = torch.tensor([0.5, 0.99, 1.01, 1.5], dtype=dtype).requires_grad_()
    sigma = torch.full_like(spot, 0.2).detach().requires_grad_()
    value = expectation(kink(1.0), spot, torch.zeros_like(spot), sigma, **CARRY)
    assert torch.equal(value, kink(1.0)(spot))
    assert all(one.isfinite().all() for one in torch.autograd.grad(value.sum(), (spot, sigma)))
    found = valuation(kink(1.0), spot.detach(), torch.zeros_like(spot), sigma.detach(), **CARRY)
    torch.testing.assert_close(found.delta, torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=dtype), atol=2e-3, rtol=0)
    assert torch.equal(found.gamma, torch.zeros_like(found.gamma))


def test_single_precision_keeps_its_greeks():
    at = [x.float() for x in (SPOT, fill(0.25), fill(0.2))]
    single, double = valuation(kink(1.0), *at), valuation(kink(1.0), SPOT, fill(0.25), fill(0.2))
    for one, other, bound in zip(single, double, (2e-6, 2e-5, 3e-4, 2e-5), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, atol=bound, rtol=0)


def test_the_rule_on_the_unit_interval_integrates_polynomials():
    nodes, weights = unit_rule(6)
    for power in range(12):
        assert (weights * nodes**power).sum().item() == pytest.approx(1 / (power + 1), abs=1e-14)
