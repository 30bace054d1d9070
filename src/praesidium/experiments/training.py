"""Training the policies of a batch: seeds and scalar settings of one method, as one stack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from praesidium.experiments import store
from praesidium.experiments.alarms import alarms
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.store import Run, StepLog
from praesidium.experiments.study import Study
from praesidium.experiments.task import TILE, HedgingTask
from praesidium.hedging.rollout import Scene
from praesidium.policies.policy import TrainableRule
from praesidium.risk import cvar
from praesidium.training.batching import BalancedBatches
from praesidium.training.checkpoints import recover
from praesidium.training.loop import Fitted, fit
from praesidium.training.replicas import Replica
from praesidium.training.reproducibility import stream

GPU_TILE = 262_144  # a GPU wants all paths at once


def train(
    studies: Sequence[Study],
    seeds: Sequence[int],
    rules: Sequence[TrainableRule],
    runs: Sequence[Run],
    prepared: Preparation,
) -> list[dict[str, Any] | FloatingPointError]:
    """Train rules in place, stacked.

    Returns:
        For each what is worth knowing about its training, or why it came to nothing.
    """
    study, device = studies[0], prepared.device
    pools = {seed: prepared.training(study.train.pool, seed, study.train.labels) for seed in set(seeds)}
    deltas = [_deltas(pools[seed], one.risk.level) for one, seed in zip(studies, seeds, strict=True)]
    references = [sum(one) / len(one) for one in deltas]
    scales = {"reference": references, "environment": deltas, "none": [1.0] * len(rules)}
    for rule in rules:
        rule.to(device)
    task = HedgingTask(
        rules[0],
        [pools[seed] for seed in seeds],
        prepared.validation(study.evaluation.validation_episodes),
        level=study.risk.level,
        smoothing=study.risk.smoothing,
        cost_smoothing=study.risk.cost_smoothing,
        scale=scales[study.risk.scale],
        asked_level=study.risk.alignment_level,
        pooled=study.risk.pooled,
        tile=TILE if device == "cpu" else GPU_TILE,
    )
    with ExitStack() as logs:
        replicas, folders = [], [run.folder / store.CHECKPOINTS for run in runs]
        begun = recover(folders)
        for one, seed, rule, run, checkpoints, step in zip(studies, seeds, rules, runs, folders, begun, strict=True):
            log = StepLog(run.folder / store.LOG, resumed_at=step)
            logs.callback(log.close)
            batches = BalancedBatches(
                one.train.pool, one.train.episodes, len(study.environments), stream(seed, "batches")
            )
            replicas.append(Replica(rule, one.objective, one.train, batches, checkpoints, log, seed))
        fitted = fit(replicas, task)
    names = [f"{number} {name}" for number, name in enumerate(study.environments)]
    return [
        _facts(one, reference) | {"training/alarms": alarms(run.folder / store.LOG, dict(zip(names, own, strict=True)))}
        if isinstance(one, Fitted)
        else one
        for one, reference, own, run in zip(fitted, references, deltas, runs, strict=True)
    ]


def _facts(fitted: Fitted, reference: float) -> dict[str, Any]:
    return {
        "training/best_step": fitted.best_step,
        "training/validation_cvar95": fitted.best_risk,
        "training/optimizer_steps": fitted.optimizer_steps,
        "training/reference_risk": reference,
    }


def _deltas(scenes: Sequence[Scene], level: float) -> list[float]:
    """Risk of the textbook hedge in each training environment."""
    return [cvar(one.losses(one.state.within(one.state.hedge)), level=level).item() for one in scenes]
