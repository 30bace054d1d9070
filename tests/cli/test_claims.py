"""The registered claims beside the tables of a grid: where the protocol applies, and only there."""

import json

import pandas as pd
import pytest
import yaml

from praesidium.cli import main
from praesidium.reporting import prereg
from praesidium.reporting.prereg import fingerprint, load

EPISODES = 100
TINY = [f"evaluation.episodes={EPISODES}", "evaluation.validation_episodes=50"]
CLAIM = {"id": "T1", "kind": "reduction", "statement": "Delta has a lower CVaR-95 than no hedge."}


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    """A registration on two rules, which need no training, in the place of the packaged one."""
    packaged = yaml.safe_load(prereg.PACKAGED.read_text())
    claim = {**CLAIM, "method": "delta", "references": ["no_hedge"], "environments": ["crisis"]}
    changed = {"method": "delta", "baseline": "no_hedge", "family": ["no_hedge"], "claims": [claim]}
    path = tmp_path / "prereg.yaml"
    path.write_text(yaml.safe_dump({**packaged, **changed, "episodes": EPISODES, "draws": 100, "seeds": [0, 1, 2]}))
    monkeypatch.setattr(prereg, "PACKAGED", path)
    return load(path)


@pytest.fixture
def grid(tmp_path, capsys):
    """Runs a command on a tiny grid: exit code, what it printed, and the folder."""

    def ran(command, *arguments):
        out = tmp_path / "out"
        names = "--methods" if command == "benchmark" else "--names"
        flags = [names, "delta,no_hedge", "--datasets", "synthetic_heston", "--jobs", "1", "--out", str(out)]
        with pytest.raises(SystemExit) as stop:
            main([command, *flags, *TINY, *arguments])
        return stop.value.code, capsys.readouterr().out, out

    return ran


@pytest.mark.parametrize("command", ["benchmark", "ablate"])
def test_a_grid_by_the_protocol_is_judged_on_the_seeds_that_it_has(command, grid, protocol):
    code, printed, out = grid(command, "--seeds", "0,1")
    told = json.loads((out / "claims.json").read_text())
    (line,) = [line for line in printed.splitlines() if line.startswith("registered claims")]
    assert code == 0
    assert line.startswith("registered claims on 2 of 3 seeds: 1 supported; written: ")
    assert told["prereg"] == fingerprint(prereg.PACKAGED)
    assert [(one["id"], one["verdict"]) for one in told["claims"]] == [("T1", "supported")]
    assert pd.read_csv(out / "claims.csv").reference.tolist() == ["no_hedge"]
    assert (out / "summary.csv").is_file()


def test_any_other_grid_is_left_alone(grid, protocol):
    code, printed, out = grid("benchmark", "--seeds", "0,1", "evaluation.episodes=80")
    assert code == 0
    assert "registered claims" not in printed
    assert (out / "summary.csv").is_file()
    assert not list(out.glob("claims.*"))
