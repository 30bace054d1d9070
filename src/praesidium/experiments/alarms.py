"""What should make one doubt a training before its result is believed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

APART = 1.1  # of the largest to the smallest risk, below which environments hardly differ
NOISY = 0.5  # noise-to-signal ratio above which a cosine says nothing
SOME = 0.1  # share of the penalized steps


def alarms(log: Path, references: Mapping[str, float]) -> list[str]:
    """Sentences, none if all is well.

    Args:
        log: ``metrics.jsonl`` of the training.
        references: risk of the delta hedge in each training environment.
    """
    found = []
    spread = max(references.values()) / min(references.values())
    if len(references) > 1 and spread < APART:
        found.append(
            f"pseudo-invariance: the risks of delta in the training environments differ by a factor of {spread:.2f} "
            "only; group by volatility or liquidity so that they mean something"
        )
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    penalized = [row for row in rows if row["ramp"] == 1 and "head_norms" in row]
    collapsed = _share(penalized, "collapsed", lambda value: value > 0)
    if collapsed > SOME:
        found.append(
            f"gradient collapse: in {collapsed:.0%} of the penalized steps the head gradients were below 1 % of their "
            "first size; lower objective.penalty"
        )
    noisy = _share(penalized, "noise_to_signal", lambda value: statistics.median(value) > NOISY)
    if noisy > 1 - SOME:
        found.append(
            f"noise: in {noisy:.0%} of the penalized steps the head gradients were mostly sampling noise; raise "
            "train.episodes or lower risk.alignment_level"
        )
    return found


def _share(rows: list[dict[str, Any]], name: str, holds: Any) -> float:
    known = [row[name] for row in rows if name in row]
    return sum(map(holds, known)) / len(known) if known else 0.0
