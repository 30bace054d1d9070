"""Numbers that claims rest on: effects of a method against a reference, from one bootstrap for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from praesidium.component import Component, InputError
from praesidium.reporting.aggregates import holm
from praesidium.reporting.losses import Losses, read_losses
from praesidium.reporting.paired import wilcoxon
from praesidium.reporting.pigeonhole import Draws, Resampled, cvar_draws, mean_draws
from praesidium.reporting.statistics import interval, median, reduction
from praesidium.training.reproducibility import stream

COLUMNS = {"cvar95": "pnl", "mean_loss": "pnl", "max_drawdown": "max_drawdown", "turnover": "turnover"}
Fraction = Field(gt=0, lt=1)


class Protocol(Component):
    """How methods are compared, fixed before the runs.

    Attributes:
        dataset: name of the data set.
        method: the method under test.
        baseline: what it is meant to improve on; a member of the family.
        environment: where the primary family of comparisons is made.
        family: references whose tests are adjusted together (Holm).
        seeds: that count.
        development_seeds: on which settings were chosen; they never count.
        episodes: of the evaluation, in each environment.
        cvar_level: confidence of the CVaR.
        draws: of the pigeonhole bootstrap.
        confidence: of the intervals; the tests are made at one less it.
        equivalence_margin: the largest effect that does not matter in practice.
        equivalence_confidence: of the interval that has to lie within the margin.
    """

    dataset: str
    method: str
    baseline: str
    environment: str
    family: tuple[str, ...]
    seeds: tuple[int, ...] = Field(min_length=1)
    development_seeds: tuple[int, ...] = ()
    episodes: PositiveInt
    cvar_level: float = Fraction
    draws: PositiveInt
    confidence: float = Fraction
    equivalence_margin: float = Field(gt=0)
    equivalence_confidence: float = Fraction


@dataclass(frozen=True)
class Effect:
    """One number with what is needed to judge it; None where it cannot be told.

    Attributes:
        quantity: what the number is.
        method: whose effect.
        reference: against what.
        environment: where.
        estimate: from the episodes and seeds as they are; None if a method or all seeds are missing.
        lower: lower end of its interval.
        upper: upper end.
        equivalence: ends of the shorter interval that is held against the margin; None where there is no such test.
        p: of the exact two-sided signed-rank test over paired seeds, where one is made.
        p_holm: the same, adjusted in the primary family, if this comparison belongs to it.
        seeds: that were used, rising; empty for rules alone.
        missing: what is not there, by method.
    """

    quantity: str
    method: str
    reference: str
    environment: str
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    equivalence: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    seeds: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()


class Want(NamedTuple):
    """A quantity of some methods in one environment."""

    measure: str
    environment: str
    methods: tuple[str, ...]


class Comparisons:
    """Effects of the runs below a folder; whatever shares an environment shares its resampled episodes.

    Comparisons with the same number of seeds share their resampled seeds as well.
    """

    def __init__(self, root: Path, protocol: Protocol, wants: Iterable[Want]) -> None:
        """Read nothing yet.

        Args:
            root: results folder.
            protocol: how to compare.
            wants: all that will be asked for, so that each environment is resampled once.
        """
        self.root, self.protocol = root, protocol
        self._wanted: dict[tuple[str, str], dict[str, None]] = {}
        family = Want("cvar95", protocol.environment, (protocol.method, *protocol.family))
        for measure, environment, methods in (family, *wants):
            self._wanted.setdefault((measure, environment), {}).update(dict.fromkeys(methods))
        self._sampled: dict[tuple[str, str], _Sampled] = {}

    def reduction(self, measure: str, method: str, reference: str, environment: str) -> Effect:
        """Median over paired seeds of 1 - ours / theirs: the share of the reference's measure that is taken away.

        The CVaR comes with the signed-rank test of log ours - log theirs.
        """
        effect = self._reduction(measure, method, reference, environment)
        primary = (measure, method, environment) == ("cvar95", self.protocol.method, self.protocol.environment)
        if effect.p is None or not primary or reference not in self.protocol.family:
            return effect
        return replace(effect, p_holm=self._holm[reference])

    def pnl_gain(self, method: str, reference: str, environment: str) -> Effect:
        """Median over paired seeds of (mean PnL - that of the reference) / CVaR of the reference; positive = better."""
        parts = [("mean_loss", method), ("mean_loss", reference), ("cvar95", reference)]
        label = Effect("mean PnL gain / CVaR", method, reference, environment)
        return self._effect(label, parts, lambda ours, theirs, risk: median((theirs - ours) / risk))[0]

    def gap_closed(self, method: str, reference: str, bound: str, environment: str) -> Effect:
        """Median gain over the reference as a share of the bound's: 1 is as good as the bound.

        A ratio of medians, since single seeds may have next to no gap; without a value where the bound gains nothing.
        """
        parts = [("cvar95", name) for name in (method, reference, bound)]
        label = Effect(f"share closed of the gap to {bound}", method, reference, environment)
        return self._effect(label, parts, _gap_closed)[0]

    @cached_property
    def _holm(self) -> Mapping[str, float]:
        """Adjusted p-values of the primary family; a comparison that is missing keeps its place with p = 1."""
        chosen = self.protocol
        raw = [self._reduction("cvar95", chosen.method, name, chosen.environment).p for name in chosen.family]
        adjusted = holm(torch.tensor([1.0 if p is None else p for p in raw], dtype=torch.float64))
        return dict(zip(chosen.family, adjusted.tolist(), strict=True))

    def _reduction(self, measure: str, method: str, reference: str, environment: str) -> Effect:
        label = Effect(f"{measure} reduction", method, reference, environment)
        parts = [(measure, method), (measure, reference)]
        effect, observed = self._effect(label, parts, lambda ours, theirs: median(reduction(ours, theirs)))
        if measure != "cvar95" or not effect.seeds:
            return effect
        ours, theirs = observed
        # Whoever runs no risk at all ranks best: log 0 is -inf.
        return replace(effect, p=wilcoxon(ours.clamp(min=0).log() - theirs.log()))

    def _effect(
        self, label: Effect, parts: Sequence[tuple[str, str]], statistic: Callable[..., Tensor]
    ) -> tuple[Effect, list[Tensor]]:
        """A statistic of quantities of methods, by the seeds that all of them have; and the observed quantities."""
        sampled = [self._sample(measure, label.environment) for measure, _ in parts]
        methods = list(dict.fromkeys(name for _, name in parts))
        found = sampled[0].losses
        lacking = tuple(_lack(name, found) for name in methods if name in found.absent or name in found.missing)
        label = replace(label, missing=lacking)
        if any(name in found.absent for name in methods):
            return label, []
        seeds = found.shared(*methods)
        if not seeds and any(found.seeds[name] for name in methods):
            return replace(label, missing=(*lacking, f"no seed that {' and '.join(methods)} share")), []
        quantities = [one.place(name, seeds) for one, (_, name) in zip(sampled, parts, strict=True)]
        observed = [quantity.observed for quantity in quantities]
        drawn = statistic(*(quantity.drawn for quantity in quantities))
        lower, upper = interval(drawn, confidence=self.protocol.confidence)
        near = interval(drawn, confidence=self.protocol.equivalence_confidence)
        effect = replace(
            label,
            estimate=known(statistic(*observed).item()),
            lower=known(lower),
            upper=known(upper),
            equivalence=None if math.isnan(near[0]) else near,
            seeds=seeds,
        )
        return effect, observed

    def _sample(self, measure: str, environment: str) -> _Sampled:
        key = measure, environment
        if key not in self._sampled:
            self._sampled[key] = self._resample(measure, environment)
        return self._sampled[key]

    def _resample(self, measure: str, environment: str) -> _Sampled:
        chosen = self.protocol
        methods = tuple(self._wanted[measure, environment])
        column = COLUMNS[measure]
        losses = read_losses(self.root, chosen.dataset, environment, methods, column=column, seeds=chosen.seeds)
        if not losses.tables:
            return _Sampled(losses, {}, chosen.draws)
        rows = torch.cat(list(losses.tables.values()))
        if rows.shape[1] != chosen.episodes:
            raise InputError(
                f"{self.root}: the runs hold {rows.shape[1]} episodes of {environment}, the protocol asks for "
                f"{chosen.episodes}; run with evaluation.episodes={chosen.episodes}"
            )
        # Every row stays at its own place: which seeds are drawn depends on those that a comparison shares.
        places = torch.arange(len(rows)).expand(chosen.draws, -1)
        key = int(torch.randint(2**62, (), generator=stream("claims", environment)))
        draws = Draws(places, chosen.episodes, key)
        of_rows = {"": rows}
        result = (
            cvar_draws(of_rows, draws, level=chosen.cvar_level) if measure == "cvar95" else mean_draws(of_rows, draws)
        )
        sizes = [len(table) for table in losses.tables.values()]
        split = zip(result[""].observed.split(sizes), result[""].drawn.split(sizes, -1), strict=True)
        return _Sampled(
            losses, dict(zip(losses.tables, (Resampled(*pair) for pair in split), strict=True)), chosen.draws
        )


@dataclass(frozen=True)
class _Sampled:
    """A quantity in one environment: by method, each seed under the resampled episodes; seeds are not yet drawn."""

    losses: Losses
    quantities: Mapping[str, Resampled]
    draws: int

    def place(self, method: str, seeds: Sequence[int]) -> Resampled:
        """The quantity of a method on these seeds, resampled alike for every method; rules alone have one place."""
        rows = self.losses.rows(method, seeds) or [0]
        whole = self.quantities[method]
        return Resampled(whole.observed[rows], whole.drawn[:, rows].gather(1, _places(len(rows), self.draws)))


def _places(seeds: int, draws: int) -> Int[Tensor, "draws seeds"]:
    return torch.randint(seeds, (draws, seeds), generator=stream("claims", "seeds", seeds))


def _gap_closed(
    ours: Float[Tensor, "*draws seeds"], theirs: Float[Tensor, "*draws seeds"], bound: Float[Tensor, "*draws seeds"]
) -> Float[Tensor, "*draws"]:
    gap = median(theirs - bound)
    return torch.where(gap > 0, median(theirs - ours) / gap, math.nan)


def _lack(method: str, losses: Losses) -> str:
    if method in losses.absent:
        return f"no finished run of {method}"
    return f"no finished run of {method} with seed {_spans(losses.missing[method])}"


def _spans(seeds: Sequence[int]) -> str:
    """``3, 5 to 9`` for 3, 5, 6, 7, 8, 9."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(one[0]) if len(one) == 1 else f"{one[0]} to {one[-1]}" for one in runs)


def known(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else value
