"""The bound on a ladder: each index on the runs that have it, and a reason where there are too few."""

import json

import numpy as np
import pandas as pd
import pytest

from praesidium.reporting import bound
from praesidium.reporting.bounds import INDICES, examine

RUNGS = 5
METHODS = ("erm", "hirm", "vrex")


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    monkeypatch.setattr(bound, "DRAWS", 200)


@pytest.fixture
def study(tmp_path, leave_run, risks):
    """Runs with an index and probes, and their ladder: the gap is 1 - C3 plus the mismatch, and some noise."""

    def made(seeds, *, c2=lambda seed: 0.5, slope=1.0, probes=True):
        draw, rows = np.random.default_rng(0), []
        for method in METHODS:
            for seed in range(seeds):
                c3 = draw.uniform()
                index = {"c2": c2(seed), "c2_raw": 0.7, "c3": c3, "all": None}
                size, cosine = draw.uniform(1, 2), draw.uniform(-1, 1)
                told = {  # gradients of one length: their distance is the angle, and the risks differ by it
                    "risk_by_delta": {"low": 1.0, "crisis": 2.0 - cosine},
                    "head_norm": {"low": size, "crisis": size},
                    "cosines": [[1.0, cosine], [cosine, 1.0]],
                }
                more = {f"metrics/isi/{name}": value for name, value in index.items()}
                leave_run(method, seed, risks(0.03, 0.05), more={**more, **({"probes": told} if probes else {})})
                for rung in range(RUNGS):
                    gap = slope * (1 - c3) + 0.5 * rung + 0.05 * draw.exponential()
                    rows.append(("toy", method, seed, f"severity_{rung}", gap, float(rung)))
        return pd.DataFrame(rows, columns=["dataset", "method", "seed", "severity", "gap", "mismatch"]), tmp_path

    return made


def test_an_index_that_carries_the_gap_is_found_to(study):
    found = examine(*study(8))
    fitted = found["indices"]["c3"]
    assert (found["runs"], found["cells"], fitted["runs"]) == (24, 24 * RUNGS, 24)
    assert fitted["frontier"]["full"]["k1"] == pytest.approx(1, abs=0.2)
    assert fitted["frontier"]["full"]["k2"] == pytest.approx(0.5, abs=0.1)
    assert fitted["frontier"]["isi_has_content"]
    assert fitted["monotonicity"]["both_positive"]


def test_an_index_that_has_nothing_to_do_with_the_gap_is_not(study):
    fitted = examine(*study(8, slope=0.0))["indices"]["c3"]
    assert not fitted["frontier"]["isi_has_content"]
    assert not fitted["monotonicity"]["both_positive"]


def test_an_index_is_tested_on_the_runs_that_have_it(study):
    """C2 is missing on odd seeds; ISI everywhere, and what has no run says so instead of a number."""
    found = examine(*study(8, c2=lambda seed: None if seed % 2 else 0.4 + seed / 100))["indices"]
    assert list(found) == list(INDICES)
    assert {name: one["runs"] for name, one in found.items()} == {"isi": 0, "c2": 12, "c2_raw": 24, "c3": 24}
    assert "refused" in found["isi"]
    assert "frontier" not in found["isi"]
    assert found["c2"]["frontier"]["seeds"] == (2, 2)
    assert "does not vary" in found["c2_raw"]["refused"]


def test_few_seeds_are_refused_with_the_reason(study):
    found = examine(*study(3))["indices"]["c3"]
    assert "the panel has 3 seeds; at least 4 are needed" in found["refused"]


def test_the_gradient_version_pairs_the_environments_of_each_run(study):
    """Risks differ by 1 - cosine exactly: the angle ranks them without an error, the distance nearly so."""
    found = examine(*study(6))["gradients"]
    assert found["cosine"]["value"] == pytest.approx(1)
    assert 0.8 < found["norm"]["value"] < 1
    assert found["norm"]["low"] <= found["norm"]["value"] <= found["norm"]["high"]


def test_runs_without_probes_have_no_gradient_version(study):
    assert "refused" in examine(*study(4, probes=False))["gradients"]


def test_all_of_it_can_be_written_and_is_the_same_again(study):
    ladder, root = study(5)
    first, second = (json.dumps(examine(ladder, root), allow_nan=False) for _ in range(2))
    assert first == second


def test_gradients_differ_by_the_law_of_cosines(tmp_path, leave_run, risks):
    from praesidium.reporting.bounds import _pairs

    draw = np.random.default_rng(1)
    rows = draw.normal(size=(3, 7))
    sizes = np.linalg.norm(rows, axis=1)
    probes = {
        "risk_by_delta": {"a": 1.0, "b": 1.5, "c": 0.7},
        "head_norm": dict(zip("abc", sizes, strict=True)),
        "cosines": (rows @ rows.T / np.outer(sizes, sizes)).tolist(),
    }
    found = _pairs(probes)
    for (one, other), (risk, norm, cosine) in zip([(0, 1), (0, 2), (1, 2)], found, strict=True):
        assert norm == pytest.approx(np.linalg.norm(rows[one] - rows[other]))
        assert cosine == pytest.approx(rows[one] @ rows[other] / sizes[one] / sizes[other])
        assert risk == pytest.approx(abs([1.0, 1.5, 0.7][one] - [1.0, 1.5, 0.7][other]))
