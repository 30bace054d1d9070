"""One fitted jump model: where its regimes lie among the features, and how the columns behave in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from praesidium.component import InputError
from praesidium.regimes.densities import Laws, Normal
from praesidium.regimes.jump_descent import descend, starts
from praesidium.regimes.jump_path import distances, least_costs
from praesidium.regimes.shapes import Diagonal
from praesidium.regimes.units import Units

LEAST = 1e-3  # a variance in a regime is at least this share of the variance of all rows


@dataclass(frozen=True, eq=False)
class Sample:
    """The same rows as features and as columns, time first, NaN where missing and past the end of a sequence.

    Attributes:
        features: what regimes are told apart by.
        columns: what was observed; the first is the return.
        lengths: rows of each sequence.
    """

    features: Float[np.ndarray, "times sequences features"]
    columns: Float[np.ndarray, "times sequences columns"]
    lengths: Int[np.ndarray, " sequences"]

    def until(self, ends: Int[np.ndarray, " sequences"]) -> Sample:
        """The first ``ends`` rows of each sequence."""
        times = int(ends.max())
        past = np.arange(times)[:, np.newaxis, np.newaxis] >= ends[:, np.newaxis]
        features, columns = (np.where(past, np.nan, one[:times]) for one in (self.features, self.columns))
        return Sample(features, columns, ends)


@dataclass(frozen=True, eq=False)
class JumpFit:
    """A jump model with one penalty.

    Attributes:
        penalty: price of a jump.
        units: of the features, over the training rows.
        centers: of the regimes, in those units.
        objective: minimum that was found.
        initial: share of first rows in each regime.
        transition: share of moves from each regime to each.
        laws: normal laws of the columns in each regime, with variances as scales.
    """

    penalty: float
    units: Units
    centers: Float[np.ndarray, "states features"]
    objective: float
    initial: Float[np.ndarray, " states"]
    transition: Float[np.ndarray, "states states"]
    laws: Laws

    def reorder(self, order: Int[np.ndarray, " states"]) -> JumpFit:
        """The same with regimes renumbered: the new k is the old ``order[k]``."""
        return replace(
            self,
            centers=self.centers[order],
            initial=self.initial[order],
            transition=self.transition[np.ix_(order, order)],
            laws=Laws(*(one[torch.from_numpy(order)] for one in self.laws)),
        )

    @property
    def volatilities(self) -> Float[np.ndarray, " states"]:
        """Standard deviation of the first column in each regime."""
        return self.laws.scale[:, 0].sqrt().numpy()

    def costs(
        self, features: Float[np.ndarray, "times sequences features"]
    ) -> Float[np.ndarray, "times states sequences"]:
        """Half the squared distance of each row from each center, after standardization."""
        standard = self.units.standardized(torch.from_numpy(features)).numpy()
        return distances(standard, self.centers[np.newaxis])[:, :, 0]


def fit_jumps(
    sample: Sample, penalties: Sequence[float], *, n_regimes: int, n_init: int, generator: torch.Generator
) -> list[JumpFit]:
    """The best of ``n_init`` descents for each penalty; all start from the same centers.

    Regimes come in any order. A row is counted in the regime that the best path gives it, also where it is missing.
    Each pair of regimes has 1 / K moves, and each regime 1 / K first rows, counted beforehand, so that nothing unseen
    is impossible. A regime that holds no number of a column has the law of all rows there.

    Raises:
        InputError: if a feature holds no number, or no return is negative where features need one that is.
    """
    empty = np.isnan(sample.features).all((0, 1))
    if empty.any():
        returns, lost = sample.columns[..., 0], np.isnan(sample.columns).all((0, 1))
        if not lost.any() and not (returns < 0).any():  # an indicator is empty, and no column
            raise InputError(
                f"X: none of {int((~np.isnan(returns)).sum())} returns is negative, so there is no downside deviation; "
                "give rows with losses, or say indicators='none'"
            )
        raise InputError(
            f"X: feature {int(empty.argmax())} holds no number in {int(sample.lengths.sum())} rows; leave out columns "
            "that are empty, and give more rows than the longest half-life has periods"
        )
    units = Units.of(torch.from_numpy(sample.features).flatten(0, 1), "features")
    features = units.standardized(torch.from_numpy(sample.features)).numpy()
    prices = np.repeat(np.asarray(penalties, dtype=np.float64), n_init)
    begun = np.tile(starts(features, n_regimes, n_init, generator), (len(penalties), 1, 1))
    found = descend(features, begun, prices)
    fits = []
    for place, penalty in enumerate(penalties):
        best = place * n_init + int(found.objective[place * n_init : (place + 1) * n_init].argmin())
        states, objective = found.states[:, best], float(found.objective[best])
        initial, transition = _moves(states, sample.lengths, n_regimes)
        laws = _laws(sample, states, n_regimes)
        fits.append(JumpFit(penalty, units, found.centers[best], objective, initial, transition, laws))
    return fits


def forward(
    fits: Sequence[JumpFit], features: Float[np.ndarray, "times sequences features"]
) -> Float[np.ndarray, "times states fits sequences"]:
    """Cost of the cheapest path up to each row that ends in each regime: all that a decision at that row may know."""
    costs = np.stack([fit.costs(features) for fit in fits], axis=2)
    return least_costs(costs, np.asarray([[fit.penalty] for fit in fits], dtype=np.float64))


def _moves(
    states: Int[np.ndarray, "times sequences"], lengths: Int[np.ndarray, " sequences"], K: int
) -> tuple[np.ndarray, np.ndarray]:
    moves, first = np.full((K, K), 1 / K), np.full(K, 1 / K)
    np.add.at(first, states[0], 1)
    inside = np.arange(1, len(states))[:, np.newaxis] < lengths
    np.add.at(moves, (states[:-1][inside], states[1:][inside]), 1)
    return first / first.sum(), moves / moves.sum(-1, keepdims=True)


def _laws(sample: Sample, states: Int[np.ndarray, "times sequences"], K: int) -> Laws:
    rows = torch.from_numpy(sample.columns).flatten(0, 1)
    weight = torch.nn.functional.one_hot(torch.from_numpy(states).flatten(), K).double()
    all_rows, normal = Units.of(rows, "X"), Normal()
    mean, variance = (one.expand(K, -1) for one in (all_rows.center, all_rows.spread.square()))
    laws = normal.maximize(Diagonal(rows), Laws(mean, variance, normal.start(K)), weight)
    return laws._replace(scale=torch.maximum(laws.scale, LEAST * variance))
