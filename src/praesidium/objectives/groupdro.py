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
        hard: all weight on the worst environment of the step, the limit of large ``eta``, and nothing carried over.
            Equal risks share it. The worst one changes from batch to batch by noise alone.

    Source: Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1.
    """

    eta: PositiveFloat = 0.01
    hard: bool = False

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        weights = self._worst(risks.detach()) if self.hard else self._ascended(risks.detach(), memory)
        return Terms(
            risk=torch.lerp(risks.mean(-1), (weights * risks).sum(-1), ramp),
            penalty=no_penalty(risks),
            log={"weights": weights},
        )

    def _worst(self, risks: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas environments"]:
        worst = (risks == risks.amax(-1, keepdim=True)).to(risks.dtype)
        return worst / worst.sum(-1, keepdim=True)

    def _ascended(
        self, risks: Float[Tensor, "*replicas environments"], memory: Memory
    ) -> Float[Tensor, "*replicas environments"]:
        before = memory.get("weights", torch.full_like(risks, 1 / risks.shape[-1]))
        memory["weights"] = torch.softmax(before.log() + self.eta * risks, dim=-1)
        return memory["weights"]
