"""Rules from state to position, and hedgers of prices that know the regime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from praesidium.policies.cost_aware import TransactionCostAwareHedger
    from praesidium.policies.dynamic_delta import DynamicDeltaHedger
    from praesidium.policies.hedge_frequency import leland_number, optimal_hedge_frequency
    from praesidium.policies.hedge_loss import delta_hedge_loss
    from praesidium.policies.hedge_ratio import minimum_variance_hedge_ratio
    from praesidium.policies.hedge_training import train_delta_hedger
    from praesidium.policies.lstm_delta import LSTMDeltaHedger
    from praesidium.policies.regime_delta import RegimeDeltaHedger
    from praesidium.policies.transition_aware import TransitionAwareHedger

__all__ = [
    "DynamicDeltaHedger",
    "LSTMDeltaHedger",
    "RegimeDeltaHedger",
    "TransactionCostAwareHedger",
    "TransitionAwareHedger",
    "delta_hedge_loss",
    "leland_number",
    "minimum_variance_hedge_ratio",
    "optimal_hedge_frequency",
    "train_delta_hedger",
]

# Imported when asked for: most of the library needs one or two modules of this package.
_HOMES = {
    "DynamicDeltaHedger": "dynamic_delta",
    "LSTMDeltaHedger": "lstm_delta",
    "RegimeDeltaHedger": "regime_delta",
    "TransactionCostAwareHedger": "cost_aware",
    "TransitionAwareHedger": "transition_aware",
    "delta_hedge_loss": "hedge_loss",
    "leland_number": "hedge_frequency",
    "minimum_variance_hedge_ratio": "hedge_ratio",
    "optimal_hedge_frequency": "hedge_frequency",
    "train_delta_hedger": "hedge_training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
