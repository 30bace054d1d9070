"""Objectives that add a weighted penalty to the mean risk, once the warm-up is over."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, plain_erm

Measured = tuple[Float[Tensor, "*replicas"], dict[str, Tensor]]


class Penalized(Objective):
    """mean_e R_e + penalty P, with P left to the members; plain ERM in the warm-up, where P is not even computed.

    Attributes:
        penalty: weight of P.
    """

    penalty: NonNegativeFloat = 0.1

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return plain_erm(risks)
        measure, log = self.measure(sensitivities, memory)
        return Terms(risk=risks.mean(-1), penalty=ramp * self.penalty * measure, log=log)

    @abstractmethod
    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        """P for each replica, and what to write down, without a graph."""
