"""CVaR over environments: between the mean and the worst of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class EnvironmentCVaR(Objective, kind="env_cvar"):
    """Mean of the worst ``share`` of the E risks, the boundary one counted by the remaining fraction.

    share = 1 is ERM, share <= 1 / E the maximum. Environments beyond the tail have no weight at all: with few of them
    the weights jump as risks change places. Equal risks share the weight that falls to them.
    The loss goes over to it from the mean along the ramp.

    Attributes:
        share: tail mass, of environments with equal weights.

    Source: Williamson and Menon 2019 (arXiv 1901.08665), with environments for groups; Acerbi and Tasche 2002,
    def. 2.6, for the weights.
    """

    share: float = Field(default=0.5, gt=0, le=1)

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        weights = self._weights(risks.detach())
        return Terms(
            risk=torch.lerp(risks.mean(-1), (weights * risks).sum(-1), ramp),
            penalty=no_penalty(risks),
            log={"weights": weights},
        )

    def _weights(self, risks: Float[Tensor, "*replicas environments"]) -> Float[Tensor, "*replicas environments"]:
        """Share of the tail that falls to each environment; they sum to one."""
        mass = self.share * risks.shape[-1]
        one, other = risks.unsqueeze(-1), risks.unsqueeze(-2)
        worse, equal = (other > one).to(risks.dtype).sum(-1), (other == one).to(risks.dtype).sum(-1)
        return ((mass - worse) / equal).clamp(0, 1) / mass
