"""Outputs: how the network's numbers become a position."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from praesidium.component import Component
from praesidium.hedging.state import State
from praesidium.policies.policy import Sizes


class Output(Component):
    """Map from the head's outputs to the position.

    Attributes:
        outputs: numbers that the head must give.
        gain: scale of the head's first values; small where the map starts from a good hedge already.
    """

    outputs: ClassVar[int] = 1
    gain: ClassVar[float] = 1.0

    def check(self, sizes: Sizes) -> None:
        """Refuse what the network would have to work with, if it is not enough.

        Raises:
            InputError: says what is missing.
        """
        return

    def textbook(self, state: State) -> Tensor:
        """What the position is made of beside the head's outputs, at all times: the textbook hedge."""
        return state.hedge

    @abstractmethod
    def position(
        self, raw: Float[Tensor, "*batch outputs"], delta: Float[Tensor, "*batch"], previous: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Position over the next day; each path by itself."""


class Residual(Output, kind="residual"):
    """q = delta + y: the network corrects the textbook hedge, from which it starts."""

    gain: ClassVar[float] = 0.1

    def position(
        self, raw: Float[Tensor, "*batch outputs"], delta: Float[Tensor, "*batch"], previous: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return delta + raw.squeeze(-1)


class Free(Output, kind="free"):
    """q = y: the network must find the hedge by itself (Buehler et al. 2019)."""

    def position(
        self, raw: Float[Tensor, "*batch outputs"], delta: Float[Tensor, "*batch"], previous: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return raw.squeeze(-1)


class Trade(Output, kind="trade"):
    """q = last position + y: the network says what to buy, as the paper of HIRM has it.

    With y = 0 the book stays empty, so that the hedge has to be found as with ``free``; but to rest, at any position,
    is y = 0 too and need not be found. Choose it to stay with the paper, or where costs are high. Positions add up
    what was said since the first day, errors included: with this gain, a new network drifts to positions of about one
    in sixty days.
    """

    gain: ClassVar[float] = 0.1

    def position(
        self, raw: Float[Tensor, "*batch outputs"], delta: Float[Tensor, "*batch"], previous: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return previous + raw.squeeze(-1)


class Band(Output, kind="band"):
    """q = last position, clipped to [delta - softplus(y1), delta + softplus(y2)].

    First derivatives are exact. Second ones, which gradient penalties need, leave out that paths change sides between
    resting and an edge of the band.

    Source: Imaki et al. 2021 (arXiv 2103.01775), no-transaction-band network, centered on delta.
    """

    outputs: ClassVar[int] = 2

    def position(
        self, raw: Float[Tensor, "*batch outputs"], delta: Float[Tensor, "*batch"], previous: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        # softplus(-3) = 0.05: the band starts narrow, so that the first policy is close to delta.
        below, above = softplus(raw - 3).unbind(-1)
        return torch.minimum(torch.maximum(previous, delta - below), delta + above)
