"""Regime models on a simulated chain whose truth is known, and the speed of exact inference.

Three regimes, five features, 5,000 days to fit on and 5,000 more to be judged on, filtered. The oracle is the exact
filter that knows all parameters. hmmlearn has no filter: its row is our filter at its parameters, and a second one its
own ``predict_proba``, which looks ahead. The jump model tells one regime and no probability, so that a log score of it
does not exist. Times are seconds of one fit, medians of alternating repeats; the loop over time has the same K x K
recursion in logarithms, one batched step a day. One process, one thread. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the libraries of hmmlearn start theirs

import numpy as np
import torch
from numpy.typing import NDArray

from praesidium.regimes import hmm
from praesidium.regimes.detection import detection
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.jump import JumpModel
from praesidium.regimes.model import RegimeModel
from praesidium.regimes.reliability import reliability
from praesidium.regimes.vqvaehmm import VQVAEHMM
from praesidium.training.reproducibility import stream

try:
    from hmmlearn.hmm import GaussianHMM as Peer
except ModuleNotFoundError as missing:
    print(f"{missing.name} is not installed; run: pip install -e '.[oracles]'", file=sys.stderr)
    sys.exit(2)

DAYS, REPEATS, SEEDS = 5000, 3, 3
STAYS = np.array([100.0, 60.0, 25.0])
MEANS = np.array([[0.05, 0.0, 0.4, 0.0, 0.6], [0.0, 0.5, 0.0, -0.4, 0.0], [-0.15, 1.2, -0.6, 0.5, -1.0]])
SCALES = np.array([[0.6, 0.7, 1.0, 1.0, 0.9], [1.0, 1.0, 1.0, 1.1, 1.0], [2.2, 1.6, 1.2, 1.3, 1.1]])
SHAPES = ((1, 5000, 3), (64, 200, 3))


def chain() -> NDArray[np.float64]:
    """Probabilities of the next regime."""
    leaving = 1 / STAYS
    return np.diag(1 - leaving) + leaving[:, None] * (1 - np.eye(3)) / 2


def drawn(seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Observations and their regimes: the days to fit on, then those to be judged on."""
    generator = stream(seed, "benchmark", "regimes")
    start = hmm.stationary(torch.from_numpy(chain()))
    logs = start.log(), torch.from_numpy(chain()).log()
    states = hmm.sample_chain(*logs, steps=2 * DAYS, batch=1, generator=generator)[0].numpy()
    noise = torch.randn(2 * DAYS, 5, generator=generator, dtype=torch.float64).numpy()
    return MEANS[states] + SCALES[states] * noise, states


