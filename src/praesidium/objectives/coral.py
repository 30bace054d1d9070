"""CORAL: the head sees inputs of the same mean and covariance everywhere."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from praesidium.objectives.objective import Memory, Sensitivities
from praesidium.objectives.penalized import Measured, Penalized


class CORAL(Penalized, kind="coral"):
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

    def measure(self, sensitivities: Sensitivities, memory: Memory) -> Measured:
        means, covariances = sensitivities.moments()
        # Over unordered pairs, the mean square difference is twice the unbiased variance.
        of_means = 2 * means.var(-2).mean(-1)
        of_covariances = 2 * covariances.var(-3).mean((-2, -1))
        log = {"mean_distance": of_means.detach(), "covariance_distance": of_covariances.detach()}
        return of_means + of_covariances, log
