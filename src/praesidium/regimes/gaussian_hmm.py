"""The hidden Markov model with normal observations."""

from __future__ import annotations

from praesidium.regimes.densities import Normal
from praesidium.regimes.stationary import StationaryHMM


class GaussianHMM(StationaryHMM, kind="gaussian_hmm"):
    """x_t given z_t = k is normal with mean mu_k and covariance Sigma_k, diagonal or full.

    Missing numbers are integrated out exactly. EM never lowers the likelihood.

    Source: Hamilton 1989; Rabiner 1989.
    """

    tails = Normal()
