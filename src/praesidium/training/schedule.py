"""Three phases of the penalty and a cosine of the learning rate, as functions of the step."""

from __future__ import annotations

import math


def ramp(step: int, steps: int, *, warmup: float, rise: float) -> float:
    """Weight of the penalty: 0 for the share ``warmup`` of the steps, then linear over the share ``rise``, then 1."""
    start, length = round(warmup * steps, 9), round(rise * steps, 9)  # 0.07 * 200 is a little above 14
    if step < start:
        return 0.0
    return min(1.0, (step - start + 1) / length) if length >= 1 else 1.0


def cosine(step: int, steps: int, *, final: float = 0.02) -> float:
    """Factor of the learning rate: 1 at the first step, ``final`` at the last, half a cosine between."""
    return final + (1 - final) * (1 + math.cos(math.pi * step / max(steps - 1, 1))) / 2
