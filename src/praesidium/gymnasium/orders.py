"""Orders: what an action asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError, unknown
from praesidium.hedging.limits import Limits

Action = Literal["position", "trade"]
BOUNDS = (-2.0, 2.0)  # of positions without a limit: twice the largest delta of a call, either way


@dataclass(frozen=True)
class Orders:
    """How actions become wanted positions. An action outside its box counts as the nearest one inside.

    Attributes:
        action: ``position``, what to hold over (t, t+1]; ``trade``, the change of what is held.
        position: lowest and highest position, units.
        trade: largest trade either way, units.
    """

    action: Action
    position: tuple[float, float]
    trade: float

    @classmethod
    def under(cls, limits: Limits | None, action: str) -> Orders:
        """The orders that limits allow; where a position has none, the bounds are -2 and 2.

        Raises:
            InputError: if there is no such kind of action.
        """
        if action not in get_args(Action):
            raise InputError(unknown("action", action, get_args(Action)))
        position = BOUNDS if limits is None or limits.position is None else limits.position
        widest = position[1] - position[0]
        trade = widest if limits is None or limits.trade is None else min(limits.trade, widest)
        return cls("trade" if action == "trade" else "position", position, trade)

    def box(self, instruments: int) -> Box:
        """The space of actions, an axis of the instruments, the spot first."""
        low, high = self.position if self.action == "position" else (-self.trade, self.trade)
        return Box(low, high, shape=(instruments,), dtype=np.float32)

    def wanted(
        self, actions: Float[Tensor, "paths *instruments"], held: Float[Tensor, "paths *instruments"]
    ) -> Float[Tensor, "paths *instruments"]:
        """Positions wanted by those who hold these; limits of the trade come later."""
        if self.action == "trade":
            actions = held + actions
        return actions.clamp(*self.position)
