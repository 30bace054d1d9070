"""Positions by conviction: what is not known well enough is held in cash."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_distributions


def confidence_based_sizing(
    weights: Float[Tensor, "*batch assets"], regime_probs: Float[Tensor, "*batch regimes"], *, floor: float = 0.0
) -> Float[Tensor, "*batch assets"]:
    """Weights times floor + (1 - floor) certainty, certainty = 1 - H(p) / log K; the rest of the wealth is cash.

    H is the entropy of the regimes: certainty is 1 where the regime is known and 0 where all are equally likely. The
    scaled weights are not brought back to their sum, which would undo the scaling. NaN stays NaN.

    Args:
        weights: of the assets; a sum of 1 is fully invested.
        regime_probs: filtered or forecast probabilities of the same rows, which sum to one.
        floor: share of the position that is held however little is known, in [0, 1].

    Raises:
        InputError: if ``floor`` is no share, there is one regime, or probabilities do not sum to one.
    """
    regimes = regime_probs.shape[-1]
    if not 0 <= floor <= 1:
        raise InputError(f"confidence_based_sizing: floor={floor:g} is not a share in [0, 1]; say 0.3 to keep 30 %")
    if regimes < 2:
        raise InputError("confidence_based_sizing: one regime is always certain; give probabilities of two or more")
    check_distributions("confidence_based_sizing", "regime_probs", regime_probs)
    seen = regime_probs.clamp(min=torch.finfo(regime_probs.dtype).tiny)  # at zero entropy has an infinite slope
    certainty = (1 - torch.special.entr(seen).sum(-1, keepdim=True) / math.log(regimes)).clamp(min=0)
    return weights * (floor + (1 - floor) * certainty)
