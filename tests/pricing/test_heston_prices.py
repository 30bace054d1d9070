import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from praesidium.component import InputError
from praesidium.pricing import black_scholes
from praesidium.pricing.heston import characteristic_function, greeks, price

tensor = partial(torch.tensor, dtype=torch.float64)
law = settings(deadline=None, derandomize=True, max_examples=12)
TINY = 1e-13

USUAL = {"theta": 0.04, "kappa": 2.0, "xi": 0.5, "rho": -0.7}
HARD = {"theta": 0.04, "kappa": 0.5, "xi": 1.0, "rho": -0.95}
JUMPS = {"intensity": 2.0, "jump_mean": -0.1, "jump_sd": 0.05}
RATES = {"rate": 0.03, "dividend": 0.01}

levels = st.floats(0.5, 2.0).map(tensor)
years = st.floats(0.0, 2.0).map(tensor)
variances = st.floats(0.0, 0.5).map(tensor)
models = st.fixed_dictionaries(
    {
        "theta": st.floats(0.001, 0.5),
        "kappa": st.floats(0.1, 8.0),
        "xi": st.floats(0.0, 3.0),
        "rho": st.floats(-1.0, 1.0),
    }
)
jumps = st.fixed_dictionaries(
    {"intensity": st.floats(0.0, 1.0), "jump_mean": st.floats(-0.2, 0.2), "jump_sd": st.floats(0.0, 0.2)}
)
markets = st.builds(lambda model, jump: model | jump, models, jumps)
rights = st.sampled_from(["call", "put"])


@pytest.mark.parametrize("u", [0.7, 15.0, 3.0 - 0.6j, -8.0 - 0.2j])
@pytest.mark.parametrize("model", [USUAL, HARD])
def test_the_characteristic_function_solves_the_riccati_equations(model, u):
    theta, kappa, xi, rho = model.values()
    tau, variance = 1.5, 0.03

    def slopes(_, y):
        B = y[1]
        return [kappa * theta * B, 0.5 * xi**2 * B**2 + (1j * rho * xi * u - kappa) * B - 0.5 * (u**2 + 1j * u)]

    A, B = solve_ivp(slopes, (0, tau), np.zeros(2, complex), rtol=1e-11, atol=1e-13, method="DOP853").y[:, -1]
    jump = np.exp(1j * u * -0.1 - 0.5 * u**2 * 0.05**2) - 1 - 1j * u * math.expm1(-0.1 + 0.5 * 0.05**2)
    found = characteristic_function(torch.tensor(u), tau, variance, **model, **JUMPS).item()
    assert found == pytest.approx(np.exp(A + B * variance + 2.0 * tau * jump), rel=1e-8)


def test_the_characteristic_function_is_of_a_martingale():
    found = characteristic_function(torch.tensor([0.0, -1j]), tensor([[0.1], [30.0]]), 0.04, **HARD, **JUMPS)
    torch.testing.assert_close(found, torch.ones(2, 2, dtype=torch.complex128), atol=1e-13, rtol=0)


@pytest.mark.parametrize(("model", "tau"), [(USUAL, 0.5), (HARD, 2.0), (USUAL | JUMPS, 0.5), (HARD | JUMPS, 2.0)])
def test_a_call_is_an_integral_of_the_characteristic_function(model, tau):
    """Heston's two probabilities, S P1 - K P2, on the real line by Gauss and Legendre."""
    strike = tensor([[0.7], [1.0], [1.4]])
    nodes, weights = np.polynomial.legendre.leggauss(30)
    u = tensor(5 * (np.arange(400)[:, None] + 0.5 * (nodes + 1)).ravel())
    weights = tensor(np.tile(2.5 * weights, 400))

    def probability(shift):
        phi = characteristic_function(u - 1j * shift, tau, 0.03, **model)
        return 0.5 + ((torch.exp(-1j * u * strike.log()) * phi / (1j * u)).real * weights).sum(-1) / math.pi

    expected = probability(1) - strike.squeeze(-1) * probability(0)
    found = price(torch.ones(3, dtype=torch.float64), strike.squeeze(-1), tau, 0.03, **model)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize(("xi", "error"), [(0.0, 1e-14), (1e-7, 1e-8)])
def test_without_a_volatility_of_variance_it_is_black_scholes(xi, error, right):
    strike, tau, variance = torch.meshgrid(
        tensor([0.6, 0.9, 1.0, 1.3]), tensor([1 / 252, 0.3, 4.0]), tensor([0.0, 0.01, 0.2]), indexing="ij"
    )
    kappa, theta = 1.5, 0.05
    mean = theta + (variance - theta) * -torch.expm1(-kappa * tau) / (kappa * tau)
    forward, discount = torch.exp(0.02 * tau), torch.exp(-0.03 * tau)
    call = discount * black_scholes.price(forward, strike, tau, mean.sqrt())
    expected = call if right == "call" else call - discount * (forward - strike)
    model = {"theta": theta, "kappa": kappa, "xi": xi, "rho": -0.5}
    found = price(torch.ones_like(strike), strike, tau, variance, **model, **RATES, right=right)
    torch.testing.assert_close(found, expected, atol=error, rtol=0)


