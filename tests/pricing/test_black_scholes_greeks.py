"""Sensitivities to third order against automatic differentiation of the price."""

from itertools import product

import pytest
import torch

from praesidium.pricing.black_scholes import delta, gamma, price, rho, theta, vega
from praesidium.pricing.higher_greeks import charm, color, speed, ultima, vanna, veta, volga, zomma

CARRY = {"rate": 0.05, "dividend": 0.02}
HIGHER = [vanna, volga, charm, veta, speed, zomma, color, ultima]
RIGHTS = pytest.mark.parametrize("right", ["call", "put"])
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@pytest.fixture
def options():
    """Spot, strike, tau, volatility, rate, dividend; from one day to five years, up to fifty deviations out."""
    spots, strikes, years = (0.5, 0.9, 1.0, 1.1, 2.0), (0.8, 1.0, 1.3), (1 / 365, 0.1, 1.0, 5.0)
    grid = list(product(spots, strikes, years, (0.1, 0.3, 1.0), (-0.02, 0.05), (0.0, 0.03)))
    return [column.clone().requires_grad_() for column in torch.tensor(grid, dtype=torch.float64).unbind(1)]


def slope(value, variable):
    return torch.autograd.grad(value.sum(), variable, create_graph=True)[0]


@RIGHTS
def test_every_sensitivity_is_a_derivative_of_the_price(options, right):
    S, K, T, sigma, r, q = options
    value = price(S, K, T, sigma, rate=r, dividend=q, right=right)
    by_spot, by_volatility = slope(value, S), slope(value, sigma)
    by_spot_twice, by_volatility_twice = slope(by_spot, S), slope(by_volatility, sigma)
    derivatives = {
        delta: by_spot,
        vega: by_volatility,
        theta: -slope(value, T),
        rho: slope(value, r),
        gamma: by_spot_twice,
        vanna: slope(by_spot, sigma),
        charm: -slope(by_spot, T),
        volga: by_volatility_twice,
        veta: -slope(by_volatility, T),
        speed: slope(by_spot_twice, S),
        zomma: slope(by_spot_twice, sigma),
        color: -slope(by_spot_twice, T),
        ultima: slope(by_volatility_twice, sigma),
    }
    for function, derivative in derivatives.items():
        formula = function(S, K, T, sigma, rate=r, dividend=q, right=right)
        assert formula.abs().max() > 0.1
        torch.testing.assert_close(formula, derivative, atol=1e-9, rtol=1e-10, msg=function.__name__)


@pytest.mark.parametrize("function", [f for f in HIGHER if f is not charm])
def test_puts_and_calls_bend_alike(options, function):
    S, K, T, sigma, r, q = options
    call, put = (function(S, K, T, sigma, rate=r, dividend=q, right=right) for right in ("call", "put"))
    assert torch.equal(call, put)


@pytest.mark.parametrize("function", HIGHER)
def test_the_unit_of_money_does_not_matter(options, function):
    S, K, *rest = (x.detach() for x in options)
    power = {vanna: 0, charm: 0, volga: 1, veta: 1, ultima: 1, zomma: -1, color: -1, speed: -2}[function]
    rest, carry = rest[:2], {"rate": rest[2], "dividend": rest[3]}
    scaled = function(8 * S, 8 * K, *rest, **carry)
    assert torch.equal(scaled, 8.0**power * function(S, K, *rest, **carry))


@PRECISIONS
@pytest.mark.parametrize("function", HIGHER)
@pytest.mark.parametrize(
    ("strike", "tau", "volatility"), [(1.0, 0.0, 0.2), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.2)]
)
def test_without_uncertainty_nothing_bends(function, strike, tau, volatility, dtype):
    spot = torch.tensor([0.0, 0.5, 1.0, 1.5], dtype=dtype)
    assert function(spot, strike, tau, volatility).tolist() == [0.0] * 4
    assert function(spot[:1], 1.0, 1.0, 0.2).item() == 0


@pytest.mark.parametrize("function", HIGHER)
@pytest.mark.parametrize("spot", [0.9, 1.1])
def test_off_the_money_expiry_is_approached(function, spot):
    spot = torch.tensor(spot, dtype=torch.float64)
    late = [function(spot, 1.0, tau, 0.2, **CARRY).item() for tau in (1e-3, 1e-4, 1e-5, 0.0)]
    assert late[2] == pytest.approx(late[3], abs=1e-8)
    assert abs(late[0] - late[3]) > abs(late[1] - late[3])


def test_dividends_alone_move_the_delta_of_what_is_sure_to_be_exercised():
    spot = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    assert charm(spot, 1.0, 0.0, 0.2, dividend=0.5).tolist() == [0.0, 0.25, 0.5]
    assert charm(spot, 1.0, 0.0, 0.2, dividend=0.5, right="put").tolist() == [-0.5, -0.25, 0.0]


@PRECISIONS
@RIGHTS
@pytest.mark.parametrize("function", HIGHER)
def test_values_and_derivatives_are_finite_everywhere(function, right, dtype):
    spots = [0.0, 1e-6, 0.5, 1 - 1e-6, 1.0, 1 + 1e-6, 2.0, 1e6]
    years = [0.0, 1e-30, 1e-12, 1e-6, 1e-2, 1.0, 1e3]  # at 1e-20 single precision cannot hold every derivative
    volatilities = [0.0, 1e-12, 1e-6, 0.01, 0.2, 5.0, 100.0]
    sides = torch.meshgrid(
        *(torch.tensor(side, dtype=dtype) for side in (spots, [0.0, 1e-3, 1.0, 1e3], years, volatilities)),
        indexing="ij",
    )
    inputs = [side.clone().requires_grad_() for side in sides]
    carry = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in CARRY.items()}
    values = function(*inputs, **carry, right=right)
    assert values.dtype == dtype
    assert values.isfinite().all()
    for gradient in torch.autograd.grad(values.sum(), inputs):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("function", HIGHER)
def test_arguments_broadcast(function):
    tau = torch.tensor([[0.1], [0.5]], dtype=torch.float64)
    values = function(torch.full((3,), 0.9, dtype=torch.float64), 1.0, tau, 0.2, dividend=0.01)
    assert values.shape == (2, 3)
    assert values[1, 2].item() == function(values.new_tensor(0.9), 1.0, 0.5, 0.2, dividend=0.01).item()
    assert function(torch.ones(0, 3), 1.0, 0.5, 0.2).shape == (0, 3)
