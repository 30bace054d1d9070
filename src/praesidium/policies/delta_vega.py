"""Delta-vega hedging."""

from __future__ import annotations

from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.option_hedge import OptionHedge


class DeltaVega(OptionHedge, kind="delta_vega"):
    """The option against the claim's sensitivity to volatility, at parallel moves of both.

    Source: Hull 2018, Options, Futures, and Other Derivatives, section 19.9.
    """

    def ratio(self, state: State) -> tuple[Tensor, Tensor]:
        assert state.hedges is not None
        assert state.vega is not None
        return state.vega, state.hedges[..., 0, 2]
