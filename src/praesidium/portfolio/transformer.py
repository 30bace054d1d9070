"""An allocator that looks back in layers: a causal transformer encoder over beliefs."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from praesidium.component import InputError
from praesidium.portfolio.aims import Affine
from praesidium.portfolio.allocator import Allocator
from praesidium.portfolio.attention import CausalAttention, check_heads

EXPANSION = 2  # units between the two maps of a block, in widths


class Block(nn.Module):
    """x + attention(norm x), then x + perceptron(norm x).

    Source: Vaswani et al. 2017, section 3.1, with the norm first (Xiong et al. 2020, figure 1b).
    """

    def __init__(self, width: int, heads: int, lookback: int, generator: torch.Generator) -> None:
        super().__init__()
        self.attention_norm, self.mix_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, lookback, generator)
        self.widen, self.narrow = (
            Affine(width, EXPANSION * width, generator),
            Affine(EXPANSION * width, width, generator),
        )

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """The same shape, which knows x up to t."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.narrow(silu(self.widen(self.mix_norm(x))))


class TransformerPortfolioOptimizer(Allocator, kind="transformer"):
    """Blocks of causal attention on beliefs embedded in ``hidden_dim`` dimensions decide the aim.

    Each block looks ``lookback`` periods back, and so ``layers`` of them almost ``layers`` times as far.

    Args:
        layers: blocks.
        heads: attention heads in each, a divisor of ``hidden_dim``.
        lookback: periods that each block looks at.
        settings: of every :class:`praesidium.portfolio.allocator.Allocator`.
    """

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        hidden_dim: int = 64,
        layers: int = 2,
        heads: int = 4,
        *,
        lookback: int = 21,
        **settings: Any,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, **settings)
        self.layers, self.heads, self.lookback = layers, heads, lookback
        self.build(n_assets)

    def _encoder(self, tokens: int, generator: torch.Generator) -> nn.Module:
        width = self.hidden_dim
        blocks = [Block(width, self.heads, self.lookback, generator) for _ in range(self.layers)]
        return nn.Sequential(Affine(tokens, width, generator), *blocks, nn.LayerNorm(width))

    def _check(self, assets: int | None) -> None:
        super()._check(assets)
        check_heads(type(self).__name__, self.hidden_dim, self.heads, self.lookback)
        if self.layers < 1:
            raise InputError(f"{type(self).__name__}: layers={self.layers} is too few; say at least 1")
