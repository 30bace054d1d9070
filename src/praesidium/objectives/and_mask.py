"""AND-mask: the head moves only where environments agree on the direction."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty, plain_erm


class ANDMask(Objective, kind="and_mask"):
    """mean_e R_e, with the gradient m_j gbar_j / (mean m + 1e-10) in the head; m_j = 1{|mean_e sign g_ej| >= tau}.

    g_e is the gradient of R_e in the head and gbar their mean; parameters before the head follow the mean risk. What
    is left is enlarged by the share that was cut, over the whole head: one coordinate of p comes out p times as
    large, which an optimizer with adaptive steps takes back. With two environments and threshold 1 it stops where no
    coordinate improves both.

    Attributes:
        threshold: tau, how one-sided the signs must be: 1 for all alike, 0 for no mask.

    Source: Parascandolo et al. 2021 (arXiv 2009.00329); DomainBed, class ANDMask, for the scale, there by tensor.
    """

    threshold: float = Field(default=1.0, ge=0, le=1)

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return plain_erm(risks)
        gradients = sensitivities.head().detach()
        mean = gradients.mean(-2)
        # A hair of slack: a share such as 3/5 need not be the number that was written as 0.6.
        agreed = (gradients.sign().mean(-2).abs() >= self.threshold - 1e-6).to(mean.dtype)
        share = agreed.mean(-1, keepdim=True)
        return Terms(
            risk=risks.mean(-1),
            penalty=no_penalty(risks),
            log={"agreement": share.squeeze(-1)},
            head=torch.lerp(mean, agreed * mean / (share + 1e-10), ramp),
        )
