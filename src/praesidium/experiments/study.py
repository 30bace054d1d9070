"""Study: the validated settings of one experiment, composed from Hydra groups and overrides."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

import praesidium.data
import praesidium.hedging
import praesidium.markets
import praesidium.objectives
import praesidium.policies
from praesidium.component import Component, InputError, build, unknown
from praesidium.data.environments import DataSet
from praesidium.experiments.composition import composed
from praesidium.hedging.instruments import Instrument
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.liability import Liability
from praesidium.hedging.limits import Limits
from praesidium.hedging.state_builder import StateSettings
from praesidium.objectives.objective import Objective
from praesidium.policies.policy import Policy, Sizes, TrainableRule
from praesidium.training.recipe import Recipe

FAMILIES = (praesidium.data, praesidium.hedging, praesidium.markets, praesidium.objectives, praesidium.policies)


class TrainingRisk(Component):
    """The risk that training minimizes. Reports always use the exact CVaR-95.

    Attributes:
        level: confidence of the CVaR.
        smoothing: half width of the smoothed tail boundary, in standard deviations of the losses.
        cost_smoothing: rounding of the kink of |trade|, in units of the underlying.
        pooled: one risk of the episodes of all environments together, in place of one for each.
        alignment_level: confidence of the CVaR whose gradients penalties compare, if it is another one: a lower one
            has a wider tail, and less noise.
        scale: ``reference`` divides all risks by the mean training risk of the delta hedge, so that published penalty
            weights mean the same here; ``environment`` divides each environment's by delta's risk there, so that
            methods that compare risks do not compare volatilities; ``none`` leaves them in units of the spot.
    """

    level: float = Field(default=0.95, gt=0, lt=1)
    smoothing: float = Field(default=0.1, gt=0, le=1)
    cost_smoothing: float = Field(default=1e-3, ge=0)
    pooled: bool = False
    alignment_level: float | None = Field(default=None, gt=0, lt=1)
    scale: Literal["reference", "environment", "none"] = "reference"


class Evaluation(Component):
    """How much is simulated to judge a policy; the same paths for every method and seed.

    Attributes:
        episodes: in each environment.
        validation_episodes: in each validation environment, to choose checkpoints.
        probe_episodes: in each environment, to ask a trained policy for its invariance.
        risk_spread: relative variance of risks over environments at which the index component C1 is zero: the 95th
            percentile over ``erm`` runs with development seeds.
        feature_spread: dispersion of features at which C3 is zero, likewise.
    """

    episodes: PositiveInt = 5000
    validation_episodes: PositiveInt = 4096
    probe_episodes: PositiveInt = 8192
    risk_spread: PositiveFloat = 0.003
    feature_spread: PositiveFloat = 0.12


class Choice(Component):
    """One setting of the policy, chosen by its validation risk before the policy is judged.

    Attributes:
        setting: name of the setting.
        values: what it may be.
    """

    setting: str
    values: tuple[float, ...] = Field(min_length=1)

    def among(self, policy: Policy) -> dict[float, Policy]:
        """The policy at each of the values.

        Raises:
            InputError: if the policy has no such setting, or a value is out of its bounds.
        """
        if self.setting not in type(policy).model_fields:
            raise InputError(unknown("choice.setting", self.setting, type(policy).model_fields))
        settings = policy.settings()
        return {value: build(Policy, {**settings, self.setting: value}, where="policy") for value in self.values}


class Study(Component):
    """Everything that decides the numbers of one data set and one method, up to the seed.

    Attributes:
        plugins: modules to import first; what they define can be chosen like what is built in.
        instruments: what hedges may hold beside the spot.
        limits: bounds on positions and trades.
        choice: a setting of a policy without parameters that is chosen on the validation environments.
    """

    plugins: tuple[str, ...] = ()
    data: DataSet
    liability: Liability = EuropeanCall()
    instruments: tuple[Instrument, ...] = ()
    limits: Limits | None = None
    choice: Choice | None = None
    state: StateSettings = StateSettings()
    policy: Policy
    objective: Objective
    risk: TrainingRisk = TrainingRisk()
    train: Recipe = Recipe()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        rule = self.policy.build(self.sizes, seed=0)
        if self.choice is not None:
            self.choice.among(self.policy)
            if isinstance(rule, TrainableRule):
                raise InputError(f"choice: {self.policy.kind} is trained; search its settings with praesidium tune")
        if self.instruments and not self.state.greeks:
            raise ValueError("instruments: the textbook hedge of several needs state.greeks=true")
        if self.train.labels == "regimes" and self.state.regimes is None:
            raise ValueError("train.labels: regimes need a view of them; say state.regimes.n_regimes=3")
        return self

    @property
    def sizes(self) -> Sizes:
        """What networks must know of it."""
        first = self.instruments[0] if self.instruments else None
        return Sizes(
            phi=len(self.state.phi_columns),
            context=len(self.state.context_columns),
            environments=len(self.environments),
            instruments=1 + len(self.instruments),
            regimes=0 if self.state.regimes is None else self.state.regimes.n_regimes,
            option=first is not None and first.days_left(self.data.horizon) is not None,
        )

    @property
    def environments(self) -> tuple[str, ...]:
        """Names of the environments that are trained on: those of the data set, or the regimes."""
        if self.train.labels == "regimes" and self.state.regimes is not None:
            return tuple(f"regime_{number}" for number in range(self.state.regimes.n_regimes))
        return self.data.train


def register_members(plugins: Sequence[str] = ()) -> None:
    """Import every module that may define a member of a family, so that a new file is all that a newcomer needs.

    Raises:
        InputError: if a plugin cannot be imported.
    """
    for package in FAMILIES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for plugin in plugins:
        try:
            importlib.import_module(plugin)
        except ImportError as error:
            raise InputError(f"plugins: {plugin!r} cannot be imported ({error}); is it installed?") from None


def compose(overrides: Sequence[str] = ()) -> Study:
    """Compose Hydra groups and overrides, and validate.

    Raises:
        InputError: as :func:`praesidium.experiments.composition.composed`, or if a setting is out of bounds.
    """
    settings = composed("config", overrides, fields=Study.model_fields)
    register_members(settings.get("plugins", ()))
    return build(Study, settings)
