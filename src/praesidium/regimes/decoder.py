"""Decoder: from a regime to the law of an observation."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError, unknown
from praesidium.regimes.convolution import CausalConv
from praesidium.regimes.densities import Laws, Tails, draw
from praesidium.regimes.shapes import Diagonal
from praesidium.regimes.units import Standardizer
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
        emission: ``gaussian`` or ``student``, a kind of :class:`~praesidium.regimes.densities.Tails`.
        seed: of the initial values.
    """

    def __init__(
        self, K: int, latent_dim: int, hidden: int, out_dim: int, *, emission: str = "gaussian", seed: int = 0
    ) -> None:
        super().__init__()
        if emission not in Tails.registry:
            raise InputError(unknown("emission", emission, Tails.registry))
        if hidden < K:
            raise InputError(f"Decoder: hidden={hidden} units cannot tell K={K} regimes apart; say hidden={K} or more")
        generator = stream(seed, "init", "decoder")
        self.tails = Tails.registry[emission]()
        self.regimes, self.channels = K, out_dim
        self.standardizer = Standardizer(out_dim)
        self.embedding = nn.Parameter(torch.randn(K, latent_dim, generator=generator))
        self.first = CausalConv(latent_dim, hidden, generator)
        self.last = CausalConv(hidden, 2 * out_dim + self.tails.free(self.tails.start(1)).numel(), generator)

    def laws(self) -> Laws:
        """Of all regimes, with diagonal scales, in the units of the data; double precision."""
        raw = self.last(self._hidden()).squeeze(0).T.double()
        mean, spread, dof = raw.tensor_split([self.channels, 2 * self.channels], dim=-1)
        center, deviation = self.standardizer.mean, self.standardizer.deviation
        bounded = spread / (1 + (spread / BOUND).square()).sqrt()
        dof = self.tails.bound(dof.flatten(), self.regimes)
        return Laws(center + deviation * mean, deviation.square() * bounded.exp(), dof)

    def variances(self) -> Float[Tensor, "regimes channels"]:
        """Variance of each channel in each regime."""
        laws = self.laws()
        return laws.scale * self.tails.inflation(laws.dof).unsqueeze(-1)

    def log_prob(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch time regimes"]:
        """log p(x_t | z_t = k) in double precision; NaN is integrated out, so that a time without data gives zeros."""
        density = self.tails.log_density(Diagonal(x.double().transpose(1, 2).flatten(0, 1)), self.laws())
        return density.unflatten(0, (len(x), -1))

    @torch.no_grad()
    def draw(self, states: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows channels"]:
        """One observation in each of these regimes, on the CPU."""
        return draw(states.cpu(), Laws(*(one.cpu() for one in self.laws())), Diagonal, self.tails, generator)

    def forward(
        self, q: Float[Tensor, "batch regimes time"]
    ) -> tuple[Float[Tensor, "batch channels time"], Float[Tensor, "batch channels time"]]:
        """Mean and log-variance of the mixture sum_k q_k p(x | k) at each time."""
        means, weights = self.laws().mean, q.double().transpose(1, 2)
        mean = weights @ means
        apart = (means - mean.unsqueeze(-2)).square()
        variance = (weights.unsqueeze(-1) * (self.variances() + apart)).sum(-2)
        return mean.transpose(1, 2), variance.log().transpose(1, 2)

    @torch.no_grad()
    def set(self, laws: Laws) -> None:
        """Start from these laws: the last layer that gives them, which exists for any K <= hidden embeddings apart.

        Args:
            laws: with diagonal scales, of standardized observations.
        """
        spread = laws.scale.log().clamp(-0.99 * BOUND, 0.99 * BOUND)
        spread = spread / (1 - (spread / BOUND).square()).sqrt()
        hidden = self._hidden().squeeze(0).T.double()
        target = torch.cat([laws.mean, spread, self.tails.free(laws.dof).view(self.regimes, -1)], dim=-1).to(hidden)
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
