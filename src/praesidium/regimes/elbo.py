"""Evidence lower bounds of a hidden Markov model, for two families of approximate posteriors.

With l_t(k) the evidence of an encoder for regime k at time t, p(z) the Markov chain and p(x_t | k) the emissions,

    ELBO = E_q log p(x | z) - KL(q || p(z)) <= log p(x).

Both terms are sums over times (and features, inside log p), so that neither outweighs the other by its units; a loss
divides the whole by the number of times. Averaging one term and summing the other would make a constant regime optimal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.data.chunks import valid
from praesidium.regimes.hmm import smoothed
from praesidium.regimes.prior import Chain


class Bound(NamedTuple):
    """The two terms of the bound, by sequence in nats, and the posterior that they are of.

    Attributes:
        reconstruction: E_q log p(x | z).
        divergence: KL(q || p(z)), at least 0.
        marginals: q(z_t).
    """

    reconstruction: Float[Tensor, " batch"]
    divergence: Float[Tensor, " batch"]
    marginals: Float[Tensor, "batch time regimes"]

    def elbo(self, *, beta: float = 1.0) -> Float[Tensor, " batch"]:
        """Reconstruction - beta divergence; a bound of log p(x) for ``beta=1`` (Higgins et al. 2017 for others)."""
        return self.reconstruction - beta * self.divergence


def structured(
    chain: Chain,
    evidence: Float[Tensor, "batch time regimes"],
    log_emission: Float[Tensor, "batch time regimes"],
    *,
    lengths: Int[Tensor, " batch"],
) -> Bound:
    """q(z | x) = p(z) prod_t exp l_t(z_t) / Z: a Markov chain itself, of which all expectations are exact.

    With gamma_t(k) = q(z_t = k): KL(q || p) = sum_t sum_k gamma_t(k) l_t(k) - log Z, so that

        ELBO = sum_t sum_k gamma_t(k) [log p(x_t | k) - l_t(k)] + log Z.

    An amount added to l_t(k) for all k cancels. With l_t(k) = log p(x_t | k) the posterior is exact, the bracket is
    zero and the bound is log Z = log p(x). Else it falls short by KL(q || p(z | x)).

    Source: Johnson et al. 2016 (arXiv 1603.06277), section 4, with a discrete chain.
    """
    inside = valid(lengths, evidence.shape[1]).unsqueeze(-1)
    evidence = torch.where(inside, evidence, 0.0)
    posterior = smoothed(*chain, evidence, lengths=lengths)
    gamma = torch.where(inside, posterior.marginals, 0.0)
    reconstruction = (gamma * torch.where(inside, log_emission, 0.0)).sum((1, 2))
    divergence = (gamma * evidence).sum((1, 2)) - posterior.log_normalizer
    return Bound(reconstruction, divergence, posterior.marginals)


def mean_field(
    chain: Chain,
    evidence: Float[Tensor, "batch time regimes"],
    log_emission: Float[Tensor, "batch time regimes"],
    *,
    lengths: Int[Tensor, " batch"],
) -> Bound:
    """q(z | x) = prod_t softmax(l_t)(z_t): regimes of different times are independent.

    KL(q || p) = sum_t q_t . log q_t - q_1 . log pi - sum_t q_t A'_t q_{t+1}, with A'_t = log A_t. A looser bound than
    :func:`structured` at equal evidence: it can not say that a regime lasts.
    """
    inside = valid(lengths, evidence.shape[1])
    log_q = torch.where(inside.unsqueeze(-1), evidence, 0.0).log_softmax(-1)
    q = log_q.exp()
    counted = q * inside.unsqueeze(-1)
    reconstruction = (counted * torch.where(inside.unsqueeze(-1), log_emission, 0.0)).sum((1, 2))
    moves = chain.log_transition.expand(len(q), q.shape[1] - 1, -1, -1)
    expected = torch.einsum("bti,btij,btj->b", counted[:, :-1], moves, counted[:, 1:]) + q[:, 0] @ chain.log_initial
    return Bound(reconstruction, (counted * log_q).sum((1, 2)) - expected, q)


POSTERIORS: dict[str, Callable[..., Bound]] = {"structured": structured, "mean_field": mean_field}
