"""Encoders: what each one can see, and by how much the regime may move the split one."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.policies.encoders import ContextOnly, Encoder, Joint, PhiOnly, Split
from praesidium.policies.lstm_encoder import LSTM
from praesidium.policies.policy import Sizes
from praesidium.policies.regime_encoders import Regime, Transition
from praesidium.training.reproducibility import stream

SIZES = Sizes(phi=4, context=5, environments=2, regimes=3)


def noise(*shape):
    return 5 * torch.randn(*shape, dtype=torch.float64, generator=stream("tests", *shape))


@pytest.fixture(scope="module")
def state(builder, wild):
    return builder.build(wild, 1e-3)


def seeing(state, phi=None, context=None):
    """The state with other features."""
    parts = [state.phi if phi is None else phi, state.context if context is None else context]
    return replace(state, features=torch.cat(parts, dim=-1))


def features(encoder, state, inventory, day=12):
    network = encoder.build(SIZES, seed=7).double()
    return network.step(tuple(part[day] for part in network.prepare(state)), inventory)


@pytest.mark.parametrize(
    ("kind", "sees"),
    [
        (Joint, {"phi", "context", "inventory"}),
        (PhiOnly, {"phi", "inventory"}),
        (ContextOnly, {"context"}),
        (Split, {"phi", "context", "inventory"}),
        (Regime, {"phi", "regimes", "inventory"}),
        (Transition, {"phi", "regimes", "chain", "inventory"}),
        (LSTM, {"phi", "context", "regimes", "inventory"}),
    ],
)
def test_an_encoder_sees_what_it_says(kind, sees, state):
    inventory = noise(96)
    before = features(kind(), state, inventory)
    assert before.shape == (96, 32)
    changes = {
        "phi": (seeing(state, phi=noise(*state.phi.shape)), inventory),
        "context": (seeing(state, context=noise(*state.context.shape)), inventory),
        "inventory": (state, inventory + 1),
        "spot": (replace(state, spot=state.spot + 1, delta=state.delta + 1, gamma=state.gamma + 1), inventory),
        "environment": (replace(state, environment=torch.ones(96, dtype=torch.int64)), inventory),
        "cost_rate": (replace(state, cost_rate=state.cost_rate + 1), inventory),
        "regimes": (replace(state, regimes=state.regimes.flip(-1)), inventory),
        "chain": (replace(state, chain=state.chain.flip(0)), inventory),
    }
    seen = {name for name, (other, held) in changes.items() if not torch.equal(features(kind(), other, held), before)}
    assert seen == sees


def test_every_encoder_is_told_apart_above():
    assert {Joint, PhiOnly, ContextOnly, Split, Regime, Transition, LSTM} == set(Encoder.registry.values())


@settings(deadline=None, derandomize=True, max_examples=20)
@given(size=st.floats(0, 1e6), modulation=st.floats(0, 0.9))
def test_no_regime_moves_a_unit_beyond_the_bound(state, size, modulation):
    inventory, context = noise(96), size * noise(*state.context.shape)
    still = features(Split(modulation=0), state, inventory)
    moved = features(Split(modulation=modulation), seeing(state, context=context), inventory)
    assert ((moved - still).abs() <= modulation * still.abs() * (1 + 1e-12)).all()


def test_the_regime_can_reach_the_bound(state):
    inventory, context = noise(96), 1e6 * noise(*state.context.shape)
    still = features(Split(modulation=0), state, inventory)
    ratio = features(Split(modulation=0.25), seeing(state, context=context), inventory) / still
    assert ratio.max().item() == pytest.approx(1.25)
    assert ratio.min().item() >= 0.75 - 1e-12


def test_without_modulation_the_split_encoder_is_blind_to_the_regime(state):
    inventory = noise(96)
    assert torch.equal(features(Split(modulation=0), state, inventory), features(PhiOnly(), state, inventory))


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("kind", sorted(Encoder.registry))
def test_width_and_depth_are_those_of_the_settings(kind, depth, state):
    encoder = Encoder.registry[kind](width=5, depth=depth)
    assert features(encoder, state, noise(96)).shape == (96, 5)
    squares = [one for one in encoder.build(SIZES, seed=7).parameters() if one.shape == (5, 5)]
    stem = {"split": 1, "r_only": 1}.get(kind, 0)  # five context features: the first layer is square as well
    regime = max(depth, 2) - 1 if kind == "split" else 0  # a layer of its own for the factor, at least
    memory = 1 if kind == "lstm" and depth > 1 else 0  # takes the place of a layer
    assert len(squares) == depth - 1 + regime + stem - memory


def test_the_factor_moves_both_ways(state):
    network = Encoder.registry["split"]().build(SIZES, seed=7)
    context = 50 * torch.randn(state.context.shape, generator=stream("extreme"), dtype=state.context.dtype)
    network = network.to(context.dtype)
    extreme = seeing(state, context=context)
    _, factor = network.prepare(extreme)
    assert factor.min() < 0.76
    assert factor.max() > 1.24
