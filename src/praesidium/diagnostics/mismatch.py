"""Mismatch of environments: distances between what the market does in two of them, whatever the policy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from praesidium.component import InputError
from praesidium.markets.paths import Paths
from praesidium.risk import max_drawdown

PROJECTIONS = 256
MULTIPLES = (0.5, 1.0, 2.0)
BLOCK = 512  # rows of a distance matrix held at once


# ---- features of an episode ----------------------------------------------------------------------------------------


def episode_returns(paths: Paths) -> Float[Tensor, "paths steps"]:
    """Log returns of each rebalancing period of the episode, without the history before it."""
    return paths.episode.log().diff(dim=0).T


def episode_summary(paths: Paths) -> Float[Tensor, "paths 6"]:
    """Six numbers of each episode.

    Returns:
        Columns: realized volatility sqrt(mean r^2 / dt), annualized, mean taken as zero; largest |r|; skewness of r
        (population form); largest drawdown of the spot, in units of the spot at inception; sum of r; mean absolute
        change of r^2 from one period to the next.

    Raises:
        InputError: if an episode has fewer than two periods, or equal returns throughout: it has no skewness.
    """
    returns = episode_returns(paths)
    if returns.shape[1] < 2:
        raise InputError(f"episode_summary: the horizon is {returns.shape[1]}; at least 2 periods are needed")
    centered = returns - returns.mean(1, keepdim=True)
    spread = centered.square().mean(1).sqrt()
    # A price near 1 is known to eps, and so is a log return: a spread no larger than that is rounding.
    still = int((spread <= 10 * torch.finfo(returns.dtype).eps).sum())
    if still:
        raise InputError(f"episode_summary: {still} episodes have equal returns throughout; leave them out")
    columns = (
        (returns.square().mean(1) / paths.dt).sqrt(),
        returns.abs().amax(1),
        centered.pow(3).mean(1) / spread.pow(3),
        max_drawdown(paths.episode),
        returns.sum(1),
        returns.square().diff(dim=1).abs().mean(1),
    )
    return torch.stack(columns, dim=1)


def standardize(
    reference: Float[Tensor, "_ features"], *others: Float[Tensor, "_ features"]
) -> tuple[Float[Tensor, "_ features"], ...]:
    """All samples less the mean of the reference, in standard deviations of the reference; the reference first.

    One scale for all: scaling each environment by itself would remove the very difference that is measured.

    Raises:
        InputError: if a feature does not vary in the reference.
    """
    center, scale = reference.mean(0), reference.std(0)
    fixed = (~(scale > 0)).nonzero().flatten().tolist()
    if fixed:
        raise InputError(f"standardize: features {fixed} do not vary over the reference; leave them out")
    return tuple((sample - center) / scale for sample in (reference, *others))


# ---- distances between two samples ---------------------------------------------------------------------------------


def sliced_wasserstein(
    x: Float[Tensor, "m features"],
    y: Float[Tensor, "n features"],
    *,
    projections: int = PROJECTIONS,
    generator: torch.Generator,
) -> float:
    """Sliced Wasserstein-1 distance: the mean over directions of the area between two quantile functions.

    Exact along each direction for samples of any two sizes; for equal ones it is the mean difference of sorted values.
    A shift by d in p dimensions gives |d| Gamma(p/2) / (sqrt(pi) Gamma((p+1)/2)).

    Args:
        x: one sample, a row an episode, on the scale of :func:`standardize`.
        y: the other sample.
        projections: number of directions, uniform on the sphere.
        generator: source of the directions, on a CPU.

    Returns:
        Distance in the unit of the features, at least 0.

    Source: Bonneel et al. 2015, with the 1-Wasserstein distance.
    """
    _check_rows("sliced_wasserstein", x, y, least=1)
    directions = torch.randn(projections, x.shape[1], dtype=torch.float64, generator=generator).to(x)
    directions /= directions.norm(dim=1, keepdim=True)
    along_x, along_y = ((directions @ sample.T).sort(dim=1).values for sample in (x, y))
    m, n = len(x), len(y)
    # Quantile functions step at i/m and j/n: counted in units of 1/(mn), all steps are whole numbers.
    ends = torch.cat([torch.arange(1, m + 1) * n, torch.arange(1, n + 1) * m]).unique()
    lengths = ends.diff(prepend=ends.new_zeros(1))
    starts = ends - lengths
    gaps = (along_x[:, starts // n] - along_y[:, starts // m]).abs()
    return (gaps @ lengths.to(gaps) / (m * n)).mean().item()


def mmd2(
    x: Float[Tensor, "m features"], y: Float[Tensor, "n features"], *, bandwidths: Float[Tensor, " bandwidths"]
) -> float:
    """Unbiased squared maximum mean discrepancy, kernel sum_s exp(-|x - y|^2 / (2 s^2)).

    Around 0 for equal distributions, so that it can be negative; it does not grow with distance beyond the bandwidths.

    Args:
        x: one sample, a row an episode.
        y: the other sample.
        bandwidths: the s, fixed on the reference by :func:`median_bandwidths`.

    Source: Gretton et al. 2012, eq. 3.
    """
    _check_rows("mmd2", x, y, least=2)

    def similarity(distances: Tensor) -> Tensor:
        squares = distances.square()
        return torch.stack([torch.exp(squares / (-2 * width**2)) for width in bandwidths]).sum(0)

    m, n, itself = len(x), len(y), len(bandwidths)
    within_x = (_pair_sum(x, x, similarity) - m * itself) / (m * (m - 1))
    within_y = (_pair_sum(y, y, similarity) - n * itself) / (n * (n - 1))
    return within_x + within_y - 2 * _pair_sum(x, y, similarity) / (m * n)


def median_bandwidths(reference: Float[Tensor, "m features"]) -> Float[Tensor, "3"]:
    """Half, once and twice the median distance between two rows; holds all m(m-1)/2 distances (16 MB for 2,000 rows).

    Raises:
        InputError: if there are fewer than two rows, or most of them coincide.

    Source: Gretton et al. 2012, section 8 (the median heuristic).
    """
    _check_rows("median_bandwidths", reference, least=2)
    median = torch.nn.functional.pdist(reference).median()
    if not median > 0:
        raise InputError("median_bandwidths: most rows of the reference coincide; a bandwidth must be positive")
    return median * torch.tensor(MULTIPLES, dtype=median.dtype, device=median.device)


def energy_distance(x: Float[Tensor, "m features"], y: Float[Tensor, "n features"]) -> float:
    """sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|) of the empirical distributions; 0 if and only if they are the same.

    Linear in a small shift, with the square root of the scale of the features.

    Source: Szekely and Rizzo 2013.
    """
    _check_rows("energy_distance", x, y, least=1)
    between, within_x, within_y = (
        _pair_sum(a, b, lambda distances: distances) / (len(a) * len(b)) for a, b in ((x, y), (x, x), (y, y))
    )
    return math.sqrt(max(0.0, 2 * between - within_x - within_y))


def proxy_a_distance(
    x: Float[Tensor, "m features"], y: Float[Tensor, "n features"], generator: torch.Generator
) -> float:
    """2 (1 - 2 err) of a logistic classifier that tells x from y, fitted on random halves, judged on the others.

    Around 0 where it cannot tell them apart (below by chance), 2 where it always can. Both samples count the same in
    ``err``, whatever their sizes. A linear classifier sees differences of location alone.

    Source: Ben-David et al. 2007.
    """
    _check_rows("proxy_a_distance", x, y, least=2)
    (fit_x, held_x), (fit_y, held_y) = (_halves(sample, generator) for sample in (x, y))
    labels = np.repeat([0, 1], [len(fit_x), len(fit_y)])
    classifier = LogisticRegression(class_weight="balanced", max_iter=10_000)
    classifier.fit(torch.cat([fit_x, fit_y]).double().numpy(), labels)
    right_x, right_y = (
        classifier.score(held.double().numpy(), np.full(len(held), label))
        for label, held in enumerate((held_x, held_y))
    )
    return 2 * (float(right_x + right_y) - 1)


# ---- what chance alone does ----------------------------------------------------------------------------------------


def permutation_p(
    x: Float[Tensor, "m features"],
    y: Float[Tensor, "n features"],
    statistic: Callable[[Tensor, Tensor], float],
    draws: int,
    generator: torch.Generator,
) -> float:
    """Share of relabelings, the actual one included, with a statistic at least as large: a valid p-value for P = Q.

    Args:
        x: one sample, independent rows.
        y: the other sample.
        statistic: large where the samples differ; a random one should use the same draws at each call.
        draws: number of random relabelings; the smallest p-value is 1 / (draws + 1).
        generator: source of the relabelings, on a CPU.

    Source: Phipson and Smyth 2010.
    """
    observed, pooled = statistic(x, y), torch.cat([x, y])
    threshold = observed - 1e-12 * abs(observed)  # a tie is a tie in whatever order its terms are summed
    reached = 0
    for _ in range(draws):
        order = torch.randperm(len(pooled), generator=generator)
        reached += statistic(pooled[order[: len(x)]], pooled[order[len(x) :]]) >= threshold
    return (1 + reached) / (1 + draws)


def split_null(x: Float[Tensor, "m features"], draws: int, generator: torch.Generator) -> Float[Tensor, " draws"]:
    """Sliced Wasserstein distances between random halves of one sample: what a sample of m/2 shows without mismatch.

    Beside a distance between two samples of m it is conservative, by about sqrt(2).
    """
    _check_rows("split_null", x, least=2)
    halves = (_halves(x, generator) for _ in range(draws))
    distances = [sliced_wasserstein(one, other, generator=generator) for one, other in halves]
    return torch.tensor(distances, dtype=torch.float64)


def _halves(sample: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order: Int[Tensor, " rows"] = torch.randperm(len(sample), generator=generator)
    return sample[order[: len(sample) // 2]], sample[order[len(sample) // 2 :]]


def _pair_sum(x: Tensor, y: Tensor, of: Callable[[Tensor], Tensor]) -> float:
    """Sum over all pairs of rows of a function of their distance, which is 0 exactly for equal rows."""
    exact = "donot_use_mm_for_euclid_dist"
    return sum(of(torch.cdist(rows, y.double(), compute_mode=exact)).sum().item() for rows in x.double().split(BLOCK))


def _check_rows(caller: str, *samples: Tensor, least: int) -> None:
    fewest = min(len(sample) for sample in samples)
    if fewest < least:
        raise InputError(f"{caller}: a sample has {fewest} rows; at least {least} are needed")
