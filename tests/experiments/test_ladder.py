"""The severity ladder: the same paths for every policy, and gaps that a hedge as good as delta does not have."""

import json

import numpy as np
import pytest

from praesidium.component import InputError
from praesidium.experiments import ladder
from praesidium.experiments.grid import cells_of, run_batch
from praesidium.experiments.ladder import climb
from praesidium.experiments.store import CHECKPOINTS
from praesidium.training import checkpoints

TINY = [
    "train.steps=4",
    "train.episodes=32",
    "train.pool=64",
    "train.validate_every=2",
    "evaluation.episodes=100",
    "evaluation.validation_episodes=50",
    "evaluation.probe_episodes=64",
]
RUNGS = [f"severity_{severity:03d}" for severity in range(0, 201, 25)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A rule, two seeds of a free network, and a residual one that is made to say nothing."""
    folder = tmp_path_factory.mktemp("runs")
    options = {"datasets": ["synthetic_heston"], "root": folder, "overrides": TINY}
    for method, seeds in (("delta", [0]), ("erm", [0, 1]), ("hirm", [0])):
        cells = cells_of(methods=[method], seeds=seeds, **options)
        assert [one.status for one in run_batch(cells)] == ["done"] * len(cells)
    run = folder / "synthetic_heston" / "hirm" / "seed_0"
    step = json.loads((run / "final_metrics.json").read_text())["training/best_step"]
    path = run / CHECKPOINTS / f"step_{step:06d}.safetensors"
    tensors, facts = checkpoints.load(path)
    checkpoints.save(path, {name: one * (not name.startswith("head.")) for name, one in tensors.items()}, facts)
    return folder


@pytest.fixture(scope="module")
def climbed(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "EPISODES", 256)
        patch.setattr(ladder, "COMPARED", 256)
        return climb(root, dataset="heston_ladder")


def test_every_trained_run_stands_on_every_rung(climbed):
    runs = climbed.groupby(["dataset", "method", "seed"], sort=False)
    assert list(runs.groups) == [("synthetic_heston", *one) for one in (("erm", 0), ("erm", 1), ("hirm", 0))]
    assert all(list(rows.severity) == RUNGS for _, rows in runs)
    assert np.isfinite(climbed.select_dtypes("number")).all(axis=None)


def test_who_holds_delta_has_its_risk_and_no_gap(climbed):
    quiet = climbed[climbed.method == "hirm"]
    np.testing.assert_allclose(quiet.risk, 1, rtol=1e-6)
    np.testing.assert_allclose(quiet.training_risk, 1, rtol=1e-6)
    np.testing.assert_allclose(quiet.gap, 0, atol=1e-6)


def test_the_gap_is_the_distance_from_the_mean_risk_in_training(climbed):
    np.testing.assert_allclose(climbed.gap, (climbed.risk - climbed.training_risk).abs())
    free = climbed[climbed.method == "erm"]
    assert (free.groupby("seed").training_risk.nunique() == 1).all()
    assert free.training_risk.nunique() == 2
    assert (free.risk > 1).all()


def test_the_mismatch_is_that_of_the_market_and_rises_with_its_severity(climbed):
    by_rung = climbed.groupby("severity").mismatch
    assert (by_rung.nunique() == 1).all()
    mismatch = by_rung.first().loc[RUNGS]
    assert (mismatch > 0).all()
    assert mismatch.is_monotonic_increasing


def test_methods_can_be_chosen(root, monkeypatch):
    monkeypatch.setattr(ladder, "EPISODES", 32)
    monkeypatch.setattr(ladder, "COMPARED", 32)
    assert set(climb(root, dataset="heston_ladder", methods=["hirm"]).method) == {"hirm"}
    with pytest.raises(InputError, match="no trained policy is there"):
        climb(root, dataset="heston_ladder", methods=["delta"])


def test_without_runs_or_rungs_it_is_refused(root, tmp_path):
    with pytest.raises(InputError, match="no trained policy is there; run praesidium benchmark"):
        climb(tmp_path, dataset="heston_ladder")
    with pytest.raises(InputError, match="'sp500' has 1 test environment; a ladder needs at least two"):
        climb(root, dataset="sp500")
    with pytest.raises(InputError, match="'heston_lader' is unknown; did you mean 'heston_ladder'"):
        climb(root, dataset="heston_lader")
