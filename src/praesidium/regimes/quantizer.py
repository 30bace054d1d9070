"""Vector quantization: each vector becomes the nearest of a few codes, and the codes follow their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.clusters import k_means, nearest, tally
from praesidium.training.reproducibility import stream

DEAD = 0.01  # a code with less than this share of its fair share of vectors is dead
TELLING = 0.01  # nats: codes that tell less tell nothing


class CollapseWarning(UserWarning):
    """Codes cannot tell apart what they should."""


class Quantized(NamedTuple):
    """What became of a batch of vectors.

    Attributes:
        values: the code of each vector; its gradient goes to the vector as if nothing had happened (straight-through).
        indices: which code; -1 at padding.
        commitment: mean squared distance of vectors to their codes, whose gradient draws vectors to codes.
    """

    values: Float[Tensor, "batch time dim"]
    indices: Int[Tensor, "batch time"]
    commitment: Float[Tensor, ""]


@dataclass(frozen=True)
class Usage:
    """How codes are used.

    Attributes:
        counts: vectors by code, a moving average over batches.
        perplexity: effective number of codes, exp of the entropy of their shares: 1 if all vectors share a code.
        information: nats that a code tells on average, if its vector holds log-likelihoods of as many alternatives,
            equal beforehand: the mutual information of code and alternative, at most log dim.
        least: number of codes that have to be in use.
    """

    counts: tuple[float, ...]
    perplexity: float
    information: float
    least: int

    @property
    def used(self) -> int:
        """Codes that are not dead."""
        return sum(count > DEAD * sum(self.counts) / len(self.counts) for count in self.counts)

    @property
    def collapsed(self) -> bool:
        """Whether too few codes are in use, or all say the same: under 0.01 nats."""
        return self.used < self.least or self.information < TELLING

    @property
    def alarm(self) -> str:
        """One sentence if the codes have collapsed, else nothing."""
        if not self.collapsed:
            return ""
        return (
            f"codebook collapsed: {self.used} of {len(self.counts)} codes are in use, {self.least} are needed, and "
            f"tell {self.information:.3f} nats; use fewer regimes, another seed, or observations that differ by regime"
        )


class Quantizer(nn.Module):
    """A codebook of ``n_codes`` vectors, each the moving average of the vectors that it stands for.

    In training mode a call moves the codes: N_m <- d N_m + (1 - d) n_m and S_m <- d S_m + (1 - d) sum of its vectors,
    with code S_m / N_m. A dead code, with under 1 % of its fair share of vectors, restarts at a vector of the batch.
    Before the first call in training mode the codebook is not :attr:`started`, and k-means on that batch places it.
    Padding moves nothing.

    Args:
        n_codes: codes M, at least one.
        dim: length of a vector.
        seed: of the start and of revivals.
        decay: d, the share of the past in the moving averages.

    Source: van den Oord et al. 2017 (arXiv 1711.00937), eq. 1-3 and appendix A.1; restarts: Williams et al. 2020.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    seen: Tensor
    calls: Tensor

    def __init__(self, n_codes: int, dim: int, *, seed: int, decay: float = 0.99) -> None:
        super().__init__()
        if n_codes < 1 or not 0 <= decay < 1:
            raise InputError(f"Quantizer: n_codes={n_codes} and decay={decay:g} need n_codes >= 1 and 0 <= decay < 1")
        self.seed, self.decay = seed, decay
        start = torch.randn(n_codes, dim, dtype=torch.float64, generator=stream(seed, "init", "codes"))
        self.register_buffer("codes", start)
        self.register_buffer("sums", torch.zeros_like(start))
        self.register_buffer("counts", torch.zeros(n_codes, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(n_codes, dtype=torch.float64))  # counts that no revival flatters
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    @property
    def started(self) -> bool:
        """Whether the codes have been placed among data."""
        return bool(self.calls > 0)

    def forward(self, z: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]) -> Quantized:
        """Codes of the vectors where ``mask`` is true, zeros elsewhere; moves the codes in training mode."""
        vectors = z[mask]
        if self.training:
            if not self.started:
                self.start(vectors)
            self._follow(vectors.detach())
        indices = self.nearest(vectors.detach())
        codes = self.codes[indices].to(z.dtype)
        values = torch.zeros_like(z).masked_scatter(mask.unsqueeze(-1), vectors + (codes - vectors).detach())
        indices = torch.full_like(mask, -1, dtype=torch.int64).masked_scatter(mask, indices)
        commitment = (vectors - codes.detach()).square().sum() / max(len(vectors), 1)
        return Quantized(values, indices, commitment)

    @torch.no_grad()
    def start(self, vectors: Float[Tensor, "vectors dim"]) -> None:
        """Place the codes by k-means among these vectors."""
        points = vectors.detach().double()
        self.codes.copy_(k_means(points, len(self.codes), stream(self.seed, "codes", "start")))
        counts, _ = self._tally(points)
        self.counts.copy_(counts)
        self.seen.copy_(counts)
        self.sums.copy_(self.codes * counts.unsqueeze(-1))
        self.calls.fill_(1)

    def nearest(self, vectors: Float[Tensor, "vectors dim"]) -> Int[Tensor, " vectors"]:
        """Index of the nearest code in Euclidean distance; the lower of two equal ones."""
        return nearest(vectors.double(), self.codes)

    def usage(self, *, least: int) -> Usage:
        """How codes have been used lately, with an alarm if fewer than ``least`` are in use, or all say the same."""
        shares = self.seen / self.seen.sum().clamp(min=torch.finfo(torch.float64).tiny)
        told = self.codes.softmax(-1)
        information = _entropy(shares @ told) - shares @ _entropy(told)
        return Usage(tuple(self.seen.tolist()), float(_entropy(shares).exp()), float(information), least)

    @torch.no_grad()
    def permute(self, order: Int[Tensor, " dim"]) -> None:
        """Reorder the coordinates of all codes."""
        self.codes.copy_(self.codes[:, order])
        self.sums.copy_(self.sums[:, order])

    @torch.no_grad()
    def _follow(self, vectors: Float[Tensor, "vectors dim"]) -> None:
        counts, sums = self._tally(vectors.double())
        self.seen.lerp_(counts, 1 - self.decay)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        fair = self.counts.sum() / len(self.codes)
        dead = self.counts < DEAD * fair
        if bool(dead.any()) and len(vectors):
            draws = stream(self.seed, "codes", "revive", int(self.calls))
            picks = torch.randint(len(vectors), (int(dead.sum()),), generator=draws).to(vectors.device)
            self.counts[dead] = fair
            self.sums[dead] = vectors[picks].double() * fair
        used = self.counts.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(-1)
        self.codes.copy_(torch.where(self.counts.unsqueeze(-1) > 0, self.sums / used, self.codes))
        self.calls += 1

    def _tally(
        self, points: Float[Tensor, "vectors dim"]
    ) -> tuple[Float[Tensor, " codes"], Float[Tensor, "codes dim"]]:
        return tally(points, self.nearest(points), len(self.codes))


def _entropy(shares: Float[Tensor, "*batch alternatives"]) -> Float[Tensor, "*batch"]:
    return -torch.special.xlogy(shares, shares).sum(-1)
