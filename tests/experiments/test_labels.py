"""Random labels: the same episodes dealt out anew, each with its own cost."""

import pytest
import torch

from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import compose
from praesidium.hedging.rollout import Scene
from praesidium.training.reproducibility import stream

POOL = 64
PARTS = ("owed", "gains", "state.cost_rate", "state.spot", "state.delta", "state.gamma", "state.features")


@pytest.fixture(scope="module")
def prepared():
    study = compose()
    return Preparation(study.data, study.liability, study.state)


@pytest.fixture(scope="module")
def bands(prepared):
    return prepared.training(POOL, 3)


@pytest.fixture(scope="module")
def dealt(prepared):
    return prepared.training(POOL, 3, "random")


def part(scene, name):
    """A tensor of a scene with paths first."""
    for word in name.split("."):
        scene = getattr(scene, word)
    return scene.movedim(0, 1) if scene.ndim > 1 else scene


def joined(scenes):
    """All that belongs to an episode as one row, for all scenes."""
    return torch.cat(
        [
            torch.cat(
                [
                    part(one, name).flatten(1) if part(one, name).ndim > 1 else part(one, name)[:, None]
                    for name in PARTS
                ],
                dim=1,
            )
            for one in scenes
        ]
    )


def same(one, other):
    return all(torch.equal(part(a, name), part(b, name)) for a, b in zip(one, other, strict=True) for name in PARTS)


def test_the_episodes_are_the_same_ones(bands, dealt):
    """Whole rows: an episode keeps its features, its gains and its cost."""
    before, after = joined(bands), joined(dealt)
    assert before[:, 0].unique().numel() == len(before)
    assert torch.equal(before[before[:, 0].argsort()], after[after[:, 0].argsort()])
    assert not torch.equal(before, after)


def test_every_environment_gets_as_many_as_it_had_and_some_of_each(bands, dealt):
    assert [one.count for one in dealt] == [POOL] * 4
    home = {owed: number for number, one in enumerate(bands) for owed in one.owed.tolist()}
    for one in dealt:
        origins = [home[owed] for owed in one.owed.tolist()]
        assert all(4 <= origins.count(number) <= 32 for number in range(4))  # 16 each on average


def test_costs_travel_with_their_paths(bands, dealt):
    rates = {
        owed: rate for one in bands for owed, rate in zip(one.owed.tolist(), one.state.cost_rate.tolist(), strict=True)
    }
    assert len(set(rates.values())) == 2
    for one in dealt:
        assert len(one.state.cost_rate.unique()) == 2
        assert [rates[owed] for owed in one.owed.tolist()] == one.state.cost_rate.tolist()


def test_scenes_are_labelled_as_what_they_train(bands, dealt):
    for scenes in (bands, dealt):
        assert [one.state.environment.unique().tolist() for one in scenes] == [[0], [1], [2], [3]]
    assert all(torch.equal(one.state.tau, bands[0].state.tau) for one in dealt)


def test_a_seed_deals_alike_and_another_one_does_not(prepared, dealt):
    assert same(prepared.training(POOL, 3, "random"), dealt)
    assert not same(prepared.training(POOL, 4, "random"), dealt)


def test_bands_are_the_episodes_that_each_environment_has_drawn(prepared, bands):
    data = prepared.data
    drawn = prepared.draw(data.train, POOL, "training", 3)
    own = [Scene.make(paths, prepared.builder, data.environments[name].cost_rate) for name, paths in drawn]
    assert same(own, bands)
    assert same(prepared.training(POOL, 3, "bands"), bands)


def test_a_shelf_keeps_both(prepared, bands, dealt, tmp_path):
    shelved = Preparation(prepared.data, prepared.liability, prepared.state, shelf=str(tmp_path))
    for labels, expected in (("bands", bands), ("random", dealt), ("bands", bands), ("random", dealt)):
        assert same(shelved.training(POOL, 3, labels), expected)
    assert len(list(tmp_path.glob("training-3-*.safetensors"))) == 2


def test_dealing_is_a_permutation_of_all(bands, dealt):
    """Fixed by the words of its purpose."""
    order = torch.randperm(4 * POOL, generator=stream("training", 3, "random"))
    assert torch.equal(joined(bands)[order], joined(dealt))
