"""A market whose regime changes inside a path: a Markov chain moves its volatility and its drift."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from praesidium.component import InputError
from praesidium.markets.market import TRADING_DAYS, Marked, Market


class Switching(Market, kind="switching"):
    """log S gains drift_i dt + volatility_i sqrt(dt) Z in a period that begins in state i.

    At the end of each period the chain leaves state i with probability 252 dt / durations_i, so that a stay lasts
    durations_i days in the mean, and goes to state j with probability moves_ij. It starts from its stationary law.

    Attributes:
        volatilities: annual, one a state, all different: a variance tells its state.
        drifts: of the log price, a year; without them -volatility^2 / 2, with which alone the spot is a martingale.
        durations: mean stays, in trading days.
        moves: where the chain goes when it leaves, a row for each state; without them to all others alike.

    Source: Hamilton 1989, "A new approach to the economic analysis of nonstationary time series and the business
    cycle"; for returns, Hardy 2001, "A regime-switching model of long-term stock returns".
    """

    volatilities: tuple[PositiveFloat, ...] = (0.10, 0.18, 0.45)
    drifts: tuple[FiniteFloat, ...] | None = None
    durations: tuple[Annotated[float, Field(ge=1, allow_inf_nan=False)], ...] = (120.0, 60.0, 20.0)
    moves: tuple[tuple[NonNegativeFloat, ...], ...] | None = None

    @model_validator(mode="after")
    def _states_fit(self) -> Switching:
        states = len(self.volatilities)
        if states < 2 or len(set(self.volatilities)) < states:
            raise ValueError(
                f"volatilities: {list(self.volatilities)} are not two or more different numbers; name each state once"
            )
        for name, given in (("drifts", self.drifts), ("durations", self.durations), ("moves", self.moves)):
            if given is not None and len(given) != states:
                raise ValueError(f"{name}: there are {len(given)}, but {states} volatilities; give one a state")
        for state, row in enumerate(self.moves or ()):
            if len(row) != states or row[state] != 0 or abs(sum(row) - 1) > 1e-9:
                raise ValueError(
                    f"moves: row {state} is {list(row)}; it needs {states} probabilities that sum to 1, with 0 for "
                    "the state itself"
                )
        if np.linalg.matrix_rank(self._jumps() - np.eye(states)) < states - 1:
            raise ValueError("moves: the states fall apart into sets without a way between; connect them")
        return self

    @property
    def stationary(self) -> NDArray[np.float64]:
        """Long-run share of time in each state."""
        jumps = self._jumps()
        equations = np.vstack([(jumps - np.eye(len(jumps))).T, np.ones(len(jumps))])
        visits = np.linalg.lstsq(equations, np.eye(len(equations))[-1])[0].clip(min=0)
        time = visits * self.durations
        return time / time.sum()

    def transition(self, dt: float = 1 / TRADING_DAYS) -> NDArray[np.float64]:
        """Probabilities of each state after one period, a row for each state before it.

        Raises:
            InputError: if a stay would be shorter than the period.
        """
        if min(self.durations) < TRADING_DAYS * dt * (1 - 1e-9):
            raise InputError(
                f"durations: a mean stay of {min(self.durations):g} days is shorter than a period of "
                f"{TRADING_DAYS * dt:g}; take shorter periods"
            )
        leaving = np.minimum(TRADING_DAYS * dt / np.array(self.durations), 1.0)
        return np.diag(1 - leaving) + leaving[:, np.newaxis] * self._jumps()

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """First the states, stay by stay, then one normal a path and period."""
        spot, regime = self._simulate(paths, steps, dt, generator, dtype)
        return spot, self._variances(spot)[regime]

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
        """The same spot as :meth:`sample`, its states, and marks by the chain as it moves at this ``dt``."""
        spot, regime = self._simulate(paths, steps, dt, generator, dtype)
        means = self._means(left.double() / dt, dt).to(spot)
        now = regime[-left.shape[1] :].expand(len(left), -1, -1)
        return Marked(spot, means.gather(-1, now), regime=regime)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """Mean of the expected squared volatility over the days to come, of which the last may be a part.

        Raises:
            InputError: if a variance is not that of a state.
        """
        days = TRADING_DAYS * torch.as_tensor(years, dtype=torch.float64, device=variance.device)
        means = self._means(days, 1 / TRADING_DAYS).to(variance)
        return means.expand(*variance.shape, -1).gather(-1, self._states(variance).unsqueeze(-1)).squeeze(-1)

    def _simulate(
        self, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "times paths"], Int[Tensor, "times paths"]]:
        regime = self._chain(paths, steps, dt, generator)
        spot = torch.empty(steps + 1, paths, dtype=dtype, device=generator.device)
        variances = self._variances(spot)
        drifts = -0.5 * variances if self.drifts is None else spot.new_tensor(self.drifts)
        spot[0] = 0.0
        gains = spot[1:].normal_(generator=generator)
        gains.mul_((variances * dt).sqrt()[regime[:-1]]).add_((drifts * dt)[regime[:-1]])
        for before, now in pairwise(spot.unbind()):
            now.add_(before)
        return spot.exp_(), regime

    def _chain(self, paths: int, steps: int, dt: float, generator: torch.Generator) -> Int[Tensor, "times paths"]:
        """States at all times: geometric stays one after the other, of all the paths that have not come to the end."""
        device = generator.device
        stationary = torch.as_tensor(self.stationary, device=device).cumsum(0)[:-1]
        jumps = torch.as_tensor(self._jumps(), device=device).cumsum(1)[:, :-1]
        staying = torch.as_tensor(self.transition(dt).diagonal().copy(), device=device).log()

        def uniform(count: int) -> Tensor:
            return torch.rand(count, dtype=torch.float64, device=device, generator=generator)

        changes = torch.zeros(steps + 1, paths, dtype=torch.int16, device=device)
        state = torch.searchsorted(stationary, uniform(paths), right=True)
        changes[0] = state
        where, time = torch.arange(paths, device=device), torch.zeros(paths, dtype=torch.int64, device=device)
        while len(where):
            stay = (torch.log1p(-uniform(len(where))) / staying[state]).clamp_(max=steps).long() + 1
            time = time + stay
            going = (time <= steps).nonzero().squeeze(-1)
            where, time, before = where[going], time[going], state[going]
            state = (uniform(len(where)).unsqueeze(-1) >= jumps[before]).sum(-1)
            changes[time, where] = (state - before).to(changes.dtype)
        for before, now in pairwise(changes.unbind()):
            now.add_(before)
        return changes.long()

    def _jumps(self) -> NDArray[np.float64]:
        """Probabilities of the next state given that it is another, a row for each state before."""
        if self.moves is not None:
            return np.array(self.moves)
        states = len(self.volatilities)
        return (1 - np.eye(states)) / (states - 1)

    def _variances(self, like: Tensor) -> Float[Tensor, " states"]:
        return torch.tensor(self.volatilities, dtype=torch.float64, device=like.device).square().to(like)

    def _states(self, variance: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        levels, order = self._variances(variance).sort()
        place = torch.searchsorted((levels[1:] + levels[:-1]) / 2, variance.contiguous())
        if not torch.allclose(variance, levels[place], rtol=1e-5, atol=0):
            known = ", ".join(f"{level:g}" for level in levels.tolist())
            raise InputError(f"variance: some are of no state, which have {known}; give those that sample returns")
        return order[place]

    def _means(self, periods: Float[Tensor, "*shape"], dt: float) -> Float[Tensor, "*shape states"]:
        """Mean variance over so many periods to come, given each state now; over none, its own variance."""
        chain, ahead = self.transition(dt), [np.square(self.volatilities)]
        for _ in range(math.ceil(periods.max())):
            ahead.append(chain @ ahead[-1])
        single = torch.as_tensor(np.stack(ahead), device=periods.device)
        whole = periods.floor().long()
        total = (single.cumsum(0) - single)[whole] + (periods - whole).unsqueeze(-1) * single[whole]
        return torch.where(periods.unsqueeze(-1) > 0, total / periods.unsqueeze(-1), single[0])
