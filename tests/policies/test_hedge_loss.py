"""What a hedge leaves of the risk: aligned in time, net of every trade."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.policies import delta_hedge_loss
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

B, T, N = 4, 25, 2
generator = stream("tests", "hedge loss")
SPOT, FUTURES = (0.01 * torch.randn(B, T, N, dtype=torch.float64, generator=generator) for _ in range(2))
HEDGE = torch.randn(B, T, N, dtype=torch.float64, generator=generator)
RATE, AVERSION = 1e-3, 4.0


def by_hand(hedge, previous):
    """Net returns and costs, period by period."""
    net, costs, held = [], [], previous
    for time in range(T - 1):
        paid = RATE * (hedge[:, time] - held).abs()
        net.append(SPOT[:, time + 1] + hedge[:, time] * FUTURES[:, time + 1] - paid)
        costs.append(paid)
        held = hedge[:, time]
    return torch.stack(net).flatten(0, 1), torch.stack(costs).flatten(0, 1)


@pytest.mark.parametrize("previous", [None, torch.full((N,), -0.8, dtype=torch.float64), HEDGE[:, 3]])
def test_it_is_the_risk_of_what_is_left_period_by_period(previous):
    net, costs = by_hand(HEDGE, torch.zeros(B, N) if previous is None else previous)
    given = {"cost_rate": RATE, "previous": previous}
    variance = (net.var(0, correction=0) + 2 / AVERSION * costs.mean(0)).mean()
    assert delta_hedge_loss(HEDGE, SPOT, FUTURES, risk_aversion=AVERSION, **given).item() == pytest.approx(
        variance.item(), rel=1e-12
    )
    tail = torch.stack([cvar(-net[:, asset], level=0.9) for asset in range(N)]).mean()
    assert delta_hedge_loss(HEDGE, SPOT, FUTURES, risk="cvar", level=0.9, **given).item() == pytest.approx(
        tail.item(), rel=1e-12
    )


def test_a_hedge_that_is_held_pays_once():
    held = HEDGE[:, 0]
    net = SPOT + held.unsqueeze(1) * FUTURES
    net[:, 0] -= RATE * held.abs()
    expected = (net.flatten(0, 1).var(0, correction=0) + RATE * held.abs().mean(0) / T * 2 / AVERSION).mean()
    loss = delta_hedge_loss(held, SPOT, FUTURES, cost_rate=RATE, risk_aversion=AVERSION)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_changes_of_the_hedge_cost_and_a_free_market_forgives_them():
    steady = torch.full_like(HEDGE, -1.0)
    restless = steady + 0.5 * (torch.arange(T) % 2).view(1, T, 1)
    flat = torch.zeros_like(SPOT)  # nothing to hedge: costs alone tell them apart
    before = steady[:, 0]
    for rate, dearer in ((0.0, False), (RATE, True)):
        calm, wild = (
            delta_hedge_loss(one, flat, flat, cost_rate=rate, previous=before).item() for one in (steady, restless)
        )
        assert calm == 0
        assert (wild > 0) == dearer


def test_a_hedge_cannot_earn_the_return_of_its_own_time():
    """One that is decided by the return that it would earn is worth nothing if it comes a period late."""
    foresight = -SPOT / FUTURES
    late = delta_hedge_loss(foresight.clamp(-5, 5), SPOT, FUTURES, cost_rate=0.0)
    in_time = delta_hedge_loss(foresight.roll(-1, 1), SPOT, FUTURES, cost_rate=0.0)
    naked = delta_hedge_loss(torch.zeros_like(SPOT), SPOT, FUTURES, cost_rate=0.0)
    assert in_time < 1e-20
    assert late > naked


def test_gradients_are_those_of_differences():
    hedge = HEDGE[:2, :5].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda one: delta_hedge_loss(one, SPOT[:2, :5], FUTURES[:2, :5], cost_rate=RATE), (hedge,)
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"risk_aversion": 0.0}, "risk_aversion=0 is not above 0"),
        ({"risk_aversion": -5.0}, "risk_aversion=-5 is not above 0"),
        ({"cost_rate": -1e-3}, "cost_rate=-0.001 is not a rate"),
        ({"cost_rate": 5.0}, "for 5 bp say 0.0005"),
        ({"previous": HEDGE[:2, 0]}, r"previous \(2, 2\) does not fit"),
        ({"hedge": HEDGE[:0], "spot_returns": SPOT[:0], "futures_returns": FUTURES[:0]}, "earns nothing"),
        ({"spot_returns": SPOT.masked_fill(SPOT[1, 2, 1] == SPOT, torch.nan)}, "spot_returns .* 1 times in asset 1"),
        ({"futures_returns": FUTURES / 0}, "futures_returns holds NaN or infinity, 100 times in asset 0"),
    ],
)
def test_numbers_out_of_bounds_are_refused(wrong, said):
    given = {"hedge": HEDGE, "spot_returns": SPOT, "futures_returns": FUTURES, "cost_rate": RATE} | wrong
    with pytest.raises(InputError, match=said):
        delta_hedge_loss(**given)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="do not fit"):
        delta_hedge_loss(HEDGE[:, 1:], SPOT, FUTURES, cost_rate=0.0)
    with pytest.raises(InputError, match="'std' is unknown"):
        delta_hedge_loss(HEDGE, SPOT, FUTURES, cost_rate=0.0, risk="std")
    with pytest.raises(InputError, match="earns nothing"):
        delta_hedge_loss(HEDGE[:, :1], SPOT[:, :1], FUTURES[:, :1], cost_rate=0.0)
