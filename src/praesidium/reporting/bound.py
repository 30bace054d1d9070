"""Does invariance bound the gap between environments? IG <= k1 (1 - ISI) + k2 Delta + c on a panel of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import linprog
from scipy.sparse import eye_array, hstack
from scipy.stats import rankdata

from praesidium.component import InputError

LEVEL = 0.95  # of the quantile regression, and of the intervals
DRAWS = 1000
UNDEFINED = 0.05  # share of resamples that may be without the statistic

Numbers = Float[np.ndarray, " cells"]


@dataclass(frozen=True)
class Panel:
    """One cell a run and test environment of a ladder of severities.

    Attributes:
        gap: spread IG of the risks over environments, lower is better.
        instability: 1 - ISI of the run.
        mismatch: distance Delta of the environment from training.
        run: label of the run; all its cells share method and seed.
        method: label of the method.
        seed: label of the seed, the unit that is split and resampled.

    Raises:
        InputError: if lengths differ, a number is not finite, or a run has two methods or seeds.
    """

    gap: Numbers
    instability: Numbers
    mismatch: Numbers
    run: Shaped[np.ndarray, " cells"]
    method: Shaped[np.ndarray, " cells"]
    seed: Shaped[np.ndarray, " cells"]

    def __post_init__(self) -> None:
        _check("Panel", **vars(self))
        of_run = _codes(self.run)
        for name in ("method", "seed"):
            pairs = np.unique(np.stack([of_run, _codes(getattr(self, name))]), axis=1)
            if pairs.shape[1] > of_run.max() + 1:
                raise InputError(f"Panel: a run has more than one {name}; give each method and seed its own run")

    def take(self, cells: Bool[np.ndarray, " cells"] | Int[np.ndarray, " some"]) -> Panel:
        """The chosen cells."""
        return Panel(**{name: column[cells] for name, column in vars(self).items()})


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval from resampled seeds."""

    value: float
    low: float
    high: float

    @property
    def positive(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0


@dataclass(frozen=True)
class Bound:
    """k1 (1 - ISI) + k2 Delta + c, fitted on one half of the seeds and judged on the other.

    Attributes:
        k1: weight of 1 - ISI, at least 0, as is ``k2``, of Delta; exactly 0 where the term is left out.
        c: constant, of either sign.
        violations: share of held-out cells above the bound; 0.05 is aimed at.
        tightness: mean of IG / bound over held-out cells; None where a bound is not positive.
        pinball: mean pinball loss of the held-out cells at the level, in the unit of IG; lower is better.
    """

    k1: float
    k2: float
    c: float
    violations: float
    tightness: float | None
    pinball: float


@dataclass(frozen=True)
class Frontier:
    """The bound beside the ones that do without one of its terms.

    Attributes:
        full: both terms; ``without_isi`` has k1 = 0, ``without_mismatch`` has k2 = 0.
        isi_gain: pinball loss without ISI less the one with it, on the held-out seeds.
        isi_has_content: whether the interval of ``isi_gain`` lies above zero.
        seeds: how many fitted, and how many judged.
    """

    full: Bound
    without_isi: Bound
    without_mismatch: Bound
    isi_gain: Estimate
    isi_has_content: bool
    seeds: tuple[int, int]

    @classmethod
    def fit(cls, panel: Panel, *, generator: torch.Generator) -> Frontier:
        """Fit the 95 % quantile of the gap on half of the seeds, and judge it on the other half.

        All runs of a seed fall into the same half: they share their market, and halves should share nothing.

        The generator, on a CPU, draws the split and the resamples.

        Raises:
            InputError: if there are fewer than four seeds.
        """
        seeds = np.unique(panel.seed)
        if len(seeds) < 4:
            raise InputError(f"Frontier.fit: the panel has {len(seeds)} seeds; at least 4 are needed, two a half")
        chosen = seeds[torch.randperm(len(seeds), generator=generator).numpy()[: len(seeds) // 2]]
        fitting = np.isin(panel.seed, chosen)
        fitted, held = panel.take(fitting), panel.take(~fitting)
        full, losses = _judge(fitted, held, use=(True, True))
        without_isi, losses_without = _judge(fitted, held, use=(False, True))
        without_mismatch, _ = _judge(fitted, held, use=(True, False))
        # Without a weight on ISI the two bounds are one, and what is left between their losses is rounding.
        gains = losses_without - losses if full.k1 > 0 else np.zeros(len(losses))
        (gain,) = _clustered("Frontier.fit", lambda cells: gains[cells].mean(keepdims=True), held.seed, generator)
        return cls(full, without_isi, without_mismatch, gain, gain.positive, (len(chosen), len(seeds) - len(chosen)))


def quantile_regression(
    response: Numbers, regressors: Float[np.ndarray, "cells columns"], *, level: float
) -> Float[np.ndarray, " coefficients"]:
    """Slopes at least 0, then a free constant, that minimize the mean pinball loss: a linear program.

    There is one column of ``regressors`` a slope; ``level`` is a fraction in (0, 1).

    Source: Koenker and Bassett 1978, with signs constrained.
    """
    cells, columns = regressors.shape
    # The tolerances of the solver are absolute: everything is brought to the order of 1, and a slope within them is 0.
    unit = np.abs(response).max(initial=0) or 1.0
    scales = np.where((top := np.abs(regressors).max(axis=0, initial=0)) > 0, top, 1.0)
    design = np.column_stack([regressors / scales, np.ones(cells)])
    solution = linprog(
        np.repeat([0.0, level, 1 - level], [columns + 1, cells, cells]),
        A_eq=hstack([design, eye_array(cells), -eye_array(cells)], format="csr"),
        b_eq=response / unit,
        bounds=[(0, None)] * columns + [(None, None)] + [(0, None)] * (2 * cells),
        method="highs",
    )
    if not solution.success:
        raise RuntimeError(f"quantile_regression: the linear program was not solved: {solution.message}")
    slopes, constant = solution.x[:columns], solution.x[columns]
    return np.append(np.where(slopes > 1e-9, slopes, 0.0) / scales, constant) * unit


def pinball(residuals: Numbers, *, level: float) -> Numbers:
    """``level`` times what lies above the quantile, ``1 - level`` times what lies below; never negative."""
    return np.maximum(level * residuals, (level - 1) * residuals)


def _judge(fitted: Panel, held: Panel, *, use: tuple[bool, bool]) -> tuple[Bound, Numbers]:
    """The bound with the chosen terms, and the pinball losses of the held-out cells."""
    used = np.array(use)
    terms, held_terms = (np.column_stack([panel.instability, panel.mismatch]) for panel in (fitted, held))
    k = np.zeros(2)
    coefficients = quantile_regression(fitted.gap, terms[:, used], level=LEVEL)
    k[used], c = coefficients[:-1], coefficients[-1]
    bound = held_terms @ k + c
    losses = pinball(held.gap - bound, level=LEVEL)
    violations = float((held.gap > bound).mean())
    tightness = float((held.gap / bound).mean()) if (bound > 0).all() else None
    return Bound(float(k[0]), float(k[1]), float(c), violations, tightness, float(losses.mean())), losses


@dataclass(frozen=True)
class Monotonicity:
    """Slopes of rank(IG) ~ rank(1 - ISI) + rank(Delta) + method, in ranks a rank."""

    instability: Estimate
    mismatch: Estimate
    both_positive: bool


def monotonicity(panel: Panel, *, generator: torch.Generator) -> Monotonicity:
    """Whether the gap rises with instability and with mismatch within methods, by least squares on ranks.

    Args:
        panel: runs by severities; ranks are taken over all cells, and anew in each resample.
        generator: source of the resampled seeds, on a CPU.

    Raises:
        InputError: if a regressor does not vary within methods, or the two are collinear.

    Source: Iman and Conover 1979 (rank regression).
    """
    method = _codes(panel.method)

    def slopes(cells: Int[np.ndarray, " some"]) -> Float[np.ndarray, "2"]:
        columns = (panel.gap, panel.instability, panel.mismatch)
        ranks = np.column_stack([rankdata(column[cells]) for column in columns])
        within = ranks - _group_means(ranks, method[cells])
        coefficients, _, rank, _ = np.linalg.lstsq(within[:, 1:], within[:, 0], rcond=1e-9)
        return coefficients if rank == 2 else np.full(2, np.nan)

    instability, mismatch = _clustered("monotonicity", slopes, panel.seed, generator)
    return Monotonicity(instability, mismatch, both_positive=instability.positive and mismatch.positive)


@dataclass(frozen=True)
class GradientVersion:
    """Spearman correlations of |R_e - R_e'| with |g_e - g_e'| (``norm``) and with 1 - cos(g_e, g_e') (``cosine``)."""

    norm: Estimate
    cosine: Estimate


def gradient_version(
    risk: Float[np.ndarray, " pairs"],
    norm: Float[np.ndarray, " pairs"],
    cosine: Float[np.ndarray, " pairs"],
    seed: Shaped[np.ndarray, " pairs"],
    *,
    generator: torch.Generator,
) -> GradientVersion:
    """Whether environments whose head gradients differ also differ in risk.

    Args:
        risk: |R_e - R_e'| of each pair of environments and run.
        norm: |g_e - g_e'|.
        cosine: 1 - cos(g_e, g_e').
        seed: label of the seed of the run, the unit that is resampled.
        generator: source of the resampled seeds, on a CPU.

    Raises:
        InputError: if lengths differ, a number is not finite, or a quantity does not vary.
    """
    _check("gradient_version", risk=risk, norm=norm, cosine=cosine, seed=seed)

    def correlations(pairs: Int[np.ndarray, " some"]) -> Float[np.ndarray, "2"]:
        with np.errstate(invalid="ignore"):  # 0/0, where a resample does not vary, is not a number
            return np.corrcoef([rankdata(column[pairs]) for column in (risk, norm, cosine)])[0, 1:]

    return GradientVersion(*_clustered("gradient_version", correlations, seed, generator))


def _group_means(rows: Float[np.ndarray, "some columns"], group: Int[np.ndarray, " some"]) -> np.ndarray:
    """For each row, the mean of the rows of its group."""
    sums = np.stack([np.bincount(group, column) for column in rows.T], axis=1)
    return sums[group] / np.bincount(group)[group, None]


def _clustered(
    caller: str,
    statistic: Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, " values"]],
    seed: Shaped[np.ndarray, " cells"],
    generator: torch.Generator,
) -> list[Estimate]:
    """Values of a statistic of cells, with percentile intervals over seeds drawn with replacement.

    Resamples without variation have no value and are left out, as long as they are few.
    """
    cluster = _codes(seed)
    members = np.split(np.argsort(cluster, kind="stable"), np.cumsum(np.bincount(cluster))[:-1])
    values = statistic(np.arange(len(seed)))
    if np.isnan(values).any():
        raise InputError(f"{caller}: a quantity does not vary by itself; the panel must hold several values of each")
    drawn = torch.randint(len(members), (DRAWS, len(members)), generator=generator).numpy()
    resampled = np.stack([statistic(np.concatenate([members[one] for one in row])) for row in drawn])
    missing = float(np.isnan(resampled).any(axis=1).mean())
    if missing > UNDEFINED:
        raise InputError(f"{caller}: {missing:.0%} of the resamples do not vary; add to the {len(members)} seeds")
    lows, highs = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [Estimate(*map(float, triple)) for triple in zip(values, lows, highs, strict=True)]


def _codes(labels: Shaped[np.ndarray, " cells"]) -> Int[np.ndarray, " cells"]:
    return np.unique(labels, return_inverse=True)[1]


def _check(caller: str, **columns: np.ndarray) -> None:
    first, *_ = columns
    if len(columns[first]) == 0:
        raise InputError(f"{caller}: {first} is empty; at least one entry is needed")
    for name, column in columns.items():
        if len(column) != len(columns[first]):
            raise InputError(f"{caller}: {name} has {len(column)} entries, but {first} has {len(columns[first])}")
        wrong = int((~np.isfinite(column)).sum()) if column.dtype.kind == "f" else 0
        if wrong:
            raise InputError(f"{caller}: {wrong} of {name} are not finite; decide what a failed run counts as")
