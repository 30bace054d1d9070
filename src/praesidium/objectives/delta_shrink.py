"""Plain shrinkage towards the delta hedge: the control for everything that claims to do more."""

from __future__ import annotations

from typing import ClassVar

from praesidium.objectives.objective import Memory, Sensitivities
from praesidium.objectives.penalized import Measured, Penalized


class DeltaShrink(Penalized, kind="delta_shrink"):
    """mean_e R_e + penalty mean_e E[(position - delta)^2 | tail of e], the mean over the days of tail episodes.

    It compares nothing and knows nothing of invariance. A method that generalizes no better than this at the same
    distance from delta has only been cautious. Shrinking the position itself would mean not to hedge.

    Attributes:
        penalty: weight of the distance, in units of the delta hedge's risk per squared unit of the underlying.

    Source: Pezeshki et al. 2021 (arXiv 2011.09468), spectral decoupling, with the distance from delta for the output.
    """

    compares: ClassVar[bool] = False

    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        residuals = sensitivities.residual()
        return residuals.mean(-1), {"residuals": residuals.detach()}
