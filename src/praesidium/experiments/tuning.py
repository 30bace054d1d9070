"""Random search with the same budget for every method: what is drawn, and how a choice is read back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import yaml

from praesidium.component import InputError
from praesidium.experiments.methods import overrides_of
from praesidium.experiments.study import compose
from praesidium.training.reproducibility import stream

CHOICE = "tuned.yaml"

# Settings that every trained method draws from the same ranges: the exponent of ten for the first three.
COMMON = {"train.learning_rate": (-2.75, -1.5), "risk.smoothing": (-1.5, -0.3)}
WIDTHS = (16, 32, 64)
# The weight of each objective, as a range of exponents around the customary values, in scaled risks.
OWN = {
    "penalty": {"hirm": (-2, 1), "irm_head": (-2, 1), "iga_head": (-2, 1), "irmv1": (-3, 0), "fishr_head": (-2, 1)},
    "beta": {"vrex": (-1, 2)},
    "eta": {"groupdro": (-3, 0)},
}
ELSE = (-2, 1)


def search_cells(
    methods: Sequence[str], *, trials: int, grid: str | None = None
) -> Iterator[tuple[Path, list[str], str]]:
    """Folder, overrides and method of each trial; the first is the method as it stands.

    Args:
        methods: names.
        trials: settings of each.
        grid: ``key=v,v,...`` tries these values of one setting in place of random ones, after the method as it stands.

    Raises:
        InputError: if the grid is not of that form.
    """
    for method in methods:
        changes = [[], *_along(grid)] if grid else [_draw(method, number) for number in range(trials)]
        for number, one in enumerate(changes):
            yield Path(f"trial_{number:02d}"), one, method


def read_tuned(path: Path) -> dict[str, list[str]]:
    """Overrides by method, as ``praesidium tune`` wrote them.

    Raises:
        InputError: if the file is no such file.
    """
    try:
        there = yaml.safe_load(path.read_text())
        chosen = {str(method): list(changes) for method, changes in there["methods"].items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise InputError(f"tuned: {path} cannot be read; give a {CHOICE} of praesidium tune") from None
    for method, changes in chosen.items():
        if not all(isinstance(one, str) and "=" in one for one in changes):
            raise InputError(f"tuned: {path}: {method} needs a list of key=value; give a {CHOICE} of praesidium tune")
    return chosen


def _draw(method: str, number: int) -> list[str]:
    """Settings of a trial; the common ones are the same draws for every method."""
    study = compose(overrides_of(method))
    if number == 0 or "encoder" not in study.policy.settings():
        return []
    common, own = stream("tuning", number), stream("tuning", method, number)
    changes = [f"{key}={_power(bounds, common):.4g}" for key, bounds in COMMON.items()]
    width = WIDTHS[int(torch.randint(len(WIDTHS), (), generator=common))]
    changes.append(f"policy.encoder.width={width}")
    for name, ranges in OWN.items():
        if name in study.objective.settings():
            changes.append(f"objective.{name}={_power(ranges.get(study.objective.kind, ELSE), own):.4g}")
    return changes


def _power(bounds: tuple[float, float], generator: torch.Generator) -> float:
    low, high = bounds
    return math.pow(10, low + (high - low) * torch.rand((), generator=generator).item())


def _along(grid: str) -> list[list[str]]:
    key, equals, values = grid.partition("=")
    if not (key and equals and values):
        raise InputError(f"grid: {grid!r} is not key=value,value; write objective.penalty=0.01,0.1,1")
    return [[f"{key}={value.strip()}"] for value in values.split(",")]
