"""What hedgers of prices share: they hold futures against a spot position, as many as the regime asks for.

A *ratio* is money in the future for each unit of money in the spot that it hedges. Its sign is that of the trade: -1 is
one short for one long, and spot return + ratio x futures return is what is left. A ratio decided at t earns the returns
from t to t + 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError, check_whole
from praesidium.policies.layers import Body, Dense
from praesidium.training.reproducibility import stream

WINDOW = 20  # periods of prices whose mean a price is measured against
CLIP = 5.0  # standardized features beyond are as good as this one
DEPTH = 2  # layers before the head


class Known(NamedTuple):
    """What may be looked at along a path; the entry at t is known at t.

    Attributes:
        regimes: filtered probabilities.
        spot: prices.
        transition: A, probabilities of the next regime, a row for each now.
    """

    regimes: Float[Tensor, "batch time regimes"]
    spot: Float[Tensor, "batch time assets"]
    transition: Float[Tensor, "regimes regimes"]


class Book(NamedTuple):
    """Positions to be hedged now, checked, in the network's precision.

    Attributes:
        belief: probabilities of the regimes of now.
        spot, positions: price and units.
        moneyness: of the spot, against its reference.
        unit: delta of a unit of each position.
    """

    belief: Float[Tensor, "batch regimes"]
    spot: Float[Tensor, "batch assets"]
    positions: Float[Tensor, "batch assets"]
    moneyness: Float[Tensor, "batch assets"]
    unit: Float[Tensor, "batch assets"]


class RegimeHedger(nn.Module, ABC):
    """A network that corrects a textbook hedge ratio by regime.

    Args:
        K: regimes.
        n_assets: assets, each with a future of its own.
        hidden_dim: hidden units.
        cost_rate: proportional cost of what is traded, one way.
        random_state: seed of the initial values.

    Attributes:
        textbook: (n) ratio that is corrected; -1 before training, which puts the one of least variance here.
        deviation: (n) of the log returns of a period, the unit of price features; 0.01 before training.
    """

    textbook: Tensor
    deviation: Tensor

    def __init__(self, K: int, n_assets: int, hidden_dim: int, *, cost_rate: float, random_state: int) -> None:
        super().__init__()
        name = type(self).__name__
        for setting, value, least in (("K", K, 2), ("n_assets", n_assets, 1), ("hidden_dim", hidden_dim, 1)):
            check_whole(name, setting, value, least=least)
        if not 0 <= cost_rate < 1:
            raise InputError(f"{name}: cost_rate={cost_rate:g} is not a rate in [0, 1); for 5 bp say 0.0005")
        self.K, self.n_assets, self.hidden_dim = K, n_assets, hidden_dim
        self.cost_rate, self.random_state = cost_rate, random_state
        self.register_buffer("textbook", torch.full((n_assets,), -1.0))
        self.register_buffer("deviation", torch.full((n_assets,), 0.01))

    @abstractmethod
    def ratios(self, known: Known) -> Float[Tensor, "batch time assets"]:
        """Ratios decided at each time, from what is known then; the textbook's are held before the first."""

    # ---- for members ------------------------------------------------------------------------------------------------

    def _body(self, inputs: int, name: str, *, untaught: int = 0) -> Body:
        """The layers before the head; the last ``untaught`` inputs have no weight at the start.

        These are inputs that :meth:`ratios` leaves at zero: a random weight would stay as it is and move every hedge.
        """
        body = Body(inputs, self.hidden_dim, DEPTH, seed=self.random_state, name=name, inventory=0)
        with torch.no_grad():
            body.first.weight[inputs - untaught :] = 0
        return body

    def _head(self, outputs: int) -> Dense:
        generator = stream(self.random_state, "init", "head")
        return Dense(self.hidden_dim, outputs * self.n_assets, generator, gain=0.1, hidden=True)

    def _book(
        self, regime_probs: Tensor, spot: Tensor, positions: Tensor, reference: Tensor | None, unit_delta: Tensor | None
    ) -> Book:
        """Arguments of a call; the reference is the spot itself, and the delta of a unit one, where left out."""
        belief, lead = self._belief(regime_probs), regime_probs.shape[0]
        spot, positions = self._prices("spot", spot, lead), self._numbers("positions", positions, lead)
        against = spot if reference is None else self._prices("reference", reference, lead)
        unit = torch.ones_like(spot) if unit_delta is None else self._numbers("unit_delta", unit_delta, lead)
        return Book(belief, spot, positions, self._moneyness(spot, against), unit)

    def _belief(self, regime_probs: Tensor) -> Float[Tensor, "batch regimes"]:
        """Regimes of now: the last of (B, T, K), or (B, K)."""
        return self._sequence(regime_probs.unsqueeze(1) if regime_probs.ndim == 2 else regime_probs)[:, -1]

    def _sequence(self, regime_probs: Tensor) -> Float[Tensor, "batch time regimes"]:
        """Regimes as (B, T, K), checked."""
        from praesidium.regimes.belief import check_probabilities  # noqa: PLC0415  (importing scikit-learn takes time)

        check_probabilities(type(self).__name__, regime_probs, self.K)
        self._some("regime_probs", regime_probs)
        return regime_probs.to(self.textbook)

    def _prices(self, argument: str, value: Tensor, *lead: int) -> Tensor:
        """Positive numbers (\\*lead, n), in the network's precision."""
        value = self._numbers(argument, value, *lead)
        if not bool((value > 0).all()):
            raise InputError(f"{type(self).__name__}: {argument} holds {value.min().item():g}; prices are above 0")
        return value

    def _numbers(self, argument: str, value: Tensor, *lead: int) -> Tensor:
        """Numbers (\\*lead, n), in the network's precision."""
        wanted = (*lead, self.n_assets)
        if tuple(value.shape) != wanted:
            raise InputError(
                f"{type(self).__name__}: {argument} has shape {tuple(value.shape)}; give {wanted}, assets last"
            )
        self._some(argument, value)
        if not bool(value.isfinite().all()):
            raise InputError(f"{type(self).__name__}: {argument} holds NaN or infinity; leave those rows out")
        return value.to(self.textbook)

    def _some(self, argument: str, value: Tensor) -> None:
        if not value.numel():
            raise InputError(
                f"{type(self).__name__}: {argument} of shape {tuple(value.shape)} is empty; give at least one "
                "sequence with at least one time"
            )

    def _moneyness(self, spot: Tensor, reference: Tensor) -> Tensor:
        """log(spot / reference) in deviations of ``WINDOW`` periods; a change of units changes nothing."""
        return ((spot / reference).log() / (WINDOW**0.5 * self.deviation)).clamp(-CLIP, CLIP)


def check_returns(caller: str, argument: str, returns: Float[Tensor, "*batch assets"]) -> None:
    """Refuse returns that hold NaN or infinity, assets last; the first asset that does is named."""
    wrong = (~returns.detach().isfinite()).reshape(-1, returns.shape[-1]).sum(0)
    if bool(wrong.any()):
        asset = int(wrong.nonzero()[0])
        raise InputError(
            f"{caller}: {argument} holds NaN or infinity, {int(wrong[asset])} times in asset {asset}; "
            "leave those periods out of all arguments"
        )


def trailing_mean(spot: Float[Tensor, "batch time assets"]) -> Float[Tensor, "batch time assets"]:
    """Geometric mean of the last ``WINDOW`` prices, or of as many as there are."""
    logs = spot.double().log()
    before = torch.cat([torch.zeros_like(logs[:, :1]), logs.cumsum(1)], dim=1)
    last = torch.arange(1, logs.shape[1] + 1, device=spot.device)
    first = (last - WINDOW).clamp(min=0)
    return ((before[:, last] - before[:, first]) / (last - first).unsqueeze(-1)).exp().to(spot)
