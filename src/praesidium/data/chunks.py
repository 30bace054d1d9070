"""Random contiguous pieces of several sequences, and batches of them that carry a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from praesidium.component import InputError
from praesidium.training.reproducibility import stream


class Chunk(tuple[Tensor, Tensor | None, int]):
    """A piece of one sequence; unpacks as ``x (C, L), u (U, L) or None, length L``.

    Attributes:
        sequence: which sequence it was cut from.
        start: its first index there, so that a target of the same times is ``target[sequence][start : start + L]``.
    """

    sequence: int
    start: int

    def __new__(cls, x: Tensor, u: Tensor | None, *, sequence: int, start: int) -> Chunk:
        chunk = super().__new__(cls, (x, u, x.shape[-1]))
        chunk.sequence, chunk.start = sequence, start
        return chunk

    def __reduce__(self) -> tuple[object, ...]:
        return _restore_chunk, (self[0], self[1], self.sequence, self.start)


class Chunks(tuple[Tensor, Tensor | None, Tensor]):
    """A batch of pieces; unpacks as ``x (B, C, T), u (B, U, T) or None, lengths (B)``, zero past each length.

    Attributes:
        sequences: (B), which sequence each was cut from.
        starts: (B), its first index there.
    """

    sequences: Int[Tensor, " batch"]
    starts: Int[Tensor, " batch"]

    def __new__(cls, x: Tensor, u: Tensor | None, lengths: Tensor, *, sequences: Tensor, starts: Tensor) -> Chunks:
        chunks = super().__new__(cls, (x, u, lengths))
        chunks.sequences, chunks.starts = sequences, starts
        return chunks

    def __reduce__(self) -> tuple[object, ...]:
        return _restore_chunks, (self[0], self[1], self[2], self.sequences, self.starts)

    @property
    def mask(self) -> Bool[Tensor, "batch time"]:
        """Where there is data and no padding."""
        return valid(self[2], self[0].shape[-1])


def _restore_chunk(x: Tensor, u: Tensor | None, sequence: int, start: int) -> Chunk:
    return Chunk(x, u, sequence=sequence, start=start)


def _restore_chunks(x: Tensor, u: Tensor | None, lengths: Tensor, sequences: Tensor, starts: Tensor) -> Chunks:
    return Chunks(x, u, lengths, sequences=sequences, starts=starts)


def valid(lengths: Int[Tensor, " batch"], times: int) -> Bool[Tensor, "batch time"]:
    """True at the first ``lengths[b]`` of so many times.

    Raises:
        InputError: if a length is less than one, or more than there are times.
    """
    if int(lengths.min()) < 1 or int(lengths.max()) > times:
        raise InputError(f"lengths: {lengths.tolist()} are not all between 1 and the {times} times that there are")
    return torch.arange(times, device=lengths.device) < lengths.unsqueeze(-1)


class RandomChunkDataset(Dataset[Chunk]):
    """Contiguous pieces of random place and length, the same ones for the same seed, epoch and index.

    A sequence is drawn with a probability that grows with its length, then the length of the piece between
    ``min_len`` and ``max_len``, then its start. A sequence shorter than ``min_len`` is always used whole.
    Nothing depends on who asks, nor in which order: several workers give the same pieces as none.
    Call :meth:`set_epoch` before each epoch, else all epochs see the same pieces.

    Args:
        x_sequences: observations (C, T_i) of each sequence; NaN is missing.
        u_sequences: inputs of the transitions (U, T_i), or None.
        min_len: least length of a piece.
        max_len: greatest length of a piece.
        seed: of the draws.
        length: pieces in an epoch; by default as many as cover all times once on average.

    Raises:
        InputError: if there is no sequence, shapes do not fit each other, or the lengths are no range.
    """

    def __init__(
        self,
        x_sequences: Sequence[Float[Tensor, "channels _time"]],
        u_sequences: Sequence[Float[Tensor, "inputs _time"]] | None = None,
        min_len: int = 20,
        max_len: int = 200,
        *,
        seed: int = 0,
        length: int | None = None,
    ) -> None:
        _check(x_sequences, u_sequences, min_len, max_len, length)
        self.x_sequences = list(x_sequences)
        self.u_sequences = None if u_sequences is None else list(u_sequences)
        self.min_len, self.max_len, self.seed = min_len, max_len, seed
        times = torch.tensor([one.shape[-1] for one in self.x_sequences])
        self._ends = times.cumsum(0)
        self._length = length
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that live on see it change

    def set_epoch(self, epoch: int) -> None:
        """Draw other pieces from now on, in workers that are already running as well."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        if self._length is not None:
            return self._length
        mean = sum(sum(self._bounds(one.shape[-1])) / 2 * one.shape[-1] for one in self.x_sequences) / self.steps
        return math.ceil(self.steps / mean)

    @property
    def steps(self) -> int:
        """Times in all sequences together."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Chunk:
        if not 0 <= index < len(self):
            raise IndexError(f"chunk {index} of {len(self)}")
        generator = stream(self.seed, "chunk", int(self._epoch), index)
        place = int(torch.randint(self.steps, (), generator=generator))
        sequence = int(torch.searchsorted(self._ends, place, right=True))
        times = self.x_sequences[sequence].shape[-1]
        least, greatest = self._bounds(times)
        length = int(torch.randint(least, greatest + 1, (), generator=generator))
        start = int(torch.randint(times - length + 1, (), generator=generator))
        piece = slice(start, start + length)
        u = None if self.u_sequences is None else self.u_sequences[sequence][:, piece]
        return Chunk(self.x_sequences[sequence][:, piece], u, sequence=sequence, start=start)

    def whole(self) -> Chunks:
        """Every sequence from its first to its last time, as one batch."""
        inputs = self.u_sequences or [None] * len(self.x_sequences)
        pairs = zip(self.x_sequences, inputs, strict=True)
        return collate_fn([Chunk(x, u, sequence=place, start=0) for place, (x, u) in enumerate(pairs)])

    def split(self, share: float) -> tuple[RandomChunkDataset, RandomChunkDataset]:
        """The same kind of dataset over the early part of every sequence, and over the last ``share`` of it.

        Raises:
            InputError: if no sequence is long enough to have a late part.
        """
        late = [int(share * one.shape[-1]) for one in self.x_sequences]
        if not 0 <= share < 1 or not any(late):
            raise InputError(f"split: share={share:g} of each sequence is no time, or all; say a share such as 0.1")
        x = _cut(self.x_sequences, late)
        u = (None, None) if self.u_sequences is None else _cut(self.u_sequences, late)
        early, last = (
            RandomChunkDataset(*part, self.min_len, self.max_len, seed=self.seed, length=self._length)
            for part in zip(x, u, strict=True)
        )
        return early, last

    def _bounds(self, times: int) -> tuple[int, int]:
        return min(self.min_len, times), min(self.max_len, times)


def collate_fn(chunks: Sequence[Chunk]) -> Chunks:
    """A batch on the CPU, padded with zeros up to its longest piece; the mask says where they are.

    Padding is no data: what is computed from a batch must not change if other numbers stood there.
    """
    xs, us, lengths = zip(*chunks, strict=True)
    x = torch.nn.utils.rnn.pad_sequence([one.T for one in xs], batch_first=True).mT
    u = None if us[0] is None else torch.nn.utils.rnn.pad_sequence([one.T for one in us], batch_first=True).mT
    return Chunks(
        x,
        u,
        torch.tensor(lengths),
        sequences=torch.tensor([one.sequence for one in chunks]),
        starts=torch.tensor([one.start for one in chunks]),
    )


def _cut(sequences: Sequence[Tensor], late: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Sequences without their last times, and the last times of those that have some to give."""
    pairs = list(zip(sequences, late, strict=True))
    early = [one[:, : one.shape[-1] - count] for one, count in pairs]
    return early, [one[:, one.shape[-1] - count :] for one, count in pairs if count]


def _check(
    x_sequences: Sequence[Tensor], u_sequences: Sequence[Tensor] | None, min_len: int, max_len: int, length: int | None
) -> None:
    name = "RandomChunkDataset"
    if not len(x_sequences):
        raise InputError(f"{name}: x_sequences is empty; at least one sequence (features, time) is needed")
    if not 1 <= min_len <= max_len:
        raise InputError(f"{name}: min_len={min_len} and max_len={max_len} are no range; say 1 <= min_len <= max_len")
    if length is not None and length < 1:
        raise InputError(f"{name}: length={length} is not a positive number of pieces; leave it out for one pass")
    for what, sequences in (("x", x_sequences), ("u", u_sequences or [])):
        for place, one in enumerate(sequences):
            if one.shape[0] != sequences[0].shape[0] or not one.shape[-1]:
                raise InputError(
                    f"{name}: {what}_sequences[{place}] has shape {tuple(one.shape)}, the first "
                    f"{tuple(sequences[0].shape)}; all are (features, time) with the same features and some time"
                )
    if u_sequences is not None and [one.shape[-1] for one in u_sequences] != [one.shape[-1] for one in x_sequences]:
        raise InputError(f"{name}: u_sequences and x_sequences differ in number or times; give one input a time")
