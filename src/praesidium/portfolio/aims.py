"""The network between what is known and where to go: a context of each time, then a score of each asset."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, silu

WIDTH = 16  # units that look at the characteristics of one asset
QUIET = 0.3  # of scores at the start: close to equal weights


class Affine(nn.Module):
    """y = W x + b, uniform on +-gain sqrt(3 / inputs) at the start: by ``gain`` as large as x."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain * (3 / max(inputs, 1)) ** 0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Affine map of the last axis."""
        return linear(x, self.weight, self.bias)


class Perceptron(nn.Module):
    """Two layers on each time by itself."""

    def __init__(self, inputs: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = Affine(inputs, width, generator), Affine(width, width, generator)

    def forward(self, x: Float[Tensor, "batch time inputs"]) -> Float[Tensor, "batch time width"]:
        """silu, affine, silu, affine."""
        return silu(self.second(silu(self.first(x))))


class AimNetwork(nn.Module):
    """Scores of assets, and how urgent it is to trade.

    score_i = (W c)_i + v . silu(U c + V f_i) with the context c of the encoder and the characteristics f_i of the
    asset; the second part is the same function for every asset. The urgency is affine in c.
    """

    def __init__(self, encoder: nn.Module, width: int, assets: int, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = encoder
        self.scores = Affine(width, assets, generator, gain=QUIET)
        self.context = Affine(width, WIDTH, generator)
        self.features = Affine(features, WIDTH, generator)
        self.score = Affine(WIDTH, 1, generator, gain=QUIET)
        self.urgency = Affine(width, 1, generator)

    def forward(
        self, tokens: Float[Tensor, "batch time tokens"], features: Float[Tensor, "batch time assets features"]
    ) -> tuple[Float[Tensor, "batch time assets"], Float[Tensor, "batch time"]]:
        """Scores and urgency, both unbounded."""
        context = self.encoder(tokens)
        each = silu(self.context(context).unsqueeze(-2) + self.features(features))
        return self.scores(context) + self.score(each).squeeze(-1), self.urgency(context).squeeze(-1)
