"""Empirical risk minimization over environments."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, plain_erm


class ERM(Objective, kind="erm"):
    """mean_e R_e. Not the CVaR of the pooled losses, which is larger: CVaR is concave in the distribution."""

    compares: ClassVar[bool] = False

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        return plain_erm(risks)
