"""IRMv1: a dummy factor on the policy that no environment wants to change."""

from __future__ import annotations

from praesidium.objectives.objective import Memory, Sensitivities
from praesidium.objectives.penalized import Measured, Penalized


class IRMv1(Penalized, kind="irmv1"):
    """mean_e R_e + penalty mean_e D_e^2, where D_e is the derivative of R_e in a factor s on all positions, at s = 1.

    For a hedge D_e = -E[hedge gain net of costs | tail of e]: no second backward pass is needed.

    Attributes:
        penalty: weight of the squared derivative. A hedge wants D_e far from zero, for what it earns in the tail is
            what it is for; of the customary range (0.1 to 1e5) only the lower end trains a usable policy.

    Source: Arjovsky et al. 2019 (arXiv 1907.02893), eq. IRMv1.
    """

    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        slopes = sensitivities.scale()
        return slopes.square().mean(-1), {"slopes": slopes.detach()}
