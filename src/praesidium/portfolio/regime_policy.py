"""Policies from beliefs about regimes to weights: the network, its aims, and the trades towards them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError, check_whole, whole, wholes
from praesidium.portfolio.adjustment import adjust
from praesidium.portfolio.aims import AimNetwork
from praesidium.portfolio.constraints import Constraint, LongOnly
from praesidium.portfolio.losses import advanced_portfolio_loss
from praesidium.portfolio.market_state import MarketState
from praesidium.training.reproducibility import stream

CLIP = 5.0  # standardized features beyond are as good as this one


class RegimePolicy(nn.Module, ABC):
    """The side of an allocator that decides; see :class:`praesidium.portfolio.allocator.Allocator` for its settings.

    A policy makes one or more *readings* of what is known, each an aim and a share of the way to it that is traded;
    its weights are the mean over the portfolios that follow them.

    Attributes:
        network: scores and urgency from tokens (regimes and their forecast) and features; None until the number of
            assets is known.
        assets: the number of assets that the network is built for.
        feature_mean, feature_scale: by which features are standardized, (F); 0 and 1 before ``fit``.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        K: int,
        n_assets: int | None,
        hidden_dim: int,
        *,
        constraint: Constraint | None,
        max_weight: float | None,
        windows: Sequence[int],
        trade_every: int,
        transaction_costs: float,
        loss: Callable[..., Tensor] | None,
        random_state: int,
    ) -> None:
        super().__init__()
        self.K, self.n_assets, self.hidden_dim, self.random_state = K, n_assets, hidden_dim, random_state
        self.constraint, self.max_weight = constraint, max_weight
        self.windows, self.trade_every = windows, trade_every
        self.transaction_costs, self.loss_function = transaction_costs, loss
        self.network: nn.Module | None = None
        self.assets: int | None = None
        self.eval()

    @abstractmethod
    def _encoder(self, tokens: int, generator: torch.Generator) -> nn.Module:
        """From tokens (B, T, tokens) to contexts (B, T, hidden_dim); causal."""

    def _network(self, assets: int, generator: torch.Generator) -> nn.Module:
        encoder = self._encoder(2 * self.K, generator)
        return AimNetwork(encoder, self.hidden_dim, assets, 2 * len(self.windows), generator)

    def build(self, assets: int | None) -> None:
        """Make the network anew for a number of assets; None drops it until ``fit`` knows the number.

        Raises:
            InputError: if a setting is out of bounds, or no weights satisfy the constraint.
        """
        self._check(assets)
        self.assets = assets
        self.network = None if assets is None else self._network(assets, self._stream("init"))
        self.register_buffer("feature_mean", torch.zeros(2 * len(self.windows)))
        self.register_buffer("feature_scale", torch.ones(2 * len(self.windows)))
        self.train(self.training)

    def _stream(self, *purpose: str | int) -> torch.Generator:
        return stream(self.random_state, "allocator", *purpose)

    @property
    def limits(self) -> Constraint:
        """What every decision keeps."""
        if self.constraint is not None:
            return self.constraint
        return LongOnly() if self.max_weight is None else LongOnly(max_weight=self.max_weight)

    # ---- decisions --------------------------------------------------------------------------------------------------

    def state(
        self,
        regimes: Tensor,
        *,
        forecast: Tensor | None = None,
        features: Tensor | None = None,
        previous: Tensor | None = None,
        returns: Tensor | None = None,
    ) -> MarketState:
        """The arguments of :meth:`forward`, checked and with a time axis."""
        name = type(self).__name__
        if self.assets is None:
            raise InputError(f"{name}: the number of assets is not known yet; say {name}(n_assets=...) or fit first")
        sizes = (self.K, self.assets, len(self.feature_mean))
        dtype = self.feature_mean.dtype
        return MarketState.of(name, regimes, forecast, features, previous, returns, sizes=sizes, dtype=dtype)

    def _inputs(self, state: MarketState) -> tuple[Tensor, Tensor]:
        """Tokens, and standardized features; what is not known is average."""
        tokens = torch.cat([state.regimes, state.forecast], dim=-1)
        if state.features is None:
            return tokens, tokens.new_zeros(*tokens.shape[:2], self.assets or 0, len(self.feature_mean))
        return tokens, ((state.features - self.feature_mean) / self.feature_scale).clamp(-CLIP, CLIP)

    def _scores(self, state: MarketState) -> tuple[Tensor, Tensor]:
        """Scores (readings, B, T, n) and urgency (readings, B, T): here one reading, of one network."""
        assert self.network is not None
        scores, urgency = self.network(*self._inputs(state))
        return scores.unsqueeze(0), urgency.unsqueeze(0)

    def read(
        self, state: MarketState
    ) -> tuple[Float[Tensor, "readings batch time assets"], Float[Tensor, "readings batch time"]]:
        """Aims within the constraint, and the share of the way to them that is traded."""
        scores, urgency = self._scores(state)
        return self.limits.aim(scores), urgency.sigmoid()

    def follow(
        self,
        aims: Float[Tensor, "readings batch time assets"],
        rates: Float[Tensor, "readings batch time"],
        previous: Float[Tensor, "batch assets"] | None,
        returns: Float[Tensor, "batch times assets"] | None,
    ) -> Float[Tensor, "readings batch time assets"]:
        """A portfolio for each reading; all start from the same holdings, and each is traded by itself."""
        readings = len(aims)
        paths = adjust(
            aims.flatten(0, 1),
            rates.flatten(0, 1),
            self.limits,
            previous=None if previous is None else previous.repeat(readings, 1),
            returns=None if returns is None else returns.repeat(readings, 1, 1),
            trade_every=self.trade_every,
        )
        return paths.unflatten(0, (readings, -1))

    def combine(self, paths: Float[Tensor, "readings batch time assets"]) -> Float[Tensor, "batch time assets"]:
        """The mean over readings, which keeps the constraint as each of them does."""
        return paths.mean(0)

    def forward(
        self,
        regimes: Float[Tensor, "batch *time regimes"],
        *,
        forecast: Tensor | None = None,
        features: Tensor | None = None,
        previous: Tensor | None = None,
        returns: Tensor | None = None,
    ) -> Float[Tensor, "batch *time assets"]:
        """Weights decided at each time; they earn the return of the next.

        Args:
            regimes: filtered probabilities (B, T, K), or (B, K) for one decision; the others then lack time as well.
            forecast: probabilities of the regimes of the next period; where left out, those of this one.
            features: (B, T, n, F) of :func:`praesidium.portfolio.characteristics.characteristics`; where left out,
                average ones.
            previous: (B, n) weights just before the first decision; where left out, nothing is held.
            returns: (B, T, n) simple returns, by which weights drift between trades; where left out, they do not.

        Raises:
            InputError: if a shape does not fit, the number of assets is not known, or all wealth is lost.
        """
        state = self.state(regimes, forecast=forecast, features=features, previous=previous, returns=returns)
        weights = self.combine(self.follow(*self.read(state), state.previous, state.returns))
        return weights.squeeze(1) if regimes.ndim == 2 else weights

    # ---- what training asks for -------------------------------------------------------------------------------------

    def loss(
        self, weights: Float[Tensor, "batch *time assets"], returns: Float[Tensor, "batch times assets"]
    ) -> Float[Tensor, ""]:
        """What training minimizes: weights at t earn the return of t + 1, net of transaction costs."""
        function = self.loss_function or partial(advanced_portfolio_loss, limit_weight=0.0)
        return function(weights, returns, cost_rate=self.transaction_costs)

    def parts(self) -> list[nn.Module]:
        """Modules that have a loss of their own."""
        return [self]

    def pools(self, starts: int, blocks: int) -> Int[Tensor, "readings pool"]:
        """Rows at which training sequences of each reading may start, out of ``starts``; ``blocks`` fill the data."""
        return torch.arange(starts).unsqueeze(0)

    def _check(self, assets: int | None) -> None:
        """Refuse settings that are out of bounds."""
        for name, least in {"K": 2, "hidden_dim": 1, "trade_every": 1}.items():
            check_whole(type(self).__name__, name, getattr(self, name), least=least)
        if not whole(self.random_state, -math.inf):
            raise InputError(
                f"{type(self).__name__}: random_state={self.random_state!r} is not a whole number; say 0, and all "
                "draws are the same each time"
            )
        windows = self.windows
        if not wholes(windows):
            raise InputError(
                f"{type(self).__name__}: windows={windows!r} are not numbers of returns; say at least 1, as in (21, 63)"
            )
        if not 0 <= self.transaction_costs < 1:
            raise InputError(
                f"{type(self).__name__}: transaction_costs={self.transaction_costs} is not a rate in [0, 1); "
                "for 10 bp of what is traded say 0.001"
            )
        if self.constraint is not None and self.max_weight is not None:
            raise InputError(
                f"{type(self).__name__}: max_weight={self.max_weight:g} is for the default constraint; "
                f"set max_weight of {self.constraint.kind} instead"
            )
        if self.max_weight is not None and not self.max_weight > 0:
            raise InputError(f"{type(self).__name__}: max_weight={self.max_weight:g} is not above 0; say at most 1")
        if assets is not None:
            check_whole(type(self).__name__, "n_assets", assets, least=1)
            self.limits.check(assets)
