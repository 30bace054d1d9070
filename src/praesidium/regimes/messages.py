"""Messages along a chain: what :mod:`praesidium.regimes.hmm` makes of a tree of its steps.

Source: Rabiner 1989, section III; derivatives of log Z are the posterior (Eisner 2016, "Inside-outside and
forward-backward algorithms are just backprop").
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.data.chunks import valid
from praesidium.regimes.scan import (
    NEVER,
    VECTOR,
    Few,
    Logarithmic,
    Scaled,
    Semiring,
    Tree,
    innermost,
    over_columns,
    over_rows,
)

HANDFUL = 4  # states up to which products of long rows are faster than those of small matrices
# Below this log-probability of a possible move, or with impossible ones, sums are taken in logarithms. Single precision
# ends near e^-103, double near e^-745.
LEAST, LEAST_SINGLE = -200.0, -25.0


def parts_of(
    log_initial: Tensor, log_transition: Tensor, log_likelihood: Tensor, lengths: Tensor | None
) -> tuple[Float[Tensor, "sequences states"], Tensor, Float[Tensor, "sequences steps states"], Tensor | None]:
    """log p(z_1, x_1), moves, the observations after them, and which steps count; None if all do, of at least one."""
    count, times, states = log_likelihood.shape
    steps = log_transition.shape[-3] if log_transition.ndim > 2 else times - 1
    if log_transition.shape[-2:] != (states, states) or log_initial.shape[-1] != states or steps != times - 1:
        raise InputError(
            f"log_transition: {tuple(log_transition.shape)} and log_initial {tuple(log_initial.shape)} do not fit a "
            f"log_likelihood of {tuple(log_likelihood.shape)}; {times} observations of {states} states need "
            f"({states}, {states}) or (..., {times - 1}, {states}, {states})"
        )
    start, emission = log_initial + log_likelihood[:, 0], log_likelihood[:, 1:]
    if times == 1:
        rest = torch.eye(states, dtype=log_likelihood.dtype, device=log_likelihood.device).log()
        return start, rest, log_likelihood.new_zeros(count, 1, states), None
    if lengths is None:
        return start, log_transition, emission, None
    return start, log_transition, emission, valid(lengths, times)[:, 1:]


def steps_of(
    transition: Tensor, emission: Float[Tensor, "sequences steps states"], inside: Tensor | None
) -> Float[Tensor, "sequences steps states states"]:
    """log p(z_{t+1}, x_{t+1} | z_t), and a step that changes nothing past the length."""
    logs = transition + (innermost(emission) if emission.shape[-1] <= HANDFUL else emission).unsqueeze(-2)
    if inside is None:
        return logs
    rest = torch.eye(logs.shape[-1], dtype=logs.dtype, device=logs.device).log()
    return torch.where(inside[..., None, None], logs, rest)


def chain_of(
    log_initial: Tensor, log_transition: Tensor, log_likelihood: Tensor, lengths: Tensor | None
) -> tuple[Float[Tensor, "sequences states"], Float[Tensor, "sequences steps states states"]]:
    """log p(z_1, x_1), and the steps after it."""
    start, transition, emission, inside = parts_of(log_initial, log_transition, log_likelihood, lengths)
    return start, steps_of(transition, emission, inside)


def semiring_of(log_transition: Tensor) -> Semiring:
    least = LEAST if log_transition.dtype == torch.float64 else LEAST_SINGLE
    if not bool((log_transition.detach() >= least).all()):
        return Logarithmic()
    return Few() if log_transition.shape[-1] <= HANDFUL else Scaled()


def total_of(start: Tensor, tree: Tree) -> Float[Tensor, " sequences"]:
    """Logarithm of the sum over all paths."""
    vector, scale = tree.semiring.lift(start.unsqueeze(1), VECTOR)
    root = tree.levels[-1]
    if isinstance(tree.semiring, Scaled):
        assert isinstance(scale, Tensor)
        return (vector.mT * root[:, 0]).sum((-2, -1)).log() + scale.flatten() + tree.log_scale
    total = tree.semiring.forward(vector, root).squeeze(1).logsumexp(-1)
    return torch.where(total > NEVER / 2, total, -torch.inf)


def filtered_of(start: Tensor, tree: Tree) -> Float[Tensor, "sequences times states"]:
    """Distributions before and after each step."""
    lifted, _ = tree.semiring.lift(start, VECTOR)
    before = tree.before(lifted)
    last = tree.semiring.forward(before[:, -1:], tree.steps[:, -1:])
    return tree.semiring.probabilities(torch.cat([before, last], dim=1))


def _sides(
    start: Tensor, tree: Tree
) -> tuple[Float[Tensor, "sequences steps states"], Float[Tensor, "sequences steps states"]]:
    """What comes before and after each step, scaled so that before x step x after sums to one, where it is scaled."""
    semiring = tree.semiring
    (row, _), (column, _) = semiring.lift(start, VECTOR), semiring.lift(torch.zeros_like(start), VECTOR)
    before, after = tree.before(row), tree.after(column)
    if isinstance(semiring, Scaled):
        before = before / over_rows(before * over_rows(tree.steps * after.unsqueeze(-2))).unsqueeze(-1)
    return before, after


def pairs_of(start: Tensor, tree: Tree) -> Float[Tensor, "sequences steps states states"]:
    """Joint distribution of the states before and after each step."""
    return _joint(*_sides(start, tree), tree)


def _joint(before: Tensor, after: Tensor, tree: Tree) -> Float[Tensor, "sequences steps states states"]:
    if isinstance(tree.semiring, Scaled):
        return before.unsqueeze(-1) * (tree.steps * after.unsqueeze(-2))
    joint = before.unsqueeze(-1) + tree.steps + after.unsqueeze(-2)
    return tree.semiring.probabilities(joint.flatten(-2)).view_as(joint)


class LogNormalizer(torch.autograd.Function):
    """log Z, whose derivatives are the posterior: down the tree again with vectors, in place of every product's own."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, transition: Tensor, emission: Tensor, inside: Tensor | None) -> Tensor:
        ctx.tree = Tree(steps_of(transition, emission, inside), semiring_of(transition))
        ctx.inside = inside
        ctx.save_for_backward(start, transition, emission)
        return total_of(start, ctx.tree)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        start, transition, emission = ctx.saved_tensors
        (weight,) = gradients
        tree, inside = ctx.tree, ctx.inside
        if torch.is_grad_enabled():  # second derivatives need the graph down to the logarithms, which was not kept
            tree = Tree(steps_of(transition, emission, inside), tree.semiring)
        before, after = _sides(start, tree)
        if isinstance(tree.semiring, Scaled):
            pairs = _joint(before * weight[:, None, None], after, tree)
        else:
            pairs = _joint(before, after, tree) * weight[:, None, None, None]
        first = over_rows(pairs[:, 0])
        if inside is not None:
            pairs = torch.where(inside[..., None, None], pairs, 0)
        moves = pairs.flatten(0, 1).sum(0) if transition.ndim == 2 else pairs.sum_to_size(transition.shape)
        return first, moves, over_columns(pairs), None
