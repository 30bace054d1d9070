"""Gradient surgery: no environment's gradient pushes against another's."""

from __future__ import annotations

from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty, plain_erm

MOST = 8  # environments; the next one would have eight times as many orders


class PCGrad(Objective, kind="pcgrad"):
    """mean_e R_e, with the mean of projected gradients in the head: from g_e, the part along every g_e' that it opposes
    is taken away, one e' after the other.

    The algorithm takes the others in random order. Here the result is averaged over all orders: it is that
    algorithm's expectation, and neither chance nor the names of environments have a part in it. Projecting on all
    others at once would be as symmetric, but takes the same part away as often as others resemble each other.
    Parameters before the head follow the mean risk. First derivatives only. A mean that is no descent direction for
    some environment may remain: projections on one other can undo those on another.

    Source: Yu et al. 2020 (arXiv 2001.06782), algorithm 1, with the mean over environments in place of the sum.
    """

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        if ramp == 0:
            return plain_erm(risks)
        gradients = sensitivities.head().detach()
        count = gradients.shape[-2]
        products = gradients @ gradients.mT
        weights = _projected(products).mean(-2)
        return Terms(
            risk=risks.mean(-1),
            penalty=no_penalty(risks),
            log={"conflicts": (products < 0).to(products.dtype).sum((-2, -1)) / (count * (count - 1))},
            head=torch.lerp(gradients.mean(-2), (weights.unsqueeze(-2) @ gradients).squeeze(-2), ramp),
        )


def _projected(
    products: Float[Tensor, "*replicas environments environments"],
) -> Float[Tensor, "*replicas environments environments"]:
    """Each projected gradient as a combination (last axis) of the original ones, given their inner products."""
    count = products.shape[-1]
    unit = torch.eye(count, dtype=products.dtype, device=products.device)
    orders = _orders_of_others(count).to(products.device)
    squares = products.diagonal(dim1=-2, dim2=-1)
    weights = unit.unsqueeze(-2).expand(*products.shape[:-2], count, orders.shape[1], count)
    for other in orders.unbind(-1):
        inner = (weights * products[..., other, :]).sum(-1)
        square = squares[..., other]
        along = torch.where(square > 0, inner.clamp(max=0) / square, 0)
        weights = weights - along.unsqueeze(-1) * unit[other]
    return weights.mean(-2)


def _orders_of_others(count: int) -> Int[Tensor, "environments orders others"]:
    """For each environment, all orders of the other ones."""
    if count > MOST:
        raise InputError(
            f"pcgrad: {count} training environments have more orders than can be averaged; use at most {MOST}"
        )
    orders = torch.tensor(list(permutations(range(count - 1))))
    return orders + (orders >= torch.arange(count)[:, None, None]).long()