def oracle(observed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filtered probabilities of one who knows all parameters."""
    return filtered(observed, hmm.stationary(torch.from_numpy(chain())).numpy(), chain(), MEANS, SCALES**2)


def filtered(
    observed: NDArray[np.float64],
    initial: NDArray[np.float64],
    transition: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The exact filter at given parameters."""
    away = observed[:, None, :] - means
    logs = -0.5 * (away**2 / variances + np.log(2 * np.pi * variances)).sum(-1)
    parts = (torch.from_numpy(np.ascontiguousarray(one)) for one in (initial, transition, logs[None]))
    first, moves, evidence = parts
    return hmm.filtered(first.log(), moves.log(), evidence)[0].numpy()


class Hmmlearn:
    """The peer behind the few calls that are compared, its regimes by volatility."""

    def __init__(self, seed: int) -> None:
        self.model = Peer(n_components=3, covariance_type="diag", n_iter=100, tol=1e-2, random_state=seed)

    def fit(self, X: NDArray[np.float64]) -> None:
        """Expectation maximization."""
        self.model.fit(X)
        self.order = np.argsort(self.model._covars_[:, 0])

    def filter(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Our filter at its parameters."""
        own, order = self.model, self.order
        moves = own.transmat_[np.ix_(order, order)]
        return filtered(X, own.startprob_[order], moves, own.means_[order], own._covars_[order])

    def smooth(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its own probabilities, which know the days after."""
        return self.model.predict_proba(X)[:, self.order]


def judged(told: NDArray[np.float64], states: NDArray[np.int64]) -> dict[str, float | None]:
    """All figures of one model on the days after the fit."""
    later, truth = told[DAYS:], states[DAYS:]
    found, changes = reliability(later, truth), detection(truth, later.argmax(1))
    score = found.log_score if np.isfinite(found.log_score) else None
    return {
        "accuracy": changes.accuracy,
        "log_score": score,
        "ece": found.ece,
        "delay": changes.delay,
        "missed": changes.missed,
        "false_alarms": changes.false_alarms,
    }


def quality() -> dict[str, dict[str, float | None]]:
    """Figures of every model, means over simulations, and the median time of a fit."""
    makers: dict[str, Callable[[int], Any]] = {
        "vqvaehmm": lambda seed: VQVAEHMM(3, random_state=seed),
        "gaussian_hmm": lambda seed: GaussianHMM(3, random_state=seed),
        "hmmlearn": Hmmlearn,
        "jump": lambda seed: JumpModel(3, random_state=seed),
    }
    rows: dict[str, list[dict[str, float | None]]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for seed in range(SEEDS):
        observed, states = drawn(seed)
        rows.setdefault("oracle", []).append(judged(oracle(observed), states))
        for name, make in makers.items():
            model: RegimeModel | Hmmlearn = make(seed)
            begun = time.perf_counter()
            model.fit(observed[:DAYS])
            seconds[name].append(time.perf_counter() - begun)
            rows.setdefault(name, []).append(judged(np.asarray(model.filter(observed)), states))
            if isinstance(model, Hmmlearn):
                rows.setdefault("hmmlearn, looks ahead", []).append(judged(model.smooth(observed), states))
    return {name: _mean(found) | {"seconds": _median(seconds.get(name))} for name, found in rows.items()}


def _mean(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    known = {key: [value for row in rows if (value := row[key]) is not None] for key in rows[0]}
    return {key: statistics.mean(values) if len(values) == len(rows) else None for key, values in known.items()}


def _median(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None


def looped(log_initial: torch.Tensor, log_transition: torch.Tensor, evidence: torch.Tensor) -> torch.Tensor:
    """log Z by a loop over time."""
    now = log_initial + evidence[:, 0]
    for day in range(1, evidence.shape[1]):
        now = (now.unsqueeze(-1) + log_transition).logsumexp(-2) + evidence[:, day]
    return now.logsumexp(-1)


def speedup(batch: int, times: int, states: int) -> tuple[float, float]:
    """Milliseconds of log Z with its gradient, by tree and by loop, medians.

    Five of one follow five of the other: either has its memory warm, as in a training.
    """
    generator = stream(0, "benchmark", "tree")
    draw = {"generator": generator, "dtype": torch.float64}
    initial = torch.randn(states, **draw).log_softmax(-1)
    moves = (torch.randn(states, states, **draw) + 3 * torch.eye(states)).log_softmax(-1).requires_grad_()
    evidence = torch.randn(batch, times, states, **draw).requires_grad_()
    took: dict[str, list[float]] = {"tree": [], "loop": []}
    values: dict[str, tuple[torch.Tensor, ...]] = {}
    ways = {"tree": hmm.log_normalizer, "loop": looped}
    for name in [*ways] * 4:
        for _ in range(5):
            begun = time.perf_counter()
            total = ways[name](initial, moves, evidence)
            gradients = torch.autograd.grad(total.sum(), (moves, evidence))
            took[name].append(1e3 * (time.perf_counter() - begun))
            values[name] = (total.detach(), *gradients)
    for one, other in zip(values["tree"], values["loop"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)  # only equal results can be raced
    return statistics.median(took["tree"]), statistics.median(took["loop"])


def main() -> None:
    """Measure, print a table, and the same as JSON."""
    torch.set_num_threads(1)
    found = quality()
    print(f"3 regimes, 5 features, {DAYS} days after the fit, means of {SEEDS} simulations")
    names = list(next(iter(found.values())))
    print(f"{'':24s}" + "".join(f"{name:>14s}" for name in names))
    for name, row in found.items():
        print(f"{name:24s}" + "".join(f"{'-' if row[one] is None else format(row[one], '.4f'):>14s}" for one in names))
    result: dict[str, Any] = {
        "filtered_accuracy": found["vqvaehmm"]["accuracy"],
        "oracle_accuracy": found["oracle"]["accuracy"],
        "vqvaehmm_seconds": found["vqvaehmm"]["seconds"],
        "gaussian_hmm_seconds": found["gaussian_hmm"]["seconds"],
        "hmmlearn_seconds": found["hmmlearn"]["seconds"],
    }
    for shape in SHAPES:
        tree, loop = speedup(*shape)
        key = "tree_speedup_" + "x".join(map(str, shape))
        result[key] = loop / tree
        print(f"log Z and gradient, (B, T, K) = {shape}: tree {tree:.1f} ms, loop {loop:.1f} ms, {loop / tree:.1f} x")
    result["models"] = found
    print(json.dumps(result))


if __name__ == "__main__":
    main()
