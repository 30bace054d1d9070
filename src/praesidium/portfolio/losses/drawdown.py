"""Largest loss from a peak of wealth."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from praesidium.risk import max_drawdown


def path_drawdown(net: Float[Tensor, "batch periods"]) -> Float[Tensor, " batch"]:
    """Maximum drawdown max_t (1 - W_t / max_{s <= t} W_s) of compounded wealth; the start counts as a peak.

    Args:
        net: returns a period, above -1.

    Returns:
        A fraction of the peak in [0, 1), 0 for wealth that never falls.
    """
    wealth = pad(torch.log1p(net).cumsum(1), (1, 0))
    return -torch.expm1(-max_drawdown(wealth.T))
