"""How long a grid will take, by what was measured on one core."""

from __future__ import annotations

from collections.abc import Sequence

from praesidium.experiments.grid import Cell
from praesidium.experiments.planner import Plan
from praesidium.experiments.study import Study

# Nanoseconds a path and day on one core of a 2.1 GHz Xeon (python benchmarks/penalty.py; evaluation by profile).
STEP = {"erm": 95, "groupdro": 95, "vrex": 95, "irmv1": 100, "env_cvar": 95, "eqrm": 95, "delta_shrink": 110}
PENALIZED, WHOLE, JUDGED = 200, 900, 250
RISING = 1.3  # data, probes, writing


def expected(planned: Plan) -> str:
    """One sentence."""
    if not planned.batches:
        return "nothing is left to run"
    seconds = RISING * sum(_seconds(batch) for batch in planned.batches) / planned.jobs
    if seconds < 90:
        return "about a minute"
    minutes = seconds / 60
    return f"about {minutes:.0f} minutes" if minutes < 90 else f"about {minutes / 60:.1f} hours"


def _seconds(batch: Sequence[Cell]) -> float:
    study = Study.model_validate(batch[0].study)
    days = study.data.horizon * len(batch)
    judged = len(study.data.names) * study.evaluation.episodes * days * JUDGED
    if "encoder" not in study.policy.settings():
        return judged * 1e-9
    whole = study.objective.settings().get("scope") == "all"
    cost = WHOLE if whole else STEP.get(study.objective.kind, PENALIZED)
    trained = study.train.steps * study.train.episodes * len(study.environments) * days * cost
    return (trained + judged) * 1e-9
