"""The statistical jump model: regimes as clusters of features, with a price for every change of regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError, check_name, real, reals, whole
from praesidium.regimes import hmm
from praesidium.regimes.densities import Laws, Normal, draw
from praesidium.regimes.indicators import INDICATORS
from praesidium.regimes.jump_fit import JumpFit, Sample, fit_jumps, forward
from praesidium.regimes.jump_path import best_path, costs_through
from praesidium.regimes.model import RegimeModel
from praesidium.regimes.observations import Observations
from praesidium.regimes.penalty_selection import CRITERIA, compare_penalties
from praesidium.regimes.shapes import Diagonal
from praesidium.regimes.units import Units
from praesidium.training.reproducibility import stream

PENALTIES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


def hard(costs: Float[np.ndarray, "times states *rows"]) -> Float[np.ndarray, "times states *rows"]:
    """One for the regime of the cheapest path, shared where several are as cheap; a jump model knows no more."""
    cheapest = (costs == costs.min(1, keepdims=True)).astype(np.float64)
    return cheapest / cheapest.sum(1, keepdims=True)


def soft(costs: Float[np.ndarray, "times states *rows"]) -> Float[np.ndarray, "times states *rows"]:
    """exp(-cost) by share: what a hidden Markov model of unit variance says, with the best path in place of all.

    Features that move slowly count each day anew, so that it is surer than it is right; calibrate it before use.
    """
    likely = np.exp(costs.min(1, keepdims=True) - costs)
    return likely / likely.sum(1, keepdims=True)


PROBABILITIES: dict[str, Callable[..., np.ndarray]] = {"hard": hard, "soft": soft}
"""From the costs of the cheapest path to each regime to its probability."""


class JumpModel(RegimeModel, kind="jump"):
    """Regimes s_t and centers c_k that minimize sum_t |y_t - c(s_t)|^2 / 2 + jump_penalty (number of jumps).

    y are features, standardized by the training rows. A jump that is worth its price lasts, so regimes persist without
    any law of how long. Filtering at t gives the regime in which the cheapest path through rows 1..t ends. A row
    without a number costs nothing.

    Raw returns make poor features: regimes of markets differ by volatility, which a distance from centers does not see.
    ``indicators="returns"`` puts downside deviations and Sortino ratios in place of the first column. They are
    reckoned from the first row of X on and need a few half-lives, so give :meth:`filter` that much history.

    For score, sample and forecast, the columns are taken as normal and independent in each regime, and moves as a
    Markov chain, both as counted along the fitted path.

    Args:
        n_regimes: regimes K.
        jump_penalty: price of a jump, for the squared distance halved; ``"cv"`` chooses it within the training rows.
        indicators: ``none`` takes the columns of X as they are; ``returns`` makes features from the first.
        half_lives: of the indicators, in periods.
        probabilities: ``hard`` (zeros and a one) or ``soft``, of :meth:`filter` and :meth:`smooth`.
        penalties: that ``"cv"`` chooses from.
        criterion: that ``"cv"`` chooses by: ``predictive``, the log score of the next return, which needs no trading
            rule, or ``sharpe``, of the rule of Shu, Yu and Mulvey.
        n_splits: folds of ``"cv"``, each trained on all before it.
        n_init: starts of the descent; the lowest objective is kept. One in ten fits of 10 starts to index returns ends
            a little above the minimum; 40 starts take a third longer.
        random_state: seed of the starts.

    Attributes:
        centers_: (K, features), of standardized features.
        jump_penalty_: the penalty in use.
        objective_: minimum that was found, over the training rows.
        cv_results_: score by penalty and fold, and their mean; only after ``"cv"``.

    Source: Nystrup, Lindström and Madsen 2020, "Learning hidden Markov models with persistent states by penalizing
    jumps"; Shu, Yu and Mulvey 2024 (arXiv 2402.05272).
    """

    centers_: NDArray[np.float64]
    jump_penalty_: float
    objective_: float
    cv_results_: pd.DataFrame
    _jumps: JumpFit

    def __init__(
        self,
        n_regimes: int = 2,
        *,
        jump_penalty: float | str = 50.0,
        indicators: str = "none",
        half_lives: Sequence[float] = (5.0, 20.0, 60.0),
        probabilities: str = "hard",
        penalties: Sequence[float] = PENALTIES,
        criterion: str = "predictive",
        n_splits: int = 5,
        n_init: int = 10,
        random_state: int = 0,
    ) -> None:
        self.n_regimes = n_regimes
        self.jump_penalty = jump_penalty
        self.indicators = indicators
        self.half_lives = half_lives
        self.probabilities = probabilities
        self.penalties = penalties
        self.criterion = criterion
        self.n_splits = n_splits
        self.n_init = n_init
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        for name, known in (("indicators", INDICATORS), ("probabilities", PROBABILITIES), ("criterion", CRITERIA)):
            check_name(name, getattr(self, name), known)
        for name, usual in {"n_init": 10, "n_splits": 5}.items():
            value = getattr(self, name)
            if not whole(value):
                raise InputError(f"{name}: {value!r} is not a positive whole number; {usual} is usual")
        price = self.jump_penalty
        if price != "cv" if isinstance(price, str) else not (real(price) and 0 <= price < np.inf):
            raise InputError(f"jump_penalty: {price!r} is neither a number from 0 on nor 'cv'; 50 suits six features")
        if not (reals(self.penalties) and len(self.penalties) and all(0 <= one < np.inf for one in self.penalties)):
            raise InputError(f"penalties: {self.penalties!r} are not numbers from 0 on, such as {PENALTIES}")
        if not (reals(self.half_lives) and len(self.half_lives) and all(0 < one < np.inf for one in self.half_lives)):
            raise InputError(f"half_lives: {self.half_lives!r} are not positive numbers of periods; say (5, 20, 60)")

    def _fit(self, observed: Observations, inputs: Tensor | None) -> None:
        sample = Sample(self._features(observed), _by_time(observed), observed.lengths.numpy())
        if isinstance(self.jump_penalty, str):
            penalties = np.asarray(self.penalties).tolist()
            self.cv_results_ = compare_penalties(
                sample,
                penalties,
                self._fits,
                PROBABILITIES[self.probabilities],
                criterion=self.criterion,
                n_splits=int(self.n_splits),
            )
            penalty = penalties[int(np.nanargmax(self.cv_results_["mean"]))]
        else:
            penalty = float(self.jump_penalty)
        [fit] = self._fits(sample, [penalty])
        self._jumps = fit
        self.jump_penalty_, self.objective_ = float(penalty), fit.objective
        self.initial_, self.transition_ = fit.initial, fit.transition
        self.means_, self.volatilities_, self.centers_ = fit.laws.mean.numpy(), fit.volatilities, fit.centers

    def _fits(self, sample: Sample, penalties: Sequence[float]) -> list[JumpFit]:
        generator = stream(self.random_state, "regimes", "jump", "starts")
        return fit_jumps(sample, penalties, n_regimes=int(self.n_regimes), n_init=int(self.n_init), generator=generator)

    def learned(self) -> dict[str, Any]:
        kept = {name: one for name, one in super().learned().items() if name != "cv_results_"}
        units = self._jumps.units
        told = [units.center.tolist(), units.spread.tolist(), units.log_volume]
        return kept | {"units_": told, "variances_": self._jumps.laws.scale.tolist()}

    def restore(self, learned: Mapping[str, Any]) -> JumpModel:
        super().restore({name: one for name, one in learned.items() if name not in ("units_", "variances_")})
        variances = torch.tensor(learned["variances_"], dtype=torch.float64)
        laws = Laws(torch.from_numpy(self.means_), variances, Normal().start(len(self.means_)))
        center, spread, log_volume = learned["units_"]
        self._jumps = JumpFit(
            penalty=self.jump_penalty_,
            units=Units(torch.from_numpy(np.array(center)), torch.from_numpy(np.array(spread)), log_volume),
            centers=self.centers_,
            objective=self.objective_,
            initial=self.initial_,
            transition=self.transition_,
            laws=laws,
        )
        return self

    def _reorder(self, order: NDArray[np.int64]) -> None:
        super()._reorder(order)
        self._jumps = self._jumps.reorder(order)
        self.centers_ = self._jumps.centers

    def _filter(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        return self._weigh(forward([self._jumps], self._features(observed))[:, :, 0])

    def _smooth(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        costs = self._jumps.costs(self._features(observed))
        return self._weigh(costs_through(costs, np.asarray([self._jumps.penalty])))

    def _decode(self, observed: Observations, inputs: Tensor | None) -> Int[Tensor, "batch times"]:
        values = forward([self._jumps], self._features(observed))[:, :, 0]
        return torch.from_numpy(best_path(values, np.asarray([self._jumps.penalty])).T)

    def _log_likelihood(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, " batch"]:
        rows = Diagonal(observed.values.flatten(0, 1))
        densities = Normal().log_density(rows, self._jumps.laws).unflatten(0, observed.values.shape[:2])
        initial, transition = (torch.from_numpy(one).log() for one in (self.initial_, self.transition_))
        return hmm.log_normalizer(initial, transition, densities, lengths=observed.lengths)

    def _emit(self, states: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows features"]:
        return draw(states, self._jumps.laws, Diagonal, Normal(), generator)

    def _features(self, observed: Observations) -> Float[np.ndarray, "times sequences features"]:
        return INDICATORS[self.indicators](_by_time(observed), np.asarray(self.half_lives).tolist())

    def _weigh(self, costs: Float[np.ndarray, "times states sequences"]) -> Float[Tensor, "sequences times states"]:
        return torch.from_numpy(PROBABILITIES[self.probabilities](costs).transpose(2, 0, 1).copy())


def _by_time(observed: Observations) -> Float[np.ndarray, "times sequences columns"]:
    return observed.values.numpy().transpose(1, 0, 2)
