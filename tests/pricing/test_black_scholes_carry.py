"""Calls and puts with interest and dividends."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.pricing.black_scholes import delta, gamma, greeks, price, rho, theta, vega
from praesidium.pricing.standardization import check_right

tensor = partial(torch.tensor, dtype=torch.float64)
levels = st.floats(0.2, 5.0).map(tensor)
years = st.floats(0.0, 5.0).map(tensor)
volatilities = st.floats(0.01, 2.0).map(tensor)
rates = st.floats(-0.05, 0.2).map(tensor)
CARRY = {"rate": 0.05, "dividend": 0.02}
RIGHTS = pytest.mark.parametrize("right", ["call", "put"])
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
law = settings(deadline=None, derandomize=True, max_examples=50)


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, rate=rates, dividend=rates)
def test_put_call_parity(spot, strike, tau, volatility, rate, dividend):
    def forward(function):
        option = partial(function, spot, strike, tau, volatility, rate=rate, dividend=dividend)
        return option(right="call") - option(right="put")

    A, B = spot * torch.exp(-dividend * tau), strike * torch.exp(-rate * tau)
    exact = {price: A - B, delta: A / spot, gamma: 0 * A, vega: 0 * A, theta: dividend * A - rate * B, rho: tau * B}
    for function, value in exact.items():
        torch.testing.assert_close(forward(function), value, atol=1e-13, rtol=0)


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, rate=rates, dividend=rates)
def test_a_put_is_a_call_on_the_other_side(spot, strike, tau, volatility, rate, dividend):
    """What is paid and what is received change places, and so do their rates."""
    put = price(spot, strike, tau, volatility, rate=rate, dividend=dividend, right="put")
    call = price(strike, spot, tau, volatility, rate=dividend, dividend=rate)
    torch.testing.assert_close(put, call, atol=1e-14, rtol=1e-14)


@RIGHTS
@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, rate=rates, dividend=rates)
def test_the_rates_only_discount(right, spot, strike, tau, volatility, rate, dividend):
    value = price(spot, strike, tau, volatility, rate=rate, dividend=dividend, right=right)
    A, B = spot * torch.exp(-dividend * tau), strike * torch.exp(-rate * tau)
    torch.testing.assert_close(value, price(A, B, tau, volatility, right=right), atol=1e-13, rtol=0)
    assert value >= (A - B if right == "call" else B - A).clamp(min=0)
    assert value <= (A if right == "call" else B) * (1 + 1e-14)


@RIGHTS
@law
@given(spot=levels, strike=levels, tau=st.floats(0.02, 5.0), volatility=st.floats(0.1, 2.0), rate=rates, dividend=rates)
def test_the_value_earns_the_rate(right, spot, strike, tau, volatility, rate, dividend):
    """theta + (r - q) S delta + sigma^2 S^2 gamma / 2 = r V (Black and Scholes 1973, with dividends)."""
    option = (spot, strike, tau, volatility)
    carry = {"rate": rate, "dividend": dividend, "right": right}
    slope, curve = greeks(*option, **carry)
    earned = theta(*option, **carry) + (rate - dividend) * spot * slope + 0.5 * (volatility * spot) ** 2 * curve
    torch.testing.assert_close(earned, rate * price(*option, **carry), atol=1e-13, rtol=1e-13)


@PRECISIONS
@RIGHTS
def test_rates_of_zero_change_no_bit(right, dtype):
    generator = torch.Generator().manual_seed(1)
    option = [0.1 + torch.rand(100, generator=generator, dtype=dtype) for _ in range(4)]
    nothing = torch.zeros(100, dtype=dtype)
    for function in (price, delta, gamma, vega, theta, rho):
        plain = function(*option, right=right)
        assert torch.equal(plain, function(*option, rate=nothing, dividend=nothing, right=right))


@PRECISIONS
@RIGHTS
@pytest.mark.parametrize(("tau", "volatility"), [(0.0, 0.2), (2.0, 0.0), (0.0, 0.0)])
def test_at_the_end_the_intrinsic_value_is_left(tau, volatility, right, dtype):
    """In two years the spot loses half, the strike three quarters; all options are off the money then, and now."""
    rate, dividend = math.log(4) / 2, math.log(2) / 2
    spot = torch.tensor([0.0, 0.25, 0.75, 1.5], dtype=dtype, requires_grad=True)
    A, B = (spot.detach(), 1.0) if tau == 0 else (spot.detach() / 2, 0.25)
    exercised = (A > B).to(dtype) if right == "call" else -(A < B).to(dtype)
    expected = {
        price: (A - B) * exercised,
        delta: exercised * (1 if tau == 0 else 0.5),
        gamma: 0 * A,
        vega: 0 * A,
        theta: (dividend * A - rate * B) * exercised,
        rho: tau * B * exercised,
    }
    option = {"strike": 1.0, "tau": tau, "volatility": volatility, "rate": rate, "dividend": dividend, "right": right}
    for function, value in expected.items():
        torch.testing.assert_close(function(spot, **option).detach(), value, atol=1e-6, rtol=0)
    (slope,) = torch.autograd.grad(price(spot, **option).sum(), spot)
    torch.testing.assert_close(slope, expected[delta], atol=1e-6, rtol=0)


def test_at_the_kink_both_sides_count_half():
    one = tensor([1.0])
    assert delta(one, 1.0, 0.0, 0.2, right="put").item() == -0.5
    assert rho(one, 1.0, 2.0, 0.0).item() == 1.0
    assert theta(one, 1.0, 0.0, 0.2, rate=0.06, dividend=0.02, right="put").item() == pytest.approx(0.02)


@PRECISIONS
@RIGHTS
@pytest.mark.parametrize("function", [price, delta, gamma, vega, theta, rho])
def test_values_and_derivatives_are_finite_everywhere(function, right, dtype):
    sides = [
        torch.tensor(side, dtype=dtype, requires_grad=True)
        for side in (
            [0.0, 1e-6, 0.5, 1 - 1e-6, 1.0, 1 + 1e-6, 2.0, 1e6],
            [0.0, 1e-3, 1.0, 1e3],
            [0.0, 1e-30, 1e-20, 1e-12, 1e-6, 1e-2, 1.0, 1e3],
            [0.0, 1e-12, 1e-6, 0.01, 0.2, 5.0, 100.0],
        )
    ]
    carry = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in CARRY.items()}
    values = function(*torch.meshgrid(*sides, indexing="ij"), **carry, right=right)
    assert values.dtype == dtype
    assert values.isfinite().all()
    for gradient in torch.autograd.grad(values.sum(), [*sides, *carry.values()], allow_unused=True):
        assert gradient is None or gradient.isfinite().all()


def test_rates_broadcast():
    rate = tensor([[0.0], [0.05]])
    for function in (price, delta, gamma, vega, theta, rho):
        values = function(torch.ones(3, dtype=torch.float64), 1.1, 0.5, 0.2, rate=rate)
        assert values.shape == (2, 3)
        single = function(torch.ones(1, dtype=torch.float64), 1.1, 0.5, 0.2, rate=0.05)
        torch.testing.assert_close(values[1, :1], single, atol=1e-15, rtol=0)


def test_an_unknown_right_is_no_call():
    with pytest.raises(InputError, match=r"right='Call'.*say 'call' or 'put'"):
        check_right("Call")
