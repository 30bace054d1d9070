"""IRM with the whole decision head as its classifier."""

from __future__ import annotations

from praesidium.objectives.alignment import mean_square
from praesidium.objectives.objective import Memory, Sensitivities
from praesidium.objectives.penalized import Measured, Penalized


class IRMHead(Penalized, kind="irm_head"):
    """mean_e R_e + penalty mean_e |g_e|^2, where g_e is the gradient of R_e in the decision head.

    The mean square is the variance over environments plus the square of the mean: it vanishes only where one head is
    optimal in every environment at once. It is a size: equal environments are still pulled to where they are flat.

    Attributes:
        penalty: weight of the mean square; it depends on the scale of the head's inputs, as the gradients do.

    Source: Arjovsky et al. 2019 (arXiv 1907.02893), eq. IRMv1, with the whole head for the factor.
    """

    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        gradients = sensitivities.head()
        return mean_square(gradients), {"head_norms": gradients.detach().norm(dim=-1)}
