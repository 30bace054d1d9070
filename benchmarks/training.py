"""A training step beside pfhedge's: the same network, market, costs and risk; one thread; and the memory of both.

Four hidden layers of 32 units with ReLU that see log-moneyness, time, volatility and the position; 10,000 fresh Heston
paths of 60 days in every step; proportional cost 1e-4; expected shortfall of the worst 5 %; Adam. Each side runs its
own ``fit``, alternating; medians. Memory is what a process of its own needs on top of what it had before training.
The last line is JSON: ``ratio`` is pfhedge's time over ours, ``memory_ratio`` the same of memory.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from praesidium.experiments.task import HedgingTask
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.rollout import Scene
from praesidium.hedging.state_builder import StateSettings
from praesidium.hedging.volatility import Quoted
from praesidium.markets.heston import Heston
from praesidium.markets.paths import Paths
from praesidium.objectives.erm import ERM
from praesidium.policies.encoders import PhiOnly
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Free
from praesidium.policies.policy import Sizes
from praesidium.training.loop import fit
from praesidium.training.recipe import Recipe
from praesidium.training.replicas import Replica
from praesidium.training.reproducibility import stream

PATHS, DAYS, COST, DT = 10_000, 60, 1e-4, 1 / 250
MARKET = Heston(kappa=1.0, theta=0.04, xi=0.2, rho=-0.7, v0=(0.04, 0.04))
STEPS, REPEATS = 4, 5


class FreshPaths:
    """New paths for every step, as pfhedge draws them; their states are made when they are taken, block by block."""

    def __init__(self, paths: int, days: int) -> None:
        self.count, self.days, self.generator = paths, days, stream("benchmark")
        settings = StateSettings(
            phi=("log_moneyness", "time_to_maturity", "volatility"), context=(), volatility=Quoted(), greeks=False
        )
        self.builder = settings.fit([self._simulate(1024)], EuropeanCall())
        self.draw()

    def draw(self) -> list[slice]:
        """The batch of the next step."""
        self.paths = None  # the old ones make room for the new
        self.paths = self._simulate(self.count)
        return [slice(0, self.count)]

    def _simulate(self, paths: int) -> Paths:
        return MARKET.simulate(paths=paths, horizon=self.days, lookback=0, dt=DT, generator=self.generator)

    def take(self, paths: torch.Tensor | slice) -> Scene:
        """States of some of the paths."""
        return Scene.make(self.paths.take(paths), self.builder, COST)

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing is resumed here."""
        return {}


class Ours:
    """Praesidium's fit."""

    def __init__(self, paths: int = PATHS, days: int = DAYS, width: int = 32) -> None:
        self.pool = FreshPaths(paths, days)
        policy = Neural(encoder=PhiOnly(width=width, depth=4, activation="relu"), output=Free())
        self.rule = policy.build(Sizes(3, 0, 1), seed=0)
        validation = [self.pool.take(slice(0, 64))]
        self.task = HedgingTask(
            self.rule, [[self.pool]], validation, level=0.95, smoothing=0.01, cost_smoothing=0.0, scale=[1.0], tile=4096
        )

    def fit(self, steps: int) -> None:
        """Some steps of training."""
        recipe = Recipe(steps=steps, episodes=2, validate_every=steps, learning_rate=1e-3)
        with tempfile.TemporaryDirectory() as folder:
            fit([Replica(self.rule, ERM(), recipe, self.pool, Path(folder), lambda row: None)], self.task)


class Pfhedge:
    """pfhedge's fit."""

    def __init__(self, paths: int = PATHS, days: int = DAYS) -> None:
        from pfhedge.instruments import EuropeanOption, HestonStock  # here, for its memory is not ours
        from pfhedge.nn import ExpectedShortfall, Hedger, MultiLayerPerceptron

        self.paths = paths
        self.option = EuropeanOption(HestonStock(cost=COST, dt=DT), maturity=days * DT)
        features = ["log_moneyness", "time_to_maturity", "volatility", "prev_hedge"]
        network = MultiLayerPerceptron(n_layers=4, n_units=32)
        self.hedger = Hedger(network, features, criterion=ExpectedShortfall(0.05))

    def fit(self, steps: int) -> None:
        """Some steps of training."""
        self.hedger.fit(self.option, n_paths=self.paths, n_epochs=steps, validation=False, verbose=False)


SIDES = {"praesidium": Ours, "pfhedge": Pfhedge}


def main() -> None:
    """Measure both sides and print them."""
    torch.set_num_threads(1)
    sides = {name: side() for name, side in SIDES.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(REPEATS + 1):
        for name, side in sides.items():
            begun = time.perf_counter()
            side.fit(STEPS)
            if repeat:
                times[name].append((time.perf_counter() - begun) / STEPS)
    step = {name: statistics.median(one) for name, one in times.items()}
    memory = {name: added_memory(name, PATHS, DAYS)[0] for name in sides}
    print(f"{PATHS} fresh Heston paths x {DAYS} days, 4x32 ReLU network, position fed back, expected shortfall 5 %")
    print(f"  {'':12s} {'ms a step':>10s} {'M path-steps/s':>15s} {'MB of memory':>13s}")
    for name in sides:
        print(f"  {name:12s} {1e3 * step[name]:10.1f} {PATHS * DAYS / step[name] / 1e6:15.2f} {memory[name]:13.0f}")
    result = {
        "ratio": step["pfhedge"] / step["praesidium"],
        "memory_ratio": memory["pfhedge"] / memory["praesidium"],
        **{f"{name}_step": value for name, value in step.items()},
        **{f"{name}_mb": value for name, value in memory.items()},
    }
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))


def added_memory(side: str, paths: int, days: int) -> tuple[float, float]:
    """Peak memory of a training in a process of its own, in MB: on top of what it had before, and in all."""
    asked = subprocess.run(
        [sys.executable, __file__, side, str(paths), str(days)], capture_output=True, text=True, check=True
    )
    before, peak = json.loads(asked.stdout.splitlines()[-1])
    return peak - before, peak


def train_alone(side: str, paths: int, days: int) -> None:
    """Print the peak memory before and after two steps of one side."""
    torch.set_num_threads(1)
    trained = SIDES[side](64, days)
    trained.fit(1)
    before = _peak()
    SIDES[side](paths, days).fit(2)
    print(json.dumps([before, _peak()]))


def _peak() -> float:
    """Largest memory of this process so far, in MB. Linux counts what the parent had in ru_maxrss, but not here."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train_alone(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
