"""Maximum likelihood of a hidden Markov model by the gradient of its exact log-likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from praesidium.regimes import hmm
from praesidium.regimes.baum_welch import LEAST_MOVE, Fit, Problem
from praesidium.regimes.densities import Laws

LEAST_LOG = -30.0  # logarithm of a probability to start from; below it there is no gradient left
MEMORY = 20  # steps that L-BFGS remembers


class Ascent(NamedTuple):
    """Where an ascent ended, the objective before the first step and after each, and if it gained too little to go on.

    The history begins at the start.
    """

    values: list[Tensor]
    history: tuple[float, ...]
    converged: bool


def ascend(
    objective: Callable[[Sequence[Tensor]], Tensor], start: Sequence[Tensor], *, rows: int, max_iter: int, tol: float
) -> Ascent:
    """L-BFGS up an objective, until a step gains less than ``tol`` nats a row or ``max_iter`` steps were taken.

    Args:
        objective: of tensors of the shapes of ``start``; a scalar, in nats.
        start: where to begin.
        rows: of the data: the objective is divided by them.
        max_iter: steps at most.
        tol: nats a row.

    Source: Byrd, Lu, Nocedal and Zhu 1995, in scipy.
    """

    def split(flat: Tensor) -> list[Tensor]:
        parts = flat.split([one.numel() for one in start])
        return [part.view(one.shape) for part, one in zip(parts, start, strict=True)]

    def loss(flat: NDArray) -> tuple[float, NDArray]:
        leaf = torch.from_numpy(flat.copy()).requires_grad_()
        value = -objective(split(leaf)) / rows
        (slope,) = torch.autograd.grad(value, leaf)
        return value.item(), slope.numpy()

    def note(intermediate_result: OptimizeResult) -> None:
        history.append(-rows * float(intermediate_result.fun))

    first = torch.cat([one.flatten() for one in start])
    history = [float(objective(start))]
    options = {
        "maxiter": max_iter,
        "maxfun": 10 * max_iter + 20,
        "ftol": tol / max(1.0, abs(history[0]) / rows),  # scipy's is relative
        "gtol": 0.0,
        "maxcor": MEMORY,
    }
    found = minimize(loss, first.numpy(), jac=True, method="L-BFGS-B", callback=note, options=options)
    return Ascent(split(torch.from_numpy(found.x)), tuple(history), bool(found.success))


def gradient_ascent(problem: Problem, fit: Fit, *, max_iter: int, tol: float) -> Fit:
    """Climb from ``fit`` along the gradient: the same optimum as by EM, in fewer steps near to it."""

    def objective(values: Sequence[Tensor]) -> Tensor:
        log_initial, log_transition, laws = released(values, problem)
        likelihood = problem.log_density(laws)
        total = hmm.log_normalizer(log_initial, log_transition, likelihood, lengths=problem.lengths).sum()
        return total + problem.prior(log_transition)

    rows = int((problem.rows.count > 0).sum())
    with torch.enable_grad():
        end = ascend(objective, freed(fit, problem), rows=rows, max_iter=max_iter, tol=tol)
    log_initial, log_transition, laws = released(end.values, problem)
    transition = log_transition.exp().clamp(min=LEAST_MOVE)
    return Fit(log_initial.exp(), transition, laws, fit.history[:-1] + end.history, end.converged)


def freed(fit: Fit, problem: Problem) -> list[Tensor]:
    """Parameters as real numbers without bounds."""
    scale = problem.rows.free(fit.laws.scale, problem.least)
    logs = [one.log().clamp(min=LEAST_LOG) for one in (fit.initial, fit.transition)]
    return [*logs, fit.laws.mean, scale, problem.tails.free(fit.laws.dof)]


def released(values: Sequence[Tensor], problem: Problem) -> tuple[Float[Tensor, " regimes"], Tensor, Laws]:
    """Inverse of :func:`freed`: logarithms of the first distribution and of the moves, and the laws."""
    initial, transition, mean, scale, dof = values
    laws = Laws(mean, problem.rows.bound(scale, problem.least), problem.tails.bound(dof, len(mean)))
    return initial.log_softmax(-1), transition.log_softmax(-1), laws
