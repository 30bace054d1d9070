"""Outputs: where each map starts, and what it cannot leave."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import softplus

from praesidium.policies.encoders import Encoder
from praesidium.policies.gamma_share import GammaShare
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Band, Free, Output, Residual, Trade
from praesidium.policies.policy import Sizes
from praesidium.policies.soft_band import SoftBand

SIZES = Sizes(phi=4, context=5, environments=2, regimes=3)
NUMBERS = st.floats(-20, 20)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("encoder", sorted(Encoder.registry))
def test_a_residual_network_that_says_nothing_is_delta(encoder, builder, wild):
    rule = Neural(encoder=Encoder.registry[encoder](), output=Residual()).build(SIZES, seed=1).double()
    state = builder.build(wild, 1e-3)
    assert (rule.positions(state) - state.delta).abs().max() < 0.5  # where it starts
    for one in rule.head.parameters():
        one.data.zero_()
    assert torch.equal(rule.positions(state), state.delta)


@settings(deadline=None, derandomize=True)
@given(below=NUMBERS, above=NUMBERS, delta=st.floats(-1, 2), previous=st.floats(-3, 3))
def test_a_band_is_followed_and_not_left(below, above, delta, previous):
    position = Band().position(column(below, above).unsqueeze(0), column(delta), column(previous)).item()
    low, high = (delta + side * softplus(column(y - 3)).item() for side, y in ((-1, below), (1, above)))
    assert low <= position <= high
    assert position == (previous if low <= previous <= high else low if previous < low else high)


def test_positions_of_a_band_network_stay_in_its_band(builder, wild):
    state = builder.build(wild, 1e-3)
    rule = Neural(output=Band()).build(SIZES, seed=1).double()
    positions = rule.positions(state)
    held = torch.cat([torch.zeros_like(positions[:1]), positions[:-1]])
    below, above = softplus(rule.decide(state, held).outputs - 3).unbind(-1)
    assert (positions >= state.delta - below - 1e-15).all()
    assert (positions <= state.delta + above + 1e-15).all()
    rests = positions.diff(dim=0) == 0
    assert 0 < rests.double().mean() < 1
    assert (positions - state.delta).abs().max() < 0.2  # it starts close to delta


@settings(deadline=None, derandomize=True)
@given(raw=NUMBERS, delta=NUMBERS, previous=NUMBERS)
def test_free_and_residual_differ_by_delta(raw, delta, previous):
    free, residual = (
        kind().position(column(raw).unsqueeze(0), column(delta), column(previous)).item() for kind in (Free, Residual)
    )
    assert free == raw
    assert residual == delta + raw


@settings(deadline=None, derandomize=True)
@given(raw=NUMBERS, delta=NUMBERS, previous=NUMBERS)
def test_a_trade_starts_from_the_last_position_whatever_delta_is(raw, delta, previous):
    assert Trade().position(column(raw).unsqueeze(0), column(delta), column(previous)).item() == previous + raw


@pytest.mark.parametrize("encoder", sorted(Encoder.registry))
def test_a_trading_network_that_says_nothing_holds_nothing(encoder, builder, wild):
    rule = Neural(encoder=Encoder.registry[encoder](), output=Trade()).build(SIZES, seed=1).double()
    state = builder.build(wild, 1e-3)
    assert 0 < rule.positions(state).diff(dim=0).abs().max() < 0.2  # it starts with small trades
    for one in rule.head.parameters():
        one.data.zero_()
    assert not rule.positions(state).any()


def test_positions_of_a_trading_network_are_the_sums_of_its_outputs(builder, wild):
    state = builder.build(wild, 1e-3)
    rule = Neural(output=Trade()).build(SIZES, seed=1).double()
    positions = rule.positions(state)
    held = torch.cat([torch.zeros_like(positions[:1]), positions[:-1]])
    trades = rule.decide(state, held).outputs.squeeze(-1)
    torch.testing.assert_close(positions, trades.cumsum(0), atol=1e-12, rtol=0)


def test_every_output_is_tested_above_or_in_a_file_of_its_own():
    assert set(Output.registry.values()) == {Band, Free, Residual, Trade} | {SoftBand, GammaShare}
