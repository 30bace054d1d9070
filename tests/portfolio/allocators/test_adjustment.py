"""Partial adjustment against its recursion, written out for one portfolio in NumPy."""

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.portfolio.adjustment import adjust
from praesidium.portfolio.constraints import LeverageCapped, LongOnly, LongShort
from praesidium.training.reproducibility import stream

FREE = LeverageCapped(leverage=1e3, max_weight=1e3)


def draws(*shape, purpose="adjustment"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


@pytest.mark.parametrize("trade_every", [1, 3])
def test_the_recursion(trade_every):
    aims, rates, returns, previous = draws(2, 7, 3), draws(2, 7).sigmoid(), 0.05 * draws(2, 7, 3), draws(2, 3)
    weights = adjust(aims, rates, FREE, previous=previous, returns=returns, trade_every=trade_every).numpy()
    for sample in range(2):
        held = previous[sample].numpy()
        for time in range(7):
            if time:
                units = held * (1 + returns[sample, time].numpy())
                held = units / (1 - held.sum() + units.sum())  # cash keeps its value
            if time % trade_every == 0:
                held = held + rates[sample, time].item() * (aims[sample, time].numpy() - held)
            np.testing.assert_allclose(weights[sample, time], held, rtol=1e-12)


@pytest.mark.parametrize("trade_every", [1, 3])
@pytest.mark.parametrize("constraint", [LongOnly(), LongOnly(max_weight=0.3), LongShort(net=0.2, gross=1.4)])
def test_returns_of_zero_do_as_none(constraint, trade_every):
    aims, rates, previous = constraint.aim(draws(2, 8, 5)), draws(2, 8).sigmoid(), draws(2, 5)
    for held in (None, previous):
        weights, same = (
            adjust(aims, rates, constraint, previous=held, returns=one, trade_every=trade_every)
            for one in (None, torch.zeros_like(aims))
        )
        torch.testing.assert_close(weights, same, rtol=0, atol=1e-14)


def test_with_nothing_held_the_first_decision_is_the_aim():
    aims = draws(3, 4, 5).softmax(-1)
    weights = adjust(aims, torch.zeros(3, 4, dtype=torch.float64), LongOnly())
    assert torch.equal(weights[:, 0], aims[:, 0])
    assert torch.allclose(weights, aims[:, :1].expand_as(aims))


def test_a_full_step_reaches_the_aim_and_none_keeps_what_is_held():
    aims, previous = draws(2, 6, 4).softmax(-1), draws(2, 4, purpose="previous").softmax(-1)
    ones = torch.ones(2, 6, dtype=torch.float64)
    assert torch.allclose(adjust(aims, ones, LongOnly(), previous=previous), aims)
    kept = adjust(aims, 0 * ones, LongOnly(), previous=previous)
    assert torch.allclose(kept, previous.unsqueeze(1).expand_as(kept))


@pytest.mark.parametrize("constraint", [LongOnly(max_weight=0.3), LongShort(net=0.2, gross=1.4, max_weight=0.4)])
def test_every_trade_keeps_the_limits_that_drift_and_old_holdings_break(constraint):
    aims, rates = constraint.aim(draws(4, 30, 6)), draws(4, 30).sigmoid()
    previous = draws(4, 6)
    weights = adjust(aims, rates, constraint, previous=previous, returns=0.2 * draws(4, 30, 6).tanh())
    assert torch.allclose(constraint.project(weights), weights, atol=1e-13)


def test_ruin_is_an_error():
    aims = torch.tensor([[[2.0, -1.0], [2.0, -1.0]]])
    moves = torch.tensor([[[0.0, 0.0], [-0.6, 0.1]]])
    with pytest.raises(InputError, match="loses all its wealth"):
        adjust(aims, torch.ones(1, 2), FREE, returns=moves)
