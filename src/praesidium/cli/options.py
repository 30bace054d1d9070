"""Options that several commands share, and the files that preset them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from praesidium.component import InputError, unknown

if TYPE_CHECKING:
    from praesidium.experiments.grid import Cell


class Preset(StrEnum):
    """Size of a study."""

    quick = "quick"
    standard = "standard"
    paper = "paper"


Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Hydra overrides.")]
PresetOption = Annotated[Preset, typer.Option(help="Size: quick (minutes), standard (10 seeds), paper (30 seeds).")]
Config = Annotated[Path | None, typer.Option(help="YAML that presets these options.", metavar="FILE")]
Datasets = Annotated[str | None, typer.Option(help="Data sets, a,b.  [default: synthetic_heston,sp500]")]
Seeds = Annotated[str | None, typer.Option(help="Seeds, 0,1,2 or 0..29.  [default: by preset]")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:0 or mps.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: planned]")]
Stack = Annotated[int | None, typer.Option(min=1, help="Seeds that train as one.  [default: planned]")]
Out = Annotated[Path | None, typer.Option("--out", "--results-dir", help="Folder for the results.", metavar="DIR")]
Folder = Annotated[Path | None, typer.Argument(help="Results of a study.  [default: results/quick]", metavar="DIR")]
Root = Annotated[
    Path | None, typer.Option("--results-dir", "--root_dir", help="The same, as an option.", metavar="DIR")
]

QUICK = Path("results/quick")
SETTINGS = ("preset", "datasets", "methods", "seeds", "out", "overrides")


def preset_by(config: Path | None, **given: Any) -> dict[str, Any]:
    """Options as they are given, else as the file says, else None.

    Raises:
        InputError: if the file cannot be read or sets something unknown.
    """
    import yaml

    if config is None:
        return {**given, "overrides": given.get("overrides") or []}
    try:
        there = yaml.safe_load(config.read_text())
    except (OSError, yaml.YAMLError):
        raise InputError(f"config: {config} cannot be read; give a YAML file with {', '.join(SETTINGS)}") from None
    if not isinstance(there, dict):
        raise InputError(f"config: {config} holds no settings; give a YAML file with {', '.join(SETTINGS)}")
    for name in there:
        if name not in SETTINGS:
            raise InputError(unknown(f"config {config}", name, SETTINGS))
    overrides = there.pop("overrides", None) or []
    if not isinstance(overrides, list):
        raise InputError(f"config {config}: overrides={overrides!r} is no list; write overrides: [key=value, ...]")
    told = {name: _text(value) for name, value in there.items() if value is not None}
    own = {name: value for name, value in given.items() if value is not None}
    return {**given, **told, **own, "overrides": [*map(str, overrides), *(given.get("overrides") or [])]}


def folder_of(folder: Path | None, root: Path | None) -> Path:
    """The results folder that was named in either way."""
    return folder or root or QUICK


def cells_of(
    root: Path,
    datasets: str,
    methods: str,
    seeds: str,
    preset: str,
    overrides: list[str] | None,
    device: str,
    *,
    own: Mapping[str, Sequence[str]] = {},
    flat: bool = False,
) -> list[Cell]:
    """Cells of a grid, all names and settings checked."""
    from praesidium.experiments import grid

    check_device(device)
    return grid.cells_of(
        datasets=grid.parse_names(datasets, "datasets"),
        methods=grid.parse_names(methods, "methods"),
        seeds=grid.parse_seeds(seeds),
        root=root,
        preset=preset,
        overrides=overrides or [],
        own=own,
        device=device,
        flat=flat,
    )


def check_device(device: str) -> None:
    """Refuse a device that is unknown or not there."""
    import torch

    kind, _, number = device.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f"device: {device!r} is unknown; known: cpu, cuda, cuda:0, mps")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]
    if not there or (number and int(number) >= torch.cuda.device_count()):
        raise InputError(f"device: there is no {device} on this machine; leave --device out to run on the CPU")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
