"""Time of a training step: gradient through the tail episodes alone, against the graph of all episodes.

Same network, batch, loss and gradient; one thread; medians of alternating repeats. The last line is JSON.
"""

import json
import statistics
import time

import torch

from praesidium.experiments.methods import METHODS
from praesidium.experiments.scenes import prepare
from praesidium.experiments.study import compose
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.rollout import Scene
from praesidium.policies.policy import Sizes
from praesidium.risk import smoothed_cvar, tail_edge

EPISODES, REPEATS = 2048, 7


def main() -> None:
    """Measure both sides and print them."""
    torch.set_num_threads(1)
    study = compose([*METHODS["erm"].overrides, f"train.pool={EPISODES}"])
    scenes = prepare(study.data, study.liability, study.state).training(EPISODES, 0)
    rule = study.policy.build(Sizes(len(study.state.phi), len(study.state.context), len(scenes)), seed=0)
    task = HedgingTask(rule, [scenes], [], level=0.95, smoothing=0.1, cost_smoothing=1e-3, scale=[1.0])
    whole, values = Scene.join(scenes), task.parameters.read(rule).unsqueeze(0)

    def tail_alone() -> torch.Tensor:
        measured = task.measure(values, [[slice(0, EPISODES)] * len(scenes)], [0])
        return measured.gradient(measured.risks.mean(-1))[0]

    def all_episodes() -> torch.Tensor:
        losses = whole.losses(rule.positions(whole.state), smoothing=1e-3).view(len(scenes), -1)
        edge = tail_edge(losses.detach(), level=0.95, smoothing=0.1)
        group = torch.arange(len(scenes)).repeat_interleave(EPISODES)
        risks, _ = smoothed_cvar(losses.flatten(), group, edge, level=0.95, episodes=EPISODES)
        return torch.cat([one.flatten() for one in torch.autograd.grad(risks.mean(), list(rule.parameters()))])

    sides = {"tail": tail_alone, "all": all_episodes}
    gradients, times = {}, {name: [] for name in sides}
    for repeat in range(REPEATS + 1):
        for name, step in sides.items():
            begun = time.perf_counter()
            gradients[name] = step()
            if repeat:
                times[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values) for name, values in times.items()}
    error = ((gradients["tail"] - gradients["all"]).norm() / gradients["all"].norm()).item()
    print(f"{len(scenes)} x {EPISODES} episodes of 60 days, 2x32 network, inventory fed back, one thread")
    for name, seconds in medians.items():
        print(f"  {name:5s} {1e3 * seconds:7.1f} ms a step")
    print(f"  relative difference of the gradients {error:.1e}")
    print(json.dumps({"ratio": medians["all"] / medians["tail"], "gradient_error": error, **medians}))


if __name__ == "__main__":
    main()
