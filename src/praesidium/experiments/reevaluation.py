"""Judging a stored policy again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from praesidium.component import InputError, build, unknown
from praesidium.experiments import store
from praesidium.experiments.composition import options
from praesidium.experiments.evaluation import evaluate
from praesidium.experiments.hedging import read_state
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import Study, compose, register_members
from praesidium.hedging.state_builder import StateBuilder
from praesidium.policies.policy import TrainableRule
from praesidium.training import checkpoints


@dataclass(frozen=True)
class Reevaluation:
    """Scores of a checkpoint.

    Attributes:
        folder: the run that it belongs to.
        method: what the run was called.
        seed: of the run.
        step: optimizer steps behind the checkpoint.
        dataset: what it was judged on.
        data: settings of that data set.
        metrics: as in the final metrics of a run.
    """

    folder: Path
    method: str
    seed: int
    step: int
    dataset: str
    data: dict[str, Any]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """A trained policy as it was kept.

    Attributes:
        rule: with its parameters.
        study: what it was trained with.
        builder: of the states that it sees.
        folder, dataset, method, seed, step: which one it is.
    """

    rule: TrainableRule
    study: Study
    builder: StateBuilder
    folder: Path
    dataset: str
    method: str
    seed: int
    step: int


def read_policy(checkpoint: Path) -> Stored:
    """Load a checkpoint with the settings of its run.

    Args:
        checkpoint: ``step_*.safetensors`` in the checkpoints folder of a run.

    Raises:
        InputError: if the checkpoint or its run is not there.
    """
    tensors, facts = checkpoints.load(checkpoint)
    if checkpoint.name == checkpoints.LAST:
        tensors = {name.removeprefix("model/"): one for name, one in tensors.items() if name.startswith("model/")}
    folder = checkpoint.resolve().parent.parent
    settings = store.read_config(folder)
    names = {key: settings.pop(key) for key in ("dataset", "method", "seed")}
    register_members(settings["plugins"])
    study = build(Study, settings)
    rule = study.policy.build(study.sizes, seed=names["seed"])
    assert isinstance(rule, TrainableRule), "only a trained policy has checkpoints"
    rule.load_state_dict(tensors)
    return Stored(rule, study, read_state(folder, study), folder, **names, step=facts["step"])


def read_best(folder: Path) -> Stored:
    """Load the best policy of a finished run."""
    step = json.loads((folder / store.FINAL).read_text())["training/best_step"]
    return read_policy(folder / store.CHECKPOINTS / f"step_{step:06d}.safetensors")


def reevaluate(checkpoint: Path, *, dataset: str | None, device: str, shelf: str | None = None) -> Reevaluation:
    """Roll a checkpoint out again.

    Args:
        checkpoint: ``step_*.safetensors`` in the checkpoints folder of a run.
        dataset: another data set than the run's; the state keeps the scales of its training.
        device: where to compute.
        shelf: folder in which the paths lie for the next checkpoint.

    Raises:
        InputError: if the checkpoint, its run or the data set is not there.
    """
    stored = read_policy(checkpoint)
    study = stored.study
    if dataset is not None:
        if dataset not in options("data"):
            raise InputError(unknown("datasets", dataset, options("data")))
        study = study.model_copy(update={"data": compose([f"data={dataset}"]).data})
    prepared = Preparation(
        study.data,
        study.liability,
        study.state,
        instruments=study.instruments,
        limits=study.limits,
        device=device,
        shelf=shelf,
        builder=stored.builder,
    )
    return Reevaluation(
        folder=stored.folder,
        method=stored.method,
        seed=stored.seed,
        step=stored.step,
        dataset=dataset or stored.dataset,
        data=study.data.settings(),
        metrics=evaluate(stored.rule, prepared, study.evaluation.episodes).scores(),
    )
