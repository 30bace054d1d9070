import math
from functools import partial

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.pricing import black_scholes, heston
from praesidium.pricing.merton import greeks, price

tensor = partial(torch.tensor, dtype=torch.float64)
law = settings(deadline=None, derandomize=True, max_examples=25)
TINY = 1e-14
JUMPS = {"intensity": 2.0, "jump_mean": -0.1, "jump_sd": 0.05}
RATES = {"rate": 0.03, "dividend": 0.01}

levels = st.floats(0.2, 5.0).map(tensor)
years = st.floats(0.0, 2.0).map(tensor)
volatilities = st.floats(0.0, 2.0).map(tensor)
jumps = st.fixed_dictionaries(
    {"intensity": st.floats(0.0, 4.0), "jump_mean": st.floats(-0.3, 0.3), "jump_sd": st.floats(0.0, 0.3)}
)


@pytest.mark.parametrize("right", ["call", "put"])
def test_without_jumps_it_is_black_scholes(right):
    spot = torch.linspace(0.5, 2.0, 7, dtype=torch.float64)
    forward, discount = spot * math.exp(0.02 * 0.5), math.exp(-0.03 * 0.5)
    call = discount * black_scholes.price(forward, 1.1, 0.5, 0.3)
    expected = call if right == "call" else call - discount * (forward - 1.1)
    for law_of_jumps in ({}, {"intensity": 0.0, "jump_mean": -0.3, "jump_sd": 0.2}, {"intensity": 7.0}):
        found = price(spot, 1.1, 0.5, 0.3, **RATES, right=right, **law_of_jumps)
        torch.testing.assert_close(found, expected, atol=TINY, rtol=0)


@pytest.mark.parametrize(
    ("spot", "strike", "tau", "volatility"), [(1.0, 2.5, 0.1, 0.2), (2.0, 1.0, 0.1, 0.2), (1.0, 1.3, 1 / 252, 0.1)]
)
@pytest.mark.parametrize("right", ["call", "put"])
def test_far_options_keep_their_digits(spot, strike, tau, volatility, right):
    intensity, mean, deviation = JUMPS.values()
    sign = 1 if right == "call" else -1
    with mpmath.workdps(50):
        m, s, lam, T = (mpmath.mpf(x) for x in (mean, deviation, intensity, tau))
        total = mpmath.mpf(0)
        for n in range(80):
            growth = mpmath.exp(n * (m + s**2 / 2) - lam * T * mpmath.expm1(m + s**2 / 2))
            width = mpmath.sqrt(mpmath.mpf(volatility) ** 2 * T + n * s**2)
            d1 = mpmath.log(spot * growth / strike) / width + width / 2
            value = sign * (spot * growth * mpmath.ncdf(sign * d1) - strike * mpmath.ncdf(sign * (d1 - width)))
            total += mpmath.exp(-lam * T) * (lam * T) ** n / mpmath.factorial(n) * value
    found = price(tensor(spot), strike, tau, volatility, **JUMPS, right=right).item()
    assert found == pytest.approx(float(total), rel=1e-10, abs=0)


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, jump=jumps)
def test_put_call_parity_and_bounds(spot, strike, tau, volatility, jump):
    call, put = (price(spot, strike, tau, volatility, **jump, **RATES, right=right) for right in ("call", "put"))
    S, K = spot * torch.exp(-0.01 * tau), strike * torch.exp(-0.03 * tau)
    torch.testing.assert_close(call - put, S - K, atol=TINY, rtol=0)
    assert (S - K).clamp(min=0) <= call <= S
    assert (K - S).clamp(min=0) <= put <= K


@law
@given(spot=levels, strike=levels, tau=years, volatility=volatilities, jump=jumps, more=st.floats(0.0, 0.5))
def test_monotonicity_and_convexity(spot, strike, tau, volatility, jump, more):
    low, mid, high = price(spot, strike + tensor([0.0, more, 2 * more]), tau, volatility, **jump)
    assert -more - TINY <= mid - low <= TINY
    assert low - 2 * mid + high >= -TINY
    assert price(spot, strike, tau + more, volatility, **jump) >= low - TINY
    assert price(spot, strike, tau, volatility + more, **jump) >= low - TINY
    assert price(spot, strike, tau, volatility, **jump | {"intensity": jump["intensity"] + more}) >= low - TINY