def test_no_jumps_cost_nothing():
    strike = torch.linspace(0.5, 1.5, 7, dtype=torch.float64)
    without = price(torch.ones_like(strike), strike, 0.4, 0.03, **USUAL)
    never = price(torch.ones_like(strike), strike, 0.4, 0.03, **USUAL, intensity=0.0, jump_mean=-0.3, jump_sd=0.2)
    empty = price(torch.ones_like(strike), strike, 0.4, 0.03, **USUAL, intensity=5.0)
    assert torch.equal(never, without)
    torch.testing.assert_close(empty, without, atol=1e-14, rtol=0)


@law
@given(spot=levels, strike=levels, tau=years, variance=variances, market=markets)
def test_put_call_parity_and_bounds(spot, strike, tau, variance, market):
    call, put = (price(spot, strike, tau, variance, **market, **RATES, right=right) for right in ("call", "put"))
    S, K = spot * torch.exp(-0.01 * tau), strike * torch.exp(-0.03 * tau)
    torch.testing.assert_close(call - put, S - K, atol=1e-15, rtol=0)
    assert (S - K).clamp(min=0) <= call <= S
    assert (K - S).clamp(min=0) <= put <= K


def test_rounding_takes_no_far_option_below_its_intrinsic_value():
    spot = torch.linspace(0.2, 5.0, 400, dtype=torch.float64)
    call, put = (price(spot, 1.0, 0.02, 0.04, **USUAL, right=right) for right in ("call", "put"))
    assert (call >= (spot - 1).clamp(min=0)).all()
    assert (put >= (1 - spot).clamp(min=0)).all()


@law
@given(spot=levels, strike=levels, tau=years, variance=variances, market=markets, right=rights, more=st.floats(0, 0.3))
def test_monotonicity_and_convexity(spot, strike, tau, variance, market, right, more):
    rising = 1 if right == "put" else -1
    low, mid, high = price(spot, strike + tensor([0.0, more, 2 * more]), tau, variance, **market, right=right)
    assert rising * (mid - low) >= -TINY
    assert abs(mid - low) <= more + TINY
    assert low - 2 * mid + high >= -TINY
    assert price(spot, strike, tau + more, variance, **market, right=right) >= low - TINY
    assert price(spot, strike, tau, variance + more, **market, right=right) >= low - TINY


@law
@given(spot=levels, strike=levels, tau=years, variance=variances, market=markets, scale=st.floats(0.01, 100.0))
def test_the_unit_of_money_does_not_matter(spot, strike, tau, variance, market, scale):
    scaled = price(scale * spot, scale * strike, tau, variance, **market)
    torch.testing.assert_close(scaled, scale * price(spot, strike, tau, variance, **market), atol=1e-14 * scale, rtol=0)


@law
@given(strike=levels, variance=variances, model=models, speed=st.floats(0.1, 10.0))
def test_the_unit_of_time_does_not_matter(strike, variance, model, speed):
    faster = {name: x * (speed if name != "rho" else 1.0) for name, x in model.items()}
    slow, fast = price(strike, 1.0, 0.5, variance, **model), price(strike, 1.0, 0.5 / speed, speed * variance, **faster)
    torch.testing.assert_close(slow, fast, atol=TINY, rtol=0)


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("market", [USUAL, HARD, USUAL | JUMPS], ids=["usual", "hard", "jumps"])
def test_greeks_are_finite_differences(market, right):
    spot, tau, variance = torch.meshgrid(
        tensor([0.8, 1.0, 1.15]), tensor([1 / 12, 0.5]), tensor([0.01, 0.09]), indexing="ij"
    )
    f = partial(price, strike=1.0, **market, **RATES, right=right)
    g = partial(greeks, strike=1.0, **market, **RATES, right=right)
    h, found = 1e-5, g(spot, tau=tau, variance=variance)
    at = {"tau": tau, "variance": variance}

    def differences(low, high):
        return (high - low) / (2 * h)

    def close(actual, expected):
        torch.testing.assert_close(actual, expected, atol=2e-8, rtol=1e-6)

    assert torch.equal(found.price, f(spot, **at))
    close(found.delta, differences(f(spot - h, **at), f(spot + h, **at)))
    close(found.gamma, differences(g(spot - h, **at).delta, g(spot + h, **at).delta))
    close(found.variance_vega, differences(*(f(spot, tau=tau, variance=variance + s) for s in (-h, h))))
    close(found.variance_vanna, differences(*(g(spot, tau=tau, variance=variance + s).delta for s in (-h, h))))
    close(-found.theta, differences(*(f(spot, tau=tau + s, variance=variance) for s in (-h, h))))


