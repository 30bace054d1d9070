"""Data sets of calibrated markets: one environment for each volatility band, and the file that keeps them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import model_validator

from praesidium.component import InputError, build
from praesidium.data.simulated import Simulated
from praesidium.data.volatility import BANDS
from praesidium.markets.calibration.estimate import Calibration
from praesidium.markets.market import TRADING_DAYS, Market
from praesidium.markets.randomized import Randomized

A_PRIORI = "crisis"  # too few days to calibrate on, and those that there are judge
WIDE = "wide_"
SCALED = ("xi", "jump_mean", "jump_sd")  # with the level of volatility
TARGET = 0.8  # least share of paths with their realized volatility in the band
PATHS = 4096
HALVINGS = 6
DIGITS = 4


class Calibrated(Simulated, kind="calibrated"):
    """The simulated data set in a file that ``praesidium calibrate`` has written.

    Reading it gives a :class:`~praesidium.data.simulated.Simulated` with the numbers of the file, so that a run keeps
    them whatever becomes of the file. Further settings go before those of the file.

    Attributes:
        path: relative paths start at the working directory.
    """

    path: str

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("path"), str):
            return handler(value)
        own = {name: setting for name, setting in value.items() if name not in ("kind", "path")}
        return build(Simulated, _merged(_settings_in(Path(value["path"])), own))


@dataclass(frozen=True)
class Placed:
    """A calibrated market in a band.

    Attributes:
        settings: of the market.
        kept: share of the calibrated volatility of the variance, relative to the level, that is left.
        inside: share of paths whose realized volatility is in the band, the lesser of history and episode.
    """

    settings: dict[str, Any]
    kept: float
    inside: float


def place(
    calibration: Calibration, template: Mapping[str, Any], *, generator: torch.Generator
) -> tuple[dict[str, Any], dict[str, Placed]]:
    """A simulated data set with calibrated dynamics in place of its own, except in a crisis.

    Levels, first variances and costs are the template's. kappa, rho and the intensity of jumps are the calibration's;
    xi and the size of jumps go with the level of volatility, which leaves the shape of all laws as it is. Where the
    realized volatility would then leave its band on more than a fifth of the paths, xi is cut, as little as it takes:
    a band is a regime, within which variance moves less than over many years. ``wide_`` environments draw theta within
    10 % and the rest from their calibrated intervals, scaled and cut alike.

    Args:
        calibration: any dynamics.
        template: settings of a :class:`~praesidium.data.simulated.Simulated` of Heston markets, by band.
        generator: the only source of randomness.

    Returns:
        Settings of the data set, and what became of each environment that was calibrated.
    """
    settings, placed = copy.deepcopy(dict(template)), {}
    simulated = build(Simulated, {name: value for name, value in template.items() if name != "kind"})
    for name in simulated.environments:
        plain = name.removeprefix(WIDE)
        band = plain.split("_")[0]
        if band == A_PRIORI:
            continue
        levels = simulated.environments[plain].market.settings()
        one = _fit_into(calibration, levels, name.startswith(WIDE), BANDS[band], simulated, generator)
        settings["environments"][name]["market"] = one.settings
        placed[name] = one
    return settings, placed


def _fit_into(
    calibration: Calibration,
    levels: Mapping[str, Any],
    wide: bool,
    band: tuple[float, float],
    template: Simulated,
    generator: torch.Generator,
) -> Placed:
    state = generator.get_state()

    def at(kept: float) -> Placed:
        market = _market(calibration, levels["theta"], levels["v0"], kept)
        if wide:
            market = _widened(calibration, market)
        generator.set_state(state)  # the same draws for every candidate
        return Placed(market, kept, _share_inside(build(Market, market), band, template, generator))

    best, low, high = at(1.0), 0.0, 1.0
    if best.inside >= TARGET or "xi" not in calibration.estimates:
        return best
    for _ in range(HALVINGS):
        middle = at((low + high) / 2)
        if middle.inside >= TARGET:
            best, low = middle, middle.kept
        else:
            high = middle.kept
    return best if low else at(2.0**-HALVINGS)


def _market(calibration: Calibration, level: float, first: list[float], kept: float) -> dict[str, Any]:
    """Settings at a level of annual variance, jumps included."""
    value = {name: estimate.value for name, estimate in calibration.estimates.items()}
    diffusive = value["theta"] if "theta" in value else value["volatility"] ** 2
    jumps = value.get("intensity", 0.0) * (value.get("jump_mean", 0.0) ** 2 + value.get("jump_sd", 0.0) ** 2)
    share, size = diffusive / (diffusive + jumps), math.sqrt(level / (diffusive + jumps))
    sized = {name: _round(value[name] * size) for name in ("jump_mean", "jump_sd") if name in value}
    jumping = {"intensity": _round(value["intensity"]), **sized} if sized else {}
    if "theta" not in value:
        base = {"kind": "gbm", "volatility": _round(value["volatility"] * size)}
        return {"kind": "merton", "base": base, **jumping} if jumping else base
    return {
        "kind": calibration.dynamics,
        "theta": _round(level * share),
        "kappa": _round(value["kappa"]),
        "xi": _round(max(value["xi"] * size * kept, 1e-3)),
        "rho": _round(value["rho"]),
        "v0": [_round(bound * share) for bound in first],
        **jumping,
    }


def _widened(calibration: Calibration, market: dict[str, Any]) -> dict[str, Any]:
    """Theta within 10 %, all else within its calibrated interval, scaled as its point was."""
    intervals = {}
    for name, estimate in calibration.estimates.items():
        if name in ("theta", "volatility"):
            if name in market:
                intervals[name] = [_round(0.9 * market[name]), _round(1.1 * market[name])]
            continue
        scale = market[name] / estimate.value if name in SCALED and estimate.value else 1.0
        intervals[name] = [_round(bound * scale) for bound in (estimate.low, estimate.high)]
    return {"kind": Randomized.kind, "base": market, "intervals": intervals}


def _share_inside(market: Market, band: tuple[float, float], template: Simulated, generator: torch.Generator) -> float:
    paths = market.simulate(
        paths=PATHS, horizon=template.horizon, lookback=template.lookback, generator=generator, dtype=torch.float32
    )
    squares = paths.spot.double().log().diff(dim=0).square()
    shares = []
    for part in (squares[: template.lookback], squares[template.lookback :]):
        volatility = (TRADING_DAYS * part.mean(0)).sqrt()
        shares.append(((volatility >= band[0]) & (volatility < band[1])).double().mean().item())
    return min(shares)


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _settings_in(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; write one with: praesidium calibrate --data FILE --out {path}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError):
        settings = None
    if not isinstance(settings, dict) or settings.pop("kind", None) != "simulated":
        raise InputError(f"{path}: holds no simulated data set; write one with: praesidium calibrate")
    return settings


def _merged(there: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What is set by oneself goes before what is there, setting by setting."""
    merged = dict(there)
    for name, value in own.items():
        merged[name] = _merged(merged[name], value) if _same_kind(merged.get(name), value) else value
    return merged


def _same_kind(there: Any, own: Any) -> bool:
    """Whether both are settings, of one component."""
    if not isinstance(there, Mapping) or not isinstance(own, Mapping):
        return False
    return own.get("kind", there.get("kind")) == there.get("kind")
