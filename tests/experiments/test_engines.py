"""Engines: every cell has an outcome, whatever happens to the others."""

import os
import signal
import time

import pytest
import torch

from praesidium.experiments.engines import Local, Outcome
from praesidium.experiments.store import Busy


def task(cell):
    match cell:
        case "bad":
            raise ValueError("no luck")
        case "busy":
            raise Busy("there")
        case "threads":
            return Outcome(cell, "done", str(torch.get_num_threads()))
        case "dies":
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(cell, "done")


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_bad_cell_does_not_end_the_grid(jobs):
    outcomes = {one.cell: one for one in Local(jobs=jobs).run(task, ["a", "bad", "busy", "b"])}

    assert outcomes["a"].status == outcomes["b"].status == "done"
    assert outcomes["bad"] == Outcome("bad", "failed", "ValueError: no luck")
    assert outcomes["busy"].status == "elsewhere"


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_worker_has_one_thread(jobs):
    outcomes = list(Local(jobs=jobs).run(task, ["threads", "a"]))

    assert "1" in [one.reason for one in outcomes]


def test_a_worker_that_dies_is_a_failed_cell_not_a_crash():
    outcomes = list(Local(jobs=2).run(task, ["dies", "a", "b"]))

    assert {one.cell for one in outcomes} == {"dies", "a", "b"}
    assert any(one.status == "failed" and "worker process died" in one.reason for one in outcomes)
