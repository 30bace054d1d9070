"""The training loop and other ways to train; they know no finance."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from praesidium.training.guided import train_advanced_portfolio, train_portfolio
    from praesidium.training.meta import MetaPortfolioOptimizer, sample_tasks
    from praesidium.training.online import OnlinePortfolioOptimizer
    from praesidium.training.walk_forward import WalkForwardTrainer

__all__ = [
    "MetaPortfolioOptimizer",
    "OnlinePortfolioOptimizer",
    "WalkForwardTrainer",
    "sample_tasks",
    "train_advanced_portfolio",
    "train_portfolio",
]

# Imported when asked for: most of the library needs nothing of this package but its random streams.
_HOMES = {
    "MetaPortfolioOptimizer": "meta",
    "OnlinePortfolioOptimizer": "online",
    "WalkForwardTrainer": "walk_forward",
    "sample_tasks": "meta",
    "train_advanced_portfolio": "guided",
    "train_portfolio": "guided",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
