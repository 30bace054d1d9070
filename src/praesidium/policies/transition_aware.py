"""A hedge that sees the regimes coming."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError, check_whole
from praesidium.policies.beliefs import ahead
from praesidium.policies.hedger import Known, RegimeHedger, trailing_mean


class TransitionAwareHedger(RegimeHedger):
    """Ratio = textbook + y(p, pA, ..., pA^lookahead, probability of a change within the lookahead, moneyness).

    Settings are those of :class:`praesidium.policies.hedger.RegimeHedger`, and ``lookahead``, periods ahead. As a rule
    for an option book with costs and an inventory, the same idea is ``policy=transition_aware``.
    """

    def __init__(
        self,
        K: int = 3,
        n_assets: int = 10,
        hidden_dim: int = 64,
        lookahead: int = 5,
        *,
        cost_rate: float = 0.0005,
        random_state: int = 0,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, cost_rate=cost_rate, random_state=random_state)
        check_whole("TransitionAwareHedger", "lookahead", lookahead, least=1)
        self.lookahead = lookahead
        self.body, self.head = self._body((lookahead + 1) * K + 1 + n_assets, "transition"), self._head(1)

    def forward(
        self,
        regime_probs: Float[Tensor, "batch *time regimes"],
        transition_matrix: Float[Tensor, "*chains states states"],
        spot_prices: Float[Tensor, "batch *dates assets"],
        *,
        reference: Float[Tensor, "batch assets"] | None = None,
    ) -> Float[Tensor, "batch assets"]:
        """Ratios decided now.

        Args:
            regime_probs: filtered, (B, K) or (B, T, K), of which the last counts.
            transition_matrix: A, a row for each regime now: (K, K), (B, K, K), or (B, T, K, K), of which the last
                counts.
            spot_prices: (B, n), or (B, T, n), of which the last counts; only their moneyness does.
            reference: prices that the spot is compared with. Where left out, the mean of the last prices given: of a
                single one, the spot itself.

        Raises:
            InputError: if a shape does not fit, a price is not positive, or probabilities do not sum to one.
        """
        belief, lead = self._belief(regime_probs), regime_probs.shape[0]
        chain = self._chain(transition_matrix, lead)
        times = spot_prices.shape[1:-1] if spot_prices.ndim == 3 else ()
        spot = self._prices("spot_prices", spot_prices, lead, *times)
        history = spot if times else spot.unsqueeze(1)
        against = trailing_mean(history)[:, -1] if reference is None else self._prices("reference", reference, lead)
        return self._ratio(belief, chain, self._moneyness(history[:, -1], against))

    def ratios(self, known: Known) -> Float[Tensor, "batch time assets"]:
        moneyness = self._moneyness(known.spot, trailing_mean(known.spot))
        return self._ratio(known.regimes, known.transition, moneyness)

    def _ratio(self, belief: Tensor, chain: Tensor, moneyness: Tensor) -> Tensor:
        features = torch.cat([ahead(belief, chain, lookahead=self.lookahead), moneyness], dim=-1)
        return self.textbook + self.head(self.body.advance(self.body.prepare(features)))

    def _chain(self, transition: Tensor, batch: int) -> Tensor:
        """A as (K, K) or (B, K, K), checked."""
        from praesidium.regimes.belief import check_transition  # noqa: PLC0415  (importing scikit-learn takes time)

        check_transition("TransitionAwareHedger", transition, self.K)
        self._some("transition_matrix", transition)
        if transition.ndim > 4 or (transition.ndim > 2 and len(transition) != batch):
            raise InputError(
                f"TransitionAwareHedger: transition_matrix has shape {tuple(transition.shape)}; give "
                f"({self.K}, {self.K}), ({batch}, {self.K}, {self.K}) or ({batch}, time, {self.K}, {self.K})"
            )
        return (transition[:, -1] if transition.ndim == 4 else transition).to(self.textbook)
