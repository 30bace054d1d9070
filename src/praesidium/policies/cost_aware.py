"""A hedge that trades only when it pays."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from praesidium.policies.hedger import Known, RegimeHedger
from praesidium.policies.soft_band import NARROW, soft_clip

SOFTNESS = 0.005  # of the corners of the band, in units of the ratio
NONE = 1e-6  # a position that is a smaller part of hedge and target has a band that single precision cannot tell


class TransactionCostAwareHedger(RegimeHedger):
    """No-trade band target + y1 +- softplus(y2 - 3) with round corners, where y is a function of the regimes.

    All of it is in ratios, for each unit of the position that is hedged: ten times the position has ten times the band.
    Within the band almost nothing is traded, beyond it what leads to its edge; target and width both have a gradient.
    Settings are those of :class:`praesidium.policies.hedger.RegimeHedger`. As a rule for an option book, the same idea
    is ``policy=cost_aware``, with the same band.
    """

    def __init__(
        self, K: int, n_assets: int, hidden_dim: int = 64, *, cost_rate: float = 0.0005, random_state: int = 0
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, cost_rate=cost_rate, random_state=random_state)
        self.body, self.head = self._body(K, "band"), self._head(2)

    def forward(
        self,
        regime_probs: Float[Tensor, "batch *time regimes"],
        current: Float[Tensor, "batch assets"],
        target_delta: Float[Tensor, "batch assets"],
        spot: Float[Tensor, "batch assets"],
        *,
        positions: Float[Tensor, "batch assets"] | None = None,
    ) -> tuple[Float[Tensor, "batch assets"], Float[Tensor, " batch"]]:
        """Move a hedge towards its target, as far as it pays.

        Args:
            regime_probs: filtered, (B, K) or (B, T, K), of which the last counts.
            current: units held of each hedge.
            target_delta: units that the textbook asks for.
            spot: price of a unit.
            positions: what is hedged, in units of the hedge; -target_delta where left out, which is that of a textbook
                ratio of -1. Where it is 0 there is no band, and the target is held.

        Returns:
            (new, cost): units to hold, and cost_rate x sum over assets of spot |new - current|, in money.

        Raises:
            InputError: if a shape does not fit, a price is not positive, or probabilities do not sum to one.
        """
        belief, lead = self._belief(regime_probs), regime_probs.shape[0]
        spot, current = self._prices("spot", spot, lead), self._numbers("current", current, lead)
        target = self._numbers("target_delta", target_delta, lead)
        hedged = -target if positions is None else self._numbers("positions", positions, lead)
        none = hedged.abs() <= NONE * (current.abs() + target.abs())
        unit = torch.where(none, 1, hedged)
        correction, width = self._band(belief)
        new = torch.where(none, target, unit * _toward(target / unit + correction, width, current / unit))
        return new, self.cost_rate * (spot * (new - current).abs()).sum(-1)

    def band(
        self, regime_probs: Float[Tensor, "batch *time regimes"]
    ) -> tuple[Float[Tensor, "batch assets"], Float[Tensor, "batch assets"]]:
        """What is added to the target, and half the width of the band, for each unit of the position."""
        return self._band(self._belief(regime_probs))

    def ratios(self, known: Known) -> Float[Tensor, "batch time assets"]:
        """Ratios that follow the band around the textbook's day after day."""
        correction, width = self._band(known.regimes)
        held, path = self.textbook.expand_as(correction[:, 0]), []
        for target, half in zip((self.textbook + correction).unbind(1), width.unbind(1), strict=True):
            held = _toward(target, half, held)
            path.append(held)
        return torch.stack(path, dim=1)

    def _band(self, belief: Tensor) -> tuple[Tensor, Tensor]:
        correction, width = self.head(self.body.advance(self.body.prepare(belief))).chunk(2, dim=-1)
        return correction, softplus(width - NARROW)


def _toward(target: Tensor, width: Tensor, held: Tensor) -> Tensor:
    return target + soft_clip(held - target, width, softness=SOFTNESS)
