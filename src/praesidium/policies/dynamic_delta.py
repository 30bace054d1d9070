"""A hedge that knows the regime, with options against gamma."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.policies.hedger import CLIP, Book, Known, RegimeHedger, trailing_mean
from praesidium.policies.option_hedge import LEAST

GREEKS = ("gamma", "option_delta", "option_gamma")
CAP = 2.0  # most options held for a unit of position, either way: near its expiry one would have to be held in masses


class DynamicDeltaHedger(RegimeHedger):
    """Options for the share 1 + y2 of gamma, and the future for what delta is left, by the ratio textbook + y1.

    y is a function of regimes, moneyness, and delta and gamma of the positions. Training on prices
    (:func:`~praesidium.policies.hedge_training.train_delta_hedger`) has no positions but the assets themselves: before
    a loss of option positions, of your own, has taught it otherwise, y2 is 0, and y1 does not depend on delta and
    gamma.

    An option is a second instrument with a gamma of its own: where none is given, gamma is not hedged, and where
    ``use_gamma`` is false, none may be. At most two options are held for a unit of position, and the future hedges the
    delta of those that are. Other settings are those of :class:`praesidium.policies.hedger.RegimeHedger`. As a rule
    for an option book with costs and an inventory, the same idea is ``policy=dynamic_delta``.
    """

    def __init__(
        self,
        K: int,
        n_assets: int,
        hidden_dim: int = 64,
        use_gamma: bool = True,
        *,
        cost_rate: float = 0.0005,
        random_state: int = 0,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, cost_rate=cost_rate, random_state=random_state)
        self.use_gamma = use_gamma
        self.body, self.head = self._body(K + 3 * n_assets, "dynamic", untaught=2 * n_assets), self._head(2)
        with torch.no_grad():
            self.head.weight[:, n_assets:] = 0
            self.head.bias[n_assets:] = 0

    def forward(
        self,
        regime_probs: Float[Tensor, "batch *time regimes"],
        spot: Float[Tensor, "batch assets"],
        positions: Float[Tensor, "batch assets"],
        *,
        reference: Float[Tensor, "batch assets"] | None = None,
        unit_delta: Float[Tensor, "batch assets"] | None = None,
        gamma: Float[Tensor, "batch assets"] | None = None,
        option_delta: Float[Tensor, "batch assets"] | None = None,
        option_gamma: Float[Tensor, "batch assets"] | None = None,
    ) -> tuple[Float[Tensor, "batch assets"], Float[Tensor, "batch assets"]]:
        """Hedge positions; :meth:`options` says what to hold of the options meanwhile.

        Args:
            regime_probs: filtered, (B, K) or (B, T, K), of which the last counts.
            spot: prices.
            positions: units held, to be hedged.
            reference: prices that the spot is compared with; where left out, the spot itself.
            unit_delta: delta of a unit of each position; 1 where left out.
            gamma: of a unit of each position, per unit of money; together with the next two, or not at all.
            option_delta, option_gamma: of the option on each asset.

        Returns:
            (total, delta): money to hold in each future against positions and options; and the ratio of a unit of
            position.

        Raises:
            InputError: as :class:`~praesidium.policies.regime_delta.RegimeDeltaHedger`, or if gamma is given without
                an option, or is not to be used.
        """
        book = self._book(regime_probs, spot, positions, reference, unit_delta)
        total, delta, _ = self._hedge(book, gamma, option_delta, option_gamma)
        return total, delta

    def options(
        self,
        regime_probs: Float[Tensor, "batch *time regimes"],
        spot: Float[Tensor, "batch assets"],
        positions: Float[Tensor, "batch assets"],
        *,
        gamma: Float[Tensor, "batch assets"],
        option_delta: Float[Tensor, "batch assets"],
        option_gamma: Float[Tensor, "batch assets"],
        reference: Float[Tensor, "batch assets"] | None = None,
        unit_delta: Float[Tensor, "batch assets"] | None = None,
    ) -> Float[Tensor, "batch assets"]:
        """Units of each option to hold: -(1 + y2) positions gamma / option_gamma, at most two for a unit of position.

        Arguments are those of a call.
        """
        book = self._book(regime_probs, spot, positions, reference, unit_delta)
        return self._hedge(book, gamma, option_delta, option_gamma)[2]

    def ratios(self, known: Known) -> Float[Tensor, "batch time assets"]:
        """Ratios of the assets themselves, which have no gamma."""
        moneyness = self._moneyness(known.spot, trailing_mean(known.spot))
        none = torch.zeros_like(moneyness)
        return self.textbook + self._says(known.regimes, moneyness, none, none)[0]

    def _hedge(self, book: Book, *given: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Money in the futures, ratio of a unit of position, units of the options."""
        gamma, option_delta, option_gamma = self._greeks(given, torch.zeros_like(book.spot))
        moved = (gamma * book.spot * self.deviation * 10).clamp(-CLIP, CLIP)  # delta that ten deviations would move
        ratio, share = self._says(book.belief, book.moneyness, book.unit - 1, moved)
        ratio, usable = self.textbook + ratio, (option_gamma * book.spot).abs() > LEAST
        wanted = -(1 + share) * book.positions * gamma / torch.where(usable, option_gamma, 1)
        most = CAP * book.positions.abs()
        options = torch.where(usable, wanted, 0).clamp(-most, most)
        total = ratio * (book.unit * book.positions + options * option_delta) * book.spot
        return total, ratio * book.unit, options

    def _greeks(self, given: tuple[Tensor | None, ...], none: Tensor) -> list[Tensor]:
        named = {name: one for name, one in zip(GREEKS, given, strict=True) if one is not None}
        if not named:
            return [none, none, none]
        if not self.use_gamma:
            raise InputError(f"DynamicDeltaHedger: use_gamma=False, but {', '.join(named)} given; say use_gamma=True")
        if len(named) < len(GREEKS):
            missing = [name for name in GREEKS if name not in named]
            raise InputError(f"DynamicDeltaHedger: {', '.join(named)} without {', '.join(missing)}; give all three")
        return [self._numbers(name, one, len(none)) for name, one in named.items()]

    def _says(self, belief: Tensor, moneyness: Tensor, unit: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([belief, moneyness, unit, moved], dim=-1)
        ratio, share = self.head(self.body.advance(self.body.prepare(features))).chunk(2, dim=-1)
        return ratio, share
