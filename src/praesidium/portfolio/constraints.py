"""What a portfolio may be: sets of weights, the map of scores into each and the exact projection onto it."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, model_validator
from torch import Tensor

from praesidium.component import Component, InputError

ROUNDING = 1e-9  # n weights of 1 / n may miss a sum of 1 by this much


class Constraint(Component):
    """A convex set of weights that every decision keeps exactly.

    Attributes:
        max_weight: largest position, long or short, a share of wealth.
    """

    max_weight: PositiveFloat = 1.0

    @abstractmethod
    def propose(self, scores: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """Weights that rise smoothly with the score of their asset; they may lie outside the set."""

    @abstractmethod
    def project(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """The allowed weights nearest to those given (Euclidean), with the gradient of that map."""

    def restore(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """The projection of mixtures of allowed weights, some of which have drifted since."""
        return self.project(weights)

    @abstractmethod
    def check(self, assets: int) -> None:
        """Refuse a number of assets for which no weights are allowed.

        Raises:
            InputError: with the bound that has to move.
        """

    def aim(self, scores: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """Allowed weights from scores."""
        return self.project(self.propose(scores))

    def _need(self, assets: int, total: float) -> None:
        if assets * self.max_weight < total - ROUNDING:
            raise InputError(
                f"{self.kind}: max_weight={self.max_weight:g} lets {assets} assets hold {assets * self.max_weight:g} "
                f"of wealth, {total:g} is needed; raise max_weight to at least {total / assets:g}"
            )


class LongOnly(Constraint, kind="long_only"):
    """w >= 0, sum w = 1, w <= max_weight: all wealth invested, nothing sold short."""

    def propose(self, scores: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """softmax of the scores."""
        return scores.softmax(-1)

    def project(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        return fill(weights, total=1.0, high=self.max_weight)

    def restore(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """Without a bound on single weights, drift leads out of the set by rounding alone."""
        return super().restore(weights) if self.max_weight < 1 else weights / weights.sum(-1, keepdim=True)

    def check(self, assets: int) -> None:
        self._need(assets, 1.0)


class LongOrCash(Constraint, kind="long_or_cash"):
    """w >= 0, sum w <= 1, w <= max_weight: what is not invested is cash."""

    def propose(self, scores: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """softmax of the scores and of cash, whose score is 0."""
        cash = torch.zeros_like(scores[..., :1])
        return torch.cat([scores, cash], dim=-1).softmax(-1)[..., :-1]

    def project(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        free = weights.clamp(0, self.max_weight)
        total = min(1.0, weights.shape[-1] * self.max_weight)
        over = free.detach().sum(-1, keepdim=True) > 1
        return torch.where(over, fill(weights, total=total, high=self.max_weight), free)

    def check(self, assets: int) -> None:
        """Cash alone is always allowed."""


class LongShort(Constraint, kind="long_short"):
    """sum w = net, sum |w| <= gross, |w| <= max_weight.

    Attributes:
        net: longs less shorts; 0 is neutral to the market.
        gross: largest sum of longs and shorts.
    """

    net: float = 0.0
    gross: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _hold_the_net(self) -> LongShort:
        if abs(self.net) > self.gross:
            raise ValueError(f"gross: {self.gross:g} is less than the net exposure, {self.net:g}; raise gross")
        return self

    def propose(self, scores: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """The net exposure in equal parts, and tilts that are gross / n a unit of score and end at max_weight."""
        return self.net / scores.shape[-1] + _tilt(scores, self.gross, self.max_weight)

    def project(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """Only where the gross exposure binds are longs and shorts known in sum, (gross +- net) / 2 each.

        The multipliers of both constraints then separate into one of the longs and one of the shorts.
        """
        cap, assets = self.max_weight, weights.shape[-1]
        free = fill(weights, total=self.net, low=-cap, high=cap)
        binds = free.detach().abs().sum(-1, keepdim=True) > self.gross
        longs = fill(weights, total=min((self.gross + self.net) / 2, assets * cap), high=cap)
        shorts = fill(-weights, total=min((self.gross - self.net) / 2, assets * cap), high=cap)
        return torch.where(binds, longs - shorts, free)

    def check(self, assets: int) -> None:
        self._need(assets, abs(self.net))


class LeverageCapped(Constraint, kind="leverage_capped"):
    """sum |w| <= leverage, |w| <= max_weight; the rest is cash, or debt.

    Attributes:
        leverage: largest sum of longs and shorts.
    """

    leverage: PositiveFloat = 1.0

    def propose(self, scores: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        """Positions of leverage / n a unit of score that end at max_weight; no score, no position."""
        return _tilt(scores, self.leverage, self.max_weight)

    def project(self, weights: Float[Tensor, "*batch assets"]) -> Float[Tensor, "*batch assets"]:
        free = weights.clamp(-self.max_weight, self.max_weight)
        total = min(self.leverage, weights.shape[-1] * self.max_weight)
        over = free.detach().abs().sum(-1, keepdim=True) > self.leverage
        sizes = fill(weights.abs(), total=total, high=self.max_weight)
        return torch.where(over, weights.sign() * sizes, free)

    def check(self, assets: int) -> None:
        """Cash alone is always allowed."""


def fill(
    x: Float[Tensor, "*batch entries"], *, total: float, low: float = 0.0, high: float
) -> Float[Tensor, "*batch entries"]:
    """The point nearest to x in {low <= w <= high, sum w = total}: clamp(x - tau, low, high) with the tau that fits.

    The sum is linear in tau between 2 n kinks, which are sorted. Entries strictly inside are free: the gradient is
    that of x_i - mean over the free entries, 0 for the others, and may be differentiated again.

    Args:
        x: any finite numbers.
        total: in [n low, n high].
        low, high: bounds of each entry.

    Source: Wang and Lu 2015 (arXiv 1503.01002), proposition 1.
    """
    entries = x.shape[-1]
    with torch.no_grad():
        kinks, order = torch.cat([x - low, x - high], dim=-1).sort(dim=-1, descending=True)
        opened = torch.where(order < entries, 1, -1).cumsum(-1)[..., :-1]
        sums = entries * low + (opened * (kinks[..., :-1] - kinks[..., 1:])).cumsum(-1)  # at the end of each interval
        place = (sums < total).sum(-1, keepdim=True).clamp(max=2 * entries - 2)
        near = x - (kinks.gather(-1, place) + kinks.gather(-1, place + 1)) / 2
        full, empty = (near >= high).to(x.dtype), (near <= low).to(x.dtype)
        free, fixed = 1 - full - empty, high * full + low * empty
        count = free.sum(-1, keepdim=True).clamp(min=1)
        share = (total - fixed.sum(-1, keepdim=True)) / count
        tau = x - near + (free * near).sum(-1, keepdim=True) / count - share
    near = x - tau  # of the size of a weight, whatever that of x
    return (fixed + free * (near - (free * near).sum(-1, keepdim=True) / count + share)).clamp(low, high)


def _tilt(scores: Tensor, exposure: float, cap: float) -> Tensor:
    return cap * torch.tanh(exposure / (scores.shape[-1] * cap) * scores)
