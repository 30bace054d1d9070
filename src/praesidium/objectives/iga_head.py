"""IGA at the decision head: flat gradients across environments."""

from __future__ import annotations

from praesidium.objectives.alignment import variance
from praesidium.objectives.objective import Memory, Sensitivities
from praesidium.objectives.penalized import Measured, Penalized


class IGAHead(Penalized, kind="iga_head"):
    """mean_e R_e + penalty mean_e |g_e - mean g|^2, where g_e is the gradient of R_e in the decision head.

    The variance also falls when all gradients shrink, and where they are small it is small whatever their directions:
    a low value does not say that environments agree.

    Attributes:
        penalty: weight of the variance. With a sum over E environments in place of the mean it would be E times as
            large.

    Source: Koyama and Yamaguchi 2020 (arXiv 2008.01883), there over all parameters of the network.
    """

    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        gradients = sensitivities.head()
        return variance(gradients), {"head_norms": gradients.detach().norm(dim=-1)}
