import math
from functools import partial

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.pricing.black_scholes import delta, price, vega
from praesidium.pricing.implied_volatility import implied_volatility
from praesidium.pricing.standardization import normal_cdf

tensor = partial(torch.tensor, dtype=torch.float64)
RIGHTS = pytest.mark.parametrize("right", ["call", "put"])
law = settings(deadline=None, derandomize=True, max_examples=100)


@RIGHTS
@law
@given(
    deviations=st.floats(-3.0, 3.0),
    total=st.floats(math.log(0.01), math.log(3.0)).map(math.exp),
    tau=st.floats(0.02, 10.0),
    rate=st.floats(-0.05, 0.2),
    dividend=st.floats(-0.05, 0.2),
)
def test_the_volatility_of_a_price_comes_back(right, deviations, total, tau, rate, dividend):
    spot, volatility = tensor(100 * math.exp(deviations * total + (dividend - rate) * tau)), total / math.sqrt(tau)
    carry = {"rate": rate, "dividend": dividend, "right": right}
    quoted = price(spot, 100.0, tau, volatility, **carry)
    assert implied_volatility(quoted, spot, 100.0, tau, **carry).item() == pytest.approx(volatility, abs=1e-10)


AT_THE_TURN = [(-1e-3, math.sqrt(2e-3)), (-0.5, 1.0), (-8.0, 4.0)]  # width^2 = 2 |log-moneyness|
NEAR = [(0.0, 0.01), (0.0, 8.0), (-1e-9, 0.01), (-0.01, 0.01), (-0.03, 3.0)]
FAR = [(-0.3, 0.01), (-2.0, 0.1), (-9.0, 3.0), (-20.0, 1.0), (-30.0, 9.0)]


@pytest.mark.parametrize(("moneyness", "total"), [*AT_THE_TURN, *NEAR, *FAR])
def test_exact_prices_out_of_the_money(moneyness, total):
    """Prices of sixty digits, rounded once."""
    spot = math.exp(moneyness)
    with mpmath.workdps(60):
        width = mpmath.mpf(total)
        d1 = mpmath.log(mpmath.mpf(spot)) / width + width / 2
        exact = float(spot * mpmath.ncdf(d1) - mpmath.ncdf(d1 - width))
    loss = exact / vega(tensor(spot), 1.0, 1.0, total).item()
    error = abs(implied_volatility(tensor(exact), spot, 1.0, 1.0).item() - total)
    assert error < 4e-15 * max(1.0, total) + 2e-16 * loss


def test_all_prices_that_double_precision_can_hold():
    distances = torch.cat([tensor([0.0]), torch.logspace(-12, 1.5, 60, dtype=torch.float64)])
    moneyness, total = torch.meshgrid(-distances, torch.logspace(-3, 1.2, 100, dtype=torch.float64), indexing="ij")
    spot = moneyness.exp()
    quoted = price(spot, 1.0, 1.0, total)
    held = (quoted > 1e-300) & (quoted < spot * (1 - 1e-14))
    assert held.double().mean() > 0.6
    implied = implied_volatility(quoted, spot, 1.0, 1.0)[held]
    # An error of the price, of itself and of its distance to the bound, in terms of volatility.
    digits = torch.minimum(quoted, spot)[held] / vega(spot, 1.0, 1.0, total)[held]
    assert ((implied - total[held]).abs() < 1e-11 * total[held] + 1e-13 * digits).all()


def test_tiny_prices_a_rounding_error_from_the_money():
    """A price p at a distance x from the money needs no more total volatility than x + 3 p."""
    distance = torch.cat([tensor([0.0]), 2.0 ** -torch.linspace(30, 53, 500, dtype=torch.float64)])
    for exponent in range(-300, -14):
        quoted = torch.full_like(distance, 10.0**exponent)
        width = implied_volatility(quoted, 1 - distance, 1.0, 1.0)
        assert (width > 0).all()
        assert (width < distance + 3 * quoted + 4e-15).all()


def test_prices_a_rounding_error_from_their_bound():
    spot = torch.linspace(0.5, 1e4, 1000, dtype=torch.float64)
    quoted = torch.nextafter(spot, tensor(0.0))
    width = implied_volatility(quoted, spot, 0.37, 1.0)
    # With no more left than N(-d1) of the spot and N(d2) of the strike.
    d1 = (spot / 0.37).log() / width + width / 2
    left = spot * normal_cdf(-d1) + 0.37 * normal_cdf(d1 - width)
    torch.testing.assert_close(left, spot - quoted, atol=0, rtol=1e-9)


def test_an_element_is_the_same_in_any_batch():
    spot = torch.linspace(0.5, 2.0, 31, dtype=torch.float64)
    quoted = price(spot, 1.0, 0.5, 0.4)
    batch = implied_volatility(quoted, spot, 1.0, 0.5)
    alone = [implied_volatility(one, s, 1.0, 0.5) for one, s in zip(quoted, spot, strict=True)]
    assert torch.equal(batch, torch.stack(alone))


