"""Tables: what is measured is what is printed, and what is missing stays missing."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from praesidium.component import InputError
from praesidium.reporting.figures import crisis_figure
from praesidium.reporting.printing import print_tables
from praesidium.reporting.tables import COLUMNS, MEASURES, read_results, summarize, write_summary

DATA = {"train": ["low"], "validation": ["high"], "test": ["crisis"]}


def write_run(root, method, seed, cvar95, *, done=True, window_error=None):
    folder = root / "toy" / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    settings = {"dataset": "toy", "method": method, "seed": seed, "data": DATA}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    if not done:
        return
    metrics = {}
    for environment, value in (("crisis", cvar95), ("covid_2020", cvar95 / 4)):
        metrics |= {f"metrics/{name}/{environment}": value for name in MEASURES}
        metrics[f"metrics/cvar95_se/{environment}"] = 0.001
    metrics["metrics/cvar95_se/covid_2020"] = window_error
    metrics["metrics/n_eff/covid_2020"] = 2.0
    metrics["metrics/highest_volatility/covid_2020"] = 0.83
    (folder / "final_metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def root(tmp_path):
    for seed, (erm, hirm) in enumerate([(0.10, 0.05), (0.08, 0.06), (0.12, 0.03)]):
        write_run(tmp_path, "erm", seed, erm)
        write_run(tmp_path, "hirm", seed, hirm)
    write_run(tmp_path, "vrex", 0, 0.2, done=False)
    return tmp_path


def test_rows_are_means_over_seeds_with_both_sources_of_chance(root):
    row = summarize(read_results(root)).query("method == 'hirm' and environment == 'crisis'").iloc[0]

    assert row.seeds == 3
    assert row.cvar95 == pytest.approx(np.mean([0.05, 0.06, 0.03]))
    assert row.cvar95_se == pytest.approx(math.sqrt(0.001**2 + np.var([0.05, 0.06, 0.03], ddof=1) / 3))
    assert row.vs_erm == pytest.approx(np.median([0.5, 0.75, 0.25]) - 1)


def test_no_interval_stays_missing(root):
    window = summarize(read_results(root)).query("environment == 'covid_2020'")

    assert window.cvar95_se.isna().all()
    assert window.cvar95.notna().all()


def test_an_unfinished_run_is_named_and_not_counted(root):
    results = read_results(root)

    assert results.unfinished == ("toy/vrex/seed_0",)
    assert "vrex" not in set(results.cells.method)


def test_without_the_baseline_there_is_no_comparison(tmp_path):
    write_run(tmp_path, "hirm", 0, 0.05)

    assert summarize(read_results(tmp_path)).vs_erm.isna().all()


def test_the_csv_has_the_promised_columns(root):
    written = pd.read_csv(write_summary(summarize(read_results(root)), root))

    assert tuple(written.columns) == COLUMNS
    assert len(written) == 4


def test_the_printed_table_says_what_is_missing(root):
    console = Console(width=200, file=io.StringIO())
    print_tables(summarize(read_results(root)), ["erm", "hirm", "vrex"], console)
    text = console.file.getvalue()

    assert "466.7" in text  # 10,000 times the mean of 0.05, 0.06 and 0.03
    assert "missing" in text
    assert "covid_2020 83% (crisis)" in text
    assert "n_eff < 3: no CI for covid_2020 (2.0)" in text


def test_the_figure_is_written_whole(root):
    results = read_results(root)
    path = crisis_figure(results.cells, summarize(results), root / "crisis_cvar95.png")

    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not list(root.glob("*.partial*"))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no finished run here"):
        read_results(tmp_path)
