"""Training of a model that reads the filtered states of another model, on targets of the same times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from praesidium.component import InputError
from praesidium.training.adversarial import perturb, repeatable
from praesidium.training.descent import adam, descend
from praesidium.training.ensemble import Bootstrap, MeanOutput, reseeded
from praesidium.training.pieces import NAME, Aligned, Filtering, Loss, align, by_sequence
from praesidium.training.reproducibility import stream
from praesidium.training.schedule import cosine


@runtime_checkable
class Epochs(Protocol):
    """A data set that gives other pieces in every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Change to the pieces of an epoch."""
        ...


@runtime_checkable
class Regularized(Protocol):
    """A model whose own loss is one of the data, a mean over them, plus one of the model that counts once a step."""

    def data_loss(self, weights: Any, returns: Any) -> Tensor:
        """What is due to the data."""
        ...

    def regularizer(self, observations: int) -> Tensor:
        """What is due to the model, beside a mean over so many rows."""
        ...


def train_advanced_portfolio(
    portfolio_model: nn.Module,
    vae_hmm: Filtering,
    dataloader: Iterable[Any],
    returns_data: Any,
    num_epochs: int = 100,
    lr: float = 0.001,
    use_scheduler: bool = True,
    use_adversarial: bool = True,
    use_ensemble: bool = False,
    *,
    loss_fn: Loss | None = None,
    epsilon: float = 0.05,
    adversarial_steps: int = 1,
    n_models: int = 5,
    seed: int = 0,
    log: Callable[[dict[str, float]], None] | None = None,
) -> nn.Module:
    """Train a model of portfolio weights on filtered regimes and on the returns of the same times.

    For each batch of pieces: regimes = ``vae_hmm.filter(x, u, lengths)`` (batch, time, regimes), without a graph;
    weights = ``portfolio_model(regimes)`` (batch, time, assets); and the loss is the mean over pieces of
    ``loss_fn(weights, returns)``, each piece with the returns that ``returns_data`` has at its own times. Pieces end
    before their padding, and the model must not look ahead (no output at t may depend on regimes after t), so that
    padding has no effect. What a model charges for itself (``regularizer``, where it has one) is added once, over all
    rows of the batch. Adam, gradient clipped at norm one.

    Args:
        portfolio_model: trained in place, except in an ensemble.
        vae_hmm: gives the regimes; it is not changed.
        dataloader: batches as ``praesidium.data.chunks.collate_fn`` makes them. Its ``dataset.set_epoch`` is called
            before each epoch where there is one.
        returns_data: for each sequence of the data set an array (time, assets) of simple returns; or one such array
            for a single sequence.
        num_epochs: passes over the data.
        lr: rate of Adam, at its largest.
        use_scheduler: let the rate fall to 2 % along half a cosine; else it is constant.
        use_adversarial: add the loss at the regimes nearby that are worst for it (:func:`perturb`) to the plain one. A
            model that draws as it is called makes the same draws for both.
        use_ensemble: train ``n_models`` copies, the first with the initial values given and the others with the same
            in another order (:func:`reseeded`), each on a bootstrap of blocks of time of its own, and return the
            module that averages their weights. ``portfolio_model`` itself is then left as it is.
        loss_fn: scalar of weights and returns, all that is minimized; if left out ``portfolio_model.loss``, of each
            copy its own.
        epsilon: probability mass that the adversary may move at each time.
        adversarial_steps: gradient steps of the adversary.
        n_models: size of an ensemble.
        seed: of shuffling, bootstrap and copies; global random numbers are neither used nor changed.
        log: called after each epoch with ``epoch``, ``loss`` (mean over batches and members) and ``learning_rate``.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        InputError: if returns do not cover the pieces or are not finite, batches do not say where their pieces come
            from, there is no batch, a number is out of bounds, or weights do not have a time axis.
        FloatingPointError: if a loss or its gradient is not finite; the sentence names the epoch.
    """
    _check(num_epochs, n_models, epsilon)
    _check_loss(portfolio_model, loss_fn)
    returns = by_sequence(returns_data, next(portfolio_model.parameters(), torch.empty(0)))
    adversary = (epsilon, adversarial_steps) if use_adversarial else None
    models = _copies(portfolio_model, n_models, seed) if use_ensemble else [portfolio_model]
    falling = (lambda epoch: cosine(epoch, num_epochs)) if use_scheduler else (lambda _: 1.0)
    members = [_Member(one, loss_fn, lr, falling) for one in models]
    if use_ensemble:
        for place, one in enumerate(members):
            one.bootstrap = Bootstrap([len(part) for part in returns], stream(seed, "bootstrap", place))
    with torch.random.fork_rng(devices=[]), _still(vae_hmm):
        torch.set_rng_state(stream(seed, "guided").get_state())
        for epoch in range(num_epochs):
            _set_epoch(dataloader, epoch)
            for batch in dataloader:
                pieces = align(batch, vae_hmm, returns)
                for one in members:
                    one.step(pieces, adversary, epoch)
            rows = [one.end(epoch) for one in members]
            if log is not None:
                log({name: sum(row[name] for row in rows) / len(rows) for name in rows[0]})
    return (MeanOutput(models, [one.loss_fn for one in members]) if use_ensemble else portfolio_model).eval()


train_portfolio = train_advanced_portfolio


class _Member:
    """One model in training."""

    bootstrap: Bootstrap | None = None

    def __init__(self, model: nn.Module, loss_fn: Loss | None, rate: float, falling: Callable[[int], float]) -> None:
        self.model, self.loss_fn = model.train(), loss_fn or cast(Loss, model.loss)
        self.data_loss, self.regularizer = self.loss_fn, None
        if loss_fn is None and isinstance(model, Regularized):
            parts = cast(Regularized, model)
            self.data_loss, self.regularizer = parts.data_loss, parts.regularizer
        self.optimizer = adam(model, rate, NAME)
        self.schedule = LambdaLR(self.optimizer, falling)
        self.losses: list[float] = []

    def step(self, pieces: Aligned, adversary: tuple[float, int] | None, epoch: int) -> None:
        """Learn from those pieces of a batch that the bootstrap has."""
        mine = pieces if self.bootstrap is None else pieces.drawn(self.bootstrap)
        if len(mine.returns):
            value = _objective(self.model, self.data_loss, mine, adversary)
            if self.regularizer is not None:
                value = value + self.regularizer(sum(len(one) for one in mine.returns))
            self.losses.append(descend(self.optimizer, value, f"{NAME}: epoch {epoch + 1}"))

    def end(self, epoch: int) -> dict[str, float]:
        """What is written down of an epoch."""
        if not self.losses:
            raise InputError(
                f"{NAME}: epoch {epoch + 1} has no piece to learn from; give a dataloader with more of them, and "
                "several or long sequences for an ensemble"
            )
        rate = float(self.schedule.get_last_lr()[0])
        row = {"epoch": epoch + 1, "loss": sum(self.losses) / len(self.losses), "learning_rate": rate}
        self.losses.clear()
        self.schedule.step()
        return row


def _objective(model: nn.Module, loss_fn: Loss, pieces: Aligned, adversary: tuple[float, int] | None) -> Tensor:
    decide = repeatable(model)

    def loss(regimes: Tensor) -> Tensor:
        weights = decide(regimes)
        if weights.ndim != 3 or weights.shape[:2] != regimes.shape[:2]:
            raise InputError(
                f"{NAME}: {type(model).__name__} makes weights {tuple(weights.shape)} of regimes "
                f"{tuple(regimes.shape)}; (batch, time, assets) is needed"
            )
        return pieces.loss(weights, loss_fn)

    plain = loss(pieces.regimes)
    if adversary is None:
        return plain
    epsilon, steps = adversary
    return plain + loss(perturb(loss, pieces.regimes, epsilon=epsilon, steps=steps))


def _copies(model: nn.Module, count: int, seed: int) -> list[nn.Module]:
    others = [reseeded(model, stream(seed, "member", place)) for place in range(1, count)]
    return [deepcopy(model), *others]


@contextmanager
def _still(model: object) -> Iterator[None]:
    """Keep a module in evaluation mode, in which nothing of it is updated."""
    if not isinstance(model, nn.Module):
        yield
        return
    mode = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(mode)


def _set_epoch(dataloader: Any, epoch: int) -> None:
    dataset = getattr(dataloader, "dataset", None)
    if isinstance(dataset, Epochs):
        dataset.set_epoch(epoch)


def _check_loss(model: nn.Module, loss_fn: Loss | None) -> None:
    if loss_fn is None and not callable(getattr(model, "loss", None)):
        raise InputError(f"{NAME}: {type(model).__name__} has no loss of its own; give loss_fn(weights, returns)")


def _check(num_epochs: int, n_models: int, epsilon: float) -> None:
    for name, value in (("num_epochs", num_epochs), ("n_models", n_models)):
        if value < 1:
            raise InputError(f"{NAME}: {name}={value} trains nothing; say at least 1")
    if not 0 <= epsilon <= 1:
        raise InputError(f"{NAME}: epsilon={epsilon:g} is not in [0, 1]; it is the probability mass that may be moved")
