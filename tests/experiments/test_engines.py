"""Engines: every cell has an outcome, whatever happens to the others."""

import os
import signal
import time

import pytest
import torch

from praesidium.experiments.engines import Local, Outcome


def task(batch):
    for cell in batch:
        match cell:
            case "bad":
                raise ValueError("no luck")
            case "threads":
                yield Outcome(cell, "done", str(torch.get_num_threads()))
            case "dies":
                time.sleep(0.2)
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                yield Outcome(cell, "done")


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_bad_cell_does_not_end_the_grid(jobs):
    outcomes = {one.cell: one for one in Local(jobs=jobs).run(task, [["a"], ["c", "bad", "d"], ["b"]])}

    assert outcomes["a"].status == outcomes["b"].status == outcomes["c"].status == "done"
    for cell in ("bad", "d"):
        assert outcomes[cell] == Outcome(cell, "failed", "ValueError: no luck")


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_worker_has_one_thread(jobs):
    outcomes = list(Local(jobs=jobs).run(task, [["threads"], ["a"]]))

    assert "1" in [one.reason for one in outcomes]


def test_a_worker_that_dies_is_a_failed_cell_not_a_crash():
    outcomes = list(Local(jobs=2).run(task, [["dies"], ["a"], ["b"]]))

    assert {one.cell for one in outcomes} == {"dies", "a", "b"}
    assert any(one.status == "failed" and "worker process died" in one.reason for one in outcomes)
