"""The hidden Markov model whose transitions are driven by inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError, real
from praesidium.regimes import hmm
from praesidium.regimes.ascent import ascend, freed, released
from praesidium.regimes.baum_welch import SELDOM, Fit, Problem, expectation_maximization
from praesidium.regimes.densities import Normal
from praesidium.regimes.markov import MarkovModel
from praesidium.regimes.model import Lengths
from praesidium.regimes.observations import Observations, observe, observe_inputs
from praesidium.regimes.partitions import best_partition
from praesidium.regimes.units import Units

RARE = 1e-12  # least probability of a move, whatever the inputs: inference does not change its ways for wild ones


class InputDrivenHMM(MarkovModel, kind="input_driven_hmm"):
    """Log-odds of a move from i to j against staying in i are b_ij + w_ij u_t; observations are normal.

    u_t are the inputs of row t in standard deviations of the training rows, and drive the move from row t to row t + 1:
    they have to be known at t. The filter at t depends on inputs of rows before t, the forecast at t on those of t too.
    Inputs that contribute to a move at the same time have to be shifted by a row by whoever gives them.

    The fit maximizes log p(x | u) + stickiness sum_k log A_kk - penalty / 2 |w|^2, A at mean inputs, along the exact
    gradient, starting from the stationary model: w = 0.

    Args:
        n_regimes: number of regimes, K.
        covariance: ``"diag"``, no correlation in a regime, or ``"full"``.
        penalty: precision of the normal prior on effects; more shrinks them.
        n_init: partitions of the rows from which the stationary model starts.
        max_iter: steps at most, of each of the two fits.
        tol: least gain of a step to go on, in nats a row.
        stickiness: stays of each regime that count as seen beforehand, at mean inputs.
        min_variance: lower bound of a variance in a regime, as a share of the variance of all rows.
        random_state: seed of the partitions.

    Attributes:
        effects_: (K, K, inputs), w: log-odds of a move against staying for each standard deviation of an input.
        input_means_, input_scales_: (inputs), which say what standard deviations are.
        transition_: moves at mean inputs.

    Source: Diebold, Lee and Weinbach 1994; Bengio and Frasconi 1995, "An input output HMM architecture".
    """

    tails = Normal()
    needs_inputs: ClassVar[bool] = True

    penalty: float
    effects_: NDArray[np.float64]
    input_means_: NDArray[np.float64]
    input_scales_: NDArray[np.float64]

    def __init__(
        self,
        n_regimes: int = 2,
        *,
        covariance: str = "diag",
        penalty: float = 1.0,
        n_init: int = 4,
        max_iter: int = 300,
        tol: float = 1e-7,
        stickiness: float = 0.0,
        min_variance: float = 1e-3,
        random_state: int = 0,
    ) -> None:
        self.n_regimes = n_regimes
        self.covariance = covariance
        self.penalty = penalty
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.stickiness = stickiness
        self.min_variance = min_variance
        self.random_state = random_state

    @property
    def n_parameters_(self) -> int:
        """Free parameters; an effect for each input and move."""
        return super().n_parameters_ + self.n_regimes * (self.n_regimes - 1) * self.effects_.shape[-1]

    def transitions(self, inputs: Any, *, lengths: Lengths = None) -> NDArray[np.float64]:
        """P(z_{t+1} = j | z_t = i, u_t), (rows, K, K): the moves out of each row."""
        given = observe(inputs, lengths=lengths, name="inputs")
        return given.flatten(self._moves(observe_inputs(inputs, given))).numpy()

    def _check(self) -> None:
        super()._check()
        if not (real(self.penalty) and 0 <= self.penalty < np.inf):
            raise InputError(f"penalty: {self.penalty!r} is not a number from 0 on; 1 is usual")

    def _inputs(self, inputs: Any, observed: Observations, lengths: Lengths) -> Tensor | None:
        if inputs is None:
            raise InputError(f"inputs: {type(self).__name__} needs them; give a row for each row of X, or GaussianHMM")
        return observe_inputs(inputs, observed)

    def _moves(self, inputs: Tensor | None) -> Float[Tensor, "*rows states states"]:
        assert inputs is not None
        if inputs.shape[-1] != len(self.input_means_):
            raise InputError(
                f"inputs: they have {inputs.shape[-1]} columns, but {len(self.input_means_)} were fitted; give the same"
            )
        center, spread = torch.from_numpy(self.input_means_), torch.from_numpy(self.input_scales_)
        log_mean = torch.from_numpy(self.transition_).log()
        return log_moves(log_mean, torch.from_numpy(self.effects_), (inputs - center) / spread).exp()

    def _log_steps(self, inputs: Tensor | None) -> Tensor:
        return self._moves(inputs)[:, :-1].log()

    def _fit(self, observed: Observations, inputs: Tensor | None) -> None:
        assert inputs is not None
        problem, units = self._problem(observed)
        values = units.standardized(observed.values)
        first = best_partition(problem, values, int(self.n_regimes), count=int(self.n_init), seed=self.random_state)
        fit = expectation_maximization(problem, first, max_iter=int(self.max_iter), tol=float(self.tol))
        scales = Units.of(observed.flatten(inputs), "inputs")
        fit, effects = self._drive(problem, fit, scales.standardized(inputs)[:, :-1])
        self._settle(fit, units)
        self.effects_ = effects.numpy()
        self.input_means_, self.input_scales_ = scales.center.numpy(), scales.spread.numpy()

    def _drive(self, problem: Problem, fit: Fit, inputs: Float[Tensor, "batch steps inputs"]) -> tuple[Fit, Tensor]:
        """The fit with inputs, from that without."""
        regimes = len(fit.initial)
        others = (1 - torch.eye(regimes, dtype=torch.float64)).unsqueeze(-1)

        def objective(values: Sequence[Tensor]) -> Tensor:
            log_initial, log_mean, laws = released(values[:-1], problem)
            effects = values[-1] * others
            moves, likelihood = log_moves(log_mean, effects, inputs), problem.log_density(laws)
            total = hmm.log_normalizer(log_initial, moves, likelihood, lengths=problem.lengths).sum()
            return total + problem.prior(log_mean) - float(self.penalty) / 2 * effects.square().sum()

        begin = fit._replace(transition=fit.transition.clamp(min=SELDOM))
        none = torch.zeros(regimes, regimes, inputs.shape[-1], dtype=torch.float64)
        rows = int((problem.rows.count > 0).sum())
        limits = {"rows": rows, "max_iter": int(self.max_iter), "tol": float(self.tol)}
        end = ascend(objective, [*freed(begin, problem), none], **limits)
        log_initial, log_mean, laws = released(end.values[:-1], problem)
        driven = Fit(log_initial.exp(), log_mean.exp(), laws, end.history, end.converged)
        return driven, end.values[-1] * others

    def _reorder(self, order: NDArray[np.int64]) -> None:
        super()._reorder(order)
        self.effects_ = self.effects_[np.ix_(order, order)]


def log_moves(
    log_mean: Float[Tensor, "regimes states"],
    effects: Float[Tensor, "regimes states inputs"],
    inputs: Float[Tensor, "*rows inputs"],
) -> Float[Tensor, "*rows regimes states"]:
    """Logarithms of the moves that inputs drive, from those at mean inputs."""
    logits = log_mean + torch.einsum("...u,iju->...ij", inputs, effects)
    return (RARE + (1 - len(log_mean) * RARE) * logits.softmax(-1)).log()
