"""IRMv1: a dummy factor on the policy that no environment wants to change."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class IRMv1(Objective, kind="irmv1"):
    """mean_e R_e + penalty mean_e D_e^2, where D_e is the derivative of R_e in a factor s on all positions, at s = 1.

    For a hedge D_e = -E[hedge gain net of costs | tail of e]: no second backward pass is needed.

    Attributes:
        penalty: weight of the squared derivative. A hedge wants D_e far from zero, for what it earns in the tail is
            what it is for; of the customary range (0.1 to 1e5) only the lower end trains a usable policy.

    Source: Arjovsky et al. 2019 (arXiv 1907.02893), eq. IRMv1.
    """

    penalty: NonNegativeFloat = 0.1

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return Terms(risk=risks.mean(-1), penalty=no_penalty(risks))
        slopes = sensitivities.scale()
        return Terms(
            risk=risks.mean(-1), penalty=ramp * self.penalty * slopes.square().mean(-1), log={"slopes": slopes.detach()}
        )
