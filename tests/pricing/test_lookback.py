import math
from itertools import pairwise

import pytest
import torch

from praesidium.pricing import black_scholes, lookback

CARRY = {"rate": 0.05, "dividend": 0.02}


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


def value(spot, strike, highest, tau, volatility, **kwargs):
    return lookback.price(spot, strike, *(torch.full_like(spot, x) for x in (highest, tau, volatility)), **kwargs)


def mean_of_the_highest(steps, step, sigma, carry):
    """Of a walk watched at times, by Spitzer's identity."""
    legs = [1.0] * (steps + 1)
    for k in range(1, steps + 1):
        call = black_scholes.price(column(1.0), 1.0, k * step, sigma, rate=carry).item() * math.exp(carry * k * step)
        legs[k] = 1 + call
    means = [1.0]
    for n in range(1, steps + 1):
        means.append(sum(legs[k] * means[n - k] for k in range(1, n + 1)) / n)
    return means[steps]


@pytest.mark.parametrize("carry", [{}, CARRY, {"rate": -0.02, "dividend": 0.06}])
def test_watched_all_the_time_it_is_the_integral_of_the_law_of_the_highest(carry):
    """P(max > x) by the reflection principle, summed over x."""
    sigma, tau, drift = 0.3, 0.5, carry.get("rate", 0.0) - carry.get("dividend", 0.0) - 0.5 * 0.3**2
    for highest, strike in ((1.0, 1.0), (1.0, 1.2), (1.3, 1.1), (1.0, 0.0)):
        low = math.log(max(highest, strike))
        y = torch.linspace(low, low + 8 * sigma * math.sqrt(tau), 20_001, dtype=torch.float64)
        width, normal = sigma * math.sqrt(tau), torch.special.ndtr
        above = normal((drift * tau - y) / width) + torch.exp(2 * drift * y / sigma**2) * normal(
            (-y - drift * tau) / width
        )
        beyond = torch.trapezoid(above * y.exp(), y).item()
        exact = math.exp(-carry.get("rate", 0.0) * tau) * (beyond + math.exp(low) - strike)
        assert value(column(1.0), strike, highest, tau, sigma, **carry).item() == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize(("steps", "share"), [(1, 0.14), (5, 0.024), (60, 2e-3)])
@pytest.mark.parametrize("carry", [0.0, 0.04])
def test_watched_at_times_the_error_is_as_stated(steps, share, carry):
    step, sigma = 1 / 252, 0.25
    exact = math.exp(-carry * steps * step) * (mean_of_the_highest(steps, step, sigma, carry) - 1)
    found = value(column(1.0), 1.0, 1.0, steps * step, sigma, interval=step, rate=carry).item()
    assert exact * (1 - share) < found < exact


def test_small_rates_lead_to_none():
    spot = column(0.7, 0.95, 1.0)
    without = value(spot, 1.0, 1.05, 0.5, 0.3)
    for rate in (1e-8, 1e-4):
        torch.testing.assert_close(value(spot, 1.0, 1.05, 0.5, 0.3, rate=rate), without, atol=2 * rate, rtol=0)
    single = value(spot.float(), 1.0, 1.05, 0.5, 0.3, rate=1e-4)
    torch.testing.assert_close(single.double(), value(spot, 1.0, 1.05, 0.5, 0.3, rate=1e-4), atol=2e-6, rtol=0)


def test_what_has_been_reached_is_paid_at_the_end():
    """A spot far below has no new highest price to come."""
    far = value(column(0.1), 1.0, 1.4, 0.5, 0.2, **CARRY, interval=1 / 252)
    assert far.item() == pytest.approx(0.4 * math.exp(-0.025), abs=1e-15)


def test_it_is_dearer_than_the_plain_call_and_grows_with_what_was_reached():
    spot = torch.linspace(0.6, 1.1, 11, dtype=torch.float64)
    plain = black_scholes.price(spot, 1.0, 0.4, 0.3, **CARRY)
    values = [value(spot, 1.0, highest, 0.4, 0.3, **CARRY, interval=1 / 252) for highest in (1.1, 1.2, 1.3)]
    assert (values[0] > plain).all()
    assert all((after > before).all() for before, after in pairwise(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_derivatives_are_finite_at_expiry(dtype, rate):
    spot = torch.tensor([0.5, 1.0, 1.2], dtype=dtype).requires_grad_()
    sigma = torch.tensor([0.0, 0.2, 0.2], dtype=dtype).requires_grad_()
    found = lookback.price(spot, 1.1, torch.full_like(spot, 1.2), torch.zeros_like(spot), sigma, rate=rate)
    torch.testing.assert_close(found, torch.full_like(spot, 0.1), atol=1e-6, rtol=0)
    assert all(one.isfinite().all() for one in torch.autograd.grad(found.sum(), (spot, sigma)))
