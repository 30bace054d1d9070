"""Limits: every policy keeps them, and a position that keeps them already is left alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError, build
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.limits import Limits
from praesidium.hedging.listed import Listed
from praesidium.hedging.rollout import Trial
from praesidium.hedging.state_builder import StateSettings
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Policy, Sizes
from praesidium.training.reproducibility import stream

LIMITS = Limits(position=(-0.2, 0.6), trade=0.05)
NEAR, FAR = Listed(right="put", moneyness=0.95, days=12), Listed(days=45)


@given(
    wanted=st.lists(st.floats(-3, 3), min_size=1, max_size=12),
    low=st.floats(-1, 0),
    high=st.floats(0, 1),
    trade=st.floats(0.01, 1),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_what_is_held_keeps_the_limits_and_is_nearest_to_what_is_wanted(wanted, low, high, trade):
    limits = Limits(position=(low, high), trade=trade)
    column = torch.tensor(wanted, dtype=torch.float64).unsqueeze(-1)
    held = limits.hold(column, None)
    before = torch.cat([torch.zeros(1, 1, dtype=torch.float64), held[:-1]])
    assert ((held - before).abs() <= trade + 1e-12).all()
    assert ((held >= low - 1e-12) & (held <= high + 1e-12)).all()
    nearest = torch.minimum(
        torch.maximum(column, torch.maximum(before - trade, before.new_tensor(low))),
        torch.minimum(before + trade, before.new_tensor(high)),
    )
    torch.testing.assert_close(held, nearest, atol=1e-12, rtol=0)
    assert torch.equal(limits.hold(held, None), held)


def test_what_has_expired_starts_from_an_empty_book():
    kept = torch.tensor([[1.0], [1.0], [0.0], [1.0]])
    held = Limits(trade=0.5).hold(torch.full((4, 2, 1), 2.0), kept)
    assert held[:, 0, 0].tolist() == [0.5, 1.0, 0.5, 1.0]


def test_limits_that_exclude_the_empty_book_are_refused():
    with pytest.raises(InputError, match=r"position: \[0.1, 1.0\] does not hold 0"):
        build(Limits, {"position": [0.1, 1.0]})
    with pytest.raises(InputError, match="trade"):
        build(Limits, {"trade": 0})


@pytest.mark.parametrize("kind", sorted(Policy.registry))
def test_every_policy_keeps_them_in_every_instrument(kind, optioned):
    builder = StateSettings(revalue=True).fit([optioned], EuropeanCall(), (NEAR, FAR), LIMITS)
    rule = Policy.registry[kind]().build(Sizes(4, 5, 2, instruments=3, option=True), seed=1)
    rule = rule.double() if isinstance(rule, torch.nn.Module) else rule
    (episode,) = Trial.make(optioned, builder, 1e-3).episodes(rule)
    assert episode.positions.shape == (optioned.horizon, optioned.count, 3)
    assert episode.positions.min() >= -0.2
    assert episode.positions.max() <= 0.6
    assert episode.trades.abs().max() <= 0.05 + 1e-12


def test_a_network_knows_what_it_could_reach(optioned):
    """Its inventory is what is held, not what was wanted: rollout and decisions agree on it."""
    builder = StateSettings().fit([optioned], EuropeanCall(), (NEAR, FAR), LIMITS)
    rule = Neural().build(Sizes(4, 5, 2, instruments=3, option=True), seed=1).double()
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=stream("tests", "limits")))
        state = builder.build(optioned, 1e-3)
        held = rule.positions(state)
        before = torch.cat([torch.zeros_like(held[:1]), held[:-1]])
        torch.testing.assert_close(rule.decide(state, before).positions, held, atol=1e-12, rtol=0)
    assert ((held - before * state.kept.unsqueeze(1)).abs().amax((0, 1)) > 0.0499).all()
