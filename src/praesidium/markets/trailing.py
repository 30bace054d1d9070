"""Statistics of the days behind: what is known of a path at a time from its own past."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from praesidium.markets.paths import Paths


def log_returns(paths: Paths) -> Float[Tensor, "periods paths"]:
    """Log return of each period, history included."""
    return paths.spot.log().diff(dim=0)


def realized_volatility(paths: Paths, window: int) -> Float[Tensor, "steps paths"]:
    """Annualized root mean square of the last ``window`` log returns, at times 0..horizon-1."""
    return (trailing(log_returns(paths).square(), paths, window).mean(-1) / paths.dt).sqrt()


def trailing(values: Float[Tensor, "periods paths"], paths: Paths, window: int) -> Float[Tensor, "steps paths window"]:
    """The last ``window`` period values known at each of the times 0..horizon-1.

    Raises:
        ValueError: if the paths carry less history than the window.
    """
    if window > paths.lookback:
        raise ValueError(
            f"a trailing window of {window} periods needs as much history; the paths carry {paths.lookback}"
        )
    return values.unfold(0, window, 1)[paths.lookback - window : paths.lookback - window + paths.horizon]
