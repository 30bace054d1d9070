"""Grids: which cells there are, in which order, and what each is made of."""

import pytest

from praesidium.component import InputError
from praesidium.experiments import grid
from praesidium.experiments.grid import cells_of

DATASETS, METHODS = ["synthetic_heston", "heston_ladder"], ["hirm", "delta", "erm"]


@pytest.fixture
def compose(tmp_path):
    def cells(**changed):
        return cells_of(**{"datasets": DATASETS, "methods": METHODS, "seeds": [2, 0], "root": tmp_path, **changed})

    return cells


def test_cells_come_by_data_set_seed_and_method(compose, tmp_path):
    wanted = [f"{data}/{method}/seed_{seed}" for data in DATASETS for seed in (0, 2) for method in METHODS]
    cells = compose()
    assert [str(cell) for cell in cells] == wanted
    assert [cell.folder for cell in cells] == [tmp_path / name for name in wanted]


def test_own_overrides_are_those_of_one_method_and_give_way_to_those_of_all(compose):
    few = {"datasets": DATASETS[:1], "seeds": [0]}
    own = {"hirm": ["objective.penalty=0.3", "train.steps=7"], "vrex": ["objective.beta=3"]}
    plain, tuned = compose(**few), compose(**few, own=own)
    common = compose(**few, own=own, overrides=["train.steps=8"])
    for before, after, last in zip(plain, tuned, common, strict=True):
        assert (before.study == after.study) == (before.method != "hirm")
        assert last.study["train"]["steps"] == 8
        if before.method == "hirm":
            assert after.study["train"]["steps"] == 7
            assert last.study["objective"]["penalty"] == after.study["objective"]["penalty"] == 0.3


def test_data_that_waits_is_opened_once_each_and_no_other(compose, monkeypatch):
    opened = []
    monkeypatch.setattr(grid, "open_source", lambda data: opened.append(data.train))
    cells = compose(datasets=DATASETS[:1], methods=["delta", "domain_randomized", "erm"])
    usual, wide, _ = (tuple(cell.study["data"]["train"]) for cell in cells[:3])
    assert usual != wide
    assert opened == [usual, wide]
    opened.clear()
    for cell in cells:
        if cell.method == "domain_randomized":
            cell.run.begin()
            cell.run.finish({}, device="cpu", seconds=1.0)
    compose(datasets=DATASETS[:1], methods=["delta", "domain_randomized", "erm"])
    assert opened == [usual]


def test_an_unknown_data_set_is_refused(compose):
    with pytest.raises(InputError, match="datasets: 'sp50' is unknown; did you mean 'sp500'"):
        compose(datasets=["sp50"])
