"""What the past of the regime probabilities adds to the last of them: a learned correction that starts as none."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.regimes.belief import carried_on
from praesidium.training.reproducibility import stream

HALF_LIVES = (2.0, 5.0, 20.0, 60.0)  # periods after which a past probability counts half
KINDS = 3 + len(HALF_LIVES)  # features a regime


def history(
    probabilities: Float[Tensor, "batch time regimes"], transition: Float[Tensor, "regimes regimes"]
) -> Float[Tensor, "batch time features"]:
    """Causal features: p_t, p_{t-1}, weighted means of the past and the logarithm of the regime's age, K of each.

    The means are exponential with half-lives of 2, 5, 20 and 60 periods. The age of a regime is the expected number of
    periods that it has lasted, m_t(k) = 1 + r_t(k) m_{t-1}(k) with r_t(k) from :func:`carried_on`; its logarithm
    counts by p_t(k). Before the first period everything is taken to have been as in it.
    """
    decay = torch.tensor(HALF_LIVES, dtype=probabilities.dtype, device=probabilities.device)
    rate = (1 - 0.5 ** (1 / decay)).unsqueeze(-1)
    shares = carried_on(probabilities, transition)
    mean = probabilities[:, :1].expand(-1, len(HALF_LIVES), -1)
    age = torch.ones_like(probabilities[:, 0])
    means, ages = [mean], [age]
    for now, share in zip(probabilities.unbind(1)[1:], shares.unbind(1), strict=True):
        mean = torch.lerp(mean, now.unsqueeze(1), rate)
        age = 1 + share * age
        means.append(mean)
        ages.append(age)
    before = torch.cat([probabilities[:, :1], probabilities[:, :-1]], dim=1)
    weighted = probabilities * torch.stack(ages, dim=1).log()
    return torch.cat([probabilities, before, torch.stack(means, dim=1).flatten(-2), weighted], dim=-1)


class Tilt(nn.Module):
    """g(features): standardized features, one hidden layer of tanh, and an output that is exactly zero at the start.

    Double precision. Initial values come from a generator of their own.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, hidden_dim: int, outputs: int, *, purpose: str, random_state: int) -> None:
        super().__init__()
        self.seed = (random_state, "init", purpose)
        self.weight = nn.Parameter(torch.empty(inputs, hidden_dim, dtype=torch.float64))
        self.bias = nn.Parameter(torch.empty(hidden_dim, dtype=torch.float64))
        self.output = nn.Parameter(torch.empty(hidden_dim, outputs, dtype=torch.float64))
        self.output_bias = nn.Parameter(torch.empty(outputs, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(inputs, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(inputs, dtype=torch.float64))
        self.reset()

    def forward(self, features: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """The correction for each row of features."""
        hidden = torch.tanh((features - self.mean) / self.scale @ self.weight + self.bias)
        return hidden @ self.output + self.output_bias

    @torch.no_grad()
    def standardize(self, features: Float[Tensor, "rows inputs"]) -> None:
        """Take mean and scale from training rows; a feature that never moves keeps its unit."""
        self.mean.copy_(features.mean(0))
        deviation = features.std(0, correction=0)
        self.scale.copy_(torch.where(deviation > 1e-9, deviation, 1.0))

    @torch.no_grad()
    def reset(self) -> None:
        """Initial values; the same at every call."""
        generator, bound = stream(*self.seed), len(self.weight) ** -0.5
        for value in (self.weight, self.bias):
            drawn = torch.empty(value.shape, dtype=torch.float64).uniform_(-bound, bound, generator=generator)
            value.copy_(drawn)
        self.mean.zero_()
        self.scale.fill_(1)
        self.zero()

    @torch.no_grad()
    def zero(self) -> None:
        """Back to no correction."""
        self.output.zero_()
        self.output_bias.zero_()


def tilt_odds(free: Float[Tensor, "*batch"], tilt: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The probability whose odds are those of ``free`` times exp(tilt); ``free`` itself where the tilt is zero."""
    rise = torch.expm1(tilt)
    return free + free * (1 - free) * rise / (1 + free * rise)
