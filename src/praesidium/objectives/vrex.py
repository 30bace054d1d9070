"""V-REx: flat risks across environments."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms


class VREx(Objective, kind="vrex"):
    """mean_e R_e + beta Var_e R_e, the variance over environments (population form).

    The weight of a calm environment, (1 + 2 beta (R_e - mean)) / E, turns negative once R_e < mean - 1 / (2 beta);
    the objective then raises the risk of calm markets. The log shows the weights.

    Attributes:
        beta: weight of the variance. With a sum over E environments in place of the mean it would be E times as large.

    Source: Krueger et al. 2021 (arXiv 2003.00688), eq. 7.
    """

    beta: NonNegativeFloat = 1.0

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        weights = (1 + 2 * ramp * self.beta * (risks - risks.mean(-1, keepdim=True))) / risks.shape[-1]
        return Terms(
            risk=risks.mean(-1),
            penalty=ramp * self.beta * risks.var(-1, correction=0),
            log={"weights": weights.detach()},
        )
