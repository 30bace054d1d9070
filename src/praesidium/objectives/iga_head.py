"""IGA at the decision head: flat gradients across environments."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.objectives.alignment import variance
from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class IGAHead(Objective, kind="iga_head"):
    """mean_e R_e + penalty mean_e |g_e - mean g|^2, where g_e is the gradient of R_e in the decision head.

    The variance also falls when all gradients shrink, and where they are small it is small whatever their directions:
    a low value does not say that environments agree.

    Attributes:
        penalty: weight of the variance. With a sum over E environments in place of the mean it would be E times as
            large.

    Source: Koyama and Yamaguchi 2020 (arXiv 2008.01883), there over all parameters of the network.
    """

    penalty: NonNegativeFloat = 0.1

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return Terms(risk=risks.mean(-1), penalty=no_penalty(risks))
        gradients = sensitivities.head()
        return Terms(
            risk=risks.mean(-1),
            penalty=ramp * self.penalty * variance(gradients),
            log={"head_norms": gradients.detach().norm(dim=-1)},
        )
