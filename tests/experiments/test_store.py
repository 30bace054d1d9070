"""The store: a run is done when its final metrics are there, and never mixed with another."""

import json

import pytest

from praesidium.component import InputError
from praesidium.experiments.store import Busy, Entry, Run, StepLog, entries, entries_by_seed, finished


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


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "prices.csv").write_text("mine")
    for folder in ("prices.csv", "prices.csv/run/deeper"):
        with pytest.raises(InputError, match=r"prices\.csv is a file; name a folder"):
            Run(tmp_path / folder, {}).check()


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


@pytest.fixture
def root(tmp_path):
    """Seeds 2 and 10 of one method are done, seed 3 is not; another method, and files that are no runs."""
    for method, seed, done in (("a", 10, True), ("a", 2, True), ("a", 3, False), ("b", 2, True)):
        one = Run(tmp_path / "toy" / method / f"seed_{seed}", {"dataset": "toy", "method": method, "seed": seed})
        one.begin()
        if done:
            one.finish({"x": seed}, device="cpu", seconds=1.0)
    (tmp_path / "figures" / "toy" / "seed_0").mkdir(parents=True)
    (tmp_path / "toy" / "a" / "config.yaml").write_text("{}")
    return tmp_path


def test_entries_are_all_runs_and_the_finished_ones_have_final_metrics(root):
    assert [(one.folder.parent.name, one.folder.name, one.done) for one in entries(root)] == [
        ("a", "seed_10", True),
        ("a", "seed_2", True),
        ("a", "seed_3", False),
        ("b", "seed_2", True),
    ]
    assert [(one.names["method"], one.metrics["x"]) for one in finished(root)] == [("a", 10), ("a", 2), ("b", 2)]
    assert [one.folder.name for one in entries(root.parent, f"{root.name}/toy/b/*")] == ["seed_2"]


def test_entries_by_seed_are_those_of_one_method(root):
    found = entries_by_seed(root, "toy", "a")
    assert found.keys() == {2, 3, 10}
    assert all(one.names == {"dataset": "toy", "method": "a", "seed": seed} for seed, one in found.items())
    assert entries_by_seed(root, "toy", "c") == {}


def test_an_entry_reads_each_file_once_and_only_if_it_is_asked_for(root):
    folder = root / "toy" / "b" / "seed_2"
    one = Entry(folder)
    assert (one.settings["method"], one.metrics) == ("b", {"x": 2})
    (folder / "config.yaml").unlink()
    (folder / "final_metrics.json").write_text('{"x": ')
    assert (one.settings["method"], one.metrics) == ("b", {"x": 2})
    assert Entry(folder).done
    with pytest.raises(InputError, match=r"its config\.yaml cannot be read"):
        _ = Entry(folder).settings
    with pytest.raises(InputError, match=r"final_metrics\.json: cannot be read; delete the folder"):
        _ = Entry(folder).metrics


@pytest.mark.parametrize("text", ["{", "- a", "a: !!python/object:os.system {}"])
def test_settings_that_are_none_are_refused(root, text):
    folder = root / "toy" / "b" / "seed_2"
    (folder / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"cannot be read; give the folder|holds no settings; delete the folder"):
        _ = Entry(folder).settings


def test_without_a_finished_run_there_is_nothing_to_read(tmp_path):
    Run(tmp_path / "toy" / "a" / "seed_0", {"seed": 0}).begin()
    with pytest.raises(InputError, match="there is no finished run here; run praesidium benchmark"):
        finished(tmp_path)
