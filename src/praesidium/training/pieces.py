"""Batches of pieces of sequences, with the filtered states and the targets of the same times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.training.ensemble import Bootstrap

NAME = "train_advanced_portfolio"
Loss = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class Filtering(Protocol):
    """Infers states from what is known: ``filter(x, u, lengths)`` gives (batch, time, states)."""

    def filter(self, x: Any, u: Any, lengths: Any) -> Tensor:
        """Probabilities of the state at each time given all until then."""
        ...


@runtime_checkable
class Pieces(Protocol):
    """A batch that unpacks as ``x, u, lengths`` and knows where its pieces were cut from."""

    sequences: Tensor
    starts: Tensor

    def __iter__(self) -> Iterator[Any]:
        """Over x, u and lengths."""
        ...


@dataclass(frozen=True)
class Aligned:
    """Regimes of a batch of pieces, and their returns, without padding."""

    regimes: Float[Tensor, "batch time regimes"]
    returns: list[Tensor]
    sequences: Int[Tensor, " batch"]
    starts: Int[Tensor, " batch"]

    def drawn(self, bootstrap: Bootstrap) -> Aligned:
        """With each piece as often as the bootstrap has it."""
        lengths = torch.tensor([len(one) for one in self.returns])
        counts = bootstrap.counts(self.sequences, self.starts, lengths)
        rows = torch.arange(len(counts)).repeat_interleave(counts)
        chosen = [self.returns[row] for row in rows.tolist()]
        return Aligned(self.regimes[rows.to(self.regimes.device)], chosen, self.sequences[rows], self.starts[rows])

    def loss(self, weights: Tensor, loss_fn: Loss) -> Tensor:
        """Mean over pieces; those of one length are measured together."""
        rows: dict[int, list[int]] = {}
        for row, one in enumerate(self.returns):
            rows.setdefault(len(one), []).append(row)
        parts = [
            loss_fn(weights[chosen, :length], torch.stack([self.returns[row] for row in chosen])) * len(chosen)
            for length, chosen in sorted(rows.items())
        ]
        return torch.stack(parts).sum() / len(self.returns)


def align(batch: Any, vae_hmm: Filtering, returns: list[Tensor]) -> Aligned:
    """Filter a batch and cut out the returns of its pieces."""
    if not isinstance(batch, Pieces):
        raise InputError(
            f"{NAME}: a batch does not say where its pieces come from; use a RandomChunkDataset with "
            "DataLoader(..., collate_fn=praesidium.data.chunks.collate_fn)"
        )
    x, u, lengths = batch
    sequences, starts = batch.sequences.cpu(), batch.starts.cpu()
    cut = []
    for sequence, start, length in zip(sequences.tolist(), starts.tolist(), lengths.tolist(), strict=True):
        if sequence >= len(returns) or start + length > len(returns[sequence]):
            have = f"{len(returns[sequence])} times" if sequence < len(returns) else f"{len(returns)} sequences only"
            raise InputError(
                f"{NAME}: a piece covers times {start} to {start + length - 1} of sequence {sequence}, but "
                f"returns_data has {have}; give one (time, assets) array for each sequence, of the same times"
            )
        cut.append(returns[sequence][start : start + length])
    with torch.no_grad():
        regimes = vae_hmm.filter(x, u, lengths).to(returns[0])
    return Aligned(regimes, cut, sequences, starts)


def by_sequence(returns_data: Any, like: Tensor) -> list[Tensor]:
    """One (time, assets) tensor a sequence, in the precision of the parameters."""
    if isinstance(returns_data, list | tuple):
        parts = list(returns_data)
    else:
        whole = returns_data if isinstance(returns_data, Tensor) else np.asarray(returns_data)
        parts = list(whole) if whole.ndim == 3 else [whole]
    made = [one.to(like) if isinstance(one, Tensor) else torch.tensor(np.asarray(one)).to(like) for one in parts]
    for place, one in enumerate(made):
        if one.ndim != 2:
            raise InputError(f"{NAME}: returns_data[{place}] has shape {tuple(one.shape)}; (time, assets) is needed")
        if missing := int((~one.isfinite()).sum()):
            raise InputError(
                f"{NAME}: returns_data[{place}] holds {missing} numbers that are not finite; drop or fill those assets"
            )
    if not made:
        raise InputError(f"{NAME}: returns_data is empty; give one (time, assets) array for each sequence")
    return made
