"""Trainings that take a blink: three environments that disagree about the best line."""

import os
from collections import Counter
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from praesidium.training import checkpoints
from praesidium.training.batching import BalancedBatches
from praesidium.training.loop import Fitted, fit
from praesidium.training.recipe import Recipe
from praesidium.training.replicas import Replica
from praesidium.training.reproducibility import stream

POOLS = torch.randn(3, 64, 4, dtype=torch.float64, generator=stream("tests", "pools"))
GOALS = torch.randn(3, 1, dtype=torch.float64, generator=stream("tests", "goals"))
SHORT = {"steps": 40, "episodes": 8, "pool": 64, "learning_rate": 0.05, "validate_every": 5, "keep": 2}


class Lines:
    """Squared errors of a line for each replica, and their derivatives in all of its parameters."""

    def __init__(self, values, batches, spoil=lambda risks: risks):
        inputs = torch.stack([torch.stack([POOLS[e, run] for e, run in enumerate(batch)]) for batch in batches])
        self.values, self.rows = values.clone().requires_grad_(), slice(None)
        slopes, level = self.values[:, None, None, :4], self.values[:, None, 4:]
        errors = (inputs.to(values.dtype) * slopes).sum(-1) + level - GOALS.to(values.dtype)
        self.every = self.risks = spoil(errors.square().mean(-1))

    def head(self):
        rows = [
            torch.autograd.grad(one.sum(), self.values, create_graph=True, retain_graph=True)[0]
            for one in self.every.unbind(1)
        ]
        return torch.stack(rows, dim=1)[self.rows]

    def head_halves(self):
        return torch.stack([self.head(), self.head()])

    def head_noise(self):
        return torch.full_like(self.risks, 1e-4).detach()

    def scale(self):
        return self.risks * 2

    def head_spread(self):
        return self.head().square()

    def whole(self):
        return self.head()

    def residual(self):
        return self.risks

    def moments(self):
        return self.head(), self.head().unsqueeze(-1) * self.head().unsqueeze(-2)

    def of(self, rows):
        chosen = copy(self)
        chosen.rows, chosen.risks = rows, self.every[rows]
        return chosen

    def gradient(self, loss):
        return torch.autograd.grad(loss.sum(), self.values, retain_graph=True, allow_unused=True)[0]


class LeastSquares:
    """A task that can be made to fail.

    Args:
        dies_at: the measurement that is not survived.
        validations: what to say instead of the risk, one after the other.
        spoils: changes risks of a replica, given the number of the measurement; by number of the replica.
        rounding: changes risks by the number of replicas measured with them, as matrix products do in the last bits.
    """

    def __init__(self, dies_at=None, validations=None, spoils=None, rounding=0.0):
        self.head, self.head_order = torch.tensor([False] * 4 + [True]), torch.arange(5)
        self.units = torch.tensor([0, 1, 2, 3, -1])
        self.dies_at, self.spoils, self.calls, self.seen = dies_at, spoils or {}, 0, Counter()
        self.rounding = rounding
        self.validations = iter(validations) if validations else None

    def measure(self, values, batches, replicas):
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        self.seen.update(replicas)

        def spoiled(risks):
            rows = zip(risks * (1 + self.rounding * len(replicas)), replicas, strict=True)
            return torch.stack([self.spoils.get(one, lambda row, _: row)(row, self.seen[one]) for row, one in rows])

        return Lines(values, batches, spoiled)

    @torch.no_grad()
    def validate(self, values):
        assert values.isfinite().all()
        if self.validations:
            return [next(self.validations) for _ in values]
        whole = [[slice(0, 64)] * 3] * len(values)
        return Lines(values, whole).risks.mean(1).tolist()


@dataclass
class Trained:
    """What is left of a training."""

    line: torch.nn.Module
    rows: list
    outcome: Fitted | FloatingPointError


@pytest.fixture(scope="session")
def least_squares():
    """The task."""
    return LeastSquares


@pytest.fixture(scope="session")
def recipe():
    """Forty steps, of which eight are warm-up and eight the rise."""

    def short(**changes):
        return Recipe(**{**SHORT, "warmup": 0.2, "rise": 0.2, **changes})

    return short


@pytest.fixture(scope="session")
def draw_line():
    """A line to begin with."""

    def drawn(seed=0, dtype=torch.float64):
        line = torch.nn.Linear(4, 1, dtype=dtype)
        for one in line.parameters():
            one.data.uniform_(-1, 1, generator=stream("tests", "line", seed))
        return line

    return drawn


@pytest.fixture(scope="session")
def train(draw_line):
    """Trains a stack: for each replica its folder, objective, recipe and, if they matter, seeds and log."""

    def trained(replicas, **task):
        made, every = [], []
        for folder, objective, recipe, *more in replicas:
            options = {"line": 0, "seed": 0, "log": None, "dtype": torch.float64, **(more[0] if more else {})}
            rows, line = [], draw_line(options["line"], options["dtype"])
            batches = BalancedBatches(recipe.pool, recipe.episodes, 3, stream("tests", "batches", options["seed"]))
            log = options["log"] or rows.append
            made.append(Replica(line, objective, recipe, batches, folder, log, options["seed"]))
            every.append(rows)
        outcomes = fit(made, LeastSquares(**task))
        return [Trained(one.module, *rest) for one, *rest in zip(made, every, outcomes, strict=True)]

    return trained


@pytest.fixture
def moves_until(monkeypatch):
    """Until it is left, the n-th move of a ``last.safetensors`` is not survived."""

    @contextmanager
    def until(at):
        left, real = iter(range(at - 1)), os.replace

        def move(source, target):
            if target.name == checkpoints.LAST and next(left, None) is None:
                raise KeyboardInterrupt
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "os", SimpleNamespace(replace=move))
            yield

    return until


@pytest.fixture(scope="session")
def dying():
    """A function that does not survive its n-th call."""

    def mortal(real, at):
        left = iter(range(at - 1))

        def call(*args):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(*args)

        return call

    return mortal
