"""Decoder: from a regime to the law of an observation."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError, unknown
from praesidium.regimes.emissions import Emission, Law
from praesidium.regimes.layers import CausalConv, Standardizer
from praesidium.training.reproducibility import stream

BOUND = 12.0  # log-variances lie within +-12 of the training variance's: deviations between 1 / 400 and 400 of it


class Decoder(nn.Module):
    """p(x_t | z_t = k): an embedding e_k of each regime, and a perceptron from it to mean, log-variance and tails.

    Nothing but the regime of time t moves the law of x_t, as a hidden Markov model asks for. The perceptron works in
    standardized units; the log-variance is kept within bounds by b(r) = r / sqrt(1 + (r / 12)^2), whose slope falls as
    |r|^-3 only, so that a variance at its floor can still be learned.

    Args:
        K: regimes.
        latent_dim: length of an embedding.
        hidden: hidden units; at least K, so that every law can be reached exactly.
        out_dim: features C of an observation.
        emission: ``gaussian`` or ``student``, a kind of :class:`~praesidium.regimes.emissions.Emission`.
        seed: of the initial values.
    """

    def __init__(
        self, K: int, latent_dim: int, hidden: int, out_dim: int, *, emission: str = "gaussian", seed: int = 0
    ) -> None:
        super().__init__()
        if emission not in Emission.registry:
            raise InputError(unknown("emission", emission, Emission.registry))
        if hidden < K:
            raise InputError(f"Decoder: hidden={hidden} units cannot tell K={K} regimes apart; say hidden={K} or more")
        generator = stream(seed, "init", "decoder")
        self.emission = Emission.registry[emission]()
        self.channels = out_dim
        self.standardizer = Standardizer(out_dim)
        self.embedding = nn.Parameter(torch.randn(K, latent_dim, generator=generator))
        self.first = CausalConv(latent_dim, hidden, generator)
        self.last = CausalConv(hidden, 2 * out_dim + self.emission.tails, generator)

    def law(self) -> Law:
        """Parameters of all regimes in the units of the data, double precision."""
        raw = self.last(self._hidden()).squeeze(0).T.double()
        mean, spread, tails = raw.split([self.channels, self.channels, self.emission.tails], dim=-1)
        deviation = self.standardizer.deviation.double()
        bounded = spread / (1 + (spread / BOUND).square()).sqrt()
        return Law(self.standardizer.mean + deviation * mean, bounded + 2 * deviation.log(), self.emission.dof(tails))

    def log_prob(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch time regimes"]:
        """log p(x_t | z_t = k) in double precision; NaN is integrated out, so that a time without data gives zeros."""
        return self.emission.log_density(x.double().transpose(1, 2), self.law())

    def forward(
        self, q: Float[Tensor, "batch regimes time"]
    ) -> tuple[Float[Tensor, "batch channels time"], Float[Tensor, "batch channels time"]]:
        """Mean and log-variance of the mixture sum_k q_k p(x | k) at each time."""
        law, weights = self.law(), q.double().transpose(1, 2)
        mean = weights @ law.mean
        apart = (law.mean - mean.unsqueeze(-2)).square()
        variance = (weights.unsqueeze(-1) * (self.emission.variance(law) + apart)).sum(-2)
        return mean.transpose(1, 2), variance.log().transpose(1, 2)

    @torch.no_grad()
    def set(self, law: Law) -> None:
        """Start from this law: the last layer that gives it, which exists for any K <= hidden embeddings apart."""
        deviation = self.standardizer.deviation
        spread = (law.log_scale - 2 * deviation.log()).clamp(-0.99 * BOUND, 0.99 * BOUND)
        raw = spread / (1 - (spread / BOUND).square()).sqrt()
        mean = (law.mean - self.standardizer.mean) / deviation
        target = torch.cat([mean, raw, self.emission.raw(law.dof)], dim=-1)
        hidden = self._hidden().squeeze(0).T.double()
        center, level = hidden.mean(0), target.mean(0)
        weight = (torch.linalg.pinv(hidden - center) @ (target - level)).T
        self.last.weight.copy_(weight.unsqueeze(-1))
        self.last.bias.copy_(level - weight @ center)

    @torch.no_grad()
    def permute(self, order: Int[Tensor, " regimes"]) -> None:
        """Reorder the regimes."""
        self.embedding.copy_(self.embedding[order])

    def _hidden(self) -> Float[Tensor, "1 hidden regimes"]:
        return torch.tanh(self.first(self.embedding.T.unsqueeze(0)))
