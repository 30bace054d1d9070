"""Pigeonhole bootstrap: what a result owes to its seeds and to its episodes, which are crossed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.component import InputError
from praesidium.risk import cvar

DRAWS = 5000
BLOCK = 64  # draws held at once: counts of 20,000 episodes are then 10 MB, and those of a tail stay in the cache
SPARE = 6.0  # standard deviations of the number drawn by which the kept worst losses outnumber the tail


@dataclass(frozen=True)
class Draws:
    """Resampled seeds and resampled episodes, independent of each other and common to all methods.

    The variance of a mean over the table is then right for what seeds share and for what episodes share, and up to
    three times too large for what a single cell adds: intervals are on the safe side.

    Two quantities of the same episodes belong to the same draws. Another set of episodes takes the same seeds with
    episodes of its own: ``dataclasses.replace(draws, episodes=..., key=...)``.

    Attributes:
        seeds: which seed takes each place in each draw.
        episodes: number of episodes, which is also how many a draw resamples.
        key: decides the resampled episodes; see :meth:`counts`.

    Source: Owen 2007, (arXiv 0712.1111), "The pigeonhole bootstrap".
    """

    seeds: Int[Tensor, "draws seeds"]
    episodes: int
    key: int

    @classmethod
    def make(cls, *, seeds: int, episodes: int, generator: torch.Generator, draws: int = DRAWS) -> Draws:
        """Draw the seeds now, and the key from which the episodes follow.

        Args:
            seeds: number of trained seeds, at least 1.
            episodes: number of evaluation episodes, at least 1.
            generator: the only source of randomness, on a CPU.
            draws: number of replicates.

        Raises:
            InputError: if one of the numbers is below 1.
        """
        for name, number in (("seeds", seeds), ("episodes", episodes), ("draws", draws)):
            if number < 1:
                raise InputError(f"Draws.make: {name}={number} leaves nothing to resample; give at least 1")
        places = torch.randint(seeds, (draws, seeds), generator=generator)
        return cls(places, episodes, int(torch.randint(2**62, (), generator=generator)))

    def counts(self) -> Iterator[Float[Tensor, "episodes block"]]:
        """How often each episode occurs, for a block of draws after the other; the same at every call."""
        generator = torch.Generator().manual_seed(self.key)
        for done in range(0, len(self.seeds), BLOCK):
            block = min(BLOCK, len(self.seeds) - done)
            drawn = torch.randint(self.episodes, (block, self.episodes), generator=generator)
            cells = drawn.mul_(block).add_(torch.arange(block).unsqueeze(-1))
            yield cells.view(-1).bincount(minlength=self.episodes * block).view(self.episodes, block).double()


@dataclass(frozen=True)
class Resampled:
    """One quantity of one method, a value for each seed.

    Attributes:
        observed: from the episodes as they are, seeds in their order.
        drawn: from the resampled episodes; the seed that was drawn for a place stands at that place.
    """

    observed: Float[Tensor, " seeds"]
    drawn: Float[Tensor, "draws seeds"]


def cvar_draws(losses: Mapping[str, Tensor], draws: Draws, *, level: float) -> dict[str, Resampled]:
    """Exact CVaR of every method and seed under the resampled episodes.

    Args:
        losses: by method, a table (seeds, episodes), positive = bad. Column i is the same episode and row s the same
            seed in every table; a method without seeds has one row. +inf is the loss of a seed that diverged.
        draws: the resampled seeds and episodes.
        level: confidence in (0, 1); 0.95 looks at the worst 5 %.

    Raises:
        InputError: if a table has another shape, or holds NaN or -inf, or ``level`` is not a fraction.
    """
    tables = {name: _checked(name, table, draws, "cvar_draws") for name, table in losses.items()}
    for name, table in tables.items():
        if table.isneginf().any():
            raise InputError(f"cvar_draws: {name!r} holds a loss of -inf; a run that diverged loses +inf")
    observed = {name: cvar(table, level=level) for name, table in tables.items()}
    mass = (1 - level) * draws.episodes
    kept = math.ceil(mass + SPARE * math.sqrt(mass))
    split = {name: _Table.of(table) for name, table in tables.items()}
    tails = {name: [_Tail.of(row, kept) for row in table.finite] for name, table in split.items()}
    drawn: dict[str, list[Tensor]] = {name: [] for name in tables}
    for counts in draws.counts():
        for name, table in split.items():
            pairs = zip(tails[name], table.finite, strict=True)
            risks = torch.stack([_cvar_under(counts, tail, row, mass) for tail, row in pairs])
            drawn[name].append(risks + table.infinities(counts))
    return {name: _placed(observed[name], torch.cat(drawn[name], -1), draws) for name in tables}


def mean_draws(values: Mapping[str, Tensor], draws: Draws) -> dict[str, Resampled]:
    """Mean over the resampled episodes of any quantity of an episode, such as its PnL, turnover or drawdown.

    Args:
        values: by method, a table (seeds, episodes) as in :func:`cvar_draws`; both infinities are welcome.
        draws: the resampled seeds and episodes; those of the CVaR, where the two are to be set side by side.

    Raises:
        InputError: if a table has another shape or holds NaN.
    """
    tables = {name: _checked(name, table, draws, "mean_draws") for name, table in values.items()}
    split = {name: _Table.of(table) for name, table in tables.items()}
    drawn: dict[str, list[Tensor]] = {name: [] for name in tables}
    for counts in draws.counts():
        for name, table in split.items():
            drawn[name].append(table.finite @ counts / draws.episodes + table.infinities(counts))
    return {name: _placed(tables[name].mean(-1), torch.cat(drawn[name], -1), draws) for name in tables}


# ---- CVaR under counts ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tail:
    """The worst losses of one seed: which episodes they are, worst first, and the drop from each to the next one.

    The last drop is the whole last loss, so that the drops from a place on add up to the loss there.
    """

    order: Int[Tensor, " kept"]
    drops: Float[Tensor, " kept"]

    @classmethod
    def of(cls, losses: Float[Tensor, " episodes"], kept: int) -> _Tail:
        worst = losses.topk(min(kept, len(losses)))
        return cls(worst.indices, -worst.values.diff(append=losses.new_zeros(1)))


def _cvar_under(
    counts: Float[Tensor, "episodes block"], tail: _Tail, losses: Float[Tensor, " episodes"], mass: float
) -> Float[Tensor, " block"]:
    """CVaR of one seed in each draw of a block.

    Of the worst j losses, min(C_j, mass) episodes lie in the tail, C_j the running total of their counts; a tail loss
    is the sum of the drops from its place on, so that the tail adds up to the sum over j of min(C_j, mass) drop_j.
    """
    running = counts.index_select(0, tail.order).cumsum(0)
    short = running[-1] < mass
    risks = tail.drops @ running.clamp_(max=mass) / mass
    if short.any():
        risks[short] = _cvar_under(counts[:, short], _Tail.of(losses, len(losses)), losses, mass)
    return risks


@dataclass(frozen=True)
class _Table:
    """A table of losses or values, its infinities set apart, since no weight of zero would remove them from a sum."""

    finite: Float[Tensor, "rows episodes"]
    infinite: Mapping[float, Float[Tensor, "rows episodes"]]

    @classmethod
    def of(cls, values: Float[Tensor, "rows episodes"]) -> _Table:
        marks = {sign: (values == sign).double() for sign in (math.inf, -math.inf)}
        return cls(values.masked_fill(values.isinf(), 0.0), {sign: one for sign, one in marks.items() if one.any()})

    def infinities(self, counts: Float[Tensor, "episodes block"]) -> Float[Tensor, "rows block"]:
        """What infinite values add: an infinity wherever one was drawn (NaN for both signs at once), else zero."""
        added = counts.new_zeros(len(self.finite), counts.shape[1])
        for sign, marks in self.infinite.items():
            added += torch.where(marks @ counts > 0, sign, 0.0)
        return added


def _placed(observed: Float[Tensor, " rows"], risks: Float[Tensor, "rows draws"], draws: Draws) -> Resampled:
    """Put the drawn seeds in their places; a single row takes every place."""
    replicates, seeds = draws.seeds.shape
    drawn = risks.T.expand(replicates, seeds).gather(1, draws.seeds)
    return Resampled(observed.expand(seeds), drawn)


def _checked(name: str, table: Tensor, draws: Draws, caller: str) -> Float[Tensor, "rows episodes"]:
    seeds = draws.seeds.shape[1]
    if table.ndim != 2 or table.shape[1] != draws.episodes or len(table) not in (1, seeds):
        raise InputError(
            f"{caller}: {name!r} has shape {tuple(table.shape)}; the draws need (seeds, episodes) = "
            f"({seeds}, {draws.episodes}), or one row for a method without seeds"
        )
    if table.isnan().any():
        raise InputError(f"{caller}: {name!r} holds NaN; give a run that diverged the infinity that ranks it worst")
    return table.double()
