"""Maximum likelihood of a hidden Markov model by expectation maximization, with exact inference.

Source: Baum, Petrie, Soules and Weiss 1970; Rabiner 1989, section III.C; a pseudo-count of stays makes it the maximum
a posteriori under a Dirichlet prior (Gauvain and Lee 1994, section IV).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.regimes import hmm
from praesidium.regimes.densities import Laws, Tails
from praesidium.regimes.scan import over_rows
from praesidium.regimes.shapes import Shape

LEAST_MOVE = 1e-80  # probability of a move: far too small to count, and inference stays fast
SELDOM = 1e-4  # probability of a move from which a gradient may start: for a smaller one there is none left


class Fit(NamedTuple):
    """Parameters of a hidden Markov model, and how they were reached.

    Attributes:
        initial: (K), distribution of the first regime.
        transition: (K, K), a row for each regime now.
        laws: of the observations.
        history: the objective before the first step and after each one; rising.
        converged: whether the last gain was below the tolerance.
    """

    initial: Float[Tensor, " regimes"]
    transition: Float[Tensor, "regimes states"]
    laws: Laws
    history: tuple[float, ...] = ()
    converged: bool = False


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be maximized: log p(x) + stickiness sum_k log A_kk.

    Attributes:
        rows: all rows of all sequences, padded to the longest, which have nothing in them past the end.
        tails: of the laws.
        lengths: rows of each sequence.
        stickiness: stays of each regime that count as seen beforehand.
        least: lower bound of a variance.
    """

    rows: Shape
    tails: Tails
    lengths: Int[Tensor, " batch"]
    stickiness: float
    least: float

    def log_density(self, laws: Laws) -> Float[Tensor, "batch times regimes"]:
        """log p(x_t | z_t = k) by sequence, time and regime."""
        return self.tails.log_density(self.rows, laws).unflatten(0, (len(self.lengths), -1))

    def prior(self, log_transition: Float[Tensor, "regimes states"]) -> Tensor:
        """What the objective has beside the likelihood."""
        return self.stickiness * log_transition.diagonal().sum()

    def maximize(self, fit: Fit, found: hmm.Smoothed) -> Fit:
        """The M-step: parameters that fit the expected states best."""
        weight = found.marginals.flatten(0, 1) * (self.rows.count > 0)
        laws = self.tails.maximize(self.rows, fit.laws, weight)
        laws = laws._replace(scale=self.rows.raised(laws.scale, self.least))
        initial = found.marginals[:, 0].mean(0)
        moves = found.pairs.flatten(0, 1).sum(0) + self.stickiness * torch.eye(len(initial), dtype=initial.dtype)
        left = over_rows(moves).unsqueeze(-1)
        transition = torch.where(left > 0, moves / left.clamp(min=LEAST_MOVE), fit.transition)
        return Fit(initial, transition.clamp(min=LEAST_MOVE), laws)


@torch.no_grad()
def expectation_maximization(problem: Problem, fit: Fit, *, max_iter: int, tol: float) -> Fit:
    """Climb from ``fit`` until a step gains less than ``tol`` nats a row, or ``max_iter`` steps were taken.

    Each step raises the objective, unless a variance was held at its lower bound.
    """
    found, objective = _expected(problem, fit)
    history, least = [*fit.history[:-1], objective], tol * float((problem.rows.count > 0).sum())
    for _ in range(max_iter):
        fit = problem.maximize(fit, found)
        found, objective = _expected(problem, fit)
        history.append(objective)
        if objective - history[-2] < least:
            return fit._replace(history=tuple(history), converged=True)
    return fit._replace(history=tuple(history))


def _expected(problem: Problem, fit: Fit) -> tuple[hmm.Smoothed, float]:
    """The E-step, and the objective."""
    likelihood = problem.log_density(fit.laws)
    found = hmm.smoothed(fit.initial.log(), fit.transition.log(), likelihood, lengths=problem.lengths)
    return found, float(found.log_normalizer.sum() + problem.prior(fit.transition.log()))
