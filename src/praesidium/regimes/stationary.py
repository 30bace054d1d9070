"""Fitting of hidden Markov models whose chain does not change: expectation maximization, or the gradient."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from praesidium.component import check_name
from praesidium.regimes.ascent import gradient_ascent
from praesidium.regimes.baum_welch import expectation_maximization
from praesidium.regimes.markov import MarkovModel
from praesidium.regimes.observations import Observations
from praesidium.regimes.partitions import best_partition

METHODS = {"em": expectation_maximization, "gradient": gradient_ascent}


class StationaryHMM(MarkovModel):
    """A hidden Markov model with the same transitions at all times, fitted by maximum likelihood.

    Args:
        n_regimes: number of regimes, K.
        covariance: ``"diag"``, no correlation in a regime, or ``"full"``.
        method: ``"em"``, or ``"gradient"`` for L-BFGS on the exact log-likelihood; both reach the same optimum. None
            takes the faster one, which is EM where tails are normal.
        n_init: partitions of the rows to start from; after a few steps of EM from each, the likeliest is followed.
        max_iter: steps at most.
        tol: least gain of a step to go on, in nats a row.
        stickiness: stays of each regime that count as seen beforehand; 0 is maximum likelihood.
        min_variance: lower bound of a variance in a regime, as a share of the variance of all rows.
        random_state: seed of the partitions.
    """

    faster: ClassVar[str] = "em"

    method: str | None

    def __init__(
        self,
        n_regimes: int = 2,
        *,
        covariance: str = "diag",
        method: str | None = None,
        n_init: int = 4,
        max_iter: int = 300,
        tol: float = 1e-7,
        stickiness: float = 0.0,
        min_variance: float = 1e-3,
        random_state: int = 0,
    ) -> None:
        self.n_regimes = n_regimes
        self.covariance = covariance
        self.method = method
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.stickiness = stickiness
        self.min_variance = min_variance
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        if self.method is not None:
            check_name("method", self.method, METHODS)

    def _fit(self, observed: Observations, inputs: Tensor | None) -> None:
        problem, units = self._problem(observed)
        values = units.standardized(observed.values)
        first = best_partition(problem, values, int(self.n_regimes), count=int(self.n_init), seed=self.random_state)
        climb = METHODS[self.method or self.faster]
        self._settle(climb(problem, first, max_iter=int(self.max_iter), tol=float(self.tol)), units)
