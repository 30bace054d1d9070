"""Every line of the usage page runs, and prints what the page says."""

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "usage.md"


def test_the_examples_run_as_they_are_written():
    """In a process of its own, as a reader runs them: without the check of every shape, which takes as long again."""
    command = [sys.executable, "-W", "error", "-m", "doctest", "-o", "NORMALIZE_WHITESPACE", str(PAGE)]
    single = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=single)
    assert run.returncode == 0, run.stdout + run.stderr
    assert PAGE.read_text().count("\n>>> ") > 80
