"""Group distributionally robust optimization."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class GroupDRO(Objective, kind="groupdro"):
    """sum_e w_e R_e with w_e <- w_e exp(eta R_e) / Z: mirror ascent towards the worst environment.

    The weights move from the first step on; the loss goes over from their mean to them along the ramp.

    Attributes:
        eta: step of the weights. Risks come in units of the delta hedge's, so that 0.01 moves them at all.

    Source: Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1.
    """

    eta: PositiveFloat = 0.01

    def __call__(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        before = memory.get("weights", torch.full_like(risks, 1 / risks.shape[-1]))
        weights = torch.softmax(before.log() + self.eta * risks.detach(), dim=-1)
        memory["weights"] = weights
        return Terms(
            risk=torch.lerp(risks.mean(-1), (weights * risks).sum(-1), ramp),
            penalty=no_penalty(risks),
            log={"weights": weights},
        )
