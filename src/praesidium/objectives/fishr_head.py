"""Fishr: equal spread of the gradients of single episodes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class FishrHead(Objective, kind="fishr_head"):
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

    penalty: NonNegativeFloat = 0.1
    ema: float = Field(default=0.95, ge=0, lt=1)

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return Terms(risk=risks.mean(-1), penalty=no_penalty(risks))
        spread = sensitivities.head_spread()
        now = spread.detach()
        memory["spread"] = torch.lerp(now, memory.get("spread", now), self.ema)
        smoothed = memory["spread"] + (spread - now)
        return Terms(
            risk=risks.mean(-1),
            penalty=ramp * self.penalty * smoothed.var(-2, correction=0).mean(-1),
            log={"spread": memory["spread"].sum(-1)},
        )
