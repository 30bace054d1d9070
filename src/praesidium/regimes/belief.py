"""Regime probabilities as a sequence: their one layout, and what their past says about age and transitions."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.data.chunks import valid

MISSING = -1  # label of a period whose regime is not known
ROUNDING = 1e-3  # how far a row of probabilities may be from one in sum, for single precision


def check_probabilities(caller: str, probabilities: Tensor, K: int, lengths: Tensor | None = None) -> None:
    """Refuse what is not a distribution over ``K`` regimes in the last axis of (batch, time, regimes).

    Periods past ``lengths`` may hold anything.

    Raises:
        InputError: another number of axes, another layout, NaN, or rows that do not sum to one.
    """
    shape = tuple(probabilities.shape)
    layout = (
        f"wanted are (batch, time, regimes={K}); VAE_HMM gives (batch, regimes, time): transpose(1, 2), "
        "or use model.filter"
    )
    if probabilities.ndim != 3 or shape[-1] != K:
        raise InputError(f"{caller}: probabilities have shape {shape}; {layout}")
    rows = probabilities.detach()[within(probabilities, lengths)]
    if bool(rows.isnan().any()):
        raise InputError(f"{caller}: probabilities hold NaN; leave those periods out, or pass lengths")
    if bool((rows < -ROUNDING).any()) or bool(((rows.sum(-1) - 1).abs() > ROUNDING).any()):
        raise InputError(f"{caller}: probabilities of shape {shape} do not sum to one over the last axis; {layout}")


def check_states(caller: str, states: Tensor, probabilities: Tensor) -> None:
    """Refuse labels that do not fit (batch, time) or are not 0 .. K - 1, or -1 for a period whose regime is unknown."""
    wanted, K = tuple(probabilities.shape[:-1]), probabilities.shape[-1]
    if tuple(states.shape) != wanted:
        raise InputError(f"{caller}: states have shape {tuple(states.shape)}; wanted is one label a period, {wanted}")
    check_labels(caller, states, K)


def check_labels(caller: str, states: Tensor, K: int) -> None:
    """Refuse labels that are not 0 .. K - 1, or -1 for a period whose regime is unknown."""
    if int(states.min()) < MISSING or int(states.max()) >= K:
        raise InputError(
            f"{caller}: labels run from {int(states.min())} to {int(states.max())}; "
            f"regimes are 0 to {K - 1}, and -1 is unknown"
        )


def check_transition(caller: str, transition: Tensor, K: int) -> None:
    """Refuse a matrix whose rows are not distributions over the next of ``K`` regimes, NaN included."""
    if tuple(transition.shape[-2:]) != (K, K):
        raise InputError(f"{caller}: transition has shape {tuple(transition.shape)}; wanted is ({K}, {K})")
    if bool((transition < 0).any()) or not bool(((transition.sum(-1) - 1).abs() <= ROUNDING).all()):
        raise InputError(
            f"{caller}: the rows of transition do not sum to one, or hold NaN; entry [i, j] is P(next is j, given i)"
        )


def within(sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """Which of (batch, time) lie inside ``lengths``; all if None."""
    count, times = sequences.shape[:2]
    if lengths is None:
        return torch.ones(count, times, dtype=torch.bool, device=sequences.device)
    return valid(lengths.to(sequences.device), times)


def last_of(
    sequence: Float[Tensor, "batch time *rest"], lengths: Int[Tensor, " batch"] | None
) -> Float[Tensor, "batch *rest"]:
    """The last valid period of each sequence."""
    if lengths is None:
        return sequence[:, -1]
    return sequence[torch.arange(len(sequence), device=sequence.device), lengths.to(sequence.device) - 1]


def carried_on(
    probabilities: Float[Tensor, "batch time regimes"], transition: Float[Tensor, "*batch regimes regimes"]
) -> Float[Tensor, "batch steps regimes"]:
    """P(z_{t-1} = k given z_t = k and x_1..t) for t = 2, 3, ..: the share of regime k that was there a period ago.

    p_{t-1}(k) A_kk / (p_{t-1} A)_k, from filtered probabilities. Exact for a hidden Markov model, where x_t says
    nothing about z_{t-1} beyond z_t. Zero for a regime that could not be reached.
    """
    before = probabilities[:, :-1]
    reached = before @ transition
    stayed = before * transition.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    return torch.where(reached > 0, stayed / reached.clamp(min=torch.finfo(reached.dtype).tiny), 0.0)


def estimate_transition(
    now: Float[Tensor, "moves regimes"], later: Float[Tensor, "moves regimes"]
) -> Float[Tensor, "regimes regimes"]:
    """Transition matrix A with the best log score sum_t sum_j later_t(j) log (now_t A)_j of the next period.

    Of known regimes (rows of zeros and a one) these are the shares of moves, the maximum likelihood estimate. Of
    filtered probabilities it is the matrix that the filter itself went by, for an endless sequence. One move of weight
    1 / K is added to every pair, so that nothing unseen is impossible.

    Source: expectation-maximization for the shares of a mixture, Dempster, Laird and Rubin 1977, section 4.3.
    """
    K = now.shape[-1]
    transition = (torch.eye(K, dtype=now.dtype, device=now.device) * K + 1) / (2 * K)
    tiny = torch.finfo(now.dtype).tiny
    for _ in range(1000):
        ratio = later / (now @ transition).clamp(min=tiny)
        moves = transition * (now.T @ ratio) + 1 / K
        updated = moves / moves.sum(-1, keepdim=True)
        moved = (updated - transition).abs().max()
        transition = updated
        if moved < 1e-10:
            break
    return transition
