"""Whether time grows as the work does: a training step from 1,000 to 200,000 paths and from 10 to 250 days.

Four layers of 64 units on paths that are there; one thread; medians of alternating rounds. A step also costs some
3 ms whatever its size, which shows with small networks: the 1,000 paths of ``training.py``'s 4x32 are printed as well.
And the memory of a process that trains that one on 50,000 fresh paths of 60 days, all in all. The last line is JSON:
``paths_spread`` and ``days_spread`` are the largest time of a path-step over the smallest, ``step_mb`` the memory.
"""

import json
import statistics
import time

import torch

from praesidium.experiments.engines import keep_memory
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.rollout import Scene
from praesidium.training.reproducibility import stream
from training import MARKET, Ours, added_memory

PATHS, DAYS = (1_000, 3_000, 10_000, 50_000, 200_000), (10, 30, 60, 120, 250)
ROUNDS, SECONDS = 9, 0.2  # every size once a round, for so long at least


class Step:
    """The gradient of the risk on ready states."""

    def __init__(self, paths: int, days: int, width: int = 64) -> None:
        ours = Ours(64, days, width)
        drawn = MARKET.simulate(paths=paths, horizon=days, lookback=0, dt=1 / 250, generator=stream("scaling"))
        scene = Scene.make(drawn, ours.pool.builder, 1e-4)
        self.task = HedgingTask(ours.rule, [[scene]], [], level=0.95, smoothing=0.1, cost_smoothing=0.0, scale=[1.0])
        self.values, self.batch = ours.task.parameters.read(ours.rule).unsqueeze(0), [slice(0, paths)]
        self.work, self.times = paths * days, []

    def measure(self) -> None:
        """Add the mean time of some steps, in nanoseconds a path-step."""
        begun, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - begun < SECONDS:
            measured = self.task.measure(self.values, [self.batch], [0])
            measured.gradient(measured.risks.mean(-1))
            steps += 1
        self.times.append(1e9 * (time.perf_counter() - begun) / steps / self.work)


def main() -> None:
    """Measure all sizes and print them."""
    torch.set_num_threads(1)
    keep_memory()
    spread, result = {}, {}
    for axis, sizes in (
        ("paths", [(paths, 60) for paths in PATHS]),
        ("days", [(10_000, days) for days in DAYS]),
    ):
        steps = {size: Step(*size) for size in sizes}
        for _ in range(ROUNDS + 1):
            for step in steps.values():
                step.measure()
        costs = {size: statistics.median(step.times[1:]) for size, step in steps.items()}
        print(f"{'paths':>8s} {'days':>5s} {'ms a step':>10s} {'ns a path-step':>15s}")
        for (paths, days), cost in costs.items():
            result[f"ns_{paths}x{days}"] = cost
            print(f"{paths:8d} {days:5d} {cost * paths * days / 1e6:10.1f} {cost:15.1f}")
        spread[f"{axis}_spread"] = max(costs.values()) / min(costs.values())
        print(f"  largest over smallest: {spread[f'{axis}_spread']:.2f}")
    small = {paths: Step(paths, 60, width=32) for paths in (1_000, 10_000)}
    for _ in range(ROUNDS + 1):
        for step in small.values():
            step.measure()
    few, many = (statistics.median(step.times[1:]) for step in small.values())
    result["small_network_1000_over_10000"] = few / many
    print(f"4x32: {few:.1f} ns a path-step with 1,000 paths, {many:.1f} with 10,000")
    memory = added_memory("praesidium", 50_000, 60)[1]
    print(f"memory of a process that trains on 50,000 fresh paths x 60 days: {memory:.0f} MB")
    print(json.dumps({name: round(value, 3) for name, value in {**spread, "step_mb": memory, **result}.items()}))


if __name__ == "__main__":
    main()
