"""Choosing a setting of a textbook rule: by its risk where networks choose their checkpoints, and nowhere else."""

from __future__ import annotations

from typing import Any

import torch

from praesidium.diagnostics.scorecard import LEVEL
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import Study
from praesidium.hedging.rollout import Rule, Scene
from praesidium.risk import cvar
from praesidium.stopwatch import phase


def choose(study: Study, prepared: Preparation, seed: int) -> tuple[Rule, dict[str, Any]]:
    """The rule of least CVaR-95 on the validation environments, mean over them, and what was tried."""
    if study.choice is None:
        return study.policy.build(study.sizes, seed=seed), {}
    scenes = prepared.validation(study.evaluation.validation_episodes)
    rules = {value: policy.build(study.sizes, seed=seed) for value, policy in study.choice.among(study.policy).items()}
    with phase("validate"):
        risks = {value: _risk(rule, scenes) for value, rule in rules.items()}
    best = min(risks, key=lambda value: risks[value])
    return rules[best], {
        f"training/chosen/{study.choice.setting}": best,
        "training/validation_cvar95": risks[best],
        "training/tried": {str(value): risk for value, risk in risks.items()},
    }


@torch.no_grad()
def _risk(rule: Rule, scenes: list[Scene]) -> float:
    found = []
    for scene in scenes:
        held = scene.state.within(rule.positions(scene.state))
        found.append(cvar(scene.losses(held).double(), level=LEVEL))
    return torch.stack(found).mean().item()
