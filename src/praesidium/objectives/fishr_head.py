"""Fishr: equal spread of the gradients of single episodes."""

from __future__ import annotations

import torch
from pydantic import Field

from praesidium.objectives.objective import Memory, Sensitivities
from praesidium.objectives.penalized import Measured, Penalized


class FishrHead(Penalized, kind="fishr_head"):
    """mean_e R_e + penalty mean_e mean_j (v_ej - mean_e v_ej)^2, where v_e is the variance of head gradients.

    v_ej is taken over the tail episodes of environment e, for each parameter j of the head, and smoothed over steps.
    The derivative is that of this step's variance at full size, as if the average were all its own: the share
    1 - ema that it has in the average would make it disappear. Variances have no direction: environments whose
    gradients oppose each other can be equal here.

    Attributes:
        penalty: weight. In DomainBed, whose average is divided by 1 - ema, it would be smaller by that factor.
        ema: weight of the past in the moving average, which starts at the first step after the warm-up.

    Source: Rame, Dancette and Cord 2022 (arXiv 2109.02934); DomainBed, class Fishr, for the average.
    """

    ema: float = Field(default=0.95, ge=0, lt=1)

    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        spread = sensitivities.head_spread()
        now = spread.detach()
        memory["spread"] = torch.lerp(now, memory.get("spread", now), self.ema)
        smoothed = memory["spread"] + (spread - now)
        return smoothed.var(-2, correction=0).mean(-1), {"spread": memory["spread"].sum(-1)}
