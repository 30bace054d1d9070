"""What many runs or many tests say together: robust means, profiles, rank correlations, adjusted p-values."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from praesidium.component import InputError
from praesidium.reporting.statistics import Estimate

# ---- multiplicity --------------------------------------------------------------------------------------------------


def holm(p_values: Float[Tensor, " tests"]) -> Float[Tensor, " tests"]:
    """Adjusted p-values that hold the chance of any false rejection in the family, under any dependence.

    The i-th smallest of m becomes the largest of (m + 1 - j) p_(j) over j <= i, at most 1.

    Raises:
        InputError: if a p-value is outside [0, 1].

    Source: Holm 1979.
    """
    ordered, order = _probabilities(p_values, "holm").sort()
    falling = torch.arange(len(ordered), 0, -1)
    return torch.empty_like(ordered).scatter_(0, order, (falling * ordered).cummax(0).values.clamp(max=1))


def benjamini_hochberg(p_values: Float[Tensor, " tests"]) -> Float[Tensor, " tests"]:
    """Adjusted p-values that hold the expected share of false ones among the rejections; for exploration.

    The i-th smallest of m becomes the smallest of m p_(j) / j over j >= i.

    Raises:
        InputError: if a p-value is outside [0, 1].

    Source: Benjamini and Hochberg 1995.
    """
    checked = _probabilities(p_values, "benjamini_hochberg")
    return torch.as_tensor(stats.false_discovery_control(checked.numpy(), method="bh")) if len(checked) else checked


# ---- aggregates ----------------------------------------------------------------------------------------------------


def interquartile_mean(values: Float[Tensor, "*batch runs"]) -> Float[Tensor, "*batch"]:
    """Mean of the middle half of the runs, each quarter cut off exactly.

    A quarter that is not a whole number of runs takes the remaining fraction of the run on its boundary; where it is a
    whole number this is ``scipy.stats.trim_mean(values, 0.25)``. Infinite values count as ranks until they reach the
    middle half.

    Raises:
        InputError: if there is no run.

    Source: Agarwal et al. 2021 (arXiv 2108.13264), section 4.3, there with whole runs.
    """
    runs = values.shape[-1]
    if runs == 0:
        raise InputError("interquartile_mean: there are no values; at least one run is needed")
    ends = torch.arange(runs + 1, dtype=torch.float64).clamp(runs / 4, 3 * runs / 4)
    weights = ends.diff() / (runs / 2)
    inside = weights > 0
    ordered = values.double().sort(-1).values
    mean = (ordered[..., inside] * weights[inside]).sum(-1)
    return mean.masked_fill(values.isnan().any(-1), math.nan)


def performance_profile(
    values: Float[Tensor, " runs"], thresholds: Float[Tensor, " thresholds"]
) -> Float[Tensor, " thresholds"]:
    """Share of runs below each threshold, lower being better: the further up, the better at every demand.

    Raises:
        InputError: if there is no run, or one is NaN.

    Source: Dolan and More 2002; Agarwal et al. 2021 (arXiv 2108.13264), section 4.2.
    """
    if len(values) == 0 or values.isnan().any():
        raise InputError("performance_profile: needs at least one value and no NaN; a run that diverged is +inf")
    return (values.unsqueeze(-1) < thresholds).double().mean(0)


# ---- rank correlation ----------------------------------------------------------------------------------------------


def spearman(x: Float[Tensor, " runs"], y: Float[Tensor, " runs"], *, confidence: float = 0.95) -> Estimate:
    """Rank correlation r and the interval tanh(atanh r +- z sqrt((1 + r^2 / 2) / (n - 3))).

    The runs count as independent: several runs of one seed make the interval too short.

    Returns:
        r in [-1, 1] and its bounds; all NaN if x or y is constant.

    Raises:
        InputError: if there are fewer than four runs, a value is NaN, or ``confidence`` is not in (0, 1).

    Source: Bonett and Wright 2000.
    """
    return partial_spearman(x, y, confidence=confidence)


def partial_spearman(
    x: Float[Tensor, " runs"],
    y: Float[Tensor, " runs"],
    *,
    covariates: Float[Tensor, "covariates runs"] | None = None,
    groups: Int[Tensor, " runs"] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Correlation of the ranks of x and y after regression on the ranks of covariates and on group fixed effects.

    Ranks are taken over all runs together; a fixed effect then removes each group's mean rank, so that only differences
    within groups are left.

    Args:
        x: one value a run.
        y: one value a run.
        covariates: what to hold fixed, such as the mean risk.
        groups: the group of each run, such as its method.
        confidence: of the interval of :func:`spearman`, with one run fewer for each independent control.

    Returns:
        r in [-1, 1] and its bounds; all NaN if the controls explain x or y altogether.

    Raises:
        InputError: if there are fewer than four runs beyond the controls, a value is NaN, or ``confidence`` is not in
            (0, 1).

    Source: Conover and Iman 1981 for the regression of ranks; Bonett and Wright 2000 for the interval.
    """
    if not 0 < confidence < 1:
        raise InputError(f"spearman: confidence={confidence:g} is not a fraction in (0, 1); for 95 % say 0.95")
    controls = [torch.ones(1, len(x), dtype=torch.float64)]
    if covariates is not None:
        controls.append(torch.stack([_centered_ranks(one) for one in covariates]))
    if groups is not None:
        controls.append((groups == groups.unique().unsqueeze(-1)).double())
    basis = _orthonormal(torch.cat(controls))
    free = len(x) - len(basis) + 1
    if free < 4:
        raise InputError(
            f"spearman: {len(x)} runs with {len(basis) - 1} controls leave no interval; at least four runs more than "
            "controls are needed"
        )
    first, second = (ranks - (basis @ ranks) @ basis for ranks in (_centered_ranks(x), _centered_ranks(y)))
    rounding = 1e-9 * len(x) ** 1.5  # relative to the norm of ranks 1, ..., n
    if first.norm() < rounding or second.norm() < rounding:
        return Estimate(math.nan, math.nan, math.nan)
    r = torch.cosine_similarity(first, second, dim=0).clamp(-1, 1)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * ((1 + r**2 / 2) / (free - 3)).sqrt()
    return Estimate(r.item(), (r.atanh() - half).tanh().item(), (r.atanh() + half).tanh().item())


def _centered_ranks(values: Tensor) -> Float[Tensor, " runs"]:
    """Ranks less their mean; ties share their mean rank."""
    if values.isnan().any():
        raise InputError("spearman: a value is NaN; leave the run out, or give it the infinity that ranks it right")
    return torch.as_tensor(stats.rankdata(values.double().numpy())) - (len(values) + 1) / 2


def _orthonormal(rows: Float[Tensor, "controls runs"]) -> Float[Tensor, "independent runs"]:
    """An orthonormal basis of the span of the rows."""
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[sizes > 1e-9 * sizes[0]]


def _probabilities(p_values: Tensor, caller: str) -> Float[Tensor, " tests"]:
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise InputError(f"{caller}: a p-value is outside [0, 1] or missing; leave out a test that was not made")
    return p_values.double()
