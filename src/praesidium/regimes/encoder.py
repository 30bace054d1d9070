"""Encoder: from observations up to now to evidence for each regime."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from praesidium.regimes.convolution import CausalConv
from praesidium.regimes.units import Standardizer
from praesidium.training.reproducibility import stream

RIDGE = 1e-3  # share of a hidden unit's variance that is added to it where the last layer is solved for


class Encoder(nn.Module):
    """Causal convolutions, conv3 - ReLU - conv3 - ReLU - conv1, on standardized observations: (B, C, T) to (B, K, T).

    The last layer also sees the present observation and its square, in which the log-likelihood ratio of two normal
    laws is linear. The output at t knows observations up to t. A missing value counts as the training mean. Logits are
    relative: their mean over regimes is taken out, for an amount common to all regimes is no evidence.

    Args:
        input_dim: features C.
        hidden_dim: channels after the first convolution, of kernel 3.
        hidden_dim2: channels after the second, of kernel 3.
        K: regimes.
        dilation: distance of the second kernel's taps; the encoder sees 3 + 2 dilation times.
        seed: of the initial values.
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, hidden_dim2: int, K: int, *, dilation: int = 1, seed: int = 0
    ) -> None:
        super().__init__()
        generator = stream(seed, "init", "encoder")
        self.standardizer = Standardizer(input_dim)
        self.first = CausalConv(input_dim, hidden_dim, generator, kernel=3)
        self.second = CausalConv(hidden_dim, hidden_dim2, generator, kernel=3, dilation=dilation)
        self.last = CausalConv(hidden_dim2 + 2 * input_dim, K, generator)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch regimes time"]:
        """Logits in double precision, zero on average over regimes."""
        logits = self.last(self.hidden(x)).double()
        return logits - logits.mean(1, keepdim=True)

    def hidden(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch hidden time"]:
        """What the last layer sees."""
        z = self.standardizer(x).to(self.last.weight.dtype)
        return torch.cat([functional.relu(self.second(functional.relu(self.first(z)))), z, z.square()], dim=1)

    @torch.no_grad()
    def solve(
        self,
        x: Float[Tensor, "batch channels time"],
        evidence: Float[Tensor, "batch time regimes"],
        mask: Bool[Tensor, "batch time"],
    ) -> None:
        """Set the last layer so that logits come close to this evidence: ridge regression on the hidden units."""
        hidden = self.hidden(x).transpose(1, 2)[mask].double()
        target = evidence[mask]
        center, level = hidden.mean(0), target.mean(0)
        units = hidden - center
        gram = units.T @ units
        gram.diagonal().add_(RIDGE * gram.diagonal().mean() + 1e-9)
        weight = torch.linalg.solve(gram, units.T @ (target - level)).T
        self.last.weight.copy_(weight.unsqueeze(-1))
        self.last.bias.copy_(level - weight @ center)

    @torch.no_grad()
    def permute(self, order: Int[Tensor, " regimes"]) -> None:
        """Reorder the regimes."""
        self.last.weight.copy_(self.last.weight[order])
        self.last.bias.copy_(self.last.bias[order])
