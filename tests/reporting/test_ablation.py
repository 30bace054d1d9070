"""The ablation table: differences at the same seed, the published order, and nothing made up."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from praesidium.component import InputError
from praesidium.reporting.ablation import CRISIS, MEASURES, coverage_note, pivots, read_ablation

KEYS = ["dataset", "method", "seed"]


@pytest.fixture
def root(tmp_path, leave_run, risks):
    """The full method with three seeds, two ablations and another method; one of them lacks the index."""
    for seed, crisis in enumerate([0.05, 0.06, 0.08]):
        leave_run("hirm_full", seed, risks(0.03, crisis, covid_2020=0.02), more={"metrics/isi/all": 0.6})
    for seed, crisis in enumerate([0.09, 0.08, 0.12, 0.30]):
        leave_run("erm_baseline", seed, risks(0.04, crisis, covid_2020=0.01), more={"metrics/isi/all": 0.4})
    leave_run("hirm_no_hgca", 1, risks(0.03, 0.07, covid_2020=0.03))
    leave_run("delta", 0, risks(0.02, 0.04, covid_2020=0.02))
    leave_run("my_own", 0, risks(0.02, 0.04, covid_2020=0.02))
    leave_run("hirm_full", 9, {}, done=False)
    return tmp_path


@pytest.fixture
def table(root):
    return read_ablation(root)


def printed(table):
    console = Console(width=170, file=io.StringIO())
    for heading, shown in pivots(table):
        console.print(heading, soft_wrap=True)
        console.print(shown)
    return console.file.getvalue()


def test_a_row_is_a_finished_run_in_the_published_order(table):
    assert list(dict.fromkeys(table.method)) == ["hirm_full", "hirm_no_hgca", "erm_baseline", "delta", "my_own"]
    assert table[KEYS].drop_duplicates().shape == table[KEYS].shape == (10, 3)
    assert table.seed.tolist()[:3] == [0, 1, 2]


def test_the_promised_columns_come_first_and_each_has_a_difference(table):
    assert tuple(table.columns[: 3 + len(MEASURES)]) == (*KEYS, *MEASURES)
    measures = [name for name in table.columns if name not in KEYS and not name.startswith("delta/")]
    assert [name for name in table.columns if name.startswith("delta/")] == [f"delta/{name}" for name in measures]
    risks = {f"metrics/cvar95/{name}" for name in ("low", "mid", "high", "crisis", "covid_2020")}
    assert {name for name in measures if name.startswith("metrics/")} == risks


def test_differences_are_those_at_the_same_seed(table):
    erm = table.query("method == 'erm_baseline'").set_index("seed")
    assert erm[f"delta/{CRISIS}"][:3].tolist() == pytest.approx([0.04, 0.02, 0.04])
    assert math.isnan(erm[f"delta/{CRISIS}"][3])  # the full method has no such seed
    assert erm["delta/isi"][:3].tolist() == pytest.approx([-0.2] * 3)
    assert erm["delta/metrics/cvar95/covid_2020"][0] == pytest.approx(-0.01)
    assert erm["delta/mean_pnl"][0] == pytest.approx(2 * 0.04)
    assert erm["delta/ig"][0] == pytest.approx(0.05 - 0.02)
    own = table.query("method == 'hirm_full'")
    assert (own[[f"delta/{name}" for name in ("mean_pnl", CRISIS, "isi", "turnover")]] == 0).all(axis=None)


def test_what_is_missing_stays_missing(table):
    rows = table.query("method == 'hirm_no_hgca'")
    assert rows.isi.isna().all()
    assert rows["delta/isi"].isna().all()
    assert rows["delta/wg_max"].tolist() == pytest.approx([0.01])


def test_hirm_stands_in_for_the_full_method_where_that_is_not(tmp_path, leave_run, risks):
    leave_run("hirm", 0, risks(0.03, 0.05), dataset="one")
    leave_run("erm", 0, risks(0.03, 0.09), dataset="one")
    leave_run("erm", 0, risks(0.03, 0.09), dataset="two", data={"test": ["high"], "validation": ["crisis"]})
    leave_run("hirm_full", 0, risks(0.03, 0.06), dataset="three")
    leave_run("hirm", 0, risks(0.03, 0.08), dataset="three")
    table = read_ablation(tmp_path).set_index(["dataset", "method"])
    assert table[f"delta/{CRISIS}"]["one", "erm"] == pytest.approx(0.04)
    assert table[f"delta/{CRISIS}"]["three", "hirm"] == pytest.approx(0.02)
    assert table.loc["two"].filter(like="delta/").isna().all(axis=None)
    assert table.mean_pnl["two", "erm"] == pytest.approx(0.06)  # of its first test environment
    text = printed(table.reset_index())
    assert "one: medians over seeds; below each its median difference from hirm with the same seed" in text
    assert "two: medians over seeds; no hirm_full to compare with" in text


def test_the_pivot_shows_medians_pairs_and_an_interval_of_order_statistics(table):
    lines = printed(table).splitlines()
    (erm,) = (line for line in lines if "erm_baseline" in line)
    cells = [cell.strip() for cell in erm.split("│")[1:-1]]
    assert cells[:4] == ["erm_baseline", "3", "1050.0", "+400.0 [+200.0, +400.0]"]
    below = [cell.strip() for cell in lines[lines.index(erm) + 1].split("│")[1:-1]]
    assert below[6] == "-0.200"  # of the index
    (full,) = (line for line in lines if line.startswith("│ hirm_full"))
    assert [cell.strip() for cell in full.split("│")[1:5]] == ["hirm_full", "3", "600.0", ""]
    (own,) = (line for line in lines if "my_own" in line)
    assert "-100.0 [-100.0, -100.0]" in own
    assert not any("nan" in line for line in lines)


def test_it_says_how_little_few_pairs_tell(table):
    assert coverage_note(table).endswith("they enclose the median in 0% with 1 pair, 75% with 3 pairs")
    assert coverage_note(table.query("method == 'hirm_full'")) == ""


def test_an_environment_of_another_name_leaves_the_crisis_empty(tmp_path, leave_run):
    data = {"train": ["low"], "validation": ["mid"], "test": ["storm"]}
    leave_run("hirm_full", 0, {"low": 0.01, "mid": 0.02, "storm": 0.03}, data=data)
    table = read_ablation(tmp_path)
    assert table[CRISIS].isna().all()
    assert table["metrics/cvar95/storm"].tolist() == [0.03]
    assert table.mean_pnl.tolist() == [0.06]
    assert "hirm_full" in printed(table)


def test_it_survives_the_file(table, tmp_path):
    table.to_csv(tmp_path / "a.csv", index=False, float_format="%.10g")
    again = pd.read_csv(tmp_path / "a.csv")
    assert list(again.columns) == list(table.columns)
    numbers = [name for name in table.columns if name not in KEYS]
    np.testing.assert_allclose(again[numbers], table[numbers], rtol=1e-9)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no finished run here"):
        read_ablation(tmp_path)
