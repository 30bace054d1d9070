"""What an allocator knows of each asset beside the regime: trailing volatility and momentum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

FLOOR = 1e-8  # volatility of an asset that does not move


def characteristics(
    returns: Float[Tensor, "*batch time assets"], windows: Sequence[int]
) -> Float[Tensor, "*batch time assets features"]:
    """log s and m / (s sqrt(w)) over the last w returns, for each window: s^2 the mean square, m the sum.

    The entry at t looks at returns up to t. Before w returns are there, it looks at those that are.

    Args:
        returns: simple returns.
        windows: returns in each window.

    Returns:
        Two features a window: the logarithm of the volatility a period, and the sum in units of its deviation.
    """
    count = torch.arange(1, returns.shape[-2] + 1, dtype=returns.dtype, device=returns.device).unsqueeze(-1)
    features = []
    for window in windows:
        size = count.clamp(max=window)
        deviation = (_trailing_sum(returns.square(), window).clamp(min=0) / size).sqrt().clamp(min=FLOOR)
        features += [deviation.log(), _trailing_sum(returns, window) / (deviation * size.sqrt())]
    return torch.stack(features, dim=-1) if features else returns.new_zeros(*returns.shape, 0)


def _trailing_sum(x: Tensor, window: int) -> Tensor:
    """Of the last ``window`` entries; a zero stands for what was before the start."""
    before = x.new_zeros(*x.shape[:-2], window - 1, x.shape[-1])
    return torch.cat([before, x], dim=-2).unfold(-2, window, 1).sum(-1)
