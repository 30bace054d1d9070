"""praesidium allocate: what it prints, what it writes, what it keeps, and what it refuses."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from praesidium.cli.allocate import allocate
from praesidium.component import InputError
from praesidium.experiments.allocation_strategies import STRATEGIES
from praesidium.training.reproducibility import stream

app = typer.Typer()
app.command()(allocate)
NAMES = "equal_weight,min_variance,jump_timing"
CELL = re.compile(r"[+-]?\d+\.\d+ \[[+-]?\d+\.\d+, [+-]?\d+\.\d+\]")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    draws = np.random.default_rng(stream("tests", "allocate").initial_seed())
    closes = 50 * np.exp((0.01 * draws.normal(0.03, 1, (600, 3))).cumsum(0))
    path = tmp_path_factory.mktemp("prices") / "mine.csv"
    pd.DataFrame(closes, pd.bdate_range("2010-01-04", periods=600), list("ABC")).to_csv(path, index_label="date")
    return path


@pytest.fixture
def run(table, tmp_path):
    def told(*more, out="study", catch=True):
        settings = ["--data", table, "--first", "2011-03-01", "--resamples", 100, "--jobs", 1, "--out", tmp_path / out]
        return CliRunner().invoke(app, [*map(str, settings), *more], catch_exceptions=catch)

    return told


def test_every_cell_has_an_interval_and_a_second_run_changes_nothing(run, tmp_path):
    told = run("--strategies", NAMES, catch=False)
    assert told.exit_code == 0, told.output
    rows = [line for line in told.output.splitlines() if "│ equal_weight" in line]
    assert [len(CELL.findall(row)) for row in rows[:2]] == [6, 6]
    assert [row.count("[") for row in rows[2:]] == [5, 5]  # long ones go on in the next line
    assert "traded 5 closes after the decision" in told.output
    assert {word for row in rows[2:] for word in re.findall(r"\b(tie|better|worse)\b", row)} >= {"tie"}
    assert re.search(r"max drawdown % at or below jump_timing .*yes: .*; tie: .*; no: ", told.output)
    assert "not for how its assets were chosen" not in told.output
    assert "not for how their assets were chosen" in told.output
    folder = tmp_path / "study"
    written = {
        "allocation.csv",
        "differences.csv",
        "returns_delay_1.csv",
        "returns_delay_5.csv",
        "equity.png",
        "drawdown.png",
        "config.yaml",
        "metadata.json",
        "final_metrics.json",
        "prices.parquet",
        "strategies",
        ".lock",
    }
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before.keys() == written
    again = run("--strategies", NAMES, catch=False)
    assert again.exit_code == 0
    assert again.stdout == told.stdout
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with pytest.raises(InputError, match=r"made with other settings \(seed 0 -> 1\)"):
        run("--strategies", NAMES, "--seed", "1", catch=False)


def test_a_strategy_that_fails_is_named_and_missing_until_it_does_not(run, tmp_path, monkeypatch):
    def broken(_):
        raise RuntimeError("the moon was in the wrong house")

    whole = STRATEGIES["equal_weight"]
    monkeypatch.setitem(STRATEGIES, "equal_weight", replace(whole, make=broken))
    told = run("--strategies", NAMES)
    assert told.exit_code == 1
    assert "error: equal_weight failed: RuntimeError: the moon was in the wrong house" in told.stderr
    row = next(line for line in told.output.splitlines() if "│ equal_weight" in line)
    assert row.count("missing") == 6
    assert not (tmp_path / "study/final_metrics.json").exists()
    monkeypatch.setitem(STRATEGIES, "equal_weight", whole)
    told = run("--strategies", NAMES)
    assert told.exit_code == 0, told.output
    assert "2 skipped" in told.stderr
    assert "missing" not in told.output


def test_an_interrupt_leaves_nothing_half(run, tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    whole = STRATEGIES["jump_timing"]
    monkeypatch.setitem(STRATEGIES, "jump_timing", replace(whole, make=interrupted))
    told = run("--strategies", NAMES)
    assert told.exit_code == 130
    assert "estimate" not in told.output
    folder = tmp_path / "study"
    assert sorted(path.name for path in (folder / "strategies").iterdir()) == [
        "equal_weight.parquet",
        "min_variance.parquet",
    ]
    assert not list(folder.rglob("*.partial"))
    assert not (folder / "allocation.csv").exists()


def test_what_cannot_be_used_is_refused_before_anything_is_written(run, tmp_path):
    for message, given in {
        "delays: '1;5' is no list of whole numbers": ["--delays", "1;5"],
        "did you mean 'hmm_timing'": ["--strategies", "hmm_time"],
        "it needs 252 before": ["--first", "2010-06-01"],
        "cost_rate: input should be less than 1": ["--cost", "10"],
    }.items():
        with pytest.raises(InputError, match=message):
            run(*given, catch=False)
    assert not (tmp_path / "study").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("")
    with pytest.raises(InputError, match="holds other files, not a run"):
        run(out="other", catch=False)