def test_it_is_bates_without_a_volatility_of_variance():
    """The series of Black-Scholes prices against Fourier integrals."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(6, 100, generator=generator, dtype=torch.float64)
    spot, tau, volatility, intensity, mean, deviation = (
        draws * tensor([1.5, 2.0, 0.9, 4.0, 0.6, 0.3])[:, None] + tensor([0.25, 0.01, 0.1, 0.0, -0.3, 0.0])[:, None]
    )
    jump = {"intensity": intensity, "jump_mean": mean, "jump_sd": deviation}
    model = {"theta": volatility.square(), "kappa": 1.0, "xi": 0.0, "rho": 0.0}
    bates = heston.price(spot, 1.0, tau, volatility.square(), **model, **RATES, **jump)
    torch.testing.assert_close(price(spot, 1.0, tau, volatility, **RATES, **jump), bates, atol=1e-14, rtol=0)


@pytest.mark.parametrize("right", ["call", "put"])
def test_greeks_are_finite_differences(right):
    spot, tau, volatility = torch.meshgrid(
        tensor([0.8, 1.0, 1.15]), tensor([1 / 12, 1.0]), tensor([0.1, 0.3]), indexing="ij"
    )
    f = partial(price, strike=1.0, **JUMPS, **RATES, right=right)
    g = partial(greeks, strike=1.0, **JUMPS, **RATES, right=right)
    h, at, found = 1e-5, {"tau": tau, "volatility": volatility}, g(spot, tau=tau, volatility=volatility)

    def close(actual, low, high):
        torch.testing.assert_close(actual, (high - low) / (2 * h), atol=1e-8, rtol=2e-7)

    assert torch.equal(found.price, f(spot, **at))
    close(found.delta, f(spot - h, **at), f(spot + h, **at))
    close(found.gamma, g(spot - h, **at).delta, g(spot + h, **at).delta)
    close(found.vega, *(f(spot, tau=tau, volatility=volatility + s) for s in (-h, h)))
    close(found.vanna, *(g(spot, tau=tau, volatility=volatility + s).delta for s in (-h, h)))
    close(-found.theta, *(f(spot, tau=tau + s, volatility=volatility) for s in (-h, h)))


def test_all_arguments_carry_a_gradient():
    names = ("spot", "strike", "tau", "volatility", *RATES, *JUMPS)
    values = (1.0, 1.05, 0.25, 0.2, *RATES.values(), *JUMPS.values())
    inputs = [tensor([x]).requires_grad_() for x in values]
    assert torch.autograd.gradcheck(lambda *x: price(**dict(zip(names, x, strict=True))), inputs, eps=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("right", "payoff", "slope"), [("call", [0, 0, 0.5], [0, 0.5, 1]), ("put", [0.5, 0, 0], [-1, -0.5, 0])]
)
def test_at_expiry_the_payoff_is_left(right, payoff, slope):
    found = greeks(tensor([0.5, 1.0, 1.5]), 1.0, 0.0, 0.2, **JUMPS, right=right)
    assert found.price.tolist() == payoff
    assert found.delta.tolist() == slope
    assert all(part.isfinite().all() for part in found)


def test_derivatives_are_finite_everywhere():
    sides = [
        tensor(side)
        for side in ([0.0, 1e-6, 1.0, 1.5, 1e6], [0.0, 1e-3, 1.0], [0.0, 1e-12, 1 / 252, 9.0], [0.0, 1e-9, 0.2, 4.0])
    ]
    inputs = [x.requires_grad_() for x in torch.meshgrid(*sides, indexing="ij")]
    parameters = {name: tensor(value).requires_grad_() for name, value in JUMPS.items()}
    values = price(*inputs, **parameters)
    assert values.isfinite().all()
    for gradient in torch.autograd.grad(values.sum(), [*inputs, *parameters.values()]):
        assert gradient.isfinite().all()


def test_arguments_broadcast_in_the_precision_of_the_spot():
    values = price(torch.ones(5, 3), 1.1, torch.linspace(0.1, 1, 5).unsqueeze(1), 0.2, **JUMPS)
    assert values.shape == (5, 3)
    assert values.dtype == torch.float32
    assert price(torch.ones(0, 3), 1.1, 0.5, 0.2, **JUMPS).shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"intensity": -1.0}, "intensity=-1"),
        ({"jump_sd": math.nan}, "jump_sd=nan"),
        ({"intensity": 1e5}, "100000 jumps are expected"),
        ({"intensity": math.inf}, "inf jumps are expected"),
    ],
)
def test_bad_input_is_named(change, complaint):
    with pytest.raises(InputError, match=complaint):
        price(tensor([1.0]), 1.0, 1.0, 0.2, **JUMPS | change)
