import math
from functools import partial

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.pricing.black_scholes import delta, gamma, greeks, price

tensor = partial(torch.tensor, dtype=torch.float64)
levels = st.floats(0.2, 5.0).map(tensor)
years = st.floats(0.0, 5.0).map(tensor)
volatilities = st.floats(0.01, 2.0).map(tensor)
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
TINY = 1e-14
law = settings(deadline=None, derandomize=True)


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities)
def test_put_call_parity(spot, strike, tau, volatility):
    """At rate zero a put on (S, K) is a call on (K, S)."""
    put = price(strike, spot, tau, volatility)
    torch.testing.assert_close(price(spot, strike, tau, volatility) - put, spot - strike, atol=TINY, rtol=0)


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities)
def test_bounds(spot, strike, tau, volatility):
    value = price(spot, strike, tau, volatility)
    assert value >= (spot - strike).clamp(min=0)
    assert value <= spot + TINY
    assert 0 <= delta(spot, strike, tau, volatility) <= 1
    assert gamma(spot, strike, tau, volatility) >= 0


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, more=st.floats(0.0, 1.0))
def test_monotonicity(spot, strike, tau, volatility, more):
    value = price(spot, strike, tau, volatility)
    assert price(spot, strike, tau + more, volatility) >= value - TINY
    assert price(spot, strike, tau, volatility + more) >= value - TINY
    assert price(spot + more, strike, tau, volatility) >= value - TINY
    assert price(spot, strike + more, tau, volatility) <= value + TINY
    assert delta(spot + more, strike, tau, volatility) >= delta(spot, strike, tau, volatility) - TINY


@law
@given(spot=levels, strike=levels, width=st.floats(0.0, 0.2), tau=years, volatility=volatilities)
def test_convexity_in_the_strike(spot, strike, width, tau, volatility):
    low, mid, high = (price(spot, strike + shift, tau, volatility) for shift in (-width, 0.0, width))
    assert low - 2 * mid + high >= -TINY


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, scale=st.floats(0.1, 10.0))
def test_the_unit_of_money_does_not_matter(spot, strike, tau, volatility, scale):
    scaled = price(scale * spot, scale * strike, tau, volatility)
    torch.testing.assert_close(scaled, scale * price(spot, strike, tau, volatility), atol=1e-12, rtol=0)


@law
@given(spot=levels, strike=levels, tau=st.floats(0.02, 5.0), volatility=st.floats(0.1, 2.0))
def test_delta_and_gamma_are_finite_differences(spot, strike, tau, volatility):
    h, rest = 1e-5, (strike, tau, volatility)
    slope = (price(spot + h, *rest) - price(spot - h, *rest)) / (2 * h)
    curve = (delta(spot + h, *rest) - delta(spot - h, *rest)) / (2 * h)
    torch.testing.assert_close(delta(spot, strike, tau, volatility), slope, atol=1e-6, rtol=0)
    torch.testing.assert_close(gamma(spot, strike, tau, volatility), curve, atol=1e-5, rtol=1e-5)


@law
@given(spot=levels, strike=levels, tau=st.floats(0.02, 5.0), volatility=st.floats(0.1, 2.0))
def test_autograd_agrees_with_the_formulas(spot, strike, tau, volatility):
    spot = spot.clone().requires_grad_()
    (slope,) = torch.autograd.grad(price(spot, strike, tau, volatility), spot, create_graph=True)
    (curve,) = torch.autograd.grad(slope, spot)
    torch.testing.assert_close(slope, delta(spot, strike, tau, volatility), atol=1e-10, rtol=0)
    torch.testing.assert_close(curve, gamma(spot, strike, tau, volatility), atol=1e-8, rtol=0)


@PRECISIONS
@pytest.mark.parametrize(("tau", "volatility"), [(0.0, 0.2), (1.0, 0.0), (0.0, 0.0)])
def test_at_expiry_the_payoff_is_left(tau, volatility, dtype):
    spot = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=dtype, requires_grad=True)
    value = price(spot, 1.0, tau, volatility)
    assert value.tolist() == [0.0, 0.0, 0.0, 0.5]
    assert delta(spot, 1.0, tau, volatility).tolist() == [0.0, 0.0, 0.5, 1.0]
    assert gamma(spot, 1.0, tau, volatility).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert torch.autograd.grad(value.sum(), spot)[0].tolist() == [0.0, 0.0, 0.5, 1.0]


@PRECISIONS
@pytest.mark.parametrize("function", [price, delta, gamma])
def test_values_and_derivatives_are_finite_everywhere(function, dtype):
    sides = [
        torch.tensor(side, dtype=dtype, requires_grad=True)
        for side in (
            [0.0, 1e-6, 0.5, 1 - 1e-6, 1.0, 1 + 1e-6, 2.0, 1e6],
            [0.0, 1e-3, 1.0, 1e3],
            [0.0, 1e-30, 1e-20, 1e-12, 1e-6, 1e-2, 1.0, 1e3],
            [0.0, 1e-12, 1e-6, 0.01, 0.2, 5.0, 100.0],
        )
    ]
    values = function(*torch.meshgrid(*sides, indexing="ij"))
    assert values.dtype == dtype
    assert values.isfinite().all()
    for gradient in torch.autograd.grad(values.sum(), sides):
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("spot", "strike", "total"), [(1.0, 3.0, 0.1), (0.2, 1.0, 0.05), (1.0, 1.0, 1e-4), (1.0, 1.5, 2.0)]
)
def test_far_calls_keep_their_digits(spot, strike, total):
    with mpmath.workdps(60):
        d1 = mpmath.log(mpmath.mpf(spot) / mpmath.mpf(strike)) / mpmath.mpf(total) + mpmath.mpf(total) / 2
        exact = float(spot * mpmath.ncdf(d1) - strike * mpmath.ncdf(d1 - mpmath.mpf(total)))
    assert price(tensor(spot), strike, 1.0, total).item() == pytest.approx(exact, rel=1e-9, abs=0)


@PRECISIONS
def test_at_the_money_the_value_is_an_error_function(dtype):
    total = torch.logspace(-3, 0.5, 20, dtype=dtype)
    value = price(torch.ones_like(total), 1.0, 1.0, total)
    torch.testing.assert_close(value, torch.erf(total / math.sqrt(8)), atol=4 * torch.finfo(dtype).eps, rtol=0)


def test_arguments_broadcast():
    spot, tau = torch.ones(5, 3), torch.rand(5, 1, generator=torch.Generator().manual_seed(0))
    values = price(spot, 1.1, tau, torch.full((3,), 0.2))
    assert values.shape == (5, 3)
    assert torch.equal(values[2, 1], price(spot[2, 1], 1.1, tau[2, 0], 0.2))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_no_option_has_no_value(shape):
    none, more = torch.ones(shape), torch.full((1,), 0.2)
    for value in (price(none, 1.0, 1.0, more), delta(none, 1.0, more, 0.2), gamma(none, more, 1.0, 0.2)):
        assert value.shape == shape
    assert [part.shape for part in greeks(more, 1.0, none, none)] == [shape, shape]
    assert price(more, none, 1.0, 0.2).shape == shape
