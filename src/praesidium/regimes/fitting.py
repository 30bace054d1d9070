"""Training of a VQ-VAE-HMM."""

from __future__ import annotations

import copy
import math
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from praesidium.component import InputError
from praesidium.data.chunks import Chunks, RandomChunkDataset, collate_fn
from praesidium.regimes.placement import place, score
from praesidium.regimes.quantizer import CollapseWarning
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training.descent import adam, descend
from praesidium.training.reproducibility import stream

ENOUGH = 100  # times held out, at least, to stop by; with fewer all data are trained on for all epochs
GAIN = 1e-5  # nats a time by which the held-out likelihood has to rise to count as better


class Epoch(NamedTuple):
    """One line of the training log.

    Attributes:
        beta: weight of the KL term.
        loss: mean over batches, nats a time.
        held_out: exact log-likelihood of the held-out part, nats a time; NaN without one.
    """

    beta: float
    loss: float
    held_out: float


def train_model(
    model: VAE_HMM,
    dataloader: DataLoader[Any],
    num_epochs: int = 150,
    lr: float = 1e-3,
    *,
    warmup: float = 0.05,
    patience: int = 10,
    held_out: float = 0.1,
) -> VAE_HMM:
    """Train on random chunks, from the maximum likelihood without inputs; returns the model, in evaluation mode.

    A model that was never trained is first placed by the training data (:func:`.placement.place`), so that its regimes
    are those of a maximum likelihood hidden Markov model before the first gradient step, whatever the learning rate.
    Adam then climbs the evidence lower bound, with gradients cut at norm 1 and beta rising over the first epochs.

    The last ``held_out`` of each sequence is kept apart if that makes 100 times or more, and training ends once its
    exact likelihood has not risen for ``patience`` epochs of full beta. The number of epochs with the highest is then
    trained anew on everything, the last part included: it is the nearest to what the model will be asked about, and
    often holds a crisis of its own. A model that goes on from an earlier training keeps the state with the highest
    likelihood instead. With fewer times all data are trained on, for all epochs. ``model.history`` has a line for the
    start and one an epoch, of the search for that number.

    Args:
        model: trained in place. One that was trained before goes on from where it is.
        dataloader: of a :class:`~praesidium.data.chunks.RandomChunkDataset`; its batch size and number of workers are
            used, with :func:`~praesidium.data.chunks.collate_fn`. Chunks depend on the seed of the dataset alone.
        num_epochs: most epochs.
        lr: learning rate of Adam.
        warmup: share of the epochs over which beta rises to 1.
        patience: epochs at beta = 1 without a rise of the held-out likelihood before training ends.
        held_out: share of each sequence that is held out, its last times.

    Raises:
        InputError: if the loader has another kind of dataset, or a share is none.
        FloatingPointError: if the loss is not finite.

    Warns:
        CollapseWarning: if codes do not tell regimes apart (:class:`.quantizer.Usage`).
    """
    if not isinstance(dataset := dataloader.dataset, RandomChunkDataset):
        raise InputError(
            f"train_model: dataloader.dataset is a {type(dataset).__name__}; wrap the sequences in "
            "RandomChunkDataset(x_sequences), which can hold out their last part"
        )
    for name, sequences in (("x", dataset.x_sequences), ("u", dataset.u_sequences or [])):
        for number, one in enumerate(sequences):
            if not isinstance(one, Tensor):
                raise InputError(
                    f"train_model: {name}_sequences[{number}] is a {type(one).__name__}; say torch.from_numpy(...)"
                )
    features = dataset.x_sequences[0].shape[0], None if dataset.u_sequences is None else dataset.u_sequences[0].shape[0]
    if features != (model.input_dim, model.u_dim):
        raise InputError(
            f"train_model: the sequences have (x, u) features {features}, the model was made with input_dim="
            f"{model.input_dim}, u_dim={model.u_dim}; make them equal"
        )
    if dataloader.batch_size is None:
        raise InputError("train_model: dataloader has no batch size; say DataLoader(dataset, batch_size=64, ...)")
    if not 0 <= held_out < 1 or not 0 <= warmup <= 1 or num_epochs < 1 or patience < 1:
        raise InputError(
            f"train_model: num_epochs={num_epochs} and patience={patience} must be positive, warmup={warmup:g} and "
            f"held_out={held_out:g} shares; say for example warmup=0.05, held_out=0.1"
        )
    training, late = _parts(dataset, held_out)
    device = next(model.parameters()).device
    unseen = None if late is None else _to(late.whole(), device)
    untrained = None if model.started else copy.deepcopy(model.state_dict())

    rounds = 0 if model.started else place(model, _to(training.whole(), device), unseen)

    def climb(data: RandomChunkDataset, epochs: int, patience: int | None) -> Iterator[Epoch]:
        """The start, then epoch after epoch; patience None lets it run."""
        loader = DataLoader(
            data,
            batch_size=dataloader.batch_size,
            collate_fn=collate_fn,
            num_workers=dataloader.num_workers,
            generator=stream(dataset.seed, "workers"),
        )
        yield Epoch(math.nan, math.nan, _score(model, unseen))
        optimizer, best, since = adam(model, lr, "train_model"), -math.inf, 0
        for epoch in range(epochs):
            data.set_epoch(epoch)
            beta = min(1.0, (epoch + 1) / max(1.0, warmup * num_epochs))
            loss = _one_epoch(model, loader, optimizer, beta, epoch)
            value = _score(model, unseen)
            yield Epoch(beta, loss, value)
            since = 0 if value > best + GAIN or beta < 1 else since + 1
            best = max(best, value)
            if patience is not None and since >= patience:
                return

    history, best, kept = [], 0, copy.deepcopy(model.state_dict())
    for epoch in climb(training, num_epochs, None if unseen is None else patience):
        history.append(epoch)
        if unseen is not None and epoch.held_out >= max(one.held_out for one in history):
            best, kept = len(history) - 1, copy.deepcopy(model.state_dict())
    if unseen is not None:
        model.load_state_dict(kept if untrained is None else untrained)
        if untrained is not None:
            place(model, _to(dataset.whole(), device), None, rounds)
            deque(climb(dataset, best, None), maxlen=0)
    model.history = history
    if alarm := model.usage().alarm:
        warnings.warn(alarm, CollapseWarning, stacklevel=2)
    return model.eval()


def _score(model: VAE_HMM, unseen: Chunks | None) -> float:
    """Exact likelihood of what is held out, nats a time; NaN where nothing is."""
    return math.nan if unseen is None else score(model, unseen)


def _one_epoch(
    model: VAE_HMM, loader: DataLoader[Any], optimizer: torch.optim.Optimizer, beta: float, epoch: int
) -> float:
    model.train()
    device = next(model.parameters()).device
    losses = []
    for chunks in loader:
        x, u, lengths = _to(chunks, device)
        losses.append(descend(optimizer, model.compute_loss(x, u, lengths, beta=beta), f"train_model: epoch {epoch}"))
    return sum(losses) / len(losses)


def _parts(dataset: RandomChunkDataset, share: float) -> tuple[RandomChunkDataset, RandomChunkDataset | None]:
    """What is trained on, and what is held out if that is enough."""
    if sum(int(share * one.shape[-1]) for one in dataset.x_sequences) < ENOUGH:
        return dataset, None
    return dataset.split(share)


def _to(chunks: Chunks, device: torch.device) -> Chunks:
    x, u, lengths = chunks
    moved = None if u is None else u.to(device)
    return Chunks(x.to(device), moved, lengths.to(device), sequences=chunks.sequences, starts=chunks.starts)
