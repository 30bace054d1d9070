"""The command line as a user meets it: real processes, small sizes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

PRAESIDIUM = [sys.executable, "-c", "from praesidium.cli import main; main()"]
TINY = [
    "train.steps=6",
    "train.episodes=64",
    "train.pool=128",
    "train.validate_every=2",
    "evaluation.episodes=200",
    "evaluation.validation_episodes=100",
]


def praesidium(*arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*PRAESIDIUM, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "objective=vrx"], "objective: 'vrx' is unknown; did you mean 'vrex'? known: and_mask, coral"),
        (["train", "objective=vrex", "objective.bta=1"], "objective: 'bta' is unknown; did you mean 'beta'?"),
        (["train", "train.steps=0"], "train.steps: input should be greater than 0, not 0"),
        (["train", "trian.steps=3"], "'trian' is unknown; did you mean 'train'?"),
        (["train", "train.steps=3,4"], "an override takes one"),
        (["train", "nonsense"], "'nonsense' is not an override"),
        (["train", "data.train=[low,crisis]"], "test: crisis is trained on"),
        (["train", "state.phi=[delta,gama_scaled]"], "did you mean 'gamma_scaled'?"),
        (["train", "--seeds", "0,1"], "seeds: one is wanted, not 2"),
        (["benchmark", "--methods", "delta,hrim"], "methods: 'hrim' is unknown; did you mean 'hirm'?"),
        (["benchmark", "--datasets", "sp50"], "datasets: 'sp50' is unknown; did you mean 'sp500'?"),
        (["benchmark", "--seeds", "0..x"], "seeds: '0..x' is not a list of whole numbers"),
        (["benchmark", "--seeds", "1,1"], "names a seed twice"),
        (["benchmark", "--device", "gpu"], "device: 'gpu' is unknown; known: cpu"),
        (["benchmark", "--datasets", "real_spy"], "no prices are staged there; bring some in with: praesidium stage"),
        (["evaluate", "nothing.safetensors"], "nothing.safetensors: there is no such checkpoint"),
        (["summarize", "nowhere"], "nowhere: there is no finished run here"),
        (["stage", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, sentence, tmp_path):
    result = praesidium(*arguments, cwd=tmp_path)

    assert result.returncode == 2, result.stderr
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    result = praesidium("train", "--device", "cuda", cwd=tmp_path)

    assert result.returncode == 2
    assert "there is no cuda on this machine" in result.stderr


def test_train_writes_a_run_that_evaluate_reads(tmp_path):
    trained = praesidium("train", "--methods", "hirm", "objective.form=cos", "--out", "run", *TINY, cwd=tmp_path)
    run = tmp_path / "run"
    metrics = json.loads((run / "final_metrics.json").read_text())
    checkpoint = run / "checkpoints" / f"step_{metrics['training/best_step']:06d}.safetensors"
    judged = praesidium("evaluate", checkpoint, cwd=tmp_path)
    elsewhere = praesidium("evaluate", checkpoint, "--datasets", "sp500", cwd=tmp_path)

    assert trained.returncode == judged.returncode == elsewhere.returncode == 0, trained.stderr + judged.stderr
    for name in ("config.yaml", "metrics.jsonl", "metadata.json", "episodes.parquet", "checkpoints/last.safetensors"):
        assert (run / name).is_file()
    assert "hirm objective.form=cos on synthetic_heston, seed 0" in trained.stdout
    assert metrics["training/optimizer_steps"] == 6
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
    again = pd.read_csv(run / "artifacts" / "evaluation_synthetic_heston.csv").set_index("environment")
    assert again.cvar95["crisis"] == pytest.approx(metrics["metrics/cvar95/crisis"], rel=1e-12)
    last = run / "checkpoints" / "last.safetensors"
    both = praesidium("evaluate", checkpoint, last, "--out", "both.csv", cwd=tmp_path)
    assert both.returncode == 0, both.stderr
    rows = pd.read_csv(tmp_path / "both.csv").query("environment == 'crisis'")
    assert rows.cvar95.iloc[0] == pytest.approx(metrics["metrics/cvar95/crisis"], rel=1e-12)
    assert list(rows.step) == [metrics["training/best_step"], 6]
    assert "add --out" in praesidium("evaluate", checkpoint, last, cwd=tmp_path).stderr
    abroad = pd.read_csv(run / "artifacts" / "evaluation_sp500.csv").set_index("environment")
    assert abroad.role["covid_2020"] == "window"
    assert pd.isna(abroad.cvar95_se["volmageddon_2018"])


def test_a_run_is_not_overwritten_by_other_settings(tmp_path):
    assert praesidium("train", "--methods", "delta", "--out", "run", *TINY, cwd=tmp_path).returncode == 0
    before = (tmp_path / "run" / "final_metrics.json").read_bytes()
    other = praesidium("train", "--methods", "delta", "--out", "run", *TINY, "train.steps=7", cwd=tmp_path)

    assert other.returncode == 2
    assert "was made with other settings (train.steps 6 -> 7)" in other.stderr
    assert (tmp_path / "run" / "final_metrics.json").read_bytes() == before


def test_a_folder_with_other_files_is_not_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    result = praesidium("train", "--methods", "delta", "--out", "mine", *TINY, cwd=tmp_path)

    assert result.returncode == 2
    assert "holds other files, not a run" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_benchmark_that_was_killed_ends_with_the_numbers_of_one_that_was_not(tmp_path):
    arguments = ["benchmark", "--methods", "delta,erm,hirm", "--datasets", "synthetic_heston", "--seeds", "0,1"]
    arguments += [*TINY, "train.steps=60", "--jobs", "2"]
    whole = praesidium(*arguments, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(
        [*PRAESIDIUM, *arguments, "--out", "killed"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    root = tmp_path / "killed"
    deadline = time.monotonic() + 120
    while not (finished(root) and any(root.glob("*/erm/*/checkpoints/last.safetensors"))):
        assert killed.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stamps = {path: path.stat().st_mtime_ns for path in finished(root)}
    resumed = praesidium(*arguments, "--out", "killed", cwd=tmp_path)

    assert resumed.returncode == 0, resumed.stderr
    assert 0 < len(stamps) < 6
    assert f"{len(stamps)} skipped" in resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert (root / "summary.csv").read_bytes() == (tmp_path / "whole" / "summary.csv").read_bytes()
    log = (root / "synthetic_heston/hirm/seed_1/metrics.jsonl").read_text()
    assert log == (tmp_path / "whole/synthetic_heston/hirm/seed_1/metrics.jsonl").read_text()


def test_an_interrupt_ends_all_processes_and_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [
            *PRAESIDIUM,
            "benchmark",
            "--methods",
            "erm,hirm",
            "--datasets",
            "synthetic_heston",
            "--jobs",
            "2",
            "--out",
            "o",
            "train.steps=4000",
        ],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any((tmp_path / "o").glob("*/*/*/metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(3):  # Python drops one that falls into a callback of its own, as a user's keyboard may find
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=30)
            break
        except subprocess.TimeoutExpired:
            continue

    assert process.returncode == 130
    assert "interrupted; the same command with the same --out continues" in errors
    assert "Traceback" not in errors


def test_a_cell_that_fails_is_named_and_shown_as_missing(tmp_path):
    arguments = ["benchmark", "--datasets", "synthetic_heston", "--methods", "delta,erm", "--seeds", "0", "--jobs", "1"]
    result = praesidium(*arguments, "--out", "o", *TINY, "train.learning_rate=1e30", cwd=tmp_path)

    assert result.returncode == 1
    assert "synthetic_heston/erm/seed_0 failed: FloatingPointError" in result.stderr
    assert "lower train.learning_rate" in result.stderr
    assert "missing" in result.stdout
    assert set(pd.read_csv(tmp_path / "o" / "summary.csv").method) == {"delta"}


def test_a_profile_names_the_phases_and_keeps_nothing(tmp_path):
    result = praesidium("profile", "--methods", "delta,hirm", "--seeds", "0,1", *TINY, cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert "2 as one" in result.stderr or "one at a time" in result.stderr
    for phase in ("simulate", "features", "rollout", "risk", "backward", "evaluate", "write"):
        assert phase in result.stdout
    assert not list(tmp_path.iterdir())


def finished(root: Path) -> list[Path]:
    return sorted(root.glob("*/*/*/final_metrics.json"))


def test_staged_prices_run_as_real_spy(tmp_path):
    prices = Path(__file__).parents[3] / "shared" / "data" / "spy.csv"
    if not prices.is_file():
        pytest.skip("the SPY bars are not on this machine")
    staged = praesidium("stage", prices, cwd=tmp_path)
    ran = praesidium(
        "benchmark", "--datasets", "real_spy", "--methods", "delta,erm", "--seeds", "0", *TINY, cwd=tmp_path
    )

    assert staged.returncode == ran.returncode == 0, staged.stderr + ran.stderr
    summary = pd.read_csv(tmp_path / "results" / "quick" / "summary.csv")
    assert set(summary.environment) >= {"low", "high", "crisis", "covid_2020", "selloff_2022", "gfc_2008_09"}
    assert "ltcm_1998" not in set(summary.environment)


def test_help_imports_nothing_heavy():
    code = "import sys, praesidium.cli; sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'hydra')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
