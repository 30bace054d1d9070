"""A no-trade band without a kink."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from praesidium.policies.outputs import Output

NARROW = 3.0  # softplus(-3) = 0.05: a band starts narrow


class SoftBand(Output, kind="soft_band"):
    """Trade to the edge of the band target +- width, target = delta + y1, width = softplus(y2 - 3), corners rounded.

    What is traded is smooth in target and width, with a slope in the width wherever the last position is not the target
    itself: the width can be learned, and gradient penalties find exact second derivatives.

    Attributes:
        softness: over which distance from an edge a corner is rounded, in units of the underlying.
    """

    outputs: ClassVar[int] = 2
    gain: ClassVar[float] = 0.1

    softness: float = Field(default=0.005, gt=0)

    def position(
        self, raw: Float[Tensor, "*batch outputs"], delta: Float[Tensor, "*batch"], previous: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        correction, width = raw.unbind(-1)
        target = delta + correction
        return target + soft_clip(previous - target, softplus(width - NARROW), softness=self.softness)


def soft_clip(
    x: Float[Tensor, "*batch"], width: Float[Tensor, "*batch"], *, softness: float
) -> Float[Tensor, "*batch"]:
    """x cut off at +-width, with round corners: odd, rising in x with a slope of at most one, and never beyond width.

    x - s softplus((x - w) / s) + s softplus((-x - w) / s). It is 0 at w = 0 and tends to x as w grows; its slope in w
    is that of the cut itself for s -> 0, sign(x) outside the band and 0 inside, and lies between the two everywhere.

    Args:
        x: distance from the middle of the band.
        width: w, half the width of the band, not negative.
        softness: s, positive.
    """
    sharp = 1 / softness
    return x - softplus(x - width, beta=sharp) + softplus(-x - width, beta=sharp)
