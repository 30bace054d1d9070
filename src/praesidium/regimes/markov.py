"""Hidden Markov models: regimes that move by a chain, and observations that depend on the regime of their row alone."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError, check_name, real, whole
from praesidium.regimes import hmm
from praesidium.regimes.baum_welch import Fit, Problem
from praesidium.regimes.densities import Laws, Tails, draw
from praesidium.regimes.model import Lengths, RegimeModel
from praesidium.regimes.observations import Observations
from praesidium.regimes.shapes import Shape
from praesidium.regimes.units import Units


class MarkovModel(RegimeModel):
    """Base of the hidden Markov models: exact inference from a chain and the laws of its regimes.

    Attributes:
        scales_: squared scale of each feature, (K, features), or scale matrices, (K, features, features); variances
            and covariance matrices where tails are normal.
        history_: the objective after each step of the fit, of the start that was followed: log p(X), and log-prior
            where there is one.
        n_iter_: steps taken.
        converged_: whether the last step gained less than the tolerance.
    """

    tails: ClassVar[Tails]

    covariance: str
    n_init: int
    max_iter: int
    tol: float
    stickiness: float
    min_variance: float
    scales_: NDArray[np.float64]
    history_: NDArray[np.float64]
    n_iter_: int
    converged_: bool

    @property
    def covariances_(self) -> NDArray[np.float64]:
        """(K, features, features), covariance matrix of the features in each regime."""
        scale, dof = self._laws.scale, self._laws.dof
        return (self._shape.matrices(scale) * self.tails.inflation(dof)[:, None, None]).numpy()

    @final
    def log_scores(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> Any:
        """log p(x_t | x_1..t-1) by row, (rows,): what each observation cost before it came; they sum to the score."""
        observed, driven = self._given(X, inputs, lengths)
        scores = hmm.predictive(*self._evidence(observed, driven), lengths=observed.lengths)
        return observed.column(scores, "log_score")

    @final
    def aic(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> float:
        """Akaike's criterion, -2 log p(X) + 2 parameters: lower is better."""
        return 2 * self.n_parameters_ - 2 * self.score(X, inputs=inputs, lengths=lengths)

    @final
    def bic(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> float:
        """Schwarz's criterion, -2 log p(X) + parameters log(rows): lower is better."""
        observed, _ = self._given(X, inputs, lengths)
        rows = int((~observed.missing).any(-1).sum())
        return self.n_parameters_ * math.log(rows) - 2 * self.score(X, inputs=inputs, lengths=lengths)

    @property
    def n_parameters_(self) -> int:
        """Free parameters: of the first regime, the moves and the laws."""
        regimes, features = self.means_.shape
        laws = regimes * (features + self._shape.parameters(features)) + self.tails.free(self._laws.dof).numel()
        return regimes - 1 + regimes * (regimes - 1) + laws

    # ---- inference --------------------------------------------------------------------------------------------------

    def _filter(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        return hmm.filtered(*self._evidence(observed, inputs), lengths=observed.lengths)

    def _smooth(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        return hmm.smoothed(*self._evidence(observed, inputs), lengths=observed.lengths).marginals

    def _decode(self, observed: Observations, inputs: Tensor | None) -> Int[Tensor, "batch times"]:
        return hmm.viterbi(*self._evidence(observed, inputs), lengths=observed.lengths).states

    def _log_likelihood(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, " batch"]:
        return hmm.log_normalizer(*self._evidence(observed, inputs), lengths=observed.lengths)

    def _emit(self, states: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows features"]:
        return draw(states, self._laws, self._shape, self.tails, generator)

    def _evidence(self, observed: Observations, inputs: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What the functions of :mod:`.hmm` take."""
        density = self.tails.log_density(self._shape(observed.values.flatten(0, 1)), self._laws)
        likelihood = density.unflatten(0, observed.values.shape[:2])
        return torch.from_numpy(self.initial_).log(), self._log_steps(inputs), likelihood

    def _log_steps(self, inputs: Tensor | None) -> Tensor:
        """log P(z_{t+1} | z_t) of the moves between rows, as :mod:`.hmm` takes them."""
        return torch.from_numpy(self.transition_).log()

    # ---- fitting ----------------------------------------------------------------------------------------------------

    @property
    def _shape(self) -> type[Shape]:
        return Shape.registry[self.covariance]

    def _check(self) -> None:
        super()._check()
        check_name("covariance", self.covariance, Shape.registry)
        for name, usual in {"n_init": 4, "max_iter": 300}.items():
            value = getattr(self, name)
            if not whole(value):
                raise InputError(f"{name}: {value!r} is not a positive whole number; {usual} is usual")
        for name in ("tol", "stickiness"):
            value = getattr(self, name)
            if not (real(value) and 0 <= value < math.inf):
                raise InputError(f"{name}: {value!r} is not a number from 0 on; leave it out for the usual one")
        if not (real(self.min_variance) and 0 < self.min_variance < 1):
            raise InputError(f"min_variance: {self.min_variance!r} is not a share in (0, 1); 0.001 is usual")

    def _problem(self, observed: Observations) -> tuple[Problem, Units]:
        """What is to be maximized, of standardized observations."""
        units = Units.of(observed.rows, "X")
        rows = self._shape(units.standardized(observed.values).flatten(0, 1))
        return Problem(rows, self.tails, observed.lengths, float(self.stickiness), float(self.min_variance)), units

    def _settle(self, fit: Fit, units: Units) -> None:
        """Take over the parameters of a fit to standardized observations."""
        self.means_ = (units.center + units.spread * fit.laws.mean).numpy()
        self.scales_ = self._shape.restored(fit.laws.scale, units.spread).numpy()
        self.initial_, self.transition_ = fit.initial.numpy(), fit.transition.numpy()
        self.volatilities_ = np.sqrt(self.covariances_[:, 0, 0])
        self.history_ = np.array(fit.history) - units.log_volume
        self.n_iter_, self.converged_ = len(fit.history) - 1, fit.converged

    def _reorder(self, order: NDArray[np.int64]) -> None:
        super()._reorder(order)
        self.scales_ = self.scales_[order]

    @property
    def _laws(self) -> Laws:
        return Laws(torch.from_numpy(self.means_), torch.from_numpy(self.scales_), self._dof())

    def _dof(self) -> Float[Tensor, " regimes"]:
        """Degrees of freedom of the tails."""
        return self.tails.start(len(self.means_))
