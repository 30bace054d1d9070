"""Composition: Hydra groups and overrides become plain settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import praesidium.conf
from praesidium.component import InputError, unknown

CONF = Path(praesidium.conf.__path__[0])


def composed(config: str, overrides: Sequence[str], *, fields: Iterable[str]) -> dict[str, Any]:
    """Settings of a file with the groups that its defaults name, and with overrides.

    Args:
        config: the file below ``conf``, without ``.yaml``.
        overrides: in Hydra's grammar: ``objective=vrex`` picks a file of a group, ``objective.beta=10`` sets a value.
        fields: settings that there are at the top.

    Raises:
        InputError: names the group, file or setting that does not exist, with the nearest and all known ones.
    """
    defaults = yaml.safe_load((CONF / f"{config}.yaml").read_text(encoding="utf-8")).get("defaults", ())
    groups = [group for one in defaults if isinstance(one, dict) for group in one]
    prepared = [_prepare(override, groups, fields) for override in overrides]
    try:
        with initialize_config_module("praesidium.conf", version_base="1.3"):
            found = OmegaConf.to_container(compose(config, overrides=prepared), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"overrides: {' '.join(str(error).split())}") from None
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def options(group: str) -> list[str]:
    """Names of the files of a group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _prepare(override: str, groups: Sequence[str], fields: Iterable[str]) -> str:
    """Check a group's choice by name, and let any setting be set: what may be set is the classes' to say."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        raise InputError(f"{override!r} is not an override; write key=value, such as train.steps=200") from None
    key = parsed.key_or_group
    if parsed.is_sweep_override():
        raise InputError(f"{override!r} gives several values; an override takes one (--methods and --seeds take lists)")
    if key in groups:
        if parsed.value() not in options(key):
            raise InputError(unknown(key, parsed.value(), options(key)))
        return override
    top = key.partition(".")[0]
    if top not in {*fields, *groups}:
        raise InputError(unknown("override", top, {*groups, *fields}))
    plain = not (parsed.is_add() or parsed.is_delete() or parsed.is_force_add())
    return f"++{override}" if plain else override
