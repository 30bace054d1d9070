"""Stationary bootstrap: standard errors of dependent daily rows."""

from __future__ import annotations

import numpy as np
import torch
from arch.bootstrap import optimal_block_length
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from praesidium.component import InputError
from praesidium.diagnostics.scorecard import LEVEL
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

SHORTEST_BLOCK = 5.0
DRAWS = 1000
CELLS = 2**16  # resampled days held at once, some 40 bytes each: few enough to stay in the cache


def bootstrap_error(losses: NDArray[np.float64], *, block: float) -> float:
    """Standard error of the daily CVaR-95 by stationary bootstrap; the same at every call.

    Args:
        losses: one loss a day, in the order of the days.
        block: mean length of the resampled blocks, days; see :func:`block_length`.
    """
    series, generator = torch.as_tensor(losses), stream("bootstrap")
    rows = max(1, CELLS // len(series))
    risks = []
    for done in range(0, DRAWS, rows):
        days = stationary_draws(len(series), block=block, draws=min(rows, DRAWS - done), generator=generator)
        risks.append(cvar(series[days], level=LEVEL))
    return torch.cat(risks).std().item()


def block_length(losses: NDArray[np.float64]) -> float:
    """Mean block that serves the variance of a mean best, days; at least five.

    Source: Politis and White 2004, corrected by Patton, Politis and White 2009.
    """
    if len(losses) < 4 * SHORTEST_BLOCK or np.ptp(losses) == 0:  # no autocorrelation to be had
        return SHORTEST_BLOCK
    return max(SHORTEST_BLOCK, float(optimal_block_length(losses)["stationary"].iloc[0]))


def stationary_draws(
    length: int, *, block: float, draws: int, generator: torch.Generator
) -> Int[Tensor, "draws length"]:
    """Days of resampled series: blocks of geometric length from uniform starts; the day after the last is the first.

    Args:
        length: days of the series, and of each resampled one.
        block: mean length of a block, at least 1, which draws each day by itself.
        draws: number of resampled series.
        generator: the only source of randomness, on a CPU.

    Raises:
        InputError: if the block is shorter than a day.

    Source: Politis and Romano 1994, section 2.
    """
    if not block >= 1:
        raise InputError(f"stationary_draws: block={block:g} is shorter than a day; a block of 1 is the shortest")
    cells = draws * length
    opens = torch.rand(draws, length, generator=generator) < 1 / block
    opens[:, 0] = True
    # On the series laid end to end, a block is a run of cells that keeps one distance to the days it shows.
    first = opens.view(-1).nonzero().squeeze(-1)
    distance = torch.randint(length, first.shape, generator=generator) - first
    spread = distance.repeat_interleave(first.diff(append=first.new_tensor([cells])), output_size=cells)
    return spread.add_(torch.arange(cells)).remainder_(length).view(draws, length)
