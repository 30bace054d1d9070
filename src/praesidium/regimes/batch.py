"""A batch of sequences in the layout of convolutions, checked, with nothing left of its padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.data.chunks import valid


class Batch(NamedTuple):
    """Observations and inputs, zero past each length.

    Attributes:
        x: observations; NaN is missing.
        u: inputs of the transitions, or None.
        lengths: times of each sequence.
        mask: where there is data and no padding.
    """

    x: Float[Tensor, "batch channels time"]
    u: Float[Tensor, "batch inputs time"] | None
    lengths: Int[Tensor, " batch"]
    mask: Bool[Tensor, "batch time"]

    @property
    def observed(self) -> Bool[Tensor, "batch time"]:
        """Where anything was observed."""
        return self.mask & ~self.x.isnan().all(1)


def checked(x: Tensor, u: Tensor | None, lengths: object, *, channels: int) -> Batch:
    """A batch of what a caller gave; what stands past a length may be anything, and is gone.

    Raises:
        InputError: if shapes do not fit, lengths are no tensor or out of bounds, or a number is infinite, or an input
            missing.
    """
    if x.ndim != 3 or x.shape[1] != channels:
        raise InputError(
            f"x: shape {tuple(x.shape)} is not (batch, {channels}, time); time is the last axis: transpose(1, 2) if "
            "it is the second"
        )
    count, _, times = x.shape
    if u is not None and (u.ndim != 3 or u.shape[0] != count or u.shape[2] != times):
        raise InputError(f"u: shape {tuple(u.shape)} is not ({count}, inputs, {times}), one input for each time of x")
    if lengths is None:
        lengths = torch.full((count,), times, device=x.device)
    if not isinstance(lengths, Tensor):
        raise InputError(f"lengths: {lengths!r} is not a tensor; say torch.tensor([{times}, ...]), one a sequence")
    if lengths.shape != (count,):
        raise InputError(f"lengths: {lengths.tolist()} are not one number for each of the {count} sequences of x")
    mask = valid(lengths, times)
    x = torch.where(mask.unsqueeze(1), x, 0.0)
    if bool(x.isinf().any()):
        raise InputError("x: holds infinite values; write NaN where one is missing")
    if u is not None:
        u = torch.where(mask.unsqueeze(1), u, 0.0)
        if not bool(u.isfinite().all()):
            raise InputError("u: holds NaN or infinite values; inputs must be known, so fill them from their past")
    return Batch(x, u, lengths, mask)
