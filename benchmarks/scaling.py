"""Whether time grows as the work does: a training step from 1,000 to 200,000 paths and from 10 to 250 days.

The network and market of ``training.py`` on paths that are there; one thread; medians. And the memory of a process
that trains on 50,000 fresh paths of 60 days, all in all. The last line is JSON: ``paths_spread`` and ``days_spread``
are the largest time of a path-step over the smallest, ``step_mb`` the memory.
"""

import json
import statistics
import time

import torch

from praesidium.experiments.task import HedgingTask
from praesidium.hedging.rollout import Scene
from praesidium.training.reproducibility import stream
from training import MARKET, Ours, added_memory

PATHS, DAYS = (1_000, 3_000, 10_000, 50_000, 200_000), (10, 30, 60, 120, 250)
SECONDS = 1.0  # of measuring, for each size


def seconds_of_a_step(paths: int, days: int) -> float:
    """Median time of the gradient of the risk on ready states."""
    ours = Ours(64, days)
    drawn = MARKET.simulate(paths=paths, horizon=days, lookback=0, dt=1 / 250, generator=stream("scaling"))
    scene = Scene.make(drawn, ours.pool.builder, 1e-4)
    task = HedgingTask(ours.rule, [[scene]], [], level=0.95, smoothing=0.1, cost_smoothing=0.0, scale=[1.0])
    values, batch, times = ours.task.parameters.read(ours.rule).unsqueeze(0), [slice(0, paths)], []
    begun = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - begun < SECONDS:
        before = time.perf_counter()
        measured = task.measure(values, [batch], [0])
        measured.gradient(measured.risks.mean(-1))
        times.append(time.perf_counter() - before)
    return statistics.median(times[1:])


def main() -> None:
    """Measure all sizes and print them."""
    torch.set_num_threads(1)
    spread, result = {}, {}
    for axis, sizes in (
        ("paths", [(paths, 60) for paths in PATHS]),
        ("days", [(10_000, days) for days in DAYS]),
    ):
        print(f"{'paths':>8s} {'days':>5s} {'ms a step':>10s} {'ns a path-step':>15s}")
        costs = []
        for paths, days in sizes:
            seconds = seconds_of_a_step(paths, days)
            costs.append(1e9 * seconds / (paths * days))
            result[f"ns_{paths}x{days}"] = costs[-1]
            print(f"{paths:8d} {days:5d} {1e3 * seconds:10.1f} {costs[-1]:15.1f}")
        spread[f"{axis}_spread"] = max(costs) / min(costs)
        print(f"  largest over smallest: {spread[f'{axis}_spread']:.2f}")
    step = added_memory("praesidium", 50_000, 60)[1]
    print(f"memory of a process that trains on 50,000 fresh paths x 60 days: {step:.0f} MB")
    print(json.dumps({name: round(value, 3) for name, value in {**spread, "step_mb": step, **result}.items()}))


if __name__ == "__main__":
    main()
