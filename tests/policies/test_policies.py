"""What holds for every policy, and for every encoder and every output with either head."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from praesidium.policies import neural
from praesidium.policies.encoders import Encoder
from praesidium.policies.heads import Head
from praesidium.policies.neural import Neural
from praesidium.policies.option_hedge import OptionHedge
from praesidium.policies.outputs import Output
from praesidium.policies.policy import Policy, Sizes
from praesidium.training.parameters import Parameters
from praesidium.training.reproducibility import stream

SIZES = Sizes(phi=4, context=5, environments=2, regimes=3)
OUTPUTS = sorted(set(Output.registry) - {"gamma_share"})  # needs an option: test_gamma_share.py
NETWORKS = [
    Neural(encoder=Encoder.registry[encoder](width=6), head=Head.registry[head](), output=Output.registry[output]())
    for encoder, head, output in product(sorted(Encoder.registry), sorted(Head.registry), OUTPUTS)
    if encoder == "split" or output == "residual"
]
RULES = [member() for kind, member in sorted(Policy.registry.items()) if kind != "neural"]
SPOT_ONLY = [rule for rule in RULES if not isinstance(rule, OptionHedge)] + NETWORKS


def name_of(policy):
    parts = [policy.encoder, policy.head, policy.output] if isinstance(policy, Neural) else [policy]
    return "-".join(part.kind for part in parts)


each_network = pytest.mark.parametrize("network", NETWORKS, ids=name_of)
each_policy = pytest.mark.parametrize("policy", SPOT_ONLY, ids=name_of)


@pytest.fixture(scope="module")
def builder(revaluer):
    """Keeps what rules need that value the claim anew, and that look at the regime."""
    return revaluer


def built(policy, seed=3):
    rule = policy.build(SIZES, seed=seed)
    return rule.double() if isinstance(rule, torch.nn.Module) else rule


@each_policy
@pytest.mark.parametrize("label", [None, 1])
def test_positions_are_finite_numbers_by_day_and_path(policy, label, builder, wild):
    positions = built(policy).positions(builder.build(wild, 1e-3, label))
    assert positions.shape == (wild.horizon, wild.count)
    assert positions.dtype == torch.float64
    assert positions.isfinite().all()


@each_policy
def test_the_future_cannot_move_a_position(policy, builder, wild, rewrite):
    rule = built(policy)
    before, after = (rule.positions(builder.build(paths, 1e-3)) for paths in (wild, rewrite(wild, 30)))
    assert torch.equal(before[:31], after[:31])
    assert policy.kind == "no_hedge" or not torch.equal(before[31:], after[31:])


@each_policy
def test_a_policy_survives_the_round_trip_through_its_settings(policy, builder, wild):
    again, state = Policy.model_validate(policy.settings()), builder.build(wild.take(slice(0, 4)), 1e-3)
    assert again == policy
    assert torch.equal(built(again).positions(state), built(policy).positions(state))


@each_policy
def test_single_precision_is_close_to_double(policy, builder, wild):
    single = policy.build(SIZES, seed=3).positions(builder.build(wild.to(dtype=torch.float32), 1e-3))
    assert single.dtype == torch.float32
    double = built(policy).positions(builder.build(wild, 1e-3))
    torch.testing.assert_close(single.double(), double, atol=2e-3, rtol=0)


@each_network
def test_parameters_depend_on_the_seed_alone(network):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = network.build(SIZES, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second, other = (network.build(SIZES, seed=seed).state_dict() for seed in (3, 4))
    assert first.keys() == second.keys() == other.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@each_network
def test_no_two_parameters_start_alike(network):
    values = torch.cat([one.flatten() for one in network.build(SIZES, seed=3).parameters()])
    assert values.unique().numel() == values.numel()


@each_network
def test_every_parameter_moves_the_loss(network, builder, wild):
    state = builder.build(wild, 1e-3, 0)
    rule = built(network)
    rule.positions(state).square().sum().backward()
    still = {name for name, one in rule.named_parameters() if one.grad is None or not one.grad.any()}
    unused = {name for name in dict(rule.named_parameters()) if name.startswith("head.layers.1")}
    assert still == unused  # the head of the environment that is not there


@each_network
def test_days_prepared_in_blocks_do_not_matter(network, builder, wild, monkeypatch):
    state, rule = builder.build(wild, 1e-3), built(network)
    whole = rule.positions(state)
    monkeypatch.setattr(neural, "ROWS", 7 * wild.count)
    torch.testing.assert_close(rule.positions(state), whole, atol=1e-12, rtol=0)


@each_network
def test_decisions_given_what_was_held_are_those_of_the_rollout(network, builder, wild):
    state, rule = builder.build(wild, 1e-3, 1), built(network)
    positions = rule.positions(state)
    held = torch.cat([torch.zeros_like(positions[:1]), positions[:-1]])
    decisions = rule.decide(state, held)
    torch.testing.assert_close(decisions.positions, positions, atol=1e-12, rtol=0)
    torch.testing.assert_close(rule.head(decisions.features, state.environment), decisions.outputs, atol=1e-13, rtol=0)


@each_network
def test_replicas_decide_as_each_alone(network, builder, wild):
    """Parameters with replicas first, paths one replica after the other."""
    state, rule = builder.build(wild, 1e-3, 1), built(network)
    parameters = Parameters(rule)
    noise = torch.randn(3, len(parameters.read(rule)), dtype=torch.float64, generator=stream("tests", "rows"))
    rows = parameters.read(rule) + 0.01 * noise
    stacked = parameters.bind(rows).positions(state.replicas(3))
    assert stacked.shape == (wild.horizon, 3, wild.count // 3)
    for number, row in enumerate(rows):
        own = state.take(slice(number * wild.count // 3, (number + 1) * wild.count // 3))
        torch.testing.assert_close(stacked[:, number], parameters.bind(row).positions(own), atol=1e-12, rtol=1e-10)


@each_network
def test_only_heads_of_their_own_read_the_label(network, builder, wild):
    rule, state = built(network), builder.build(wild, 1e-3)
    one, other = (rule.positions(replace(state, environment=torch.full((wild.count,), label))) for label in (0, 1))
    if network.head.kind == "shared":
        assert torch.equal(one, other)
        assert torch.equal(one, rule.positions(state))
    else:
        assert not torch.equal(one, other)


def test_equal_seeds_give_equal_parts():
    """Methods that share a part start from the same values in it, so that their comparison is paired."""
    rules = {name_of(network): network.build(SIZES, seed=3) for network in NETWORKS}
    heads = [rules[f"{encoder}-shared-residual"].head for encoder in sorted(Encoder.registry)]
    assert all(torch.equal(one.layer.weight, heads[0].layer.weight) for one in heads)
    split, phi = rules["split-shared-residual"].encoder.phi, rules["phi_only-shared-residual"].encoder.body
    context = rules["r_only-shared-residual"].encoder.body
    assert all(torch.equal(*pair) for pair in zip(split.parameters(), phi.parameters(), strict=True))
    ours = rules["split-shared-residual"].encoder.context  # shorter by the layer of the factor
    assert all(torch.equal(*pair) for pair in zip(ours.parameters(), context.parameters(), strict=False))
