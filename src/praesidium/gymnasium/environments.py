"""The environments: one path at a time, and many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from praesidium.component import InputError
from praesidium.gymnasium.desk import Desk
from praesidium.gymnasium.table import Table

Array = NDArray[Any]


class Hedging(gymnasium.Env[Array, Array]):
    """Hedge a liability on one path of a market, from inception to maturity.

    The reward of a step is the mark-to-market profit of the period, net of costs, in units of the spot at inception;
    premium included, so that an episode adds up to its terminal profit.

    Args:
        data: file of the configuration group ``data``.
        environment: an environment of the data set, or several, which take turns from episode to episode.
        overrides: of the study, in Hydra's grammar: liability, instruments, limits, features.
        action: ``position``, what to hold over (t, t+1] in each instrument; ``trade``, the change of what is held. An
            action outside the space counts as the nearest one inside; limits come after.

    Raises:
        InputError: names what does not exist, with the nearest and all known ones.
    """

    metadata = {"render_modes": []}  # noqa: RUF012, an instance variable to Gymnasium

    def __init__(
        self,
        data: str = "synthetic_heston",
        environment: str | Sequence[str] = "medium",
        overrides: Sequence[str] = (),
        action: str = "position",
    ) -> None:
        self.desk = Desk(data, environment, overrides, action)
        self.action_space = self.desk.action_space
        self.observation_space = self.desk.observation_space
        self._table: Table | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of the episodes from now on; without one they go on as before.
            options: ``environment``, where this episode takes place.
        """
        super().reset(seed=seed)
        if seed is not None or self._table is None:
            self.desk.shuffle(self.np_random_seed)
        self._table = self.desk.deal(1, options)
        return self._table.observe()[0], _first(self._table)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Trade, and go to the next day; at maturity the episode terminates."""
        table = _begun(self._table)
        reward = table.advance(np.asarray(action)[np.newaxis])[0].item()
        return table.observe()[0], reward, table.over, False, _first(table)


class VectorHedging(VectorEnv[Array, Array, Array]):
    """Many episodes of :class:`Hedging` at once, as rows of tensors.

    All of them begin and mature together. The step after maturity begins the next ones, whatever the actions, with
    rewards of zero (autoreset mode ``NEXT_STEP``). With ``num_envs`` that divides 256, row i of episode j is what
    :class:`Hedging` with the same seed has as episode ``j * num_envs + i``.

    Args:
        num_envs: number of paths.
        data, environment, overrides, action: as of :class:`Hedging`; environments take turns from row to row.

    Raises:
        InputError: if there is no row, or something does not exist.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        data: str = "synthetic_heston",
        environment: str | Sequence[str] = "medium",
        overrides: Sequence[str] = (),
        action: str = "position",
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs={num_envs} makes no environment; at least one is needed")
        self.num_envs = num_envs
        self.desk = Desk(data, environment, overrides, action)
        self.single_action_space = self.desk.action_space
        self.single_observation_space = self.desk.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._table: Table | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode in every row; see :meth:`Hedging.reset`."""
        super().reset(seed=seed)
        if seed is not None or self._table is None:
            begun = self.np_random_seed
            assert begun is not None
            self.desk.shuffle(begun)
        self._table = self.desk.deal(self.num_envs, options)
        return self._table.observe(), self._table.tell()

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Trade, and go to the next day, or from maturity to a new inception."""
        table, none = _begun(self._table), np.zeros(self.num_envs, dtype=bool)
        if table.over:
            observations, told = self.reset()
            return observations, np.zeros(self.num_envs), none, none.copy(), told
        rewards = table.advance(actions)
        return table.observe(), rewards, np.full(self.num_envs, table.over), none, table.tell()


def _begun(table: Table | None) -> Table:
    if table is None:
        raise InputError("step: no episode has begun; call reset first")
    return table


def _first(table: Table) -> dict[str, Any]:
    """What is told of the first path, as numbers."""
    return {name: one[0].item() for name, one in table.tell().items()}
