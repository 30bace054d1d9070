"""Forecasts of a Markov chain with a learned correction, which is taken back where it does not help."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.belief import (
    check_probabilities,
    check_states,
    check_transition,
    estimate_transition,
    within,
)
from praesidium.regimes.held_out import LogScores, Parts, learn, parts_of
from praesidium.regimes.tilt import Tilt

IMPOSSIBLE = 1e-12  # least probability that a score gives


class Ahead(NamedTuple):
    """What forecasts are learned from.

    Attributes:
        belief: filtered probabilities, in double precision.
        windows: labels of t, t + 1 .. t + horizon, of the times that are usable.
        usable: the times whose labels are all known; those without enough periods after them left out.
        parts: which of the usable times serve what.
    """

    belief: Float[Tensor, "batch time regimes"]
    windows: Int[Tensor, "usable window"]
    usable: Bool[Tensor, "batch starts"]
    parts: Parts


class Corrected(nn.Module):
    """Base of forecasts that a chain gives and a tilt corrects.

    Args:
        K: number of regimes.
        tilt: the correction.
        transition: A, (K, K). None: estimated when the tilt is fitted; before it every move is as likely as any other.
        baseline: formula of the forecast that the chain gives.

    Attributes:
        scores_: log scores of the corrected and of the free forecast on held-out periods.
    """

    transition: Tensor
    scores_: LogScores

    def __init__(
        self, K: int, tilt: Tilt, transition: Float[Tensor, "regimes regimes"] | None, *, baseline: str
    ) -> None:
        super().__init__()
        self.K, self.tilt, self.transition_given, self.baseline = K, tilt, transition is not None, baseline
        start = torch.full((K, K), 1 / K, dtype=torch.float64) if transition is None else transition.double()
        check_transition(type(self).__name__, start, K)
        self.register_buffer("transition", start)

    @property
    def beats_baseline_(self) -> bool:
        """Whether the correction beat the chain on held-out periods by over two standard errors, and is in use."""
        return self.scores_.beats_baseline

    def summary(self) -> str:
        """Whether the correction beats the chain, by how many nats, and what is given now."""
        return self.scores_.sentence(type(self).__name__, self.baseline)

    def _belief(
        self, probabilities: Float[Tensor, "batch time regimes"], lengths: Int[Tensor, " batch"] | None
    ) -> Float[Tensor, "batch time regimes"]:
        check_probabilities(type(self).__name__, probabilities, self.K, lengths)
        return probabilities.to(self.transition.dtype)

    def _ahead(
        self,
        probabilities: Float[Tensor, "batch time regimes"],
        states: Int[Tensor, "batch time"] | None,
        lengths: Int[Tensor, " batch"] | None,
        horizon: int,
    ) -> Ahead:
        """Labels of the periods ahead, of the most probable regimes if None, and which serve what."""
        belief = self._belief(probabilities.detach(), lengths)
        labels = belief.argmax(-1) if states is None else states
        check_states(f"{type(self).__name__}.fit", labels, belief)
        if labels.shape[1] <= horizon:
            raise InputError(f"horizon: {horizon} periods ahead do not fit into sequences of {labels.shape[1]}")
        known = (labels >= 0) & within(labels, lengths)
        usable = known.unfold(1, horizon + 1, 1).all(-1)
        parts = parts_of(usable, horizon, f"{type(self).__name__}.fit")
        return Ahead(belief, labels.unfold(1, horizon + 1, 1)[usable], usable, parts)

    def _learn_chain(self, now: Float[Tensor, "moves regimes"], later: Float[Tensor, "moves regimes"]) -> None:
        """Estimate the transition matrix from moves, unless it was given."""
        if not self.transition_given:
            self.transition.copy_(estimate_transition(now, later))

    def _learn(
        self,
        features: Float[Tensor, "rows inputs"],
        losses: Callable[[Int[Tensor, " places"]], Float[Tensor, " places"]],
        parts: Parts,
        max_steps: int,
    ) -> None:
        """Fit the tilt anew; ``losses`` are - log-probabilities of the outcomes under it."""
        self.tilt.reset()
        self.tilt.standardize(features[parts.training])
        self.scores_ = learn(self.tilt, losses, parts, max_steps=max_steps)
