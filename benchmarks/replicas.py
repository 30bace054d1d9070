"""Thirty seeds stacked, against one after another, and the stack size that the planner chooses; one thread.

The joint network of ``erm`` (2x32) on one Heston environment of 60 days, from training paths that are there; whole
calls of ``fit``, with their logs and checkpoints. Alternating; medians. The last line is JSON: ``worst_ratio`` is the
time of the better of stack and sequence over the planner's, the smallest over the sizes; ``stack_64`` is the time of
the sequence over that of the stack of all at 64 paths a seed, and so on.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from praesidium.experiments.engines import keep_memory
from praesidium.experiments.planner import stack_size
from praesidium.experiments.scenes import prepare
from praesidium.experiments.study import compose
from praesidium.experiments.task import HedgingTask
from praesidium.policies.policy import Sizes
from praesidium.training.batching import BalancedBatches
from praesidium.training.loop import fit
from praesidium.training.replicas import Replica
from praesidium.training.reproducibility import stream

SEEDS, SIZES, POOL, REPEATS = 30, (64, 256, 1024, 4096), 8192, 5
STEPS = {64: 12, 256: 8, 1024: 4, 4096: 2}


class Thirty:
    """Thirty trainings with a given number of paths in a step."""

    def __init__(self, paths: int) -> None:
        steps = STEPS[paths]
        settings = [f"train.episodes={paths}", f"train.pool={POOL}", f"train.steps={steps}", "data.train=[medium]"]
        self.study = compose(["policy=joint_free", "objective=erm", *settings, f"train.validate_every={steps}"])
        prepared = prepare(self.study.data, self.study.liability, self.study.state)
        scenes = prepared.training(POOL, 0)
        sizes = Sizes(len(self.study.state.phi), len(self.study.state.context), 1)
        self.rules = [self.study.policy.build(sizes, seed=seed) for seed in range(SEEDS)]
        self.task = HedgingTask(
            self.rules[0],
            [scenes] * SEEDS,
            [scenes[0].take(slice(0, 64))],
            level=0.95,
            smoothing=0.1,
            cost_smoothing=1e-3,
            scale=[1.0] * SEEDS,
        )

    def seconds(self, stack: int) -> float:
        """Time of a step of all thirty, ``stack`` of them at a time."""
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            for first in range(0, SEEDS, stack):
                fit([self._replica(seed, Path(folder)) for seed in range(first, min(first + stack, SEEDS))], self.task)
            return (time.perf_counter() - begun) / self.study.train.steps

    def _replica(self, seed: int, folder: Path) -> Replica:
        recipe = self.study.train
        batches = BalancedBatches(recipe.pool, recipe.episodes, 1, stream(seed, "batches"))
        return Replica(self.rules[seed], self.study.objective, recipe, batches, folder / str(seed), lambda row: None)


def main() -> None:
    """Measure each size and print it."""
    torch.set_num_threads(1)
    keep_memory()
    result: dict[str, float] = {}
    print(f"ms a step of {SEEDS} seeds, 2x32 network, 60 days, one thread")
    print("   paths a seed   one by one   all as one   planned (stack)   sequence/stack   best/planned")
    for paths in SIZES:
        thirty = Thirty(paths)
        planned = stack_size(thirty.study, SEEDS, "cpu")
        stacks = dict.fromkeys((1, SEEDS, planned))
        times: dict[int, list[float]] = {stack: [] for stack in stacks}
        for repeat in range(REPEATS + 1):
            for stack, kept in times.items():
                seconds = thirty.seconds(stack)
                if repeat:
                    kept.append(seconds)
        sequence, stack, chosen = (1e3 * statistics.median(times[one]) for one in (1, SEEDS, planned))
        best = min(sequence, stack) / chosen
        result |= {f"stack_{paths}": sequence / stack, f"planned_{paths}": sequence / chosen, f"best_{paths}": best}
        columns = f"{paths:15d} {sequence:12.1f} {stack:12.1f} {chosen:12.1f} ({planned:2d})"
        print(f"{columns} {sequence / stack:16.2f} {best:14.2f}")
    result["worst_ratio"] = min(value for name, value in result.items() if name.startswith("best_"))
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
