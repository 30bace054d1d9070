"""A share of gamma in a real option: at full share nothing of it is left, at none it is delta hedging."""

from dataclasses import replace

import pytest
import torch

from praesidium.component import InputError
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.listed import Listed
from praesidium.hedging.state_builder import StateSettings
from praesidium.policies.delta_gamma import DeltaGamma
from praesidium.policies.gamma_share import GammaShare
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Sizes
from praesidium.training.parameters import Parameters
from praesidium.training.reproducibility import stream

SIZES = Sizes(phi=4, context=5, environments=1, instruments=3, option=True)
SIDES = (Listed(days=45, cost_multiple=10), Listed(right="put", moneyness=0.95, days=12, cost_multiple=20))
NETWORK = Neural(output=GammaShare())


@pytest.fixture(scope="module")
def trader(optioned):
    """The long option first, so that it never expires."""
    turned = replace(optioned, listed=optioned.listed.flip(0))
    return StateSettings().fit([turned], EuropeanCall(), SIDES), turned


def rule_of(share=None):
    rule = NETWORK.build(SIZES, seed=2).double()
    if share is not None:
        for one in rule.head.parameters():
            one.data.zero_()
        rule.head.layer.bias.data[1] = share
    return rule


def test_the_ends_are_delta_and_delta_gamma_hedging(trader):
    state = trader[0].build(trader[1], 1e-3)
    none, full = (rule_of(share).positions(state) for share in (-50.0, 50.0))
    torch.testing.assert_close(none, state.hedge, atol=1e-12, rtol=0)
    torch.testing.assert_close(full, DeltaGamma().positions(state), atol=1e-12, rtol=0)


def test_at_full_share_neither_delta_nor_gamma_is_left(trader):
    state = trader[0].build(trader[1], 1e-3)
    spot, option = rule_of(50.0).positions(state)[..., :2].unbind(-1)
    free = option.abs() < 1.99  # where the cap does not bind
    delta, gamma = state.hedges[..., 0, 0], state.hedges[..., 0, 1]
    assert free.double().mean() > 0.9
    assert (option * gamma - state.gamma)[free].abs().max() < 1e-9
    assert (spot + option * delta - state.delta)[free].abs().max() < 1e-9


def test_a_new_network_starts_near_delta_with_little_of_the_option(trader):
    state = trader[0].build(trader[1], 1e-3)
    shares = rule_of().positions(state)[..., 1] / rule_of(50.0).positions(state)[..., 1]
    assert 0.05 < shares.min() < shares.max() < 0.25


def test_the_future_cannot_move_a_position(trader, future):
    rule, (builder, paths) = rule_of(), trader
    before, after = (rule.positions(builder.build(one, 1e-3)) for one in (paths, future(paths, 12)))
    assert torch.equal(before[:13], after[:13])
    assert not torch.equal(before[13:], after[13:])


def test_decisions_and_stacks_are_those_of_the_rollout(trader):
    state, rule = trader[0].build(trader[1], 1e-3), rule_of()
    positions = rule.positions(state)
    held = torch.cat([torch.zeros_like(positions[:1]), positions[:-1]])
    torch.testing.assert_close(rule.decide(state, held).positions, positions, atol=1e-12, rtol=0)
    parameters = Parameters(rule)
    row = parameters.read(rule)
    rows = row + 0.01 * torch.randn(2, len(row), dtype=torch.float64, generator=stream("tests", "rows"))
    together = parameters.bind(rows).positions(state.replicas(2))
    half = state.take(slice(32, 64))
    torch.testing.assert_close(together[:, 1], parameters.bind(rows[1]).positions(half), atol=1e-12, rtol=1e-10)


def test_without_an_option_it_says_what_it_needs(builder, wild):
    with pytest.raises(InputError, match=r"gamma_share: there is no option to hedge with; put one first"):
        NETWORK.build(replace(SIZES, option=False), seed=2)
    rule = NETWORK.build(replace(SIZES, instruments=1), seed=2).double()
    with pytest.raises(InputError, match=r"gamma_share: there is no option to hedge with; put one first"):
        rule.positions(builder.build(wild, 1e-3))
