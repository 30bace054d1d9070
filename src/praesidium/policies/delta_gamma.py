"""Delta-gamma hedging."""

from __future__ import annotations

from torch import Tensor

from praesidium.hedging.state import State
from praesidium.policies.option_hedge import OptionHedge


class DeltaGamma(OptionHedge, kind="delta_gamma"):
    """The option against the curvature of the claim: right for large moves of the spot at the same volatility.

    Source: Hull 2018, Options, Futures, and Other Derivatives, section 19.8.
    """

    def ratio(self, state: State) -> tuple[Tensor, Tensor]:
        assert state.hedges is not None
        return state.gamma, state.hedges[..., 0, 1]
