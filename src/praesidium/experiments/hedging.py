"""Hedging experiments from settings to results: data, training, evaluation, store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from praesidium.component import InputError
from praesidium.experiments import store
from praesidium.experiments.choosing import choose
from praesidium.experiments.evaluation import evaluate
from praesidium.experiments.probing import probe
from praesidium.experiments.scenes import Preparation, prepare
from praesidium.experiments.store import Run
from praesidium.experiments.study import Study
from praesidium.experiments.training import train
from praesidium.hedging.rollout import Rule
from praesidium.hedging.state_builder import StateBuilder
from praesidium.policies.policy import TrainableRule
from praesidium.stopwatch import phase

STATE = "state.json"


def perform(
    studies: Sequence[Study], seeds: Sequence[int], runs: Sequence[Run], *, device: str, shelf: str | None = None
) -> Iterator[Exception | None]:
    """Train the cells of a batch as one stack, then judge them one by one and write all files, final metrics last.

    Args:
        studies: of each cell; alike up to scalar settings.
        seeds: of each cell.
        runs: where each cell lies.
        device: where to compute.
        shelf: folder of tensors that the processes of a grid share.

    Yields:
        For each cell, in order, None or why it failed.
    """
    begun, study = time.perf_counter(), studies[0]
    for run in runs:
        run.begin()
    prepared = prepare(study.data, study.liability, study.state, study.instruments, study.limits, device, shelf)
    rules = [one.policy.build(one.sizes, seed=seed) for one, seed in zip(studies, seeds, strict=True)]
    trained: Sequence[dict[str, Any] | FloatingPointError] = [{} for _ in rules]
    if any(one.choice is not None for one in studies):
        found = [choose(one, prepared, seed) for one, seed in zip(studies, seeds, strict=True)]
        rules, trained = [rule for rule, _ in found], [facts for _, facts in found]
    elif isinstance(rules[0], nn.Module):
        trained = train(studies, seeds, [_trainable(rule) for rule in rules], runs, prepared)
    each = (time.perf_counter() - begun) / len(runs)
    for one, rule, run, facts in zip(studies, rules, runs, trained, strict=True):
        if isinstance(facts, FloatingPointError):
            yield facts
            continue
        begun = time.perf_counter()
        try:
            metrics = facts | _judge(rule, one, run, prepared)
            run.finish(metrics, device=device, seconds=each + time.perf_counter() - begun, stack=len(runs))
        except Exception as error:
            yield error
        else:
            yield None


def _judge(rule: Rule, study: Study, run: Run, prepared: Preparation) -> dict[str, Any]:
    """Evaluate a rule and write all but the final metrics."""
    judgment = evaluate(rule, prepared, study.evaluation.episodes)
    with phase("write"):
        learned = json.dumps(prepared.builder.learned(), indent=2)
        store.write_text(run.folder / store.ARTIFACTS / STATE, learned)
        judgment.keep(run.folder)
    with phase("evaluate"):
        metrics = judgment.scores()
    if isinstance(rule, TrainableRule):
        with phase("probe"):
            metrics |= probe(rule, prepared, study.evaluation, study.risk)
    return metrics | {"data": dict(prepared.source.report), "environments": dict(judgment.paths)}


def read_state(folder: Path, study: Study) -> StateBuilder:
    """The state builder that a run was trained with.

    Raises:
        InputError: if the run did not keep it.
    """
    path = folder / store.ARTIFACTS / STATE
    try:
        learned = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        raise InputError(f"{path}: cannot be read; evaluate a checkpoint inside the folder of its run") from None
    return StateBuilder.restore(study.state, study.liability, learned, study.instruments, study.limits)


def _trainable(rule: Rule) -> TrainableRule:
    if not isinstance(rule, TrainableRule):
        raise TypeError(f"{type(rule).__name__} has parameters but is no TrainableRule; it would go untrained")
    return rule
