"""Domain randomization: a market whose parameters differ from path to path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, FiniteFloat, PositiveInt, model_validator
from torch import Tensor

from praesidium.component import InputError, build, unknown
from praesidium.markets.heston import Heston
from praesidium.markets.market import Marked, Market


class Randomized(Market, kind="randomized"):
    """The base with parameters drawn independently and uniformly, once for each group of paths, for all their time.

    Groups are as equal in size as can be and are shuffled, so that any run of neighbouring paths mixes them.

    Attributes:
        base: the market whose parameters are drawn; those without an interval stay as they are.
        intervals: bounds [low, high] by name of a number among the base's settings; equal bounds fix it.
        groups: number of draws; with fewer paths than that, each path has its own.

    Source: Tobin et al. 2017, "Domain randomization for transferring deep neural networks from simulation to the
    real world".
    """

    base: Market = Heston()
    intervals: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(default_factory=dict)
    groups: PositiveInt = 64

    @model_validator(mode="after")
    def _intervals_fit(self) -> Randomized:
        numbers = [name for name in type(self.base).model_fields if isinstance(getattr(self.base, name), float)]
        for name, (low, high) in self.intervals.items():
            if name not in numbers:
                raise ValueError(unknown("intervals", name, numbers))
            if low > high:
                raise ValueError(
                    f"intervals.{name}: the low bound {low} is above the high bound {high}; write [low, high]"
                )
            for bound in (low, high):
                self._at({name: bound})
        return self

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """All parameters are drawn first, then the base's paths group by group, then their order."""
        spot, variance = self._shuffled(
            lambda market, count: market.sample(paths=count, steps=steps, dt=dt, generator=generator, dtype=dtype),
            paths,
            generator,
        )
        return spot, variance

    def sample_marked(
        self,
        *,
        paths: int,
        steps: int,
        left: Float[Tensor, "curves rebalances"],
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Marked:
        """The same spot as :meth:`sample`; each path is marked by the parameters that it was drawn with."""
        parts = self._shuffled(
            lambda market, count: market.sample_marked(
                paths=count, steps=steps, left=left, dt=dt, generator=generator, dtype=dtype
            ),
            paths,
            generator,
        )
        return Marked(*parts)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """The base's, where the intervals leave nothing to chance.

        Raises:
            InputError: if they do: the variance does not tell which parameters its path has.
        """
        for name, (low, high) in self.intervals.items():
            if low < high:
                raise InputError(
                    f"intervals.{name}: [{low}, {high}] gives each path its own expected variance; use simulate, "
                    "which marks the paths by theirs"
                )
        return self._at({name: low for name, (low, _) in self.intervals.items()}).expected_variance(variance, years)

    def _shuffled(
        self, draw: Callable[[Market, int], tuple[Tensor | None, ...]], paths: int, generator: torch.Generator
    ) -> list[Any]:
        """What is drawn of each market, paths last, in one order."""
        markets = self._draw_markets(min(self.groups, paths), generator)
        each, more = divmod(paths, len(markets))
        drawn = [draw(market, each + (group < more)) for group, market in enumerate(markets)]
        order = torch.randperm(paths, generator=generator, device=generator.device)
        joined: list[Any] = []
        for parts in zip(*drawn, strict=True):
            there = [one for one in parts if one is not None]
            joined.append(torch.cat(there, dim=-1).index_select(-1, order) if there else None)
        return joined

    def _draw_markets(self, count: int, generator: torch.Generator) -> list[Market]:
        names = sorted(self.intervals)  # equal settings make equal paths, in whatever order they are written
        shares = torch.rand(count, len(names), dtype=torch.float64, device=generator.device, generator=generator)
        bounds = [self.intervals[name] for name in names]
        return [
            self._at(
                {
                    name: min(low + (high - low) * share, high)  # rounding may lead beyond
                    for name, (low, high), share in zip(names, bounds, row, strict=True)
                }
            )
            for row in shares.tolist()
        ]

    def _at(self, values: dict[str, float]) -> Market:
        return build(type(self.base), {**self.base.settings(), **values}, where="intervals")
