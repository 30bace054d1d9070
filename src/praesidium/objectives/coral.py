"""CORAL: the head sees inputs of the same mean and covariance everywhere."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty


class CORAL(Objective, kind="coral"):
    """mean_e R_e + penalty mean_{e<e'} [mean_j (mu_e - mu_e')_j^2 + mean_jk (C_e - C_e')_jk^2].

    mu_e and C_e are mean and covariance of the head's inputs over the days of environment e's tail episodes, which
    alone are differentiated: this matches what the head sees when a hedge goes wrong, not all that it sees. The
    penalty knows no position: it also removes what a state must tell of its regime, such as its volatility.

    Attributes:
        penalty: weight of the distance; it depends on the scale of the head's inputs, to the fourth power.

    Source: Sun and Saenko 2016 (arXiv 1607.01719), eq. 1 without its factor 1 / 4, for the covariances; DomainBed,
    class CORAL, for the means and the pairs.
    """

    penalty: NonNegativeFloat = 1.0

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return Terms(risk=risks.mean(-1), penalty=no_penalty(risks))
        means, covariances = sensitivities.moments()
        # Over unordered pairs, the mean square difference is twice the unbiased variance.
        of_means = 2 * means.var(-2).mean(-1)
        of_covariances = 2 * covariances.var(-3).mean((-2, -1))
        return Terms(
            risk=risks.mean(-1),
            penalty=ramp * self.penalty * (of_means + of_covariances),
            log={"mean_distance": of_means.detach(), "covariance_distance": of_covariances.detach()},
        )
