"""Does stability go with a smaller gap within methods? The rank correlation behind the claim on the mechanism."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from praesidium.diagnostics.gap import invariance_gap
from praesidium.experiments import store
from praesidium.reporting.aggregates import partial_spearman
from praesidium.reporting.comparison import Effect, Protocol, known
from praesidium.reporting.statistics import interval
from praesidium.training.reproducibility import stream

FEWEST_SEEDS = 3
SPARE_RUNS = 4  # more than methods: one for the slope in the mean risk, three that an interval would take


def gap_correlation(
    root: Path, protocol: Protocol, *, stability: str, methods: Sequence[str], environments: Sequence[str]
) -> Effect:
    """Partial Spearman correlation of a stability with the gap IG, given the method and the mean risk.

    IG is the range of CVaR-95 over the environments, and the mean risk is their mean. The interval resamples seeds,
    which runs of different methods share.

    Args:
        root: results folder.
        protocol: data set, seeds, draws and confidence.
        stability: key of the final metrics. A run without it, or whose noise left it untold, does not count.
        methods: whose runs are pooled; each has its own level.
        environments: at least two.
    """
    runs, lacking = [], []
    for group, name in enumerate(methods):
        there = store.entries_by_seed(root, protocol.dataset, name)
        asked = {seed: there[seed] for seed in protocol.seeds if seed in there}
        told = [run for seed, one in asked.items() if (run := _run(one, seed, group, stability, environments))]
        runs += told
        if lack := len(protocol.seeds) - len(told):
            lacking.append(f"no {stability} of {name} with {lack} of {len(protocol.seeds)} seeds")
    effect = Effect(
        quantity=f"rank correlation of {stability} and gap",
        method=", ".join(methods),
        reference="within methods",
        environment=", ".join(environments),
        missing=tuple(lacking),
    )
    members = [[place for place, run in enumerate(runs) if run.seed == seed] for seed in protocol.seeds]
    members = [places for places in members if places]
    if len(members) < FEWEST_SEEDS or len(runs) < len(methods) + SPARE_RUNS:
        return effect
    drawn = torch.randint(len(members), (protocol.draws, len(members)), generator=stream("claims", "mechanism"))
    resampled = torch.tensor(
        [_correlation([runs[place] for one in row for place in members[one]]) for row in drawn.tolist()],
        dtype=torch.float64,
    )
    point, (lower, upper) = _correlation(runs), interval(resampled, confidence=protocol.confidence)
    return replace(
        effect,
        estimate=known(point),
        lower=known(lower),
        upper=known(upper),
        seeds=tuple(sorted({run.seed for run in runs})),
    )


@dataclass(frozen=True)
class _Run:
    seed: int
    group: int
    stability: float
    gap: float
    risk: float


def _run(stored: store.Entry, seed: int, group: int, stability: str, environments: Sequence[str]) -> _Run | None:
    """What a run tells; nothing if it is not finished, or did not measure all of it."""
    if not stored.done:
        return None
    metrics = stored.metrics
    keys = [stability, *(f"metrics/cvar95/{name}" for name in environments)]
    measured = [float(metrics[key]) for key in keys if metrics.get(key) is not None]
    if len(measured) < len(keys):
        return None
    first, *risks = measured
    return _Run(seed, group, first, invariance_gap(torch.tensor(risks, dtype=torch.float64)), sum(risks) / len(risks))


def _correlation(runs: Sequence[_Run]) -> float:
    """NaN where the controls leave nothing to correlate."""
    groups = torch.tensor([run.group for run in runs])
    if len(runs) < len(groups.unique()) + SPARE_RUNS:
        return math.nan
    stability, gap, risk = torch.tensor([(run.stability, run.gap, run.risk) for run in runs], dtype=torch.float64).T
    return partial_spearman(stability, gap, covariates=risk.unsqueeze(0), groups=groups).point
