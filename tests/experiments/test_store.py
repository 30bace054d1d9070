"""The store: a run is done when its final metrics are there, and never mixed with another."""

import json

import pytest

from praesidium.component import InputError
from praesidium.experiments.store import Busy, Run, StepLog


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "cell", {"seed": 0, "train": {"steps": 3}})


def test_final_metrics_alone_mean_done(run):
    assert not run.check()
    run.begin()
    assert not run.check()
    run.finish({"x": 1.0}, device="cpu", seconds=1.0)
    assert run.check()
    assert json.loads((run.folder / "metadata.json").read_text())["fingerprint"] == run.fingerprint


def test_other_settings_are_named(run):
    run.begin()
    with pytest.raises(InputError, match=r"other settings \(train.steps 3 -> 4, train.lr unset -> 1\)"):
        Run(run.folder, {"seed": 0, "train": {"steps": 4, "lr": 1}}).check()


def test_a_run_killed_before_its_settings_were_whole_is_begun_anew(run):
    run.folder.mkdir()
    (run.folder / "config.yaml.partial").write_text("see")

    assert not run.check()
    (run.folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        run.check()


def test_a_run_is_held_by_one(run):
    with run.hold(), pytest.raises(Busy), Run(run.folder, run.settings).hold():
        pass
    with run.hold():
        pass


def test_the_log_is_cut_where_training_resumes(tmp_path):
    log = StepLog(tmp_path / "metrics.jsonl", resumed_at=0)
    for step in range(5):
        log({"step": step + 1})
    log.close()
    log = StepLog(tmp_path / "metrics.jsonl", resumed_at=2)
    log({"step": 3, "new": True})
    log.close()

    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1}, {"step": 2}, {"step": 3, "new": True}]