@RIGHTS
def test_prices_that_no_volatility_gives(right):
    """Present values of spot and strike: 4 and 3, or 3 and 4."""
    spot, strike = (8.0, 6.0) if right == "call" else (6.0, 8.0)
    carry = {"rate": math.log(2), "dividend": math.log(2), "right": right}
    quotes = tensor([-1.0, 0.99, 1.0, 1.5, 3.99, 4.0, 4.01, math.inf, math.nan])
    implied = implied_volatility(quotes, spot, strike, 1.0, **carry)
    assert implied.isnan().tolist() == [True, True, False, False, False, True, True, True, True]
    assert implied[2] == 0
    assert 0 < implied[3] < implied[4]


NO_TIME = [(1.0, 1.0, 0.0), (1.0, 1.0, -1.0), (1.0, 1.0, math.nan)]
NO_MONEY = [
    (0.0, 1.0, 1.0),
    (1.0, 0.0, 1.0),
    (0.0, 0.0, 1.0),
    (-1.0, 1.0, 1.0),
    (1.0, math.nan, 1.0),
    (math.inf, 1.0, 1.0),
]


@RIGHTS
@pytest.mark.parametrize(("spot", "strike", "tau"), [*NO_TIME, *NO_MONEY])
def test_options_without_a_volatility(spot, strike, tau, right):
    assert implied_volatility(tensor([0.0, 0.3]), spot, strike, tau, right=right).isnan().all()


@RIGHTS
def test_an_option_without_time_value_has_no_volatility_but_zero(right):
    spot = tensor([0.5, 1.0, 2.0])
    value = price(spot, 1.0, 1.0, 0.0, right=right)
    assert implied_volatility(value, spot, 1.0, 1.0, right=right).tolist() == [0.0, 0.0, 0.0]


@RIGHTS
def test_derivatives_by_the_implicit_function_theorem(right):
    spot, strike, tau, volatility = (
        tensor(x).requires_grad_() for x in ([1.0, 1.05, 0.9], [1.1, 1.0, 1.2], [0.5, 1.0, 2.0], [0.3, 0.2, 0.6])
    )
    carry = {"rate": tensor(0.03).requires_grad_(), "dividend": tensor(0.01).requires_grad_()}
    quoted = price(spot, strike, tau, volatility, **carry, right=right).detach().requires_grad_()
    implied = implied_volatility(quoted, spot, strike, tau, **carry, right=right)
    by_price, by_spot = torch.autograd.grad(implied.sum(), [quoted, spot])
    slope = vega(spot, strike, tau, volatility, **carry)
    torch.testing.assert_close(by_price, 1 / slope, atol=0, rtol=1e-12)
    hedge = delta(spot, strike, tau, volatility, **carry, right=right)
    torch.testing.assert_close(by_spot, -hedge / slope, atol=0, rtol=1e-12)

    def solve(P, S, K, T, r, q):
        return implied_volatility(P, S, K, T, rate=r, dividend=q, right=right)

    inputs = (quoted, spot, strike, tau, *carry.values())
    assert torch.autograd.gradcheck(solve, inputs)
    assert torch.autograd.gradgradcheck(solve, inputs)


def test_what_has_no_volatility_leaves_other_derivatives_alone():
    quoted = tensor([-1.0, 0.0, 0.2, math.nan, 2.0]).requires_grad_()
    strike, tau, dividend = (tensor(x).requires_grad_() for x in (1.0, [[1.0], [0.0], [math.nan]], 0.01))
    implied = implied_volatility(quoted, 0.9, strike, tau, dividend=dividend)
    gradients = torch.autograd.grad(implied.nansum(), [quoted, strike, tau, dividend])
    alone = torch.autograd.grad(
        implied_volatility(quoted[2], 0.9, strike, tau[0, 0], dividend=dividend), [quoted, strike, tau, dividend]
    )
    for gradient, one in zip(gradients, alone, strict=True):
        assert torch.equal(gradient, one)


def test_single_precision_is_solved_in_double():
    spot = torch.tensor([0.9, 1.0, 1.1])
    quoted = price(spot, 1.0, 0.25, 0.2)
    implied = implied_volatility(quoted, spot, 1.0, 0.25)
    assert implied.dtype == torch.float32
    exact = implied_volatility(quoted.double(), spot.double(), 1.0, 0.25)
    assert torch.equal(implied, exact.float())
    torch.testing.assert_close(implied, torch.full((3,), 0.2), atol=1e-5, rtol=0)


def test_arguments_broadcast():
    quoted = torch.full((2, 1), 0.1, dtype=torch.float64)
    implied = implied_volatility(quoted, 1.0, tensor([0.95, 1.0, 1.05]), 1.0)
    assert implied.shape == (2, 3)
    assert torch.equal(implied[0], implied[1])
    assert implied_volatility(torch.ones(0, 3), 1.0, 1.0, 1.0).shape == (0, 3)
