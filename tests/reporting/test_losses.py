"""Losses from the store: right signs, right rows, nothing dropped in silence."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError
from praesidium.reporting.losses import read_losses

EPISODES = 12


def write(
    root, method, seed, *, trained=True, done=True, offset=0.0, episodes=EPISODES, environments=("crisis", "calm")
):
    folder = root / "toy" / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    if not done:
        return
    (folder / "final_metrics.json").write_text(json.dumps({"training/best_step": 1} if trained else {}))
    tables = [
        pd.DataFrame(
            {
                "environment": name,
                "episode": np.arange(episodes, dtype=np.int32),
                "pnl": (np.arange(episodes) + offset + 100 * place).astype(np.float32),
                "turnover": np.full(episodes, 2.0 + offset, dtype=np.float32),
            }
        )
        for place, name in enumerate(environments)
    ]
    pd.concat(tables).astype({"environment": "category"}).to_parquet(folder / "episodes.parquet", index=False)


@pytest.fixture
def root(tmp_path):
    for seed in (3, 10, 2):
        write(tmp_path, "erm", seed, offset=seed)
        write(tmp_path, "delta", seed, trained=False)
    for seed in (2, 3):
        write(tmp_path, "hirm", seed, offset=-seed)
    write(tmp_path, "hirm", 10, done=False)
    write(tmp_path, "vrex", 2, done=False)
    return tmp_path


def test_losses_are_negative_pnl_of_that_environment_seeds_in_order(root):
    losses = read_losses(root, "toy", "calm", ["erm"])
    assert losses.seeds == {"erm": (2, 3, 10)}
    expected = -(torch.arange(EPISODES) + 100 + torch.tensor([[2], [3], [10]])).double()
    torch.testing.assert_close(losses.tables["erm"], expected, rtol=0, atol=0)


def test_turnover_keeps_its_sign(root):
    table = read_losses(root, "toy", "crisis", ["erm"], column="turnover").tables["erm"]
    assert table[:, 0].tolist() == [4.0, 5.0, 12.0]


def test_a_rule_has_one_row_and_a_single_trained_seed_is_no_rule(root):
    write(root, "coral", 2)
    losses = read_losses(root, "toy", "crisis", ["delta", "coral"])
    assert {name: len(table) for name, table in losses.tables.items()} == {"delta": 1, "coral": 1}
    assert losses.seeds == {"delta": (), "coral": (2,)}


def test_what_is_missing_is_named(root):
    losses = read_losses(root, "toy", "crisis", ["erm", "hirm", "vrex", "groupdro", "delta"])
    assert losses.absent == ("vrex", "groupdro")
    assert losses.missing == {"hirm": (10,)}


def test_pairs_share_seeds_and_rules_stay_as_they_are(root):
    losses = read_losses(root, "toy", "crisis", ["hirm", "erm", "delta"])
    assert losses.shared() == losses.shared("erm", "hirm", "delta") == (2, 3)
    assert losses.shared("erm", "delta") == (2, 3, 10)
    assert losses.shared("delta") == ()
    paired = losses.paired()
    torch.testing.assert_close(
        paired["erm"] - paired["hirm"], -torch.tensor([[4.0], [6.0]]).expand(2, EPISODES).double()
    )
    assert paired["delta"].shape == (1, EPISODES)
    assert losses.rows("erm", (3, 10)) == [1, 2]
    assert losses.rows("delta", (3, 10)) == [0, 0]


def test_seeds_that_were_asked_for_and_no_others(root):
    losses = read_losses(root, "toy", "crisis", ["erm", "hirm"], seeds=range(2, 5))
    assert losses.seeds == {"erm": (2, 3), "hirm": (2, 3)}
    assert losses.missing == {"erm": (4,), "hirm": (4,)}


def test_runs_without_the_environment_are_missing(root):
    write(root, "erm", 4, environments=("calm",))
    losses = read_losses(root, "toy", "crisis", ["erm"])
    assert losses.missing == {"erm": (4,)}
    assert read_losses(root, "toy", "flood", ["erm"]).absent == ("erm",)


@pytest.mark.parametrize(("method", "seed"), [("erm", 5), ("vrex", 5)])
def test_unequal_episodes_are_refused(root, method, seed):
    write(root, method, seed, episodes=EPISODES - 1)
    with pytest.raises(InputError, match="evaluate"):
        read_losses(root, "toy", "crisis", ["erm", "vrex"])


def test_damaged_files_and_unknown_columns_are_refused(root):
    with pytest.raises(InputError, match="column 'sharpe' cannot be read"):
        read_losses(root, "toy", "crisis", ["erm"], column="sharpe")
    (root / "toy" / "erm" / "seed_2" / "episodes.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="delete the folder and run again"):
        read_losses(root, "toy", "crisis", ["erm"])
