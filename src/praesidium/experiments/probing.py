"""What a trained policy is asked on fresh episodes: how stable its risks, head gradients and features are (ISI)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from praesidium.diagnostics import isi
from praesidium.diagnostics.scorecard import LEVEL, finite
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import Evaluation, TrainingRisk
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.rollout import Scene
from praesidium.policies.layers import Dense
from praesidium.policies.policy import TrainableRule
from praesidium.risk import cvar
from praesidium.training.parameters import Parameters

LOOKED_AT = 1024  # episodes of each environment whose features and sensitivities are looked at


def probe(rule: TrainableRule, prepared: Preparation, evaluation: Evaluation, risk: TrainingRisk) -> dict[str, Any]:
    """Diagnostics of a trained policy, from episodes that neither training nor validation has seen.

    Returns:
        ``metrics/isi/all`` with its components ``c1`` (from risks relative to delta's), ``c2`` (cross-fitted, refused
        where it is noise) and ``c3`` on the training environments, and under ``probes`` what they are made of: risks,
        head gradients' norms, noise and cosines, dispersions by layer, and sensitivities to each feature in each
        environment.
    """
    drawn = prepared.probes(evaluation.probe_episodes)
    # As it is judged: a policy with a head for each environment is not told in which one it is.
    scenes = {name: replace(one, state=replace(one.state, environment=None)) for name, one in drawn.items()}
    trained = list(dict.fromkeys(prepared.data.train))
    relative, reference = _risks(rule, scenes)
    halves, noise = _head_gradients(rule, scenes, reference, risk)
    places = [list(scenes).index(name) for name in trained]
    found = {name: _look_at(rule, scene.take(slice(0, LOOKED_AT)), prepared) for name, scene in scenes.items()}
    parts: dict[str, float | None] = {"c1": None, "c2": None, "c3": None, "c2_raw": None}
    dispersions: dict[str, float] = {}
    if len(trained) > 1:  # a single one leaves nothing to compare
        dispersions = _dispersions([found[name] for name in trained])
        stable = isi.mechanistic_stability(halves[:, places], noise[places])
        risks = torch.stack([relative[name] for name in trained])
        parts["c1"] = isi.global_stability(risks / risks.mean(), normalizer=evaluation.risk_spread)
        parts["c2"], parts["c2_raw"] = stable.cross_fitted, stable.raw
        parts["c3"] = finite(isi.structural_stability(list(dispersions.values()), normalizer=evaluation.feature_spread))
    norms = halves.mean(0).norm(dim=-1)
    return {
        **{f"metrics/isi/{name}": value for name, value in parts.items()},
        "metrics/isi/all": isi.isi(parts["c1"], parts["c2"], parts["c3"]),
        "metrics/isi/c1_with_c3": _mean(parts["c1"], parts["c3"]),
        "probes": {
            "risk_by_delta": {name: value.item() for name, value in relative.items()},
            "relative_variance": _relative_variance(relative, trained),
            "dispersion": {layer: finite(one) for layer, one in dispersions.items()},
            "head_norm": dict(zip(scenes, norms.tolist(), strict=True)),
            "noise_to_signal": dict(zip(scenes, map(finite, (noise / norms.square()).tolist()), strict=True)),
            "cosines": _cosines(halves).tolist(),
            "sensitivity": {name: one["sensitivity"] for name, one in found.items()},
        },
    }


def _risks(rule: TrainableRule, scenes: Mapping[str, Scene]) -> tuple[dict[str, Tensor], float]:
    """Exact CVaR-95 in each environment by that of the textbook hedge; and the mean risk of that over all."""
    relative, deltas = {}, []
    with torch.no_grad():
        for name, scene in scenes.items():
            held = (rule.positions(scene.state), scene.state.within(scene.state.hedge))
            mine, theirs = (cvar(scene.losses(one).double(), level=LEVEL) for one in held)
            relative[name] = mine / theirs
            deltas.append(theirs)
    return relative, torch.stack(deltas).mean().item()


def _head_gradients(
    rule: TrainableRule, scenes: Mapping[str, Scene], scale: float, risk: TrainingRisk
) -> tuple[Tensor, Tensor]:
    """Gradient of each environment's risk in the head, from either half of the episodes, and its sampling variance."""
    task = HedgingTask(
        rule,
        [list(scenes.values())],
        [],
        level=LEVEL,
        smoothing=risk.smoothing,
        cost_smoothing=risk.cost_smoothing,
        scale=[scale],
    )
    runs = [slice(0, scene.count) for scene in scenes.values()]
    measured = task.measure(Parameters(rule).read(rule).unsqueeze(0), [runs], [0])
    return measured.head_halves().detach()[:, 0].double(), measured.head_noise()[0].double()


def _look_at(rule: TrainableRule, scene: Scene, prepared: Preparation) -> dict[str, Any]:
    """Moments of every hidden layer, and the mean absolute slope of the position in each standardized feature."""
    seen: dict[str, Tensor] = {}

    def watch(name: str, layer: Dense) -> RemovableHandle:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0].detach()

        return layer.register_forward_pre_hook(keep)

    hooks = [watch(name, layer) for name, layer in rule.named_modules() if isinstance(layer, Dense) and layer.hidden]
    try:
        with torch.no_grad():
            held = rule.positions(scene.state)
        before = torch.cat([torch.zeros_like(held[:1]), held[:-1]])
        features = scene.state.features.clone().requires_grad_()
        positions = rule.decide(scene.state.seeing(features), before).positions
        (slopes,) = torch.autograd.grad(positions.sum(), features)
    finally:
        for hook in hooks:
            hook.remove()
    flat = {name: one.flatten(0, -2).double() for name, one in seen.items()}
    names = (*prepared.state.phi_columns, *prepared.state.context_columns)
    return {
        "means": {name: one.mean(0) for name, one in flat.items()},
        "covariances": {name: one.T.cov(correction=0) for name, one in flat.items()},
        "sensitivity": dict(zip(names, slopes.abs().mean((0, 1)).tolist(), strict=True)),
    }


def _dispersions(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of each hidden layer, between the environments that were looked at."""
    return {
        layer: isi.dispersion(
            torch.stack([one["means"][layer] for one in found]),
            torch.stack([one["covariances"][layer] for one in found]).mean(0),
        )
        for layer in found[0]["means"]
    }


def _relative_variance(relative: Mapping[str, Tensor], trained: list[str]) -> float | None:
    return isi.relative_variance(torch.stack([relative[name] for name in trained])) if len(trained) > 1 else None


def _cosines(halves: Tensor) -> Tensor:
    """Cosines of the full gradients of all pairs of environments."""
    full = halves.mean(0)
    return torch.nn.functional.cosine_similarity(full.unsqueeze(1), full.unsqueeze(0), dim=-1)


def _mean(*parts: float | None) -> float | None:
    known = [one for one in parts if one is not None]
    return sum(known) / len(known) if len(known) == len(parts) else None
