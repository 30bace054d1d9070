"""Two methods against each other: planted factors, and what is not there."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError
from praesidium.reporting.contrasts import contrast_table, contrasts
from praesidium.risk import cvar

EPISODES = 300


def write(root, method, seed, losses, *, trained=True):
    folder = root / "toy" / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    columns = {name: np.zeros(EPISODES, np.float32) for name in ("max_drawdown", "turnover")}
    table = pd.DataFrame({"environment": "crisis", "pnl": -losses.astype(np.float32), **columns})
    table.astype({"environment": "category"}).to_parquet(folder / "episodes.parquet", index=False)
    (folder / "final_metrics.json").write_text(json.dumps({"training/best_step": 1} if trained else {}))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Losses of hirm are 0.8 times those of erm, up to a percent a seed; delta has one row for all seeds."""
    folder = tmp_path_factory.mktemp("contrasts")
    markets = 0.01 + 0.02 * np.random.default_rng(1).normal(size=EPISODES)
    for seed in range(7):
        own = np.random.default_rng([2, seed])
        write(folder, "erm", seed, markets * (1 + 0.01 * own.normal()))
        write(folder, "hirm", seed, 0.8 * markets * (1 + 0.01 * own.normal()))
        write(folder, "delta", seed, 0.9 * markets, trained=False)
    for seed in range(3):
        write(folder, "vrex", seed, markets)
    return folder


def test_a_planted_reduction_is_found_with_its_interval(root):
    found = contrasts(root, "toy", "crisis", [("hirm", "erm"), ("erm", "hirm")], draws=400)
    forth, back = found.to_dict("records")
    assert forth["reduction"] == pytest.approx(0.2, abs=0.01)
    assert forth["lower"] < forth["reduction"] < forth["upper"] < 0.23
    assert forth["lower"] > 0.17
    assert forth["seeds"] == 7
    assert forth["p"] == pytest.approx(2 / 2**7)
    assert forth["improves"] == 1
    assert back["improves"] == 0
    assert back["reduction"] == pytest.approx(1 - 1 / 0.8, abs=0.015)


def test_levels_are_the_exact_risks(root):
    (row,) = contrasts(root, "toy", "crisis", [("hirm", "delta")], draws=50).to_dict("records")
    markets = torch.tensor(0.01 + 0.02 * np.random.default_rng(1).normal(size=EPISODES))
    assert row["reference_cvar95"] == pytest.approx(cvar(0.9 * markets, level=0.95).item(), rel=1e-6)


def test_only_common_seeds_count(root):
    (row,) = contrasts(root, "toy", "crisis", [("hirm", "vrex")], draws=50).to_dict("records")
    assert row["seeds"] == 3


def test_what_is_unknown_or_missing_is_named(root):
    with pytest.raises(InputError, match="did you mean 'hirm'"):
        contrasts(root, "toy", "crisis", [("hrim", "erm")])
    with pytest.raises(InputError, match="no finished run of irm_head"):
        contrasts(root, "toy", "crisis", [("irm_head", "erm")])


def test_the_table_has_a_row_a_pair(root):
    found = contrasts(root, "toy", "crisis", [("hirm", "erm"), ("hirm", "delta")], draws=50)
    assert contrast_table(found).row_count == 2
