"""Other environments of the same training episodes: dealt out at random, or by the regime that they were in."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from praesidium.hedging.state import BY_DAY

Labels = Literal["bands", "random", "regimes"]
Parts = list[dict[str, Tensor]]  # tensors of each environment, by name


def relabel(parts: Parts, labels: Labels, generator: torch.Generator) -> Parts:
    """The episodes of all environments under other labels.

    Args:
        parts: tensors of each environment as it is drawn.
        labels: ``bands`` leaves them as they are, ``random`` deals them out anew, ``regimes`` makes an environment of
            each regime.
        generator: of the draws.
    """
    if labels == "bands":
        return parts
    counts = [one["owed"].shape[0] for one in parts]
    order = _at_random(counts, generator) if labels == "random" else _by_regime(parts, counts, generator)
    dealt: Parts = [{name: parts[0][name].clone() for name in parts[0] if name in BY_DAY} for _ in order]
    for name in [name for name in parts[0] if name not in BY_DAY]:
        axis = 0 if parts[0][name].ndim == 1 else 1
        whole = torch.cat([one[name] for one in parts], dim=axis)
        for one, chosen in zip(dealt, order, strict=True):
            one[name] = whole.index_select(axis, chosen)
    return dealt


def _at_random(counts: list[int], generator: torch.Generator) -> list[Tensor]:
    """As many episodes to each environment as it had."""
    return list(torch.randperm(sum(counts), generator=generator).split(counts))


def _by_regime(parts: Parts, counts: list[int], generator: torch.Generator) -> list[Tensor]:
    """For each regime as many episodes as an environment had, each with the chance of its weight, in random order.

    The weight of an episode is the mean probability of the regime over its days. Environments are soft: an episode
    that was in two regimes counts in both. Mean losses and risks of a regime are those of the weighted episodes; draws
    are systematic (one uniform number a regime), which keeps their noise small.
    """
    weights = torch.cat([one["regimes"].double().mean(0) for one in parts])
    drawn = max(counts)
    chosen = []
    for share in (weights / weights.sum(0)).T:
        ends, start = share.cumsum(0), torch.rand((), dtype=torch.float64, generator=generator)
        places = torch.searchsorted(ends, (torch.arange(drawn) + start) / drawn * ends[-1])
        chosen.append(places.clamp(max=len(ends) - 1)[torch.randperm(drawn, generator=generator)])
    return chosen
