"""Invariance Spectrum Index (ISI): how stable a policy's risks, head gradients and features are across environments.

Three components in [0, 1], higher is better; after training only, from episodes that the training has not seen.
Also known as the internal stability index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError

EPSILON = 1e-12  # of the normalizers; far below a squared risk of interest, some 1e-6
NOISE_LIMIT = 0.5
SHRINKAGE = 1e-3
UNIFORM = (1 / 3, 1 / 3, 1 / 3)


# ---- C1: global stability ------------------------------------------------------------------------------------------


def global_stability(risks: Float[Tensor, " environments"], *, normalizer: float) -> float:
    """C1 = 1 - min(1, Var_e[R_e] / (tau_R + eps)), with the population variance; 1 for equal risks.

    Raw risks mostly tell how volatile the environments are. For relative ones pass ``risks / risks.mean()``, and a
    normalizer from :func:`relative_variance`.

    Args:
        risks: one risk an environment, positive = bad.
        normalizer: tau_R, in the squared unit of the risks; a high quantile of the variance over baseline runs.

    Raises:
        InputError: if there are fewer than two environments, or the normalizer is not positive.

    Source: the HIRM paper, section 4.3.1.
    """
    _check_environments(len(risks), "global_stability")
    return _one_minus(risks.double().var(correction=0).item(), normalizer, "global_stability")


def relative_variance(risks: Float[Tensor, " environments"]) -> float:
    """Var_e[R_e] / (mean_e R_e)^2, population variance: the same in every unit of risk.

    Raises:
        InputError: if there are fewer than two environments.
    """
    _check_environments(len(risks), "relative_variance")
    risks = risks.double()
    return (risks.var(correction=0) / risks.mean().square()).item()


# ---- C2: mechanistic stability -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MechanisticStability:
    """Agreement of the head gradients, the mean of (1 + cosine) / 2 over pairs of environments.

    Attributes:
        raw: from the whole batch: reads too high where environments share their noise, too near 1/2 where they do not.
            None where a gradient vanishes.
        cross_fitted: C2, from products that noise does not bias; None where it drowns a gradient.
        nsr: noise-to-signal ratio of each gradient, ``noise / |g_e|^2``. The measured norm contains the noise, so that
            noise alone reads about 1; a gradient that vanishes, infinite.
    """

    raw: float | None
    cross_fitted: float | None
    nsr: Float[Tensor, " environments"]


def mechanistic_stability(
    halves: Float[Tensor, "2 environments parameters"], noise: Float[Tensor, " environments"]
) -> MechanisticStability:
    """C2: mean over unordered pairs of (1 + cos(g_e, g_e')) / 2, the cosine by :func:`cross_products`.

    Cosines are clipped to [-1, 1]: estimated products need not obey Cauchy and Schwarz. A metric that is noise is not
    reported: it is refused if a noise-to-signal ratio is above 0.5, or the estimate of a squared norm not positive.
    At an optimum of the mean risk of two environments C2 is 0, whatever the policy: the gradients cancel there.

    Args:
        halves: risk gradients of the head from two disjoint halves of the episodes; their mean is the full gradient.
        noise: trace of the sampling covariance of each full gradient, in the squared unit of the gradients.

    Raises:
        InputError: if there are fewer than two environments, or a noise is negative.

    Source: the HIRM paper, section 4.3.1.
    """
    _check_environments(halves.shape[1], "mechanistic_stability")
    if (noise < 0).any():
        raise InputError(
            f"mechanistic_stability: noise={noise.min():g} is negative; it is the trace of a covariance, at least 0"
        )
    halves = halves.double()
    full = halves.mean(0)
    nsr = noise.double() / full.square().sum(-1)
    measured = bool((nsr <= NOISE_LIMIT).all())
    return MechanisticStability(
        raw=_mean_similarity(full @ full.T),
        cross_fitted=_mean_similarity(cross_products(halves)) if measured else None,
        nsr=nsr,
    )


def cross_products(halves: Float[Tensor, "2 environments parameters"]) -> Float[Tensor, "environments environments"]:
    """Inner products (<g_e^A, g_e'^B> + <g_e^B, g_e'^A>) / 2 of the environments' gradients; on the diagonal |g_e|^2.

    Unbiased, even where environments share their random numbers: the noise of one half is independent of the other's.
    An estimated |g_e|^2 can be negative.

    Args:
        halves: gradients from two disjoint halves A and B of the episodes.
    """
    across = halves[0] @ halves[1].T
    return (across + across.T) / 2


def _mean_similarity(products: Float[Tensor, "environments environments"]) -> float | None:
    """Mean of (1 + cosine) / 2 over pairs, from inner products; None unless all squared norms are positive."""
    squares = products.diagonal()
    if not ((squares > 0) & squares.isfinite()).all():
        return None
    norms = squares.sqrt()
    cosines = (products / norms / norms.unsqueeze(-1)).clamp(-1, 1)
    first, second = torch.triu_indices(*products.shape, offset=1)
    return ((1 + cosines[first, second]) / 2).mean().item()


# ---- C3: structural stability --------------------------------------------------------------------------------------


def dispersion(means: Float[Tensor, "environments width"], pooled: Float[Tensor, "width width"]) -> float:
    """Tr(Sigma^-1 Cov_e[mu_e]) / width: spread of a layer's means between environments, in units of that within them.

    0 for equal means. Shrinking Sigma towards its mean variance by 0.1 % keeps it regular where units are idle.

    Args:
        means: mean features mu_e of each environment; their population covariance is taken.
        pooled: Sigma, covariance of the features within training environments, pooled over them.

    Returns:
        At least 0, without unit. NaN for a layer that never moves within an environment, or is not finite.

    Raises:
        InputError: if there are fewer than two environments, or ``pooled`` has a negative eigenvalue.

    Source: the HIRM paper, section 4.3.1, with the covariance taken between environments.
    """
    _check_environments(len(means), "dispersion")
    means, pooled = means.double(), pooled.double()
    variance = pooled.diagonal().mean()
    if not (pooled.isfinite().all() and means.isfinite().all()) or (pooled == 0).all():
        return math.nan
    shrunk = torch.lerp(pooled, variance * torch.eye(len(pooled), dtype=pooled.dtype, device=pooled.device), SHRINKAGE)
    factor, failed = torch.linalg.cholesky_ex(shrunk)
    if failed:
        raise InputError("dispersion: pooled has a negative eigenvalue; pass a covariance matrix")
    centered = (means - means.mean(0)).T
    whitened = torch.linalg.solve_triangular(factor, centered, upper=False)
    return (whitened.square().sum() / means.numel()).item()


def structural_stability(dispersions: Sequence[float], *, normalizer: float) -> float:
    """C3 = 1 - min(1, mean over layers of the dispersion / (tau_C + eps)); 1 for equal means in every layer.

    Args:
        dispersions: one number a layer, from :func:`dispersion`.
        normalizer: tau_C; a high quantile of the mean dispersion over baseline runs.

    Raises:
        InputError: if there is no layer, or the normalizer is not positive.

    Source: the HIRM paper, section 4.3.1.
    """
    if not dispersions:
        raise InputError("structural_stability: there are no dispersions; at least one layer is needed")
    return _one_minus(math.fsum(dispersions) / len(dispersions), normalizer, "structural_stability")


# ---- aggregation ---------------------------------------------------------------------------------------------------


def trimmed_mean(values: Float[Tensor, " values"], share: float = 0.1) -> float:
    """Mean without the lowest and the highest ``share`` of the values; the mean of all where there are fewer than ten.

    A share that is not a whole number of values is rounded down. NaN if a value is.

    Raises:
        InputError: if there is no value, or the share is not in [0, 0.5).
    """
    if not 0 <= share < 0.5:
        raise InputError(f"trimmed_mean: share={share:g} is not in [0, 0.5); to cut 10 % off each end say share=0.1")
    count = len(values)
    if count == 0:
        raise InputError("trimmed_mean: there are no values; at least one is needed")
    cut = math.floor(share * count + 1e-9) if count >= 10 else 0
    if values.isnan().any():  # sorted last, it would be cut away
        return math.nan
    return values.double().sort().values[cut : count - cut].mean().item()


def isi(
    c1: float | None, c2: float | None, c3: float | None, weights: tuple[float, float, float] = UNIFORM
) -> float | None:
    """ISI = sum_i weights_i C_i in [0, 1]; higher is better. None if a component is missing (None or NaN).

    Raises:
        InputError: if a component is not in [0, 1], or the weights are negative or do not add up to 1.

    Source: the HIRM paper, section 4.3.1.
    """
    if min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-9):
        raise InputError(f"isi: weights={weights} are not shares of 1; make them at least 0 and their sum 1")
    total = 0.0
    for weight, component in zip(weights, (c1, c2, c3), strict=True):
        if component is None or math.isnan(component):
            return None
        if not 0 <= component <= 1:
            raise InputError(
                f"isi: component={component:g} is not in [0, 1]; pass the stabilities, not the dispersions"
            )
        total += weight * component
    return min(total, 1.0)


def _one_minus(spread: float, normalizer: float, caller: str) -> float:
    """1 - min(1, spread / (normalizer + eps)); NaN stays NaN."""
    if not 0 < normalizer < math.inf:
        raise InputError(f"{caller}: normalizer={normalizer:g} is not positive; calibrate it on baseline runs")
    return math.nan if math.isnan(spread) else 1 - min(1.0, spread / (normalizer + EPSILON))


def _check_environments(count: int, caller: str) -> None:
    if count < 2:
        raise InputError(f"{caller}: environments={count} is too few for a dispersion; at least two are needed")
