"""A hedge that remembers the regimes and returns it has seen."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.policies.hedger import CLIP, Known, RegimeHedger
from praesidium.policies.memory import Memory
from praesidium.training.reproducibility import stream


class LSTMDeltaHedger(RegimeHedger):
    """Ratio = textbook + y of a memory of regimes and log returns.

    Settings are those of :class:`praesidium.policies.hedger.RegimeHedger`. As a rule for an option book with costs and
    an inventory, the same idea is ``policy=lstm_delta``, with the same memory.
    """

    def __init__(
        self, K: int, n_assets: int, hidden_dim: int = 64, *, cost_rate: float = 0.0005, random_state: int = 0
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, cost_rate=cost_rate, random_state=random_state)
        self.memory = Memory(K + n_assets, hidden_dim, stream(random_state, "init", "memory"))
        self.head = self._head(1)

    def forward(
        self, regime_probs: Float[Tensor, "batch time regimes"], spot_prices: Float[Tensor, "batch dates assets"]
    ) -> Float[Tensor, "batch assets"]:
        """Ratios decided at the last time.

        Args:
            regime_probs: filtered, (B, T, K).
            spot_prices: of the same times.

        Raises:
            InputError: if a shape does not fit, a price is not positive, or probabilities do not sum to one.
        """
        regimes = self._sequence(regime_probs)
        spot = self._prices("spot_prices", spot_prices, *regimes.shape[:2])
        return self._path(regimes, spot)[:, -1]

    def ratios(self, known: Known) -> Float[Tensor, "batch time assets"]:
        return self._path(known.regimes, known.spot)

    def _path(self, regimes: Tensor, spot: Tensor) -> Tensor:
        returns = spot.log().diff(dim=1, prepend=spot[:, :1].log()) / self.deviation
        seen = torch.cat([regimes, returns.clamp(-CLIP, CLIP)], dim=-1)
        return self.textbook + self.head(self.memory(seen.transpose(0, 1))).transpose(0, 1)
