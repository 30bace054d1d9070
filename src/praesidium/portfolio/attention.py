"""An allocator that looks back once: causal multi-head attention over recent beliefs."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from praesidium.component import InputError
from praesidium.portfolio.aims import Affine
from praesidium.portfolio.allocator import Allocator


class CausalAttention(nn.Module):
    """Each time attends to itself and the ``lookback - 1`` times before it.

    Keys and values carry the lag l of what they stand for: K (x_{t-l} + e(l)) with sinusoidal e. The result depends
    on order but not on the date, and may run over a history of any length.

    Source: Vaswani et al. 2017, sections 3.2 and 3.5; lags in place of positions as in Dai et al. 2019 (1901.02860).
    """

    lags: Tensor

    def __init__(self, width: int, heads: int, lookback: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads, self.lookback = heads, lookback
        self.query, self.key, self.value, self.out = (Affine(width, width, generator) for _ in range(4))
        self.register_buffer("lags", sinusoids(lookback, width).flip(0))

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """Mixture of values, which knows x up to t."""
        batch, times, _ = x.shape
        query = self.query(x).unflatten(-1, (self.heads, 1, -1))
        key, value = self._windows(self.key, x), self._windows(self.value, x)
        match = (query * key).sum(-1) / key.shape[-1] ** 0.5
        before = torch.arange(times, device=x.device).view(-1, 1, 1) < torch.arange(
            self.lookback - 1, -1, -1, device=x.device
        )
        share = match.masked_fill(before, -torch.inf).softmax(-1)
        return self.out((share.unsqueeze(-1) * value).sum(-2).reshape(batch, times, -1))

    def _windows(self, layer: Affine, x: Tensor) -> Float[Tensor, "batch time heads lookback size"]:
        """Of each time the ``lookback`` projections that end with it, the oldest first."""
        padded = pad(layer(x), (0, 0, self.lookback - 1, 0)).unfold(1, self.lookback, 1)
        moved = padded.transpose(-1, -2) + self.lags @ layer.weight.mT
        return moved.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


def sinusoids(positions: int, width: int) -> Float[Tensor, "positions width"]:
    """sin(p / 10000^{2 i / width}) in the even and cos in the odd columns, from position 0."""
    position, column = torch.arange(positions).unsqueeze(-1), torch.arange(width)
    angle = position / 10_000 ** (2 * (column // 2) / width)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos())


class AttentionEncoder(nn.Module):
    """Embedding, one layer of attention beside it, a layer on the sum."""

    def __init__(self, tokens: int, width: int, heads: int, lookback: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embed = Affine(tokens, width, generator)
        self.attention = CausalAttention(width, heads, lookback, generator)
        self.mix = Affine(width, width, generator)

    def forward(self, tokens: Float[Tensor, "batch time tokens"]) -> Float[Tensor, "batch time width"]:
        """Contexts."""
        x = self.embed(tokens)
        return silu(self.mix(silu(x + self.attention(x))))


class AttentionPortfolioOptimizer(Allocator, kind="attention"):
    """Multi-head attention over the beliefs of the last ``lookback`` periods decides the aim.

    Args:
        heads: attention heads, a divisor of ``hidden_dim``.
        lookback: periods that each decision looks at.
        settings: of every :class:`praesidium.portfolio.allocator.Allocator`.
    """

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        hidden_dim: int = 64,
        heads: int = 4,
        *,
        lookback: int = 21,
        **settings: Any,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, **settings)
        self.heads, self.lookback = heads, lookback
        self.build(n_assets)

    def _encoder(self, tokens: int, generator: torch.Generator) -> nn.Module:
        return AttentionEncoder(tokens, self.hidden_dim, self.heads, self.lookback, generator)

    def _check(self, assets: int | None) -> None:
        super()._check(assets)
        check_heads(type(self).__name__, self.hidden_dim, self.heads, self.lookback)


def check_heads(caller: str, width: int, heads: int, lookback: int) -> None:
    """Heads share the width in equal parts, and there is something to look at."""
    if heads < 1 or width % heads:
        near = max(one for one in range(1, max(min(heads, width), 1) + 1) if width % one == 0)
        raise InputError(f"{caller}: heads={heads} does not divide hidden_dim={width}; say heads={near}")
    if lookback < 1:
        raise InputError(f"{caller}: lookback={lookback} looks at nothing; say at least 1 period")
