"""Train on a rolling window of the past, predict the next window, move on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, overload

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.training.descent import adam, checked, descend
from praesidium.training.reproducibility import stream


@dataclass(frozen=True)
class Period:
    """One test window, and what its predictions were made with. Times count from 0; stops are excluded.

    Attributes:
        train_start, train_stop: times that the model in use was last trained on.
        test_start, test_stop: times of the test window.
        train_loss: loss of that training window, after the training.
        test_loss: loss of the test window.
    """

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int
    train_loss: float
    test_loss: float


class WalkForwardResults(Sequence[Period]):
    """The periods in time order; ``pandas.DataFrame(list(results))`` is their table.

    Attributes:
        predictions: outputs of all test windows one after the other, each made by a model trained on earlier times.
        times: (times), the times of the predictions, rising.
    """

    def __init__(self, periods: list[Period], predictions: Tensor, times: Int[Tensor, " times"]) -> None:
        self._periods, self.predictions, self.times = periods, predictions, times

    @overload
    def __getitem__(self, index: int) -> Period: ...
    @overload
    def __getitem__(self, index: slice) -> list[Period]: ...
    def __getitem__(self, index: int | slice) -> Period | list[Period]:
        return self._periods[index]

    def __len__(self) -> int:
        return len(self._periods)


class WalkForwardTrainer:
    """Retrains a model on a rolling window and tests it on what follows.

    The model and the loss see windows as (batch, time, ...); data without a batch axis are a batch of one. The loss of
    a window is ``loss_fn(model(inputs), targets)``.

    A period is ``train_window`` times, a gap of ``purge``, and ``test_window`` times. The next test window begins
    ``embargo`` times after the end of this one, so that test windows never overlap. A training takes ``epochs`` steps
    of a new Adam on the whole training window.

    Args:
        model: maps inputs to outputs (batch, time, ...) of the same times, and does not look ahead.
        loss_fn: a scalar of outputs and targets.
        train_window: times to train on.
        test_window: times to predict.
        retrain_freq: times after which a model is old: it is trained anew for the first test window that begins so
            long after the one that it was trained for. At least ``test_window``.
        purge: times left out between training and test: by how many times later a target becomes known. 0 suits
            targets known at their own time (a loss that itself pairs weights at t with returns at t + 1).
        embargo: times between a test window and the next that are not tested, to make their losses less dependent;
            later trainings use them.
        restart: ``warm`` goes on from the last parameters, ``cold`` begins each training with the initial ones: those,
            with the buffers, that the model has when the trainer is made. Each run begins with them either way, and
            with the same random numbers.
        epochs: steps of each training.
        lr: rate of Adam.
        context: earlier times that the model is shown before a test window, for a model with a memory.
        time_axis: the axis of the data that is time: 0 for (time, ...), 1 for (batch, time, ...).
        seed: of what the model draws in training; global random numbers are neither used nor changed.

    Raises:
        InputError: if a number is out of bounds or the model has no parameter to train.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        train_window: int = 252,
        test_window: int = 21,
        retrain_freq: int = 21,
        *,
        purge: int = 1,
        embargo: int = 0,
        restart: Literal["warm", "cold"] = "warm",
        epochs: int = 20,
        lr: float = 0.001,
        context: int = 0,
        time_axis: Literal[0, 1] = 0,
        seed: int = 0,
    ) -> None:
        self.model, self.loss_fn = model, loss_fn
        self.train_window, self.test_window, self.retrain_freq = train_window, test_window, retrain_freq
        self.purge, self.embargo, self.restart = purge, embargo, restart
        self.epochs, self.lr, self.context, self.time_axis, self.seed = epochs, lr, context, time_axis, seed
        self._check()
        self._initial = [one.detach().clone() for one in self._numbers()]

    def run(self, data: Any, n_periods: int | None = None) -> WalkForwardResults:
        """Walk through the data from their start.

        Args:
            data: ``(inputs, targets)``, arrays or tensors with the same times, or one array that is both; such as
                regimes (time, regimes) and returns (time, assets).
            n_periods: how many periods; all that the data hold if left out.

        Returns:
            The periods and the stitched predictions, time on the axis of the data. The model is left as the last
            training made it.

        Raises:
            InputError: if the data hold fewer periods, or the times of inputs, targets or outputs differ.
            FloatingPointError: if a loss is not finite; the sentence names the period.
        """
        inputs, targets = self._aligned(data)
        windows = self._windows(inputs.shape[1], n_periods)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(stream(self.seed, "walk forward").get_state())
            periods, outputs = self._walk(inputs, targets, windows)
        times = torch.cat([torch.arange(one.test_start, one.test_stop) for one in periods])
        predictions = torch.cat(outputs, dim=1)
        return WalkForwardResults(periods, predictions if self.time_axis else predictions[0], times)

    def _walk(
        self, inputs: Tensor, targets: Tensor, windows: list[tuple[range, range]]
    ) -> tuple[list[Period], list[Tensor]]:
        """The periods, and the outputs of their test windows."""
        periods: list[Period] = []
        outputs: list[Tensor] = []
        trained_for, used = None, range(0)
        self._reset()
        for train, test in windows:
            where = f"WalkForwardTrainer: period {len(periods) + 1}"
            if trained_for is None or test.start - trained_for >= self.retrain_freq:
                trained_for, used = test.start, train
                self._train(_cut(inputs, train), _cut(targets, train), where)
            _, train_loss = self._predict(inputs, targets, used, where)
            predicted, test_loss = self._predict(inputs, targets, test, where)
            periods.append(Period(used.start, used.stop, test.start, test.stop, train_loss, test_loss))
            outputs.append(predicted)
        return periods, outputs

    def _train(self, inputs: Tensor, targets: Tensor, where: str) -> None:
        if self.restart == "cold":
            self._reset()
        optimizer, mode = adam(self.model, self.lr, type(self).__name__), self.model.training
        self.model.train()
        for _ in range(self.epochs):
            descend(optimizer, self.loss_fn(self._call(inputs), targets), f"{where}, training")
        self.model.train(mode)

    @torch.no_grad()
    def _predict(self, inputs: Tensor, targets: Tensor, window: range, where: str) -> tuple[Tensor, float]:
        """Outputs in the window, and their loss."""
        shown = range(max(0, window.start - self.context), window.stop)
        mode = self.model.training
        self.model.eval()
        outputs = self._call(_cut(inputs, shown))
        self.model.train(mode)
        outputs = _cut(outputs, range(window.start - shown.start, len(shown)))
        return outputs, checked(self.loss_fn(outputs, _cut(targets, window)), where)

    def _call(self, inputs: Tensor) -> Tensor:
        outputs = self.model(inputs)
        if outputs.ndim < 2 or outputs.shape[:2] != inputs.shape[:2]:
            raise InputError(
                f"WalkForwardTrainer: the model makes {tuple(outputs.shape)} of inputs {tuple(inputs.shape)}; both are "
                "(batch, time, ...) with the same times"
            )
        return outputs

    def _windows(self, times: int, n_periods: int | None) -> list[tuple[range, range]]:
        from skfolio.model_selection import WalkForward  # noqa: PLC0415  # takes seconds to import

        walk = WalkForward(
            test_size=self.test_window + self.embargo,
            train_size=self.train_window,
            purged_size=self.purge,
            reduce_test=True,  # the last window needs no embargo after it
        )
        needed = self.train_window + self.purge + self.test_window
        splits: Iterator[Any] = walk.split(np.empty((times, 1))) if times >= needed else iter(())
        pairs = [(_span(train), _span(test)[: self.test_window]) for train, test in splits]
        windows = [(train, test) for train, test in pairs if len(test) == self.test_window]
        if not windows or (n_periods is not None and not 1 <= n_periods <= len(windows)):
            asked = "" if n_periods is None else f"n_periods={n_periods}: "
            mend = f"ask for 1 to {len(windows)}, or leave n_periods out for all" if windows else "give more data"
            raise InputError(
                f"WalkForwardTrainer.run: {asked}{times} times on axis {self.time_axis} of the data hold "
                f"{len(windows)} periods (the first takes {needed} times); {mend}"
            )
        return windows[:n_periods]

    def _aligned(self, data: Any) -> tuple[Tensor, Tensor]:
        pair = data if isinstance(data, tuple | list) else (data, data)
        if len(pair) != 2:
            raise InputError(f"WalkForwardTrainer.run: data has {len(pair)} parts; give (inputs, targets) or one array")
        inputs, targets = (self._tensor(one) for one in pair)
        axis = self.time_axis
        if min(inputs.ndim, targets.ndim) <= axis or inputs.shape[axis] != targets.shape[axis]:
            raise InputError(
                f"WalkForwardTrainer.run: inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)} do not have "
                f"the same times on axis {axis}; time_axis says which axis is time"
            )
        return (inputs, targets) if axis else (inputs.unsqueeze(0), targets.unsqueeze(0))

    def _tensor(self, one: Any) -> Tensor:
        """As a tensor; real numbers in the precision, and all where, of the parameters."""
        like = next(self.model.parameters())
        made = one if isinstance(one, Tensor) else torch.tensor(np.asarray(one))
        return made.to(like) if made.is_floating_point() else made.to(like.device)

    def _numbers(self) -> Iterator[Tensor]:
        return chain(self.model.parameters(), self.model.buffers())

    @torch.no_grad()
    def _reset(self) -> None:
        for place, one in zip(self._numbers(), self._initial, strict=True):
            place.copy_(one)

    def _check(self) -> None:
        least = {"train_window": 1, "test_window": 1, "purge": 0, "embargo": 0, "epochs": 1, "context": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise InputError(f"WalkForwardTrainer: {name}={getattr(self, name)} is less than {bound}; raise it")
        if self.retrain_freq < self.test_window:
            raise InputError(
                f"WalkForwardTrainer: retrain_freq={self.retrain_freq} is less than test_window={self.test_window}, "
                f"and one model predicts a whole window; say test_window={self.retrain_freq} to train as often"
            )
        for name, known in {"restart": ("cold", "warm"), "time_axis": (0, 1)}.items():
            if getattr(self, name) not in known:
                raise InputError(f"WalkForwardTrainer: {name}={getattr(self, name)!r} is unknown; known: {known}")
        adam(self.model, self.lr, type(self).__name__)


def _cut(one: Tensor, window: range) -> Tensor:
    return one[:, window.start : window.stop]


def _span(indices: np.ndarray) -> range:
    return range(int(indices[0]), int(indices[-1]) + 1)
