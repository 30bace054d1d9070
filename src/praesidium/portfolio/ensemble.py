"""An allocator of several minds: networks that learn apart, from other starts and other samples of the past."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.portfolio.allocator import Allocator
from praesidium.portfolio.attention import AttentionEncoder, check_heads


class EnsemblePortfolioOptimizer(Allocator, kind="ensemble"):
    """The mean portfolio of ``n_models`` networks; where they differ, the data does not decide.

    In ``fit`` each member has its own initial values, its own sample of training sequences (a moving-block bootstrap:
    as many blocks of ``sequence`` rows as fill the data, with replacement) and its own loss. In a training loop over
    batches, in training mode, each sequence of a batch belongs to one member, drawn anew at each call.

    Args:
        n_models: members, at least 2.
        heads, lookback: of the attention of each member.
        settings: of every :class:`praesidium.portfolio.allocator.Allocator`.

    Source: Lakshminarayanan et al. 2017 (deep ensembles); Kuensch 1989 (blocks).
    """

    _calls: Tensor

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        n_models: int = 5,
        hidden_dim: int = 32,
        *,
        heads: int = 4,
        lookback: int = 21,
        **settings: Any,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, **settings)
        self.n_models, self.heads, self.lookback = n_models, heads, lookback
        self.build(n_assets)

    def build(self, assets: int | None) -> None:
        super().build(assets)
        self.register_buffer("_calls", torch.zeros((), dtype=torch.int64), persistent=False)

    def _encoder(self, tokens: int, generator: torch.Generator) -> nn.Module:
        return AttentionEncoder(tokens, self.hidden_dim, self.heads, self.lookback, generator)

    def _network(self, assets: int, generator: torch.Generator) -> nn.ModuleList:
        return nn.ModuleList(
            super(EnsemblePortfolioOptimizer, self)._network(assets, self._stream("init", "member", member))
            for member in range(self.n_models)
        )

    def _scores(self, state: Any) -> tuple[Tensor, Tensor]:
        inputs = self._inputs(state)
        scores, urgency = zip(*(member(*inputs) for member in self.parts()), strict=True)
        return torch.stack(scores), torch.stack(urgency)

    def combine(self, paths: Float[Tensor, "readings batch time assets"]) -> Float[Tensor, "batch time assets"]:
        """The mean over members; in training, for each sequence the portfolio of the member that it belongs to."""
        if not self.training:
            return super().combine(paths)
        self._calls += 1
        batch = paths.shape[1]
        generator = self._stream("owner", int(self._calls))
        owner = torch.randint(len(paths), (batch,), generator=generator).to(paths.device)
        return paths[owner, torch.arange(batch, device=paths.device)]

    def parts(self) -> list[nn.Module]:
        """The members."""
        assert isinstance(self.network, nn.ModuleList)
        return list(self.network)

    def pools(self, starts: int, blocks: int) -> Int[Tensor, "readings pool"]:
        """A bootstrap sample of blocks for each member."""
        return torch.randint(starts, (self.n_models, blocks), generator=self._stream("bootstrap"))

    def disagreement(
        self, regimes: Float[Tensor, "batch *time regimes"], **known: Tensor | None
    ) -> Float[Tensor, "batch *time assets"]:
        """Standard deviation of the weight of each asset over members, whose portfolios start from the same holdings.

        Takes the arguments of :meth:`forward`.
        """
        state = self.state(regimes, **known)
        spread = self.follow(*self.read(state), state.previous, state.returns).std(0)
        return spread.squeeze(1) if regimes.ndim == 2 else spread

    def _check(self, assets: int | None) -> None:
        super()._check(assets)
        check_heads(type(self).__name__, self.hidden_dim, self.heads, self.lookback)
        if self.n_models < 2:
            raise InputError(f"{type(self).__name__}: n_models={self.n_models} cannot disagree; say at least 2")
