"""The planner: every cell in one batch, alike ones together, and nothing that depends on the number of processes."""

import json
from pathlib import Path

import pytest

from praesidium.experiments import planner
from praesidium.experiments.engines import Local
from praesidium.experiments.grid import cells_of, run_grid
from praesidium.experiments.planner import plan, stack_size
from praesidium.experiments.study import compose

PATHS = "data.train=[low]"


def grid(root, methods, seeds, *overrides):
    return cells_of(datasets=["synthetic_heston"], methods=methods, seeds=seeds, root=root, overrides=overrides)


def names(batches):
    return [[str(cell).split("/", 1)[1] for cell in batch] for batch in batches]


def test_seeds_of_one_method_train_together(tmp_path):
    cells = grid(tmp_path, ["delta", "erm", "hirm"], [0, 1, 2, 3], "train.episodes=64")
    batches = plan(cells).batches
    assert sorted(str(cell) for batch in batches for cell in batch) == sorted(map(str, cells))
    assert ["erm/seed_0", "erm/seed_1", "erm/seed_2", "erm/seed_3"] in names(batches)
    assert ["delta/seed_0"] in names(batches)
    assert all(len({cell.method for cell in batch}) == 1 for batch in batches)


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_processes_do_not_change_what_trains_together(tmp_path, jobs):
    cells = grid(tmp_path, ["erm"], range(10))
    assert names(plan(cells, jobs=jobs).batches) == names(plan(cells).batches)
    assert plan(cells, jobs=jobs).jobs == min(jobs, len(plan(cells).batches))


@pytest.mark.parametrize(("paths", "replicas", "size"), [(64, 30, 30), (512, 30, 30), (2048, 3, 2), (8192, 30, 4)])
def test_a_core_is_filled_and_no_more(paths, replicas, size):
    study = compose(["policy=joint_free", PATHS, f"train.episodes={paths}", f"train.pool={paths}"])
    assert stack_size(study, replicas, "cpu") == size


def test_stacks_are_cut_evenly(tmp_path):
    cells = grid(tmp_path, ["erm"], range(10))
    assert [len(batch) for batch in plan(cells, stack=4).batches] == [3, 3, 4]
    assert [len(batch) for batch in plan(cells, stack=1).batches] == [1] * 10


def test_scalar_settings_may_differ_in_a_stack(tmp_path):
    cells = grid(tmp_path / "a", ["hirm"], [0], "objective.penalty=1")
    cells += grid(tmp_path / "b", ["hirm"], [0], "objective.penalty=2", "train.learning_rate=0.1")
    assert [len(batch) for batch in plan(cells, stack=9).batches] == [2]
    cells += grid(tmp_path / "c", ["hirm"], [0], "objective.form=cos")
    cells += grid(tmp_path / "d", ["hirm"], [0], "policy.encoder.width=7")
    assert sorted(len(batch) for batch in plan(cells, stack=9).batches) == [1, 1, 2]


def test_cells_that_are_done_are_in_no_batch(tmp_path):
    cells = grid(tmp_path, ["delta"], [0, 1])
    cells[0].run.begin()
    cells[0].run.finish({}, device="cpu", seconds=0.0)
    assert names(plan(cells).batches) == [["delta/seed_1"]]
    cells[1].run.begin()
    cells[1].run.finish({}, device="cpu", seconds=0.0)
    assert plan(cells).batches == []


def test_the_plan_says_what_it_chose(tmp_path):
    reason = plan(grid(tmp_path, ["erm"], range(4)), jobs=2).reason
    assert "2048 paths a step: 2 as one" in reason
    assert "2 processes on cpu" in reason
    assert "seeds one at a time; 1 process on cpu" in plan(grid(tmp_path, ["delta"], [0])).reason


def test_memory_bounds_the_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(planner, "_free", lambda device: 2.0 * planner.WORKER)
    assert plan(grid(tmp_path, ["erm"], range(4)), stack=1).jobs == 1


def test_a_gpu_takes_as_many_as_fit(monkeypatch):
    study = compose(["policy=joint_free"])
    sizes = []
    for free in (1e8, 1e9, 1e10, 1e12):
        monkeypatch.setattr(planner, "_free", lambda device, free=free: free)
        sizes.append(stack_size(study, 30, "cuda"))
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[-1] == 30


def test_stacked_cells_write_what_cells_alone_write(tmp_path):
    """Also their record says how many trained together."""
    tiny = ["train.steps=4", "train.episodes=16", "train.pool=64", "train.validate_every=2"]
    tiny += ["evaluation.episodes=64", "evaluation.validation_episodes=64"]
    files = {}
    for stack in (1, 3):
        root = tmp_path / str(stack)
        cells = grid(root, ["erm"], [0, 1, 2], *tiny)
        outcomes = list(run_grid(plan(cells, stack=stack).batches, Local(), root))
        assert {one.status for one in outcomes} == {"done"}
        files[stack] = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        record = json.loads((Path(cells[1].folder) / "metadata.json").read_text())
        assert record["stack"] == stack
    assert files[1] == files[3]
    metrics = [tmp_path / f"{stack}/synthetic_heston/erm/seed_2/final_metrics.json" for stack in (1, 3)]
    alone, stacked = (json.loads(path.read_text())["metrics/cvar95/crisis"] for path in metrics)
    assert alone == pytest.approx(stacked, rel=1e-4)
