"""Time of a training step with a penalty on head gradients, against ERM on the same network and batch.

Ours takes head gradients and their derivatives in closed form on the tail; the other way is a graph of the gradient
through every day of all episodes (``create_graph``). One thread, medians of alternating repeats. The last line is JSON.
"""

import json
import statistics
import time

import torch

from praesidium.experiments.methods import METHODS
from praesidium.experiments.scenes import prepare
from praesidium.experiments.study import compose
from praesidium.experiments.task import HedgingTask
from praesidium.objectives.alignment import normalized_variance
from praesidium.objectives.erm import ERM
from praesidium.objectives.hirm import HIRM
from praesidium.policies.policy import Sizes
from praesidium.risk import smoothed_cvar, tail_edge

EPISODES, REPEATS, SLOW = 1024, 15, 3
FLOOR = 1e-3


def measured(name: str) -> dict[str, float]:
    """Milliseconds of each way on one network."""
    study = compose([*METHODS[name].overrides, f"train.pool={EPISODES}"])
    scenes = prepare(study.data, study.liability, study.state).training(EPISODES, 0)
    rule = study.policy.build(Sizes(len(study.state.phi), len(study.state.context), len(scenes)), seed=0)
    task = HedgingTask(rule, [scenes], [], level=0.95, smoothing=0.1, cost_smoothing=1e-3, scale=[0.01])
    values = task.parameters.read(rule).unsqueeze(0)
    runs = [[slice(0, EPISODES)] * len(scenes)]

    def step(objective: ERM | HIRM) -> None:
        found = task.measure(values, runs, [0])
        found.gradient(objective(found.risks, found, 1.0, {}).loss)

    def graph() -> None:
        risks = []
        for scene in scenes:
            losses = scene.losses(rule.positions(scene.state), smoothing=1e-3).unsqueeze(0)
            edge = tail_edge(losses.detach(), level=0.95, smoothing=0.1)
            group = torch.zeros(losses.shape[1], dtype=torch.long)
            risks.append(smoothed_cvar(losses[0], group, edge, level=0.95, episodes=losses.shape[1])[0] / 0.01)
        head = [one for name, one in rule.named_parameters() if name.startswith("head.")]
        rows = [torch.cat([g.flatten() for g in torch.autograd.grad(one, head, create_graph=True)]) for one in risks]
        loss = torch.cat(risks).mean() + 0.1 * normalized_variance(torch.stack(rows), torch.full((len(rows),), FLOOR))
        torch.autograd.grad(loss, list(rule.parameters()))

    ways = {"erm": lambda: step(ERM()), "hirm": lambda: step(HIRM()), "hirm cos": lambda: step(HIRM(form="cos"))}
    times: dict[str, list[float]] = {way: [] for way in (*ways, "graph")}
    for repeat in range(REPEATS + 1):
        for way, run in {**ways, **({"graph": graph} if repeat <= SLOW else {})}.items():
            begun = time.perf_counter()
            run()
            if repeat:
                times[way].append(1e3 * (time.perf_counter() - begun))
    return {way: statistics.median(one) for way, one in times.items() if one}


def main() -> None:
    """Measure the network of hirm and the joint one, and print them."""
    torch.set_num_threads(1)
    result: dict[str, float] = {}
    print(f"4 x {EPISODES} episodes of 60 days, 2x32 networks, one thread, milliseconds a step")
    for name in ("erm_residual", "joint_erm"):
        times = measured(name)
        ratio = times["hirm"] / times["erm"]
        print(f"  {name:12s}", "  ".join(f"{way} {one:.1f}" for way, one in times.items()), f" ratio {ratio:.2f}")
        key = "step_ratio" if name == "erm_residual" else "joint_step_ratio"
        result |= {key: ratio, key.replace("step", "graph"): times["graph"] / times["erm"]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
