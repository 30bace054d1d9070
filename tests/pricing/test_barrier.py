import math
from itertools import product

import numpy as np
import pytest
import torch

from praesidium.pricing import barrier, black_scholes

CARRY = {"rate": 0.05, "dividend": 0.02}
SIGMA, TAU = 0.3, 0.25
CONTRACTS = [
    (direction, right, level, strike)
    for direction, right, distance, strike in product(("up", "down"), ("call", "put"), (0.05, 0.15), (0.9, 1.0, 1.1))
    for level in [1 + distance if direction == "up" else 1 - distance]
]


def value(spot, strike, level, **kwargs):
    kwargs = {"direction": "down", "knock": "out", **CARRY, **kwargs}
    spot = torch.as_tensor(spot, dtype=torch.float64)
    return barrier.price(spot, strike, level, torch.full_like(spot, TAU), torch.full_like(spot, SIGMA), **kwargs)


def by_densities(strike, level, direction, right, steps):
    """The knock-out from spot 1 by integrating over the log price from look to look, 0 at the barrier and beyond."""
    step, away = TAU / steps, 1 if direction == "up" else -1
    reach, h = 8 * SIGMA * math.sqrt(TAU), SIGMA * math.sqrt(step) / 8
    x = math.log(level) - away * h * np.arange(int(2 * reach / h))
    weights = np.full(len(x), h)
    weights[0] = 0.5 * h
    drift, width = (0.03 - 0.5 * SIGMA**2) * step, SIGMA * math.sqrt(step)
    sign = 1 if right == "call" else -1
    values = np.maximum(sign * (np.exp(x) - strike), 0)

    def kernel(start):
        return np.exp(-0.5 * ((x - start - drift) / width) ** 2) / (width * math.sqrt(2 * math.pi)) * weights

    matrix = np.stack([kernel(one) for one in x])
    for _ in range(steps - 1):
        values = matrix @ values
    return math.exp(-0.05 * TAU) * float(kernel(0.0) @ values)


@pytest.mark.parametrize(("direction", "right", "level", "strike"), CONTRACTS)
def test_in_and_out_are_the_plain_option(direction, right, level, strike):
    spot = torch.linspace(0.8, 1.2, 9, dtype=torch.float64)
    kwargs = {"direction": direction, "right": right, "interval": 1 / 252}
    both = [value(spot, strike, level, **kwargs, knock=knock) for knock in ("in", "out")]
    plain = black_scholes.price(spot, strike, TAU, SIGMA, **CARRY, right=right)
    torch.testing.assert_close(sum(both), plain, atol=1e-15, rtol=0)
    assert all((one >= 0).all() for one in both)


@pytest.mark.parametrize(
    ("direction", "right", "level", "strike"),
    [("up", "call", 1.15, 1.0), ("up", "put", 1.05, 1.1), ("down", "call", 0.95, 0.9), ("down", "put", 0.85, 1.0)],
)
def test_watched_at_times_it_agrees_with_integration(direction, right, level, strike):
    steps = 30
    exact = by_densities(strike, level, direction, right, steps)
    found = value(1.0, strike, level, direction=direction, right=right, interval=TAU / steps).item()
    unshifted = value(1.0, strike, level, direction=direction, right=right).item()
    assert found == pytest.approx(exact, abs=4e-4)
    assert abs(unshifted - exact) > 5 * abs(found - exact)


def test_the_oracle_finds_the_plain_option():
    plain = black_scholes.price(torch.tensor([1.0]).double(), 1.0, TAU, SIGMA, **CARRY).item()
    assert by_densities(1.0, 0.3, "down", "call", 5) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize(("direction", "right", "level", "strike"), CONTRACTS)
def test_value_solves_the_equation_of_black_and_scholes(direction, right, level, strike):
    """dV/dtau = sigma^2 S^2 V'' / 2 + b S V' - r V, and 0 at the barrier: with the payoff, all there is to it."""
    ends = (0.9, level) if direction == "up" else (level, 1.1)
    spot = torch.linspace(*ends, 9, dtype=torch.float64)[1:-1].requires_grad_()
    tau = torch.full_like(spot, TAU).detach().requires_grad_()
    kwargs = {"direction": direction, "knock": "out", "right": right, **CARRY}
    found = barrier.price(spot, strike, level, tau, torch.full_like(spot, SIGMA).detach(), **kwargs)
    slope, later = torch.autograd.grad(found.sum(), (spot, tau), create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), spot)
    expected = 0.5 * SIGMA**2 * spot**2 * curve + 0.03 * spot * slope - 0.05 * found
    torch.testing.assert_close(later, expected, atol=1e-10, rtol=0)
    at_the_barrier = value(level * (1 + (-1e-9 if direction == "up" else 1e-9)), strike, level, **kwargs)
    assert at_the_barrier.item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(("direction", "right", "level", "strike"), CONTRACTS)
def test_as_time_runs_out_the_payoff_is_left(direction, right, level, strike):
    ends = (0.8, level - 0.01) if direction == "up" else (level + 0.01, 1.2)
    spot = torch.linspace(*ends, 9, dtype=torch.float64)
    paid = (spot - strike if right == "call" else strike - spot).clamp(min=0)
    for tau in (1e-8, 0.0):
        found = barrier.price(
            spot,
            strike,
            level,
            torch.full_like(spot, tau),
            torch.full_like(spot, SIGMA),
            direction=direction,
            knock="out",
            right=right,
        )
        torch.testing.assert_close(found, paid, atol=2e-5 if tau else 0, rtol=0)


def test_beyond_the_barrier_it_is_touched():
    spot = torch.tensor([0.5, 0.9], dtype=torch.float64)
    assert torch.equal(value(spot, 1.0, 0.9), torch.zeros_like(spot))
    plain = black_scholes.price(spot, 1.0, TAU, SIGMA, **CARRY)
    assert torch.equal(value(spot, 1.0, 0.9, knock="in"), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_derivatives_are_finite_everywhere(dtype, direction):
    sides = [torch.tensor(x, dtype=dtype) for x in ([0.1, 0.999, 1.0, 1.3, 9.0], [0.0, 1e-4, 1.0], [0.0, 0.02, 1.0])]
    inputs = [x.clone().requires_grad_() for x in torch.meshgrid(*sides, indexing="ij")]
    for level, right, knock in product((0.9, 1.1), ("call", "put"), ("in", "out")):
        kwargs = {"direction": direction, "right": right, "knock": knock, "interval": 1 / 252, **CARRY}
        found = barrier.price(inputs[0], 1.0, level, inputs[1], inputs[2], **kwargs)
        assert found.isfinite().all()
        assert all(one.isfinite().all() for one in torch.autograd.grad(found.sum(), inputs))
