"""Corrections of a free forecast: learned on one part of the past, stopped on a second, judged on a third."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.regimes.tilt import Tilt

TRAINING, STOPPING = 0.6, 0.2  # shares of the forecasts; the rest judges
LEAST = 100  # forecasts needed in all
GROUPS = 20  # stretches of forecasts whose means give the standard error
PATIENCE, EVERY = 60, 5  # steps without a better stopping score; steps between two looks at it
LEARNING_RATE = 1e-2
SURE, WORTH = 2.0, 1e-4  # standard errors, and nats, by which a correction must beat the free forecast


@dataclass(frozen=True)
class LogScores:
    """Log scores on forecasts that took no part in learning: mean log-probability of what happened, higher is better.

    Attributes:
        model: of the learned forecast, in nats.
        baseline: of the free forecast.
        standard_error: of their difference, from the means of 20 stretches, because neighbors in time are alike.
        forecasts: how many were scored.
    """

    model: float
    baseline: float
    standard_error: float
    forecasts: int

    @property
    def gain(self) -> float:
        """Nats a forecast by which the model beats the baseline."""
        return self.model - self.baseline

    @property
    def beats_baseline(self) -> bool:
        """Whether the gain is more than two standard errors, and more than nothing (1e-4 nats)."""
        return self.gain > max(SURE * self.standard_error, WORTH)

    def sentence(self, model: str, baseline: str) -> str:
        """What was found, in words."""
        numbers = f"{self.gain:+.4f} nats a forecast (se {self.standard_error:.4f}, {self.forecasts} held out)"
        if self.beats_baseline:
            return f"{model} beats {baseline} by {numbers}"
        return f"{model} does not beat {baseline}: {numbers}; it now gives {baseline}"


@dataclass(frozen=True)
class Parts:
    """Places in a flat list of forecasts: learned from, stopped by, judged by."""

    training: Int[Tensor, " training"]
    stopping: Int[Tensor, " stopping"]
    judging: Int[Tensor, " judging"]


def parts_of(usable: Bool[Tensor, "batch time"], horizon: int, caller: str) -> Parts:
    """The first 60 % of the usable forecasts, the next 20 % and the last 20 %, sequence after sequence.

    One long sequence is so cut in time, many short ones mostly between sequences. Forecasts whose outcome lies
    within ``horizon`` periods of the next part of their own sequence are left out.

    Raises:
        InputError: fewer than 100 usable forecasts.
    """
    sequence, time = usable.nonzero(as_tuple=True)
    count = len(sequence)
    if count < LEAST:
        raise InputError(f"{caller}: {count} forecasts with a known outcome are too few; at least {LEAST} are needed")
    edges = [0, int(TRAINING * count), int((TRAINING + STOPPING) * count), count]
    places = []
    for start, end in pairwise(edges):
        place = torch.arange(start, end, device=usable.device)
        if end < count:
            near = (sequence[place] == sequence[end]) & (time[place] + horizon > time[end])
            place = place[~near]
        places.append(place)
    return Parts(*places)


def learn(
    tilt: Tilt, losses: Callable[[Int[Tensor, " places"]], Float[Tensor, " places"]], parts: Parts, *, max_steps: int
) -> LogScores:
    """Fit a correction that is nothing at the start; take it back if it does not help.

    Full-batch Adam (Kingma and Ba 2015) on the training part; the parameters with the best score on the stopping part
    are kept; the judging part is then scored once. Deterministic.

    Args:
        tilt: the correction, at its start.
        losses: - log-probability of the outcome of each of these forecasts.
        parts: which forecasts serve what.
        max_steps: most steps of the optimizer.
    """
    optimizer = torch.optim.Adam(tilt.parameters(), lr=LEARNING_RATE)
    with torch.no_grad():
        free = losses(parts.judging)
        best = float(losses(parts.stopping).mean())
    kept = {name: value.detach().clone() for name, value in tilt.named_parameters()}
    best_step = 0
    for step in range(1, max_steps + 1):
        optimizer.zero_grad()
        losses(parts.training).mean().backward()
        optimizer.step()
        if step % EVERY and step < max_steps:
            continue
        with torch.no_grad():
            score = float(losses(parts.stopping).mean())
        if score < best:
            best, best_step = score, step
            kept = {name: value.detach().clone() for name, value in tilt.named_parameters()}
        elif step - best_step >= PATIENCE:
            break
    optimizer.zero_grad()
    with torch.no_grad():
        for name, value in tilt.named_parameters():
            value.copy_(kept[name])
        learned = losses(parts.judging)
    scores = compare(learned, free)
    if not scores.beats_baseline:
        tilt.zero()
    return scores


def compare(model: Float[Tensor, " forecasts"], baseline: Float[Tensor, " forecasts"]) -> LogScores:
    """Log scores of two forecasts of the same outcomes in order of time, from their losses - log p."""
    stretches = torch.tensor_split(baseline - model, GROUPS)
    error = torch.stack([part.mean() for part in stretches]).std() / GROUPS**0.5
    return LogScores(-float(model.mean()), -float(baseline.mean()), float(error), len(model))
