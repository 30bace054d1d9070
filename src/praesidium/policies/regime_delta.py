"""A hedge that knows the regime."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.policies.hedger import Known, RegimeHedger, trailing_mean


class RegimeDeltaHedger(RegimeHedger):
    """Ratio = textbook + y(regimes, moneyness, delta of the position).

    Training on prices (:func:`~praesidium.policies.hedge_training.train_delta_hedger`) has no positions but the assets
    themselves: y does not depend on the delta before a loss of option positions, of your own, has taught it to.
    Settings are those of :class:`praesidium.policies.hedger.RegimeHedger`. As a rule for an option book with costs and
    an inventory, the same idea is ``policy=regime_delta``.
    """

    def __init__(
        self, K: int, n_assets: int, hidden_dim: int = 64, *, cost_rate: float = 0.0005, random_state: int = 0
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, cost_rate=cost_rate, random_state=random_state)
        self.body, self.head = self._body(K + 2 * n_assets, "regime", untaught=n_assets), self._head(1)

    def forward(
        self,
        regime_probs: Float[Tensor, "batch *time regimes"],
        spot: Float[Tensor, "batch assets"],
        positions: Float[Tensor, "batch assets"],
        *,
        reference: Float[Tensor, "batch assets"] | None = None,
        unit_delta: Float[Tensor, "batch assets"] | None = None,
    ) -> tuple[Float[Tensor, "batch assets"], Float[Tensor, "batch assets"]]:
        """Hedge positions in assets, or in options on them.

        Args:
            regime_probs: filtered, (B, K) or (B, T, K), of which the last counts.
            spot: prices.
            positions: units held, to be hedged.
            reference: prices that the spot is compared with: strikes, or an average. Where left out, the spot itself.
            unit_delta: delta of a unit of each position; 1, that of the asset itself, where left out.

        Returns:
            (hedge, delta): money to hold in each future, delta x positions x spot; and the ratio of a unit of position.

        Raises:
            InputError: if a shape does not fit, a price is not positive, or probabilities do not sum to one.
        """
        book = self._book(regime_probs, spot, positions, reference, unit_delta)
        delta = book.unit * self._ratio(book.belief, book.moneyness, book.unit)
        return delta * book.positions * book.spot, delta

    def ratios(self, known: Known) -> Float[Tensor, "batch time assets"]:
        """Ratios of the assets themselves, whose prices are compared with their trailing mean."""
        moneyness = self._moneyness(known.spot, trailing_mean(known.spot))
        return self._ratio(known.regimes, moneyness, torch.ones_like(moneyness))

    def _ratio(self, belief: Tensor, moneyness: Tensor, unit: Tensor) -> Tensor:
        features = torch.cat([belief, moneyness, unit - 1], dim=-1)
        return self.textbook + self.head(self.body.advance(self.body.prepare(features)))
