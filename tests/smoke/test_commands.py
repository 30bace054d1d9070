"""The commands of the publication, by the names and flags that it gives them."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

HOME = Path(__file__).parents[2]
CONFIGS = HOME / "configs" / "experiments"
ABLATE, GRID = "scripts/run_ablation_grid.py", "scripts/run_grid.py"
SUMMARIZE, ANALYZE = "scripts/summarize_diagnostics.py", "analysis/analyze_ablation.py"
TINY = [
    "train.steps=4",
    "train.episodes=32",
    "train.pool=64",
    "train.validate_every=2",
    "evaluation.episodes=100",
    "evaluation.validation_episodes=50",
    "evaluation.probe_episodes=64",
]


def run(script, *arguments, cwd):
    """A process of its own, as it is typed."""
    return subprocess.run(
        [sys.executable, HOME / script, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    """The ablation grid in two worker processes, into the folder that its configuration names."""
    cwd = tmp_path_factory.mktemp("ablation")
    flags = ["--config", CONFIGS / "phase8.yaml", "--datasets", "synthetic_heston"]
    flags += ["--ablation_names", "hirm_full,erm_baseline", "--seeds", "0", "--device", "cpu", "--reduced"]
    return run(ABLATE, *flags, "--jobs", "2", *TINY, cwd=cwd), cwd / "results" / "phase8"


def test_the_ablation_grid_runs_and_prints_its_table(ablation):
    result, root = ablation
    assert result.returncode == 0, result.stderr
    assert "2 processes on cpu" in result.stderr
    for method in ("hirm_full", "erm_baseline"):
        assert method in result.stdout
        folder = root / "synthetic_heston" / method / "seed_0"
        assert json.loads((folder / "final_metrics.json").read_text())["training/optimizer_steps"] == 4
        assert yaml.safe_load((folder / "config.yaml").read_text())["train"]["pool"] == 64


def test_the_ablation_is_analyzed(ablation, tmp_path):
    _, root = ablation
    result = run(ANALYZE, "--root_dir", root, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "synthetic_heston: medians over seeds; below each its median difference from hirm_full" in result.stdout
    table = pd.read_csv(root / "ablation_summary.csv").set_index("method")
    assert list(table.index) == ["hirm_full", "erm_baseline"]
    metrics = json.loads((root / "synthetic_heston/erm_baseline/seed_0/final_metrics.json").read_text())
    assert table["metrics/cvar95/crisis"]["erm_baseline"] == pytest.approx(metrics["metrics/cvar95/crisis"])
    full = table["metrics/cvar95/crisis"]["hirm_full"]
    assert table["delta/metrics/cvar95/crisis"]["erm_baseline"] == pytest.approx(
        metrics["metrics/cvar95/crisis"] - full
    )
    assert list(tmp_path.iterdir()) == []


def test_diagnostics_are_summarized(ablation, tmp_path):
    _, root = ablation
    result = run(SUMMARIZE, "--results-dir", root, "--out", "Y.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {row["method"]: row for row in json.loads((tmp_path / "Y.json").read_text())}
    assert rows.keys() == {"hirm_full", "erm_baseline"}
    assert all(0 <= row["c3"] <= 1 and row["ig"] > 0 and row["seeds"] == 1 for row in rows.values())
    by_run = pd.read_csv(root / "diagnostics.csv")
    assert by_run.seed.tolist() == [0, 0]


def test_the_benchmark_grid_runs(tmp_path):
    flags = ["--mode", "benchmark", "--config", CONFIGS / "baseline_benchmark.yaml", "--seeds", "0", "--jobs", "1"]
    result = run(GRID, *flags, "--methods", "delta,erm", *TINY, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = pd.read_csv(tmp_path / "results" / "custom" / "summary.csv")
    assert set(summary.method) == {"delta", "erm"}
    assert set(summary.dataset) == {"synthetic_heston"}
    by_run = pd.read_csv(tmp_path / "results" / "custom" / "diagnostics.csv")
    assert by_run.seed.tolist() == [0, 0]


@pytest.fixture
def attempt(tmp_path, monkeypatch, capsys):
    """A script in this process: exit code and what it complained of."""

    def tried(script, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(HOME / script), run_name="__main__")
        return stop.value.code, capsys.readouterr().err

    return tried


PHASE8 = ["--config", CONFIGS / "phase8.yaml", "--datasets", "synthetic_heston"]


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        (ABLATE, [*PHASE8, "--ablation_names", "hirm_ful"], "'hirm_ful' is unknown; did you mean 'hirm_full'?"),
        (ABLATE, [*PHASE8, "--seeds", "0;1"], "seeds: '0;1' is not a list of whole numbers"),
        (ABLATE, [*PHASE8, "train.stps=3"], "'stps' is unknown; did you mean 'steps'?"),
        (ABLATE, [*PHASE8, "--device", "tpu"], "device: 'tpu' is unknown"),
        (ABLATE, ["--config", "phase9.yaml"], "config: phase9.yaml cannot be read"),
        (GRID, ["--datasets", "synthetic_hestn"], "'synthetic_hestn' is unknown; did you mean 'synthetic_heston'?"),
        (GRID, ["--mode", "ablation", "--ablation_names", "hirm,hirm"], "has an empty or a repeated name"),
        (GRID, ["--methods", "delta", "--tuned", "none.yaml"], "tuned: none.yaml cannot be read"),
        (SUMMARIZE, ["--results-dir", "nowhere"], "nowhere: there is no finished run here"),
        (ANALYZE, ["--root_dir", "nowhere"], "nowhere: there is no finished run here"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(script, arguments, sentence, attempt, tmp_path):
    code, errors = attempt(script, *arguments)
    assert code == 2
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--mode", "both"], ["--seed", "0"], ["--jobs", "0"]])
def test_an_unknown_flag_or_mode_is_refused(arguments, attempt, tmp_path):
    code, errors = attempt(GRID, *arguments)
    assert code == 2
    assert arguments[0] in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("dataset: [sp500]", "'dataset' is unknown; did you mean 'datasets'? known: datasets, methods, out"),
        ("preset: huge", "preset: 'huge' is unknown; known: quick, standard, paper"),
        ("overrides: train.steps=3", "overrides='train.steps=3' is no list; write overrides: [key=value, ...]"),
        ("- a list", "holds no settings"),
        ("{", "cannot be read"),
    ],
)
def test_a_configuration_that_sets_something_else_is_refused(text, sentence, attempt, tmp_path):
    (tmp_path / "own.yaml").write_text(text)
    code, errors = attempt(ABLATE, "--config", "own.yaml")
    assert code == 2
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


@pytest.mark.parametrize("script", [ABLATE, GRID, SUMMARIZE, ANALYZE])
def test_a_worker_process_may_import_a_script(script, monkeypatch, capsys):
    """As spawned processes do with the main module of their parent."""
    monkeypatch.setattr(sys, "argv", [script, "--root_dir", "nowhere"])
    runpy.run_path(str(HOME / script), run_name="__mp_main__")
    assert capsys.readouterr() == ("", "")
