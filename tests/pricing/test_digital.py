import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.pricing import black_scholes, digital

tensor = partial(torch.tensor, dtype=torch.float64)
law = settings(deadline=None, derandomize=True)
CARRY = {"rate": 0.05, "dividend": 0.02}

levels = st.floats(0.2, 5.0).map(tensor)
years = st.floats(0.0, 5.0)
volatilities = st.floats(0.0, 2.0)


@pytest.mark.parametrize("right", ["call", "put"])
def test_it_is_how_the_option_falls_with_its_strike(right):
    spot, h = torch.linspace(0.7, 1.4, 15, dtype=torch.float64), 1e-5
    low, high = (black_scholes.price(spot, 1.1 + s, 0.4, 0.25, **CARRY, right=right) for s in (-h, h))
    slope = (low - high if right == "call" else high - low) / (2 * h)
    torch.testing.assert_close(digital.price(spot, 1.1, 0.4, 0.25, **CARRY, right=right), slope, atol=1e-9, rtol=0)


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities)
def test_call_and_put_are_a_bond(spot, strike, tau, volatility):
    call, put = (digital.price(spot, strike, tau, volatility, **CARRY, right=right) for right in ("call", "put"))
    assert (call + put).item() == pytest.approx(math.exp(-0.05 * tau), abs=1e-15)
    assert min(call, put) >= 0


@pytest.mark.parametrize("right", ["call", "put"])
def test_greeks_are_derivatives(right):
    spot = torch.linspace(0.7, 1.4, 15, dtype=torch.float64).requires_grad_()
    found = digital.greeks(spot, 1.1, 0.4, 0.25, **CARRY, right=right)
    value = digital.price(spot, 1.1, 0.4, 0.25, **CARRY, right=right)
    (delta,) = torch.autograd.grad(value.sum(), spot, create_graph=True)
    (gamma,) = torch.autograd.grad(delta.sum(), spot)
    torch.testing.assert_close(found[0], delta, atol=1e-13, rtol=1e-12)
    torch.testing.assert_close(found[1], gamma, atol=1e-12, rtol=1e-11)


@pytest.mark.parametrize(("right", "paid"), [("call", [0, 0, 1]), ("put", [1, 1, 0])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_expiry_it_is_won_or_lost(right, paid, dtype):
    spot = torch.tensor([0.5, 1.0, 1.5], dtype=dtype).requires_grad_()
    value = digital.price(spot, 1.0, 0.0, 0.2, right=right)
    assert value.tolist() == paid
    assert value.dtype == dtype
    assert all(torch.equal(one, torch.zeros_like(one)) for one in digital.greeks(spot, 1.0, 0.0, 0.2, right=right))
    assert torch.autograd.grad(value.sum(), spot)[0].isfinite().all()


def test_derivatives_are_finite_everywhere():
    for dtype in (torch.float32, torch.float64):
        sides = [torch.tensor(x, dtype=dtype) for x in ([1e-6, 1.0, 1e6], [0.0, 1e-9, 1 / 252, 9.0], [0.0, 1e-9, 4.0])]
        inputs = [x.requires_grad_() for x in torch.meshgrid(*sides, indexing="ij")]
        value = digital.price(inputs[0], 1.0, *inputs[1:])
        assert value.isfinite().all()
        assert all(one.isfinite().all() for one in torch.autograd.grad(value.sum(), inputs))
