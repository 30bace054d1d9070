"""What is claimed, and what would speak against it: fixed in a file before the runs that decide."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator

import praesidium.conf
from praesidium.component import Component, InputError, build, unknown
from praesidium.experiments.methods import NAMED
from praesidium.reporting.comparison import Comparisons, Effect, Protocol, Want
from praesidium.reporting.mechanism import gap_correlation

PACKAGED = Path(praesidium.conf.__path__[0]) / "prereg.yaml"


class Claim(Component):
    """A statement with the effects that decide it. It holds if each of its effects supports it.

    Attributes:
        id: short name.
        statement: for people.
    """

    id: str
    statement: str

    @abstractmethod
    def methods(self) -> tuple[str, ...]:
        """All methods that it needs."""

    def wants(self) -> Sequence[Want]:
        """What the comparisons have to read for it."""
        return ()

    @abstractmethod
    def effects(self, comparisons: Comparisons) -> list[Effect]:
        """Its numbers, whether or not the runs are there."""

    @abstractmethod
    def supported(self, effect: Effect, *, significance: float) -> bool:
        """Whether an effect with an interval lies on the claimed side."""

    @abstractmethod
    def contradicted(self, effect: Effect) -> bool:
        """Whether an effect with an interval lies wholly on the other side."""

    def remark(self, effect: Effect) -> str:
        """What else is to be said of an effect with an interval."""
        return ""


class Compared(Claim):
    """A method is better than every reference in every environment.

    Attributes:
        method: whose effect.
        references: against which.
        environments: where.
        above: the whole interval must lie above it.
        goal: the estimate must reach it.
        significant: also the adjusted p-value must be below the significance; for the primary family alone.
    """

    method: str
    references: tuple[str, ...] = Field(min_length=1)
    environments: tuple[str, ...] = Field(min_length=1)
    above: float = 0.0
    goal: float | None = None
    significant: bool = False

    def methods(self) -> tuple[str, ...]:
        return (self.method, *self.references)

    def wants(self) -> Sequence[Want]:
        return [Want(measure, place, self.methods()) for measure in self.measures() for place in self.environments]

    def measures(self) -> tuple[str, ...]:
        """What it reads of each of its methods."""
        return ("cvar95",)

    def effects(self, comparisons: Comparisons) -> list[Effect]:
        return [self.effect(comparisons, name, place) for place in self.environments for name in self.references]

    @abstractmethod
    def effect(self, comparisons: Comparisons, reference: str, environment: str) -> Effect:
        """The effect against one reference in one environment."""

    def supported(self, effect: Effect, *, significance: float) -> bool:
        reached = self.goal is None or _number(effect.estimate) >= self.goal
        sure = not self.significant or (effect.p_holm is not None and effect.p_holm < significance)
        return _number(effect.lower) > self.above and reached and sure

    def contradicted(self, effect: Effect) -> bool:
        return _number(effect.upper) < (self.above if self.goal is None else max(self.above, self.goal))

    def remark(self, effect: Effect) -> str:
        partial = self.contradicted(effect) and _number(effect.lower) > self.above
        return "an effect, but short of the goal" if partial else ""


class Reduction(Compared, kind="reduction"):
    """The median over seeds of 1 - ours / theirs. Less turnover than 20 % more is a reduction above -0.2.

    Attributes:
        measure: CVaR-95, or the mean over episodes of the maximal drawdown or of the turnover.
    """

    measure: Literal["cvar95", "max_drawdown", "turnover"] = "cvar95"

    def measures(self) -> tuple[str, ...]:
        return (self.measure,)

    def effect(self, comparisons: Comparisons, reference: str, environment: str) -> Effect:
        return comparisons.reduction(self.measure, self.method, reference, environment)


class Replication(Compared, kind="replication"):
    """The reduction of CVaR-95 agrees with a published band, or exceeds it, and its interval lies above ``above``.

    An interval that only touches the band agrees with it.

    Attributes:
        band: lower and upper end.
    """

    band: tuple[float, float]

    def effect(self, comparisons: Comparisons, reference: str, environment: str) -> Effect:
        return comparisons.reduction("cvar95", self.method, reference, environment)

    def supported(self, effect: Effect, *, significance: float) -> bool:
        return super().supported(effect, significance=significance) and not self.contradicted(effect)

    def contradicted(self, effect: Effect) -> bool:
        return _number(effect.upper) < self.band[0]

    def remark(self, effect: Effect) -> str:
        return "exceeds the band" if _number(effect.lower) > self.band[1] else ""


class PnlGain(Compared, kind="pnl_gain"):
    """The mean PnL exceeds the reference's by more than ``above`` times the reference's CVaR-95."""

    def measures(self) -> tuple[str, ...]:
        return ("mean_loss", "cvar95")

    def effect(self, comparisons: Comparisons, reference: str, environment: str) -> Effect:
        return comparisons.pnl_gain(self.method, reference, environment)


class GapClosed(Compared, kind="gap_closed"):
    """The share that is closed of the gap between the references and an upper bound.

    Attributes:
        bound: the method that knows what it is judged on.
    """

    bound: str

    def methods(self) -> tuple[str, ...]:
        return (*super().methods(), self.bound)

    def effect(self, comparisons: Comparisons, reference: str, environment: str) -> Effect:
        return comparisons.gap_closed(self.method, reference, self.bound, environment)


class Mechanism(Claim, kind="mechanism"):
    """Within methods and at equal mean risk, runs that are more stable have the smaller gap: a negative correlation.

    Attributes:
        stability: key of the final metrics, higher = more stable.
        pooled: methods whose runs are looked at, each with its own level.
        environments: whose range of CVaR-95 is the gap.
    """

    stability: str
    pooled: tuple[str, ...] = Field(min_length=1)
    environments: tuple[str, ...] = Field(min_length=2)

    def methods(self) -> tuple[str, ...]:
        return self.pooled

    def effects(self, comparisons: Comparisons) -> list[Effect]:
        chosen = {"stability": self.stability, "methods": self.pooled, "environments": self.environments}
        return [gap_correlation(comparisons.root, comparisons.protocol, **chosen)]

    def supported(self, effect: Effect, *, significance: float) -> bool:
        return _number(effect.upper) < 0

    def contradicted(self, effect: Effect) -> bool:
        return _number(effect.lower) > 0


class Selection(Component):
    """How settings and checkpoints were chosen, for every method alike.

    Attributes:
        measure: of the validation episodes, lower = better.
        environment: of validation.
    """

    measure: Literal["cvar95"]
    environment: str


class Prereg(Protocol):
    """The protocol and what it is to decide.

    Attributes:
        selection: how settings were chosen.
        claims: in the order of the report.
    """

    selection: Selection
    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Prereg:
        ids = [claim.id for claim in self.claims]
        if len(set(ids)) < len(ids):
            raise ValueError(f"claims {ids} repeat an id; give each its own")
        both = set(self.seeds) & set(self.development_seeds)
        if both:
            raise ValueError(f"seeds {sorted(both)} also served development; take fresh ones")
        if self.baseline not in self.family:
            raise ValueError(f"baseline {self.baseline!r} is not in the family {self.family}; add it")
        for name in (self.method, *self.family, *(name for claim in self.claims for name in claim.methods())):
            if name not in NAMED:
                raise ValueError(unknown("methods", name, NAMED))
        for claim in self.claims:
            if isinstance(claim, Compared) and claim.significant and not self._primary(claim):
                raise ValueError(
                    f"claim {claim.id} asks for an adjusted test outside the primary family; drop significant"
                )
        return self

    def _primary(self, claim: Compared) -> bool:
        """Whether all its tests are made in the primary family."""
        here = isinstance(claim, Reduction) and claim.measure == "cvar95" and claim.environments == (self.environment,)
        return here and claim.method == self.method and set(claim.references) <= set(self.family)


def load(path: Path = PACKAGED) -> Prereg:
    """Read a registration; without a path, the one that comes with the package.

    Raises:
        InputError: if it cannot be read, or a setting is unknown or out of bounds.
    """
    try:
        settings = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        raise InputError(f"{path}: cannot be read as YAML; give a registration like {PACKAGED.name}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path}: holds no settings; give a registration like {PACKAGED.name}")
    return build(Prereg, settings, str(path))


def fingerprint(path: Path = PACKAGED) -> str:
    """SHA-256 of the file as it is: it changes with every byte, comments included."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("only an effect with an estimate and an interval can be judged")
    return value
