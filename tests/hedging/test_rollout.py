"""Rollouts: every path for itself, however they are cut; scenes can be joined and taken apart."""

from dataclasses import replace

import pytest
import torch

from praesidium.hedging import rollout as module
from praesidium.hedging.rollout import Scene, rollout
from praesidium.hedging.state_builder import StateSettings
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Policy, Sizes

SIZES = Sizes(phi=4, context=5, environments=2)


@pytest.fixture(params=sorted(Policy.registry))
def rule(request):
    built = Policy.registry[request.param]().build(replace(SIZES, instruments=3, option=True), seed=3)
    return built.double() if isinstance(built, torch.nn.Module) else built


@pytest.fixture(scope="module")
def dealer(optioned, trader):
    """Makes states with all that any rule asks for."""
    return StateSettings(revalue=True).fit([optioned], trader.liability, trader.instruments)


@pytest.mark.parametrize("size", [1, 7, 96])
def test_blocks_do_not_matter(rule, optioned, dealer, monkeypatch, size):
    whole = rollout(rule, optioned, dealer, 1e-3)
    monkeypatch.setattr(module, "BLOCK", size)
    cut = rollout(rule, optioned, dealer, 1e-3)
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(cut, name), value, atol=1e-12, rtol=0)


def test_a_path_does_not_see_the_others(rule, optioned, dealer):
    few = optioned.take(slice(20, 40))
    together, alone = rollout(rule, optioned, dealer, 1e-3), rollout(rule, few, dealer, 1e-3)
    torch.testing.assert_close(together.daily[:, 20:40], alone.daily, atol=1e-12, rtol=0)


def test_precision_of_the_policy_is_that_asked_for(wild, builder):
    rule = Neural().build(SIZES, seed=3)
    episode = rollout(rule, wild, builder, 1e-3, dtype=torch.float32)
    assert episode.positions.dtype == torch.float64
    double = rollout(rule.double(), wild, builder, 1e-3)
    torch.testing.assert_close(episode.pnl, double.pnl, atol=1e-5, rtol=0)


def test_a_rollout_takes_no_gradient(wild, builder):
    assert not rollout(Neural().build(SIZES, seed=3), wild, builder, 1e-3, dtype=torch.float32).pnl.requires_grad


def test_joined_scenes_lose_what_each_loses(scenes):
    joined, positions = Scene.join(scenes), torch.cat([one.state.delta for one in scenes], dim=1)
    losses = torch.cat([one.losses(one.state.delta) for one in scenes])
    assert torch.equal(joined.losses(positions), losses)
    assert joined.state.environment.tolist() == [0] * 96 + [1] * 96
    picked = torch.tensor([100, 3, 100])
    again = joined.take(picked).losses(positions[:, picked])
    torch.testing.assert_close(again, losses[picked], atol=1e-14, rtol=0)
    assert torch.equal(joined.take(slice(96, None)).state.context, scenes[1].state.context)


def test_a_scene_without_label_joins_to_scenes_without_labels(calm, builder, scenes):
    assert Scene.join([scenes[0], Scene.make(calm, builder, 0.0)]).state.environment is None


def test_smoothing_the_costs_raises_the_gain_a_little(scenes):
    scene = scenes[1]
    exact, smooth = (scene.hedge_gain(scene.state.delta, smoothing=s) for s in (0.0, 1e-3))
    assert (smooth >= exact).all()
    assert (smooth - exact).max() <= 60 * 2e-3 * 1e-3 * scene.state.spot.max()
