"""Dispersion of outcomes: how far the risks of one policy lie apart across environments, and where they are worst."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.diagnostics.isi import EPSILON
from praesidium.risk import cvar


def invariance_gap(risks: Float[Tensor, " environments"]) -> float:
    """IG = max_e R_e - min_e R_e, in the unit of the risks; at least 0, lower is better, NaN if a risk is.

    Raises:
        InputError: if there are fewer than two environments, whose gap would be 0 whatever the policy.

    Source: the HIRM paper, section 4.3.1.
    """
    if len(risks) < 2:
        raise InputError(f"invariance_gap: environments={len(risks)} is too few for a gap; at least two are needed")
    return risks.max().item() - risks.min().item()


def bias_corrected_gap(risks: Float[Tensor, " environments"], errors: Float[Tensor, " environments"]) -> float:
    """IG - d2(E) se: the gap beyond what sampling alone shows where all risks are equal; negative if it is smaller.

    se is the root mean square of the standard errors, d2 the :func:`expected_range`, for errors that are independent
    between environments. Common random numbers leave a smaller gap, so that this takes off too much.

    Args:
        risks: one risk an environment.
        errors: their standard errors, in the same unit.

    Raises:
        InputError: if there are fewer than two environments, or an error is negative.
    """
    return invariance_gap(risks) - _gap_of_noise(errors, "bias_corrected_gap")


def gap_is_resolved(risks: Float[Tensor, " environments"], errors: Float[Tensor, " environments"]) -> bool:
    """Whether IG > 3 d2(E) se: three times the gap that sampling alone shows. False if a risk or an error is NaN.

    Arguments and errors are those of :func:`bias_corrected_gap`.
    """
    return invariance_gap(risks) > 3 * _gap_of_noise(errors, "gap_is_resolved")


def normalized_gap(risks: Float[Tensor, " environments"], *, normalizer: float) -> float:
    """IG / (tau_IG + eps), without unit: comparable across data sets.

    Args:
        risks: one risk an environment.
        normalizer: tau_IG, the mean risk of ERM over the same environments, median over seeds.

    Raises:
        InputError: if there are fewer than two environments, or the normalizer is not positive.

    Source: the HIRM paper, section 4.3.1.
    """
    if not 0 < normalizer < math.inf:
        raise InputError(f"normalized_gap: normalizer={normalizer:g} is not positive; take the mean risk of ERM")
    return invariance_gap(risks) / (normalizer + EPSILON)


def expected_range(count: int) -> float:
    """d2: mean of max - min over ``count`` independent standard normals, int 1 - Phi(x)^n - (1 - Phi(x))^n dx.

    Raises:
        InputError: if there is no normal.

    Source: Tippett 1925.
    """
    if count < 1:
        raise InputError(f"expected_range: count={count} is not positive; a range needs at least one number")
    # Smooth, and zero at both ends to double precision: the trapezoidal rule is then exact to rounding.
    points = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    below, above = torch.special.ndtr(points), torch.special.ndtr(-points)
    return torch.trapezoid(1 - below**count - above**count, points).item()


def worst_group(risks: Float[Tensor, " environments"]) -> float:
    """WG = max_e R_e: risk in the worst environment.

    Raises:
        InputError: if there is no environment.
    """
    if len(risks) == 0:
        raise InputError("worst_group: there are no risks; at least one environment is needed")
    return risks.max().item()


def worst_group_cvar(risks: Float[Tensor, " environments"], *, tail_mass: float = 0.5) -> float:
    """WG_c: mean of the worst ``tail_mass`` share of equally likely environments; the boundary one counts in part.

    The maximum for a share of at most one environment, the mean for a share of 1.

    Raises:
        InputError: if the share is not in (0, 1], or there is no environment.

    Source: the HIRM paper, section 4.3.2; Rockafellar and Uryasev 2002, eq. 3.
    """
    if not 0 < tail_mass <= 1:
        raise InputError(f"worst_group_cvar: tail_mass={tail_mass:g} is not in (0, 1]; for the worst half say 0.5")
    if tail_mass * len(risks) <= 1:
        return worst_group(risks)
    return (risks.mean() if tail_mass == 1 else cvar(risks, level=1 - tail_mass)).item()


def _gap_of_noise(errors: Float[Tensor, " environments"], caller: str) -> float:
    """The gap that sampling alone shows on average where all risks are equal."""
    if (errors < 0).any():
        raise InputError(f"{caller}: errors={errors.min():g} is negative; pass standard errors, at least 0")
    return expected_range(len(errors)) * errors.double().square().mean().sqrt().item()
