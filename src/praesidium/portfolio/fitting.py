"""How an allocator learns from returns: what it observes, and its training on sequences cut from the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.utils import clip_grad_norm_

from praesidium.component import InputError
from praesidium.portfolio.adjustment import adjust
from praesidium.portfolio.characteristics import characteristics
from praesidium.portfolio.market_state import MarketState
from praesidium.portfolio.regime_policy import RegimePolicy
from praesidium.training.reproducibility import stream

CLIP_NORM = 1.0


def observe(
    regime_model: Any, returns: Float[np.ndarray, "rows assets"], *, regimes: int, windows: Sequence[int]
) -> MarketState:
    """What is known at each row: filtered regimes of the equally weighted return, their forecast, characteristics.

    Args:
        regime_model: fitted, with ``filter`` and ``forecast``.
        returns: simple returns.
        regimes: number of regimes that is expected.
        windows: see :func:`praesidium.portfolio.characteristics.characteristics`.

    Returns:
        A batch of one, in single precision, that holds nothing yet. The belief is uniform where the model says NaN:
        the regime is not known yet.

    Raises:
        InputError: if the model has another number of regimes.
    """
    market = returns.mean(1)
    now, ahead = np.asarray(regime_model.filter(market)), np.asarray(regime_model.forecast(market, steps=1))
    if now.shape != (len(returns), regimes):
        raise InputError(
            f"regime_model: {type(regime_model).__name__} tells {now.shape[-1]} regimes apart, K={regimes} are "
            f"expected; say K={now.shape[-1]}"
        )
    now, ahead = (np.where(np.isnan(belief).any(1, keepdims=True), 1 / regimes, belief) for belief in (now, ahead))
    moves = torch.tensor(returns).unsqueeze(0)
    return MarketState(
        torch.tensor(now).float().unsqueeze(0),
        torch.tensor(ahead).float().unsqueeze(0),
        characteristics(moves, windows).float(),
        None,
        moves.float(),
    )


def standardize(policy: RegimePolicy, state: MarketState) -> None:
    """Take mean and deviation of each feature over all rows and assets; a feature that does not vary is let be."""
    assert state.features is not None
    rows = state.features.flatten(0, 2).double()
    deviation = rows.std(0, correction=0)
    policy.feature_mean.copy_(rows.mean(0))
    policy.feature_scale.copy_(torch.where(deviation > 1e-9, deviation, 1.0))


def train(
    policy: RegimePolicy, state: MarketState, *, epochs: int, learning_rate: float, sequence: int, seed: int
) -> list[float]:
    """Adam on sequences cut from one history, drawn anew at each step; the loss at each step.

    The networks read the whole history at once, so that a sequence knows what came before it; the trades towards
    their aims start anew with each sequence. A step looks at twice as many rows as there are. Gradients are clipped
    to a norm of 1 for each part with a loss of its own.

    Args:
        policy: is trained in place.
        state: a batch of one, with returns.
        epochs: steps.
        learning_rate: of Adam.
        sequence: rows in a sequence; all of them where there are fewer.
        seed: of the draws.
    """
    assert state.returns is not None
    rows = state.returns.shape[1]
    length = min(sequence, rows)
    blocks = rows // length
    pools, generator = policy.pools(rows - length + 1, blocks), stream(seed, "allocator", "sequences")
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    curve = []
    for _ in range(epochs):
        aims, rates = policy.read(state)
        picks = torch.randint(pools.shape[1], (len(aims), 2 * blocks), generator=generator)
        times = pools.gather(1, picks).unsqueeze(-1) + torch.arange(length)
        reading = torch.arange(len(aims)).view(-1, 1, 1)
        earned = state.returns[0, times]
        weights = adjust(
            aims[reading, 0, times].flatten(0, 1),
            rates[reading, 0, times].flatten(0, 1),
            policy.limits,
            returns=earned.flatten(0, 1),
            trade_every=policy.trade_every,
        ).view_as(earned)
        loss = torch.stack([policy.loss(*pair) for pair in zip(weights, earned, strict=True)]).sum()
        optimizer.zero_grad()
        loss.backward()
        for part in policy.parts():
            clip_grad_norm_(part.parameters(), CLIP_NORM)
        optimizer.step()
        curve.append(loss.item())
    return curve
