"""A study before and after: the same command with the code of an earlier commit and with this one.

Checks the earlier commit out beside this tree, runs `praesidium benchmark` with both in turn, each from nothing, and
compares the seconds. Without arguments it runs one seed of the standard preset against the code before replicas, the
native rollout and shared paths, six minutes on two cores; `--seeds 0..9` is the preset itself. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEFORE = "f404e53"
RUN = "from praesidium.cli import main; main()"


def main() -> None:
    """Run both and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default=BEFORE, help="the earlier commit")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--jobs", default="2")
    given = parser.parse_args()
    command = ["benchmark", "--preset", given.preset, "--seeds", given.seeds, "--jobs", given.jobs]
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), given.before], check=True)
        try:
            for name, source in (("before", tree / "src"), ("after", ROOT / "src")):
                environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
                out = ["--out", str(Path(folder) / f"results-{name}")]
                begun = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-c", RUN, *command, *out], env=environment, check=True, stdout=subprocess.DEVNULL
                )
                seconds[name] = time.perf_counter() - begun
                print(f"{name:7s} {seconds[name]:8.1f} s   praesidium {' '.join(command)}")
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=False)
    print(json.dumps({"ratio": round(seconds["before"] / seconds["after"], 3), **seconds}))


if __name__ == "__main__":
    main()
