"""Frames of runs: every quantity in the unit of the spot, every run by its name."""

import json
import math

import pandas as pd
import pytest
import yaml

from praesidium.component import InputError
from praesidium.experiments.store import finished
from praesidium.reporting.curves import plane, read_curves, read_episodes, read_sensitivities, read_sweep

REFERENCE = 0.02
DATA = {"train": ["low", "mid"], "validation": ["high"], "test": ["crisis", "jumps"]}
RISKS = {"low": 0.01, "mid": 0.03, "high": 0.04, "crisis": 0.05, "jumps": 0.08}
LOG = [
    {"step": 1, "ramp": 0.0, "risks": [0.5, 1.5], "risk": 1.0, "penalty": 0.0},
    {"step": 2, "ramp": 1.0, "risks": [0.4, 1.2], "risk": 0.8, "penalty": 0.1, "cosine": -0.3}
    | {"validation_risk": 0.04, "noise_to_signal": [0.2, 0.7]},
]


def write_run(root, method, *, seed=0, penalty=None, scale="reference", log=LOG, data=DATA, **changes):
    folder = root / "toy" / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    settings = {"dataset": "toy", "method": method, "seed": seed, "data": data, "train": {"labels": "bands"}, **changes}
    settings |= {"risk": {"scale": scale}, "objective": {} if penalty is None else {"penalty": penalty}}
    settings |= {"state": {"phi": ["delta"], "context": ["drawdown_20"]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    metrics = {f"metrics/cvar95/{name}": value for name, value in RISKS.items()}
    metrics |= {"training/reference_risk": REFERENCE}
    metrics |= {"probes": {"sensitivity": {"crisis": {"delta": 0.4, "drawdown_20": 0.1}}}}
    (folder / "final_metrics.json").write_text(json.dumps(metrics))
    episodes = pd.DataFrame({"environment": ["low", "crisis", "crisis"], "episode": [0, 0, 1], "pnl": [0.1, 0.2, 0.3]})
    episodes.astype({"environment": "category"}).to_parquet(folder / "episodes.parquet")
    return folder


def values(curves, quantity):
    rows = curves.query("quantity == @quantity")
    return {
        (step, None if pd.isna(name) else name): value
        for step, name, value in zip(rows.step, rows.environment, rows.value, strict=True)
    }


def test_risks_are_turned_into_units_of_the_spot_and_nothing_else_is(tmp_path):
    write_run(tmp_path, "hirm")
    curves = read_curves(finished(tmp_path))

    assert values(curves, "risk") == pytest.approx({(1, None): 0.02, (2, None): 0.016})
    assert values(curves, "penalty") == pytest.approx({(1, None): 0.0, (2, None): 0.002})
    assert values(curves, "environment_risk") == pytest.approx(
        {(1, "low"): 0.01, (1, "mid"): 0.03, (2, "low"): 0.008, (2, "mid"): 0.024}
    )
    assert values(curves, "validation_risk") == {(2, None): 0.04}
    assert values(curves, "cosine") == {(2, None): -0.3}
    assert values(curves, "noise_to_signal") == {(2, "low"): 0.2, (2, "mid"): 0.7}


def test_risks_that_were_not_scaled_stay(tmp_path):
    write_run(tmp_path, "hirm", scale="none")

    assert values(read_curves(finished(tmp_path)), "risk") == {(1, None): 1.0, (2, None): 0.8}


def test_environments_that_were_dealt_anew_or_pooled_have_no_names_of_the_data(tmp_path):
    write_run(tmp_path, "random", train={"labels": "random"})
    write_run(tmp_path, "pooled", log=[{**LOG[0], "risks": [1.0]}])
    curves = read_curves(finished(tmp_path)).dropna(subset="environment")

    assert set(curves.query("method == 'random'").environment) == {"part 1", "part 2"}
    assert set(curves.query("method == 'pooled'").environment) == {"part 1"}


def test_curves_of_chosen_methods_and_of_rules_without_a_log(tmp_path):
    write_run(tmp_path, "hirm")
    write_run(tmp_path, "erm")
    (write_run(tmp_path, "delta") / "metrics.jsonl").unlink()

    assert set(read_curves(finished(tmp_path)).method) == {"hirm", "erm"}
    assert set(read_curves(finished(tmp_path), methods=["erm"]).method) == {"erm"}
    assert read_curves(finished(tmp_path), methods=["delta"]).empty


def test_a_damaged_log_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no finished run"):
        read_curves(finished(tmp_path))
    (write_run(tmp_path, "hirm") / "metrics.jsonl").write_text('{"step": 1')
    with pytest.raises(InputError, match="cannot be read"):
        read_curves(finished(tmp_path))


def test_a_sweep_joins_folders_and_puts_erm_at_zero(tmp_path):
    write_run(tmp_path / "a", "erm")
    write_run(tmp_path / "a", "vrex")  # has no such weight
    write_run(tmp_path / "b", "hirm", penalty=0.3)
    sweep = read_sweep([*finished(tmp_path / "a"), *finished(tmp_path / "b")])

    assert list(zip(sweep.method, sweep.penalty, strict=True)) == [("erm", 0.0), ("hirm", 0.3)]
    assert sweep.training_risk.tolist() == pytest.approx([0.02, 0.02])
    assert sweep.validation_cvar95.tolist() == [0.04, 0.04]
    assert sweep.crisis_cvar95.tolist() == [0.05, 0.05]
    assert read_sweep(finished(tmp_path / "b"), crisis="ladder").crisis_cvar95.isna().all()


def test_episodes_of_one_environment_carry_the_names_of_their_runs(tmp_path):
    write_run(tmp_path, "hirm", seed=1)
    write_run(tmp_path, "erm", seed=0)
    (write_run(tmp_path, "delta") / "episodes.parquet").unlink()
    episodes = read_episodes(finished(tmp_path))

    assert list(zip(episodes.method, episodes.seed, episodes.pnl, strict=True)) == [
        ("erm", 0, 0.2),
        ("erm", 0, 0.3),
        ("hirm", 1, 0.2),
        ("hirm", 1, 0.3),
    ]
    assert read_episodes(finished(tmp_path), environment="ladder").empty


def test_sensitivities_know_the_group_of_their_feature(tmp_path):
    write_run(tmp_path, "hirm")
    rows = read_sensitivities(finished(tmp_path))

    assert dict(zip(rows.feature, rows.group, strict=True)) == {"delta": "phi", "drawdown_20": "context"}
    assert rows.sensitivity.tolist() == [0.4, 0.1]
    assert set(rows.environment) == {"crisis"}


def test_the_plane_is_of_environments_that_were_not_trained_on():
    roles = {"low": "train", "high": "validation", "crisis": "test", "covid": "window"}
    risks = {"low": 0.001, "high": 0.02, "crisis": 0.05, "covid": 0.9}
    cells = pd.DataFrame(
        {"dataset": "toy", "method": "hirm", "seed": 0, "environment": name, "role": role}
        | {"cvar95": risks[name], "mean_pnl": -0.01}
        for name, role in roles.items()
    )
    (row,) = plane(cells).to_dict("records")

    assert row["ig"] == pytest.approx(0.03)
    assert row["worst_group"] == 0.05
    assert row["er"] == pytest.approx(-0.2)
    assert math.isnan(plane(cells.query("environment != 'crisis'")).er[0])
