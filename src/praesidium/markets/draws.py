"""Sampling by design: standard normals that even out over the paths, in place of independent ones."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from praesidium.component import InputError

Sampling = Literal["random", "antithetic", "sobol"]

_LEAST = 2.0**-31  # half the step of the engine's numbers: their normals stay finite


class Draws(NamedTuple):
    """What a diffusion is driven by; each path by itself has the law of independent draws.

    Attributes:
        uniform: in (0, 1), for a random start.
        normals: standard; ``drivers`` are the independent Brownian motions.
    """

    uniform: Float[Tensor, " paths"]
    normals: Float[Tensor, "steps drivers paths"]


def draw(
    sampling: Sampling, *, paths: int, steps: int, drivers: int, generator: torch.Generator, dtype: torch.dtype
) -> Draws:
    """Draws of all paths on the generator's device.

    ``random`` paths are independent. ``antithetic`` ones come in pairs i and i + ceil(paths / 2), whose normals are
    each other's negatives and whose uniforms add up to one; of an odd count the middle one has no partner. ``sobol``
    paths are one scrambled Sobol sequence, best at a power of two of them; its first dimensions, the most even, go to
    the start, the ends of the Brownian motions and the widest waves between. The paths of both depend on each other:
    take a standard error over pairs, or over generators.

    Raises:
        InputError: if the Sobol sequence has too few dimensions for the periods.

    Source: Glasserman 2004, "Monte Carlo methods in financial engineering", sections 4.2, 5.4 and 5.5.2.
    """
    if sampling == "sobol":
        return _sobol(paths, steps, drivers, generator, dtype)
    drawn = paths if sampling == "random" else math.ceil(paths / 2)
    uniform = torch.rand(drawn, dtype=dtype, device=generator.device, generator=generator)
    normals = torch.randn(steps, drivers, drawn, dtype=dtype, device=generator.device, generator=generator)
    if drawn == paths:
        return Draws(uniform, normals)
    mirrored = paths - drawn
    return Draws(
        torch.cat([uniform, 1 - uniform[:mirrored]]), torch.cat([normals, normals[..., :mirrored].neg()], dim=-1)
    )


def _sobol(paths: int, steps: int, drivers: int, generator: torch.Generator, dtype: torch.dtype) -> Draws:
    dimensions = 1 + steps * drivers
    if dimensions > SobolEngine.MAXDIM:
        raise InputError(
            f"sampling: sobol has {SobolEngine.MAXDIM} dimensions, but a start and {steps} periods of {drivers} "
            f"normals need {dimensions}; take fewer periods or antithetic"
        )
    seed = int(torch.randint(2**62, (), device=generator.device, generator=generator))
    engine = SobolEngine(dimensions, scramble=True, seed=seed)
    points = engine.draw(paths, dtype=torch.float64).T.to(generator.device).clamp(_LEAST, 1 - _LEAST)
    components = torch.special.ndtri(points[1:]).to(dtype).reshape(steps, drivers * paths)
    increments = _principal_components(steps).to(dtype=dtype, device=generator.device) @ components
    return Draws(points[0].to(dtype), increments.view(steps, drivers, paths))


def _principal_components(steps: int) -> Float[Tensor, "steps steps"]:
    """Orthogonal matrix: a Brownian motion's increments from its end, then from the widest waves of its bridge on.

    The discrete cosine transform: sqrt(1 / n) in the first column, sqrt(2 / n) cos((2j - 1) k pi / 2n) in column k. The
    running sums sin(j k pi / n) of the latter are the eigenvectors of the bridge's covariance min(s, t) - s t / n.

    Source: Glasserman 2004, sections 3.1.2 and 5.5.2, with all inner times of the bridge at once.
    """
    middles, waves = torch.arange(1, 2 * steps, 2, dtype=torch.float64), torch.arange(steps, dtype=torch.float64)
    matrix = torch.outer(middles, waves).mul_(math.pi / (2 * steps)).cos_().mul_(math.sqrt(2 / steps))
    matrix[:, 0] = math.sqrt(1 / steps)
    return matrix
