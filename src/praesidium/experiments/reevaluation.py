"""Judging a stored policy again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from praesidium.component import InputError, build, unknown
from praesidium.experiments import store
from praesidium.experiments.evaluation import evaluate
from praesidium.experiments.hedging import read_state
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import Study, compose, options, register_members
from praesidium.policies.policy import Sizes, TrainableRule
from praesidium.training import checkpoints


@dataclass(frozen=True)
class Reevaluation:
    """Scores of a checkpoint.

    Attributes:
        folder: the run that it belongs to.
        method: what the run was called.
        step: optimizer steps behind the checkpoint.
        dataset: what it was judged on.
        data: settings of that data set.
        metrics: as in the final metrics of a run.
    """

    folder: Path
    method: str
    step: int
    dataset: str
    data: dict[str, Any]
    metrics: dict[str, Any]


def reevaluate(checkpoint: Path, *, dataset: str | None, device: str) -> Reevaluation:
    """Load a checkpoint with the settings of its run and roll it out.

    Args:
        checkpoint: ``step_*.safetensors`` in the checkpoints folder of a run.
        dataset: another data set than the run's; the state keeps the scales of its training.
        device: where to compute.

    Raises:
        InputError: if the checkpoint, its run or the data set is not there.
    """
    tensors, facts = checkpoints.load(checkpoint)
    if checkpoint.name == checkpoints.LAST:
        tensors = {name.removeprefix("model/"): one for name, one in tensors.items() if name.startswith("model/")}
    folder = checkpoint.resolve().parent.parent
    settings = store.read_config(folder)
    names = {key: settings.pop(key) for key in ("dataset", "method", "seed")}
    register_members(settings["plugins"])
    trained_on = build(Study, settings)
    study = trained_on
    if dataset is not None:
        if dataset not in options("data"):
            raise InputError(unknown("datasets", dataset, options("data")))
        data = compose([f"data={dataset}"]).data
        study = study.model_copy(update={"data": data})
    sizes = Sizes(len(study.state.phi), len(study.state.context), len(trained_on.data.train))
    rule = study.policy.build(sizes, seed=names["seed"])
    assert isinstance(rule, TrainableRule), "only a trained policy has checkpoints"
    rule.load_state_dict(tensors)
    builder = read_state(folder, study)
    prepared = Preparation(study.data, study.liability, study.state, device=device, builder=builder)
    return Reevaluation(
        folder=folder,
        method=names["method"],
        step=facts["step"],
        dataset=dataset or names["dataset"],
        data=study.data.settings(),
        metrics=evaluate(rule, prepared, study.evaluation.episodes).scores(),
    )
