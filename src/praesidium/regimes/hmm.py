"""Exact inference in hidden Markov models, as pure functions of logarithms.

Common arguments, for sequences (batch) of T observations over K states; double precision is advised:

* ``log_initial``, (K) or (batch, K): log P(z_1).
* ``log_transition``, (K, K), (T - 1, K, K) or (batch, T - 1, K, K): ``[..., i, j]`` is the log-probability of a move
  from i to j; with an axis for time, its entry t leads from row t to row t + 1. Impossible moves may be minus infinity.
* ``log_likelihood``, (batch, T, K): log p(x_t | z_t). A row of zeros says that nothing was observed.
* ``lengths``, (batch): valid rows of each sequence, at least one; None if all are. Rows past the length repeat the last
  valid distribution, and count for nothing.

Every result is differentiable in its real arguments. Work grows as T K^3, in log2 T levels (:mod:`.scan`).

Source: Rabiner 1989, "A tutorial on hidden Markov models", section III.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.data.chunks import valid
from praesidium.regimes.messages import LogNormalizer, chain_of, filtered_of, pairs_of, parts_of, semiring_of, total_of
from praesidium.regimes.scan import NEVER, Maximal, Tree, over_columns, over_rows


class Smoothed(NamedTuple):
    """What all observations say about the states.

    Attributes:
        log_normalizer: log p(x_1..T).
        marginals: p(z_t | x_1..T).
        pairs: p(z_t, z_{t+1} | x_1..T).
    """

    log_normalizer: Float[Tensor, " batch"]
    marginals: Float[Tensor, "batch times states"]
    pairs: Float[Tensor, "batch steps states states"]


class Path(NamedTuple):
    """The most likely sequence of states, and log p(states, x_1..T)."""

    states: Int[Tensor, "batch times"]
    log_probability: Float[Tensor, " batch"]


def log_normalizer(
    log_initial: Float[Tensor, "*batch states"],
    log_transition: Float[Tensor, "*steps states states"],
    log_likelihood: Float[Tensor, "sequences times states"],
    *,
    lengths: Int[Tensor, " sequences"] | None = None,
) -> Float[Tensor, " sequences"]:
    """log p(x_1..T), the log-likelihood of each sequence; minus infinity where it is impossible."""
    start, transition, emission, inside = parts_of(log_initial, log_transition, log_likelihood, lengths)
    return LogNormalizer.apply(start, transition, emission, inside)


def filtered(
    log_initial: Float[Tensor, "*batch states"],
    log_transition: Float[Tensor, "*steps states states"],
    log_likelihood: Float[Tensor, "sequences times states"],
    *,
    lengths: Int[Tensor, " sequences"] | None = None,
) -> Float[Tensor, "sequences times states"]:
    """p(z_t | x_1..t): what a decision at t may know. Later rows cannot move a bit of it.

    NaN from the first row on at which the observations are impossible.
    """
    start, logs = chain_of(log_initial, log_transition, log_likelihood, lengths)
    return filtered_of(start, Tree(logs, semiring_of(log_transition)))[:, : log_likelihood.shape[1]]


def predictive(
    log_initial: Float[Tensor, "*batch states"],
    log_transition: Float[Tensor, "*steps states states"],
    log_likelihood: Float[Tensor, "sequences times states"],
    *,
    lengths: Int[Tensor, " sequences"] | None = None,
) -> Float[Tensor, "sequences times"]:
    """log p(x_t | x_1..t-1), the log score of each observation before it came; they sum to :func:`log_normalizer`.

    Zero past the length.
    """
    start, logs = chain_of(log_initial, log_transition, log_likelihood, lengths)
    known = filtered_of(start, Tree(logs, semiring_of(log_transition)))[:, :-1]
    first = start.logsumexp(-1, keepdim=True)
    scores = (known.log().clamp(min=NEVER).unsqueeze(-1) + logs.clamp(min=NEVER)).flatten(-2).logsumexp(-1)
    return torch.cat([first, scores], dim=1)[:, : log_likelihood.shape[1]]


def smoothed(
    log_initial: Float[Tensor, "*batch states"],
    log_transition: Float[Tensor, "*steps states states"],
    log_likelihood: Float[Tensor, "sequences times states"],
    *,
    lengths: Int[Tensor, " sequences"] | None = None,
) -> Smoothed:
    """p(z_t | x_1..T) and p(z_t, z_{t+1} | x_1..T): for learning, never for a decision.

    Pairs past the length are zero.
    """
    start, logs = chain_of(log_initial, log_transition, log_likelihood, lengths)
    tree, times = Tree(logs, semiring_of(log_transition)), log_likelihood.shape[1]
    pairs = pairs_of(start, tree)
    marginals = torch.cat([over_rows(pairs[:, :1]), over_columns(pairs)], dim=1)[:, :times]
    pairs = pairs[:, : times - 1]
    if lengths is not None:
        pairs = torch.where(valid(lengths, times)[:, 1:, None, None], pairs, 0)
    return Smoothed(total_of(start, tree), marginals, pairs)


def viterbi(
    log_initial: Float[Tensor, "*batch states"],
    log_transition: Float[Tensor, "*steps states states"],
    log_likelihood: Float[Tensor, "sequences times states"],
    *,
    lengths: Int[Tensor, " sequences"] | None = None,
) -> Path:
    """The most likely sequence of states given all observations; the lower state of two equal ones."""
    start, logs = chain_of(log_initial, log_transition, log_likelihood, lengths)
    tree = Tree(logs, Maximal())
    best = tree.before(start.clamp(min=NEVER))  # log-probability of the best path that ends in each state
    scores = best.unsqueeze(-1) + tree.steps
    last = scores[:, -1].amax(-2)
    states = follow(scores.max(-2).indices.flip(1), last.max(-1).indices).flip(1)
    return Path(states[:, : log_likelihood.shape[1]], last.amax(-1))


def sample_posterior(
    log_initial: Float[Tensor, "*batch states"],
    log_transition: Float[Tensor, "*steps states states"],
    log_likelihood: Float[Tensor, "sequences times states"],
    *,
    generator: torch.Generator,
    lengths: Int[Tensor, " sequences"] | None = None,
) -> Int[Tensor, "sequences times"]:
    """One draw of the states of each sequence from p(z_1..T | x_1..T), last state first."""
    start, logs = chain_of(log_initial, log_transition, log_likelihood, lengths)
    known = filtered_of(start, Tree(logs, semiring_of(log_transition)))
    # Before it is known where the chain goes next, a state is drawn for each place where it may go.
    given_next = (known[:, :-1].log().clamp(min=NEVER).unsqueeze(-1) + logs.clamp(min=NEVER)).softmax(-2).mT
    last = _draw(known[:, -1], generator)
    states = follow(_draw(given_next, generator).flip(1), last).flip(1)
    return states[:, : log_likelihood.shape[1]]


def sample_chain(
    log_initial: Float[Tensor, " states"],
    log_transition: Float[Tensor, "*steps states states"],
    *,
    steps: int,
    batch: int,
    generator: torch.Generator,
) -> Int[Tensor, "batch times"]:
    """States of a chain without observations: ``steps`` of them in each of ``batch`` sequences."""
    states = log_initial.shape[-1]
    moves = log_transition.exp().expand(batch, steps - 1, states, states)
    return follow(_draw(moves, generator), _draw(log_initial.exp().expand(batch, states), generator))


def forecast(
    probabilities: Float[Tensor, "*batch states"], transition: Float[Tensor, "*shape states states"], *, steps: int
) -> Float[Tensor, "*batch steps states"]:
    """p A, p A^2, ..., p A^steps: the states that many periods ahead, as far as a Markov chain can tell.

    Args:
        probabilities: filtered now.
        transition: (K, K), or one for each period ahead, (..., steps, K, K).
        steps: periods ahead, at least one.
    """
    if steps < 1:
        raise InputError(f"forecast: steps={steps} is not a positive number of periods; say steps=1 for the next one")
    varying = transition.ndim > 2
    ahead, now = [], probabilities.unsqueeze(-2)
    for step in range(steps):
        now = now @ (transition[..., step, :, :] if varying else transition)
        ahead.append(now)
    return torch.cat(ahead, dim=-2)


def stationary(transition: Float[Tensor, "states states"]) -> Float[Tensor, " states"]:
    """Long-run share of time in each state: pi A = pi."""
    states = len(transition)
    stay = torch.eye(states, dtype=transition.dtype, device=transition.device)
    equations = torch.cat([transition.T - stay, torch.ones_like(transition[:1])])
    one = transition.new_zeros(states + 1, 1)
    one[-1] = 1
    solved = torch.linalg.lstsq(equations, one).solution.squeeze(-1).clamp(min=0)
    return solved / solved.sum()


def durations(transition: Float[Tensor, "*batch states states"]) -> Float[Tensor, "*batch states"]:
    """Mean stay in each state in periods, 1 / (1 - A_kk); infinite for a state that is never left."""
    return 1 / (1 - transition.diagonal(dim1=-2, dim2=-1)).clamp(min=0)


def survival(transition: Float[Tensor, "*batch states states"], *, steps: int) -> Float[Tensor, "*batch states"]:
    """Probability A_kk^steps of staying in a state for so many more periods without a break."""
    return transition.diagonal(dim1=-2, dim2=-1) ** steps


def follow(maps: Int[Tensor, "batch steps states"], start: Int[Tensor, " batch"]) -> Int[Tensor, "batch times"]:
    """Start, maps[0][start], maps[1][maps[0][start]], ...: a path through choices that were made for every state."""
    levels = [maps]
    while (last := levels[-1]).shape[1] > 1:
        if last.shape[1] % 2:
            rest = torch.arange(maps.shape[-1], device=maps.device).expand(len(maps), 1, -1)
            last = levels[-1] = torch.cat([last, rest], dim=1)
        levels.append(last[:, 1::2].gather(-1, last[:, 0::2]))
    before = start.unsqueeze(1)
    for level in reversed(levels[:-1]):
        before = before[:, : level.shape[1] // 2]
        before = torch.stack([before, _chosen(level[:, 0::2], before)], dim=2).flatten(1, 2)
    before = before[:, : maps.shape[1]]
    return torch.cat([before, _chosen(maps[:, -1:], before[:, -1:])], dim=1) if maps.shape[1] else start.unsqueeze(1)


def _chosen(maps: Int[Tensor, "batch steps states"], states: Int[Tensor, "batch steps"]) -> Int[Tensor, "batch steps"]:
    """Where each map leads from a state."""
    return maps.gather(-1, states.unsqueeze(-1)).squeeze(-1)


def _draw(probabilities: Float[Tensor, "*shape states"], generator: torch.Generator) -> Int[Tensor, "*shape"]:
    """A state with these probabilities, by inverting their sum."""
    uniform = torch.rand(
        probabilities.shape[:-1], dtype=probabilities.dtype, device=generator.device, generator=generator
    )
    below = probabilities.cumsum(-1)[..., :-1]
    return (uniform.unsqueeze(-1) >= below).sum(-1)
