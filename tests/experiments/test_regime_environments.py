"""Regimes as training environments: soft ones of the same episodes, and days of a real history told apart by them."""

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.experiments.composition import options
from praesidium.experiments.labels import relabel
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import compose
from praesidium.hedging.rollout import Scene
from praesidium.hedging.state import State
from praesidium.training.reproducibility import stream

SMALL = ("state.regimes.n_regimes=3", "state.regimes.paths=16")


def small(study):
    """A preparation that has seen sixteen episodes of each environment."""
    unfitted = Preparation(study.data, study.liability, study.state)
    drawn = [paths for _, paths in unfitted.draw(study.data.train, 16, "tests")]
    builder = study.state.fit(drawn, study.liability)
    return Preparation(study.data, study.liability, study.state, builder=builder)


def environments(weights):
    """Two environments of episodes that are known by their number, with the weights of two regimes."""
    first = torch.as_tensor(weights, dtype=torch.float64)
    number = torch.arange(len(first), dtype=torch.float64)
    by_day = number.expand(4, -1)
    state = State(
        spot=by_day,
        delta=by_day,
        gamma=by_day,
        tau=torch.zeros(4, 1),
        cost_rate=number,
        features=by_day.unsqueeze(-1),
        structural=1,
        inventory=(0.0, 1.0),
        regimes=torch.stack([first, 1 - first], dim=-1).expand(4, -1, -1),
    )
    scene, half = Scene(state, by_day, number), len(first) // 2
    return [scene.take(slice(None, half)), scene.take(slice(half, None))]


def test_an_episode_comes_as_often_as_its_weight_says():
    """Systematic draws: within one of the expected number, always."""
    weights = np.random.default_rng(0).uniform(size=400)
    dealt = relabel(environments(weights), "regimes", stream(0, "tests"))
    for one, own in zip(dealt, (weights, 1 - weights), strict=True):
        counts = torch.bincount(one.owed.long(), minlength=400).numpy()
        assert counts.sum() == 200
        assert (np.abs(counts - 200 * own / own.sum()) < 1).all()
        assert torch.equal(one.gains[0], one.owed)  # an episode keeps what belongs to it
        assert not torch.equal(one.owed, one.owed.sort().values)


def test_certain_regimes_are_hard_environments():
    dealt = relabel(environments([1.0] * 30 + [0.0] * 30), "regimes", stream(0, "tests"))
    assert sorted(dealt[0].owed.tolist()) == list(range(30))
    assert sorted(dealt[1].owed.tolist()) == list(range(30, 60))


def test_a_regime_that_hardly_an_episode_was_in_is_refused():
    weights = torch.ones(60)
    for size, worth in ((0, "0.0"), (3, "3.0")):
        weights[:size] = 0
        with pytest.raises(InputError, match=rf"the episodes of regime 1 are worth {worth} of 60, too few"):
            relabel(environments(weights), "regimes", stream(0, "tests"))


@pytest.mark.parametrize("labels", ["random", "regimes"])
def test_an_episode_keeps_the_frictions_of_its_environment(labels):
    """Whether all have some, the first alone, or another one alone."""
    for charged in (("low", "medium_10_15", "medium_15_20", "medium_20_25"), ("low",), ("medium_10_15",)):
        extra = [f"data.environments.{name}.frictions={{quadratic: 0.01, widening: 3.0}}" for name in charged]
        prepared = small(compose([*SMALL, *extra]))
        every = Scene.join(prepared.training(48, 0))
        home = {owed: place for place, owed in enumerate(every.owed.tolist())}
        for one in prepared.training(48, 0, labels):
            places = [home[owed] for owed in one.owed.tolist()]
            assert torch.equal(one.terms, every.terms[places])
            assert torch.equal(one.state.spread, every.state.spread[:, places])
        assert every.terms.unique(dim=0).shape[0] == 1 + (len(charged) < 4)


def test_risks_of_soft_environments_are_the_weighted_ones():
    rng = np.random.default_rng(1)
    weights = rng.uniform(size=20_000)
    dealt = relabel(environments(weights), "regimes", stream(1, "tests"))
    losses = 10 * weights + rng.normal(size=20_000)
    for one, own in zip(dealt, (weights, 1 - weights), strict=True):
        drawn = losses[one.owed.long().numpy()]
        order = np.argsort(-losses)
        tail = np.cumsum(own[order]) <= 0.05 * own.sum()
        weighted = np.average(losses[order][tail], weights=own[order][tail])
        assert np.sort(drawn)[-500:].mean() == pytest.approx(weighted, abs=0.1)


def test_a_study_trains_on_its_regimes():
    study = compose([*SMALL, "train.labels=regimes"])
    assert study.environments == ("regime_0", "regime_1", "regime_2")
    prepared = Preparation(study.data, study.liability, study.state)
    scenes = prepared.training(48, 0, "regimes")
    assert [scene.count for scene in scenes] == [48] * 3
    own = [scene.state.regimes.mean((0, 1)) for scene in scenes]
    assert all(one.argmax() == number for number, one in enumerate(own))
    assert [scene.state.environment[0].item() for scene in scenes] == [0, 1, 2]


def test_without_a_view_there_are_no_regimes_to_train_on():
    with pytest.raises(InputError, match=r"regimes need a view of them; say state\.regimes\.n_regimes=3"):
        compose(["train.labels=regimes"])


def test_days_of_the_index_are_told_apart_by_regime():
    source = compose(["data=sp500_regimes"]).data.open()
    starts = [np.sqrt(252 * np.median(source.simulators[f"regime_{k}"].starts)) for k in range(3)]
    assert starts[0] < starts[1] < starts[2]


def test_labels_are_filtered_and_learn_from_training_days_alone():
    labels = compose(["data=sp500_regimes"]).data.labels
    rng = np.random.default_rng(2)
    growth = rng.normal(size=900) * np.repeat([0.005, 0.02, 0.005], 300)
    before = labels.label(growth, [growth[:400]])
    other = growth.copy()
    other[500:] *= 7
    after = labels.label(other, [other[:400]])
    assert np.array_equal(before[:500], after[:500])
    assert not np.array_equal(before[500:], after[500:])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.environments.low.regime=1", "give one of them"),
        ("data.labels=null", "say how days are told apart"),
        ("data.environments.regime_0.regime=7", None),
    ],
)
def test_environments_by_regime_are_checked(override, sentence):
    if sentence is None:
        with pytest.raises(InputError, match=r"the filtered regime is 7.*on 0 days.*tell fewer regimes apart"):
            compose(["data=sp500_regimes", override]).data.open()
        return
    with pytest.raises(InputError, match=sentence):
        compose(["data=sp500_regimes", override])


@pytest.mark.parametrize("model", options("regimes"))
def test_every_view_tells_regimes_apart(model):
    study = compose(["regimes=gaussian_hmm", f"regimes={model}"])
    assert study.state.regimes.model == model
    scene = small(study).training(16, 0)[-1]
    seen = scene.state.regimes
    torch.testing.assert_close(seen.sum(-1), torch.ones_like(seen[..., 0]))
    assert seen.shape[-1] == study.state.regimes.n_regimes
    assert (seen.argmax(-1).unique().numel()) > 1
