"""Time of a training step: gradient through the tail episodes alone, against the graph of all episodes.

Same network, batch, loss and gradient; one thread; medians of alternating repeats. The last line is JSON.
"""

import json
import statistics
import time

import torch

from praesidium.experiments.hedging import training_scenes
from praesidium.experiments.methods import METHODS
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
    scenes = training_scenes(study.data, study.liability, study.state, EPISODES, 0, "cpu")
    rule = study.policy.build(Sizes(len(study.state.phi), len(study.state.context), len(scenes)), seed=0)
    task = HedgingTask(rule, scenes, [], level=0.95, smoothing=0.1, cost_smoothing=1e-3, scale=1.0)
    whole = Scene.join(scenes)

    def tail_alone() -> None:
        task.risks([slice(0, EPISODES)] * len(scenes))[0].mean().backward()

    def all_episodes() -> None:
        losses = whole.losses(rule.positions(whole.state), smoothing=1e-3).view(len(scenes), -1)
        edge = tail_edge(losses.detach(), level=0.95, smoothing=0.1)
        group = torch.arange(len(scenes)).repeat_interleave(EPISODES)
        smoothed_cvar(losses.flatten(), group, edge, level=0.95, episodes=EPISODES)[0].mean().backward()

    sides = {"tail": tail_alone, "all": all_episodes}
    gradients, times = {}, {name: [] for name in sides}
    for repeat in range(REPEATS + 1):
        for name, step in sides.items():
            rule.zero_grad()
            begun = time.perf_counter()
            step()
            if repeat:
                times[name].append(time.perf_counter() - begun)
            gradients[name] = torch.cat([one.grad.flatten() for one in rule.parameters()])
    medians = {name: statistics.median(values) for name, values in times.items()}
    error = ((gradients["tail"] - gradients["all"]).norm() / gradients["all"].norm()).item()
    print(f"{len(scenes)} x {EPISODES} episodes of 60 days, 2x32 network, inventory fed back, one thread")
    for name, seconds in medians.items():
        print(f"  {name:5s} {1e3 * seconds:7.1f} ms a step")
    print(f"  relative difference of the gradients {error:.1e}")
    print(json.dumps({"ratio": medians["all"] / medians["tail"], "gradient_error": error, **medians}))


if __name__ == "__main__":
    main()
