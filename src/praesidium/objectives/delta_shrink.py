"""Plain shrinkage towards the delta hedge: the control for everything that claims to do more."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class DeltaShrink(Objective, kind="delta_shrink"):
    """mean_e R_e + penalty mean_e E[(position - delta)^2 | tail of e], the mean over the days of tail episodes.

    It compares nothing and knows nothing of invariance. A method that generalizes no better than this at the same
    distance from delta has only been cautious. Shrinking the position itself would mean not to hedge.

    Attributes:
        penalty: weight of the distance, in units of the delta hedge's risk per squared unit of the underlying.

    Source: Pezeshki et al. 2021 (arXiv 2011.09468), spectral decoupling, with the distance from delta for the output.
    """

    compares: ClassVar[bool] = False

    penalty: NonNegativeFloat = 0.1

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return Terms(risk=risks.mean(-1), penalty=no_penalty(risks))
        residuals = sensitivities.residual()
        return Terms(
            risk=risks.mean(-1),
            penalty=ramp * self.penalty * residuals.mean(-1),
            log={"residuals": residuals.detach()},
        )
