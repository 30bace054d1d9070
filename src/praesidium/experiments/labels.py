"""Other environments of the same training episodes: dealt out at random, or by the regime that they were in."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.rollout import Scene

Labels = Literal["bands", "random", "regimes"]
FEWEST = 20  # episodes that those of a regime have to be worth


def relabel(scenes: list[Scene], labels: Labels, generator: torch.Generator) -> list[Scene]:
    """The episodes of all environments under other labels.

    Args:
        scenes: of each environment as it is drawn.
        labels: ``bands`` leaves them as they are, ``random`` deals them out anew, ``regimes`` makes an environment of
            each regime.
        generator: of the draws.

    Raises:
        InputError: if hardly an episode was in one of the regimes.
    """
    if labels == "bands":
        return scenes
    counts, every = [one.count for one in scenes], Scene.join(scenes)
    if labels == "random":
        return [every.take(chosen) for chosen in torch.randperm(every.count, generator=generator).split(counts)]
    assert every.state.regimes is not None  # a study with these labels has a view of them
    weights = every.state.regimes.double().mean(0)
    return [every.take(chosen) for chosen in _drawn(weights, max(counts), generator)]


def _drawn(weights: Float[Tensor, "episodes regimes"], count: int, generator: torch.Generator) -> list[Tensor]:
    """For each regime so many episodes, each with the chance of its weight, in random order.

    The weight of an episode is the mean probability of the regime over its days. Environments are soft: an episode
    that was in two regimes counts in both. Mean losses and risks of a regime are those of the weighted episodes; draws
    are systematic (one uniform number a regime), which keeps their noise small.
    """
    chosen = []
    for number, weight in enumerate(weights.T):
        worth = (weight.sum().square() / weight.square().sum().clamp_min(torch.finfo(weight.dtype).tiny)).item()
        if worth < FEWEST:
            raise InputError(
                f"train.labels: the episodes of regime {number} are worth {worth:.1f} of {len(weight)}, too few for an "
                f"environment, which takes {FEWEST}; say fewer regimes (state.regimes.n_regimes) or a larger train.pool"
            )
        ends, start = weight.cumsum(0), torch.rand((), dtype=weight.dtype, generator=generator)
        places = torch.searchsorted(ends, (torch.arange(count) + start) / count * ends[-1])
        chosen.append(places.clamp(max=len(ends) - 1)[torch.randperm(count, generator=generator)])
    return chosen
