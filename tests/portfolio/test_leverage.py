"""Leverage hits an annual target with volatilities a period."""

import inspect

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.portfolio.leverage import optimize_leverage, regime_volatilities
from praesidium.training.reproducibility import stream

SURE = torch.ones(1, dtype=torch.float64)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_daily_volatilities_are_compared_with_an_annual_target_in_its_unit():
    """Daily volatility against an annual target gave the cap for .5, 1, 2 and 4 % alike."""
    given = [
        optimize_leverage(SURE, tensor(daily), target_volatility=0.10).item() for daily in (0.005, 0.01, 0.02, 0.04)
    ]
    assert given == pytest.approx([0.10 / (daily * 252**0.5) for daily in (0.005, 0.01, 0.02, 0.04)])
    monthly = optimize_leverage(SURE, tensor(0.05), target_volatility=0.10, periods=12)
    assert monthly.item() == pytest.approx(0.10 / (0.05 * 12**0.5))


def test_levered_returns_of_a_mixture_have_the_target_volatility():
    """A simulation that draws the regime and then the return agrees, the spread of the means included."""
    probs, means, deviations = tensor(0.6, 0.4), tensor(0.02, -0.03), tensor(0.01, 0.04)
    draws = np.random.default_rng(stream("tests", "leverage").initial_seed())
    regime = draws.choice(2, size=400_000, p=probs.numpy())
    returns = draws.normal(means.numpy()[regime], deviations.numpy()[regime])
    lever = optimize_leverage(probs, deviations, means=means, target_volatility=0.30).item()
    assert lever * returns.std() * 252**0.5 == pytest.approx(0.30, rel=5e-3)
    assert lever < optimize_leverage(probs, deviations, target_volatility=0.30).item()


def test_more_chance_of_a_wild_regime_means_less_leverage():
    probs = torch.stack([torch.linspace(1, 0, 11), torch.linspace(0, 1, 11)], dim=-1)
    lever = optimize_leverage(probs, torch.tensor([0.005, 0.02]), target_volatility=0.10)
    assert (lever.diff() < 0).all()


def test_cap_and_floor_bind():
    assert optimize_leverage(SURE, tensor(0.0), target_volatility=0.10).item() == 2.0
    assert optimize_leverage(SURE, tensor(0.001), target_volatility=0.10, cap=1.5).item() == 1.5
    assert optimize_leverage(SURE, tensor(0.10), target_volatility=0.10, floor=0.4).item() == 0.4


def test_volatilities_of_a_portfolio_come_from_its_covariances():
    generator = stream("tests", "covariances")
    root = torch.randn(5, 3, 4, 4, dtype=torch.float64, generator=generator)
    weights = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    volatilities = regime_volatilities(weights, root @ root.mT)
    wanted = (root.mT @ weights[:, None, :, None]).square().sum((-2, -1)).sqrt()  # |R' w|
    torch.testing.assert_close(volatilities, wanted)
    assert optimize_leverage(torch.full((5, 3), 1 / 3), volatilities.float(), target_volatility=0.1).shape == (5,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_volatility": 10}, "for 10 % a year say 0.10"),
        ({"floor": 3.0}, "not in order"),
        ({"periods": 0}, "periods=0"),
    ],
)
def test_bad_numbers_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        optimize_leverage(SURE, tensor(0.01), **({"target_volatility": 0.1} | change))


def test_what_does_not_move_has_the_cap_and_no_slope():
    for still in (tensor(0.0), tensor(0.0).float()):
        volatilities = still.requires_grad_()
        lever = optimize_leverage(SURE.to(still.dtype), volatilities, target_volatility=0.10)
        lever.backward()
        assert (lever.item(), volatilities.grad.item()) == (2.0, 0.0)
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    volatilities = regime_volatilities(weights, torch.eye(2, dtype=torch.float64).expand(3, 2, 2))
    assert not volatilities.any()
    assert torch.equal(torch.autograd.grad(volatilities.sum(), weights)[0], torch.zeros_like(weights))
    assert optimize_leverage(SURE, tensor(0.0), target_volatility=0.10, cap=0.0).item() == 0.0


def test_covariances_come_in_any_precision():
    weights, covariances = torch.tensor([0.5, 0.5]), torch.eye(2, dtype=torch.float64).expand(3, 2, 2)
    assert regime_volatilities(weights, covariances).dtype == torch.float32


def test_bad_tensors_are_refused():
    leverage, volatilities = inspect.unwrap(optimize_leverage), inspect.unwrap(regime_volatilities)
    for wrong in ({"volatilities": tensor(0.01)}, {"volatilities": tensor(0.01, 0.02), "means": tensor(0.0)}):
        with pytest.raises(InputError, match=r"have shape \(1,\) and regime_probs \(2,\); give one for each regime"):
            leverage(tensor(0.5, 0.5), target_volatility=0.1, **wrong)
    with pytest.raises(InputError, match=r"regime_volatilities: covariance has shape \(2, 3, 3\)"):
        volatilities(torch.ones(1), torch.eye(3).expand(2, 3, 3))
    with pytest.raises(InputError, match="below zero"):
        optimize_leverage(SURE, tensor(-0.01), target_volatility=0.1)
    with pytest.raises(InputError, match="not distributions"):
        optimize_leverage(tensor(0.5, 0.2), tensor(0.01, 0.02), target_volatility=0.1)
