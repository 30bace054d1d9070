"""I-R-E tables: measures by hand, and what cannot be told stays missing."""

import math

import pytest

from praesidium.component import InputError
from praesidium.diagnostics.gap import expected_range
from praesidium.experiments.store import finished
from praesidium.reporting.ire import by_method, read_ire


def isi(total=0.5, c1=0.4, c2=0.6, c3=0.5):
    return {f"metrics/isi/{name}": value for name, value in (("all", total), ("c1", c1), ("c2", c2), ("c3", c3))}


@pytest.fixture
def root(tmp_path, leave_run, risks):
    """Two seeds of erm and of hirm, and delta."""
    leave_run("delta", 0, risks(0.03, 0.05))
    for seed, (high, crisis) in enumerate([(0.04, 0.10), (0.06, 0.08)]):
        leave_run("erm", seed, risks(high, crisis), more=isi(total=0.3))
    for seed, (high, crisis) in enumerate([(0.03, 0.06), (0.05, 0.04)]):
        slopes = {"crisis": {"delta": 9.0, "tau": 9.0, "momentum": 0.2 + seed}, "low": {"momentum": 7.0}}
        more = isi(c2=None, total=None) if seed else isi()
        leave_run("hirm", seed, risks(high, crisis), more={**more, "probes": {"sensitivity": slopes}})
    leave_run("vrex", 0, {}, done=False)
    return tmp_path


@pytest.fixture
def rows(root):
    table = read_ire(finished(root))
    return {(row["method"], row["seed"]): row for row in table.to_dict("records")}


def test_gaps_are_those_of_the_environments_that_were_not_trained_on(rows):
    assert rows["erm", 0]["ig"] == pytest.approx(0.06)
    assert rows["hirm", 1]["ig"] == pytest.approx(0.01)
    assert rows["erm", 0]["ig_corrected"] == pytest.approx(0.06 - expected_range(2) * 0.001)
    assert rows["erm", 0]["ig_resolved"]
    assert rows["erm", 0]["wg_max"] == pytest.approx(0.10)
    assert rows["hirm", 1]["wg_max"] == rows["hirm", 1]["wg_half"] == pytest.approx(0.05)


def test_a_gap_is_normalized_by_the_median_risk_of_the_baseline(rows):
    baseline = (0.07 + 0.07) / 2
    assert rows["hirm", 0]["ig_norm"] == pytest.approx(0.03 / baseline)
    assert rows["erm", 1]["ig_norm"] == pytest.approx(0.02 / baseline)


def test_the_excess_is_the_gap_of_what_lies_above_delta(rows):
    assert rows["delta", 0]["ig_excess"] == 0
    assert rows["hirm", 0]["ig_excess"] == pytest.approx((0.06 - 0.05) - (0.03 - 0.03))
    assert rows["hirm", 1]["ig_excess"] == pytest.approx((0.05 - 0.03) - (0.04 - 0.05))


def test_what_was_not_asked_is_missing(rows):
    assert rows["hirm", 0]["isi"] == 0.5
    assert rows["hirm", 0]["c2"] == 0.6
    for key, name in (("hirm", "c2"), ("hirm", "isi"), ("delta", "isi"), ("delta", "context_sensitivity")):
        assert math.isnan(rows[key, int(key == "hirm")][name])
    assert rows["hirm", 1]["c1"] == 0.4


def test_context_sensitivity_is_that_of_regime_features_in_the_first_test_environment(rows):
    assert rows["hirm", 0]["context_sensitivity"] == pytest.approx(0.2)
    assert rows["hirm", 1]["context_sensitivity"] == pytest.approx(1.2)


def test_efficiency_is_that_of_the_first_test_environment(rows):
    for name in ("vr", "er", "tr"):
        assert rows["erm", 0][name] == pytest.approx(0.2)


def test_an_unfinished_run_has_no_row(rows):
    assert len(rows) == 5


def test_by_method_are_medians_over_the_seeds_that_have_a_number(root):
    table = by_method(read_ire(finished(root))).set_index("method")
    assert table.seeds.to_dict() == {"delta": 1, "erm": 2, "hirm": 2}
    assert table.ig["erm"] == pytest.approx((0.06 + 0.02) / 2)
    assert table.isi["hirm"] == 0.5
    assert math.isnan(table.isi["delta"])


def test_without_baseline_and_delta_nothing_is_compared(tmp_path, leave_run, risks):
    leave_run("hirm", 0, risks(0.03, 0.06))
    leave_run("hirm", 0, risks(0.03, 0.06), dataset="other", data={"validation": ["crisis"]})
    leave_run("erm_baseline", 0, risks(0.03, 0.08), dataset="third")
    table = read_ire(finished(tmp_path)).set_index("dataset")
    assert table.ig_norm[["other", "toy"]].isna().all()
    assert table.ig_norm.dtype == table.ig_excess.dtype == float
    assert table.ig_excess.isna().all()
    assert math.isnan(table.ig["other"])  # a single environment has no gap
    assert table.wg_max["other"] == 0.06
    assert table.ig_norm["third"] == pytest.approx(0.05 / 0.055)
    assert by_method(table.reset_index()).ig_norm.isna().tolist() == [True, False, True]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no finished run here; run praesidium benchmark"):
        read_ire(finished(tmp_path))
