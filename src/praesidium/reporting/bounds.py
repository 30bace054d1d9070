"""The bound IG <= k1 (1 - ISI) + k2 Delta on a severity ladder, for the index and for each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from praesidium.component import InputError
from praesidium.experiments import store
from praesidium.reporting.bound import Frontier, Panel, gradient_version, monotonicity
from praesidium.reporting.ire import KEYS, read_ire
from praesidium.training.reproducibility import stream

INDICES = {"isi": "ISI", "c2": "C2", "c2_raw": "C2, noise included", "c3": "C3"}


def examine(ladder: pd.DataFrame, root: Path) -> dict[str, Any]:
    """Test the bound with each index in the place of ISI, on the runs that have it.

    Args:
        ladder: from :func:`praesidium.experiments.ladder.climb`.
        root: the results folder that it was climbed from.

    Returns:
        By index the frontier, the monotonicity, and how many runs have it; and the gradient version. A part that has
        too few runs says why in ``refused``.
    """
    runs = store.finished(root)
    cells = ladder.merge(read_ire(runs)[[*KEYS, *INDICES]], on=KEYS, how="left")
    found: dict[str, Any] = {"cells": len(ladder), "runs": ladder.groupby(KEYS).ngroups, "indices": {}}
    for name in INDICES:
        known = cells.dropna(subset=[name])
        found["indices"][name] = _tested(known, name) | {"runs": known.groupby(KEYS).ngroups}
    found["gradients"] = _by_gradients(runs)
    return found


def _tested(cells: pd.DataFrame, index: str) -> dict[str, Any]:
    try:
        panel = Panel(
            gap=cells.gap.to_numpy(float),
            instability=1 - cells[index].to_numpy(float),
            mismatch=cells.mismatch.to_numpy(float),
            run=(cells.method + "/" + cells.seed.astype(str)).to_numpy(str),
            method=cells.method.to_numpy(str),
            seed=cells.seed.to_numpy(int),
        )
        return {
            "frontier": asdict(Frontier.fit(panel, generator=stream("bound", index))),
            "monotonicity": asdict(monotonicity(panel, generator=stream("bound", index, "ranks"))),
        }
    except InputError as error:
        return {"refused": str(error)}


def _by_gradients(runs: Sequence[store.Entry]) -> dict[str, Any]:
    """Differences of risk between environments against the distance, and the angle, of their head gradients."""
    risks, norms, cosines, seeds = [], [], [], []
    for run in (one for one in runs if one.metrics.get("probes")):
        for risk, norm, cosine in _pairs(run.metrics["probes"]):
            risks.append(risk)
            norms.append(norm)
            cosines.append(cosine)
            seeds.append(run.settings["seed"])
    try:
        found = gradient_version(
            np.array(risks),
            np.array(norms),
            1 - np.array(cosines),
            np.array(seeds),
            generator=stream("bound", "gradients"),
        )
        return asdict(found)
    except InputError as error:
        return {"refused": str(error)}


def _pairs(probes: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """Of each pair of environments: |R - R'| by delta's risk, |g - g'|, cosine."""
    sizes, risks = list(probes["head_norm"].values()), list(probes["risk_by_delta"].values())
    found = []
    for one, other in combinations(range(len(sizes)), 2):
        cosine = probes["cosines"][one][other]
        square = sizes[one] ** 2 + sizes[other] ** 2 - 2 * sizes[one] * sizes[other] * cosine
        found.append((abs(risks[one] - risks[other]), max(square, 0.0) ** 0.5, cosine))
    return found
