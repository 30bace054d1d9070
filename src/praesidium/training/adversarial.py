"""Worst-case probabilities near given ones, and the projection onto the simplex."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError


def repeatable(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model as one function: each call begins with the random numbers and the counters that the first one has.

    A model that draws as it is called (dropout, an ensemble in training) would otherwise be another at each call, and
    what is worst for one is not for the next. Counters are buffers that hold no floating-point numbers. After a call,
    both stand as after one call of the model, however many there were. Random numbers are the global ones of the CPU.
    """
    numbers = torch.get_rng_state()
    counters = [(one, one.clone()) for one in model.buffers() if not one.is_floating_point()]

    def call(inputs: Tensor) -> Tensor:
        torch.set_rng_state(numbers)
        for place, one in counters:
            if not torch.equal(place, one):  # one that a graph needs is not touched
                place.copy_(one)
        return model(inputs)

    return call


def project_to_simplex(x: Float[Tensor, "*batch states"]) -> Float[Tensor, "*batch states"]:
    """The point of the probability simplex nearest to each row: (x - tau)_+ with the tau that makes it sum to one.

    Differentiable almost everywhere, with zero gradient where the result is zero. Rows that differ by a constant
    have the same projection; a row that already is a distribution is its own (to rounding).

    Source: Held, Wolfe and Crowder 1974; in this form Duchi et al. 2008, figure 1.
    """
    x = x - x.detach().amax(-1, keepdim=True)
    ranked = x.sort(dim=-1, descending=True).values
    excess = ranked.cumsum(-1) - 1
    rank = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    support = (rank * ranked > excess).sum(-1, keepdim=True)
    tau = excess.gather(-1, support - 1) / support
    return (x - tau).clamp(min=0)


def perturb(
    loss: Callable[[Tensor], Tensor],
    probabilities: Float[Tensor, "*batch states"],
    *,
    epsilon: float,
    steps: int = 1,
) -> Float[Tensor, "*batch states"]:
    """Probabilities with a higher loss, each row within ``epsilon`` of the given one in total variation.

    max loss(q) over distributions q with 1/2 sum_k |q_k - p_k| <= epsilon in every row, by projected gradient ascent:
    each row moves along its own gradient, brought to unit range, and is projected back onto the ball and the simplex
    at once. Step i (from one) is 2 epsilon / sqrt(i) long, so that the first already reaches the edge of the ball.
    Of all points visited, the given one included, the one with the highest loss is returned.

    Args:
        loss: a scalar of the probabilities, differentiable and the same at each call (:func:`repeatable`); it is
            called ``steps + 1`` times.
        probabilities: the last axis sums to one. Neither they nor any gradient of the caller's are touched.
        epsilon: probability mass that may be moved in each row, in [0, 1]; 0 returns the same numbers.
        steps: gradients taken.

    Returns:
        Distributions without a graph. Rows that the loss does not depend on are those given.

    Raises:
        InputError: if a row is not a distribution, ``epsilon`` is out of bounds or there is no step.

    Source: Madry et al. 2018, eq. 2.1, with the ball of total variation in place of that of the maximum norm.
    """
    _check(probabilities, epsilon, steps)
    given = best = here = probabilities.detach().clone()
    if epsilon == 0:
        return given
    highest = torch.full((), -torch.inf)
    for step in range(1, steps + 1):
        value, slope = _ascent(loss, here)
        best, highest = (here, value) if value > highest else (best, highest)
        ascent = slope - slope.amin(-1, keepdim=True)  # a constant moves nothing on the simplex, but could overflow
        reach = ascent.amax(-1, keepdim=True)
        moved = _project(here + 2 * epsilon / step**0.5 * ascent / reach.clamp(min=_tiny(slope)), given, epsilon)
        here = torch.where(reach > 0, moved, here)
    with torch.no_grad():
        return here if loss(here) > highest else best


def _ascent(loss: Callable[[Tensor], Tensor], here: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        point = here.clone().requires_grad_()
        value = loss(point)
        (slope,) = torch.autograd.grad(value, point)
    return value.detach(), slope


def _project(wanted: Tensor, center: Tensor, radius: float) -> Tensor:
    """The nearest distribution within ``radius`` of the center in total variation.

    Where the ball binds, the states that gain share ``radius`` and so do those that lose it, each group at a water
    level of its own: q = p + (d - a)_+ - min(p, (b - d)_+) with d = wanted - center.
    """
    free = project_to_simplex(wanted)
    inside = (free - center).abs().sum(-1, keepdim=True) <= 2 * radius
    change = wanted - center
    gained = _fill(-change, torch.full_like(change, radius), radius)
    lost = _fill(change, center, radius)
    return torch.where(inside, free, center + gained - lost)


def _fill(floor: Tensor, room: Tensor, mass: float) -> Tensor:
    """Pour ``mass`` over columns that begin at ``floor`` and hold ``room``, to one level: min(room, (level - floor)_+).

    The mass below a level is piecewise linear in it, with a kink at the floor and at the top of each column.
    """
    kinks, order = torch.cat([floor, floor + room], dim=-1).sort(dim=-1)
    open_ = torch.where(order < floor.shape[-1], 1.0, -1.0).to(floor.dtype).cumsum(-1)[..., :-1]
    filled = (open_ * kinks.diff(dim=-1)).cumsum(-1)  # at the upper end of each interval
    place = (filled < mass).sum(-1, keepdim=True).clamp(max=filled.shape[-1] - 1)
    level = kinks.gather(-1, place + 1) - (filled.gather(-1, place) - mass) / open_.gather(-1, place).clamp(min=1)
    return torch.minimum(room, (level - floor).clamp(min=0))


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny


def _check(probabilities: Tensor, epsilon: float, steps: int) -> None:
    if not 0 <= epsilon <= 1:
        raise InputError(f"perturb: epsilon={epsilon:g} is not in [0, 1]; it is the probability mass that may be moved")
    if steps < 1:
        raise InputError(f"perturb: steps={steps} takes no gradient; say at least 1")
    off = (probabilities.detach().sum(-1) - 1).abs()
    if not ((off <= 1e-4).all() and (probabilities >= 0).all()):
        raise InputError(
            f"perturb: the last axis of probabilities, shape {tuple(probabilities.shape)}, does not hold distributions "
            "(no number below 0, sum 1); give filtered probabilities as (batch, time, regimes), never logits"
        )