@pytest.mark.parametrize("right", ["call", "put"])
def test_greeks_balance_the_pricing_equation(right):
    """The gain of a hedged option is the interest on it: the partial differential equation of Heston's model."""
    S = torch.linspace(0.7, 1.4, 8, dtype=torch.float64)
    h, v, r, q = 1e-4, 0.05, 0.03, 0.01
    theta, kappa, xi, rho = USUAL.values()
    low, found, high = (
        greeks(S, 1.0, 0.3, v + shift, **USUAL, rate=r, dividend=q, right=right) for shift in (-h, 0.0, h)
    )
    volga = (high.variance_vega - low.variance_vega) / (2 * h)
    drift = (r - q) * S * found.delta + kappa * (theta - v) * found.variance_vega
    noise = 0.5 * v * (S**2 * found.gamma + 2 * rho * xi * S * found.variance_vanna + xi**2 * volga)
    torch.testing.assert_close(found.theta + drift + noise, r * found.price, atol=1e-7, rtol=0)


def test_all_arguments_carry_a_gradient():
    names = ("spot", "strike", "tau", "variance", *USUAL, *RATES, *JUMPS)
    values = (1.0, 1.05, 0.1, 0.05, *USUAL.values(), *RATES.values(), *JUMPS.values())
    inputs = [tensor([x]).requires_grad_() for x in values]
    assert torch.autograd.gradcheck(
        lambda *x: price(**dict(zip(names, x, strict=True))), inputs, eps=1e-6, atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("right", "payoff", "slope"), [("call", [0, 0, 0.5], [0, 0.5, 1]), ("put", [0.5, 0, 0], [-1, -0.5, 0])]
)
@pytest.mark.parametrize("market", [USUAL, USUAL | JUMPS], ids=["usual", "jumps"])
def test_at_expiry_the_payoff_is_left(market, right, payoff, slope):
    found = greeks(tensor([0.5, 1.0, 1.5]), 1.0, 0.0, 0.04, **market, right=right)
    assert found.price.tolist() == payoff
    assert found.delta.tolist() == slope
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize("market", [USUAL, HARD, HARD | JUMPS, USUAL | {"xi": 0.0}, USUAL | {"rho": 1.0}])
def test_values_and_derivatives_are_finite_everywhere(market):
    sides = [
        tensor(side)
        for side in (
            [0.0, 1e-6, 1.0, 2.0, 1e6],
            [0.0, 1e-3, 1.0],
            [0.0, 1e-20, 1 / 252, 9.0],
            [0.0, 1e-9, 0.04, 4.0],
        )
    ]
    spot, strike, tau, variance = (x.requires_grad_() for x in torch.meshgrid(*sides, indexing="ij"))
    parameters = {name: tensor(value).requires_grad_() for name, value in market.items()}
    values = price(spot, strike, tau, variance, **parameters)
    assert values.isfinite().all()
    for gradient in torch.autograd.grad(values.sum(), [spot, strike, tau, variance, *parameters.values()]):
        assert gradient.isfinite().all()


def test_arguments_broadcast_and_blocks_do_not_show():
    generator = torch.Generator().manual_seed(0)
    spot = 0.7 + 0.6 * torch.rand(40, 30, generator=generator, dtype=torch.float64)
    tau, xi = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((40, 1), (30,)))
    values = price(spot, 1.1, tau, 0.04, **USUAL | {"xi": xi})
    assert values.shape == (40, 30)
    one = price(spot[21, 7], 1.1, tau[21, 0], 0.04, **USUAL | {"xi": xi[7]})
    torch.testing.assert_close(values[21, 7], one, atol=1e-15, rtol=0)


def test_the_precision_of_the_spot_is_that_of_the_value():
    value = price(torch.tensor([0.9, 1.0]), 1.0, 0.1, 0.04, **USUAL)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), price(tensor([0.9, 1.0]), 1.0, 0.1, 0.04, **USUAL), atol=1e-7, rtol=0)


def test_no_option_has_no_value():
    assert price(torch.ones(0, 3), 1.0, 0.1, 0.04, **USUAL).shape == (0, 3)
    assert greeks(torch.ones(0, 3), 1.0, 0.1, 0.04, **USUAL, **JUMPS).gamma.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kappa": 0.0}, "kappa=0"),
        ({"rho": -1.1}, "rho=-1.1"),
        ({"xi": -0.2}, "xi=-0.2"),
        ({"variance": math.nan}, "variance=nan"),
        ({"tau": -0.1}, "tau=-0.1"),
        ({"intensity": -1.0}, "intensity=-1"),
        ({"intensity": 1e5}, "10000 jumps"),
    ],
)
def test_bad_input_is_named(change, complaint):
    arguments = {"spot": tensor([1.0]), "strike": 1.0, "tau": 0.1, "variance": 0.04} | USUAL | change
    with pytest.raises(InputError, match=complaint):
        price(**arguments)
