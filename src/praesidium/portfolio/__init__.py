"""From beliefs about regimes to weights of assets: allocators, losses, construction, and one book for all of them."""

from praesidium.portfolio.allocator import Allocator
from praesidium.portfolio.attention import AttentionPortfolioOptimizer
from praesidium.portfolio.backtest import Backtest, Decisions, Rebalanced, Strategy, backtest, decide
from praesidium.portfolio.bayesian import BayesianPortfolioOptimizer, WeightDistribution
from praesidium.portfolio.characteristics import characteristics
from praesidium.portfolio.constraints import Constraint, LeverageCapped, LongOnly, LongOrCash, LongShort
from praesidium.portfolio.ensemble import EnsemblePortfolioOptimizer
from praesidium.portfolio.hierarchical import HierarchicalPortfolioOptimizer
from praesidium.portfolio.intervals import Resampled, resample
from praesidium.portfolio.ledger import Ledger, run_ledger
from praesidium.portfolio.leverage import optimize_leverage, regime_volatilities
from praesidium.portfolio.losses import (
    Moments,
    NetReturns,
    advanced_portfolio_loss,
    adversarial_portfolio_loss,
    calmar_loss,
    change_probability,
    net_returns,
    path_drawdown,
    portfolio_loss,
    regime_conditional_loss,
    regime_moments,
    regime_targets,
    regimes_after_change,
    risk_parity_loss,
    sharpe_loss,
    sortino_loss,
    transition_aware_loss,
    variance_contributions,
)
from praesidium.portfolio.metrics import METRICS, Metric, Track, summary, window_returns
from praesidium.portfolio.prior import RegimePrior
from praesidium.portfolio.rebalancing import drift_loss, optimize_rebalancing_frequency
from praesidium.portfolio.sizing import confidence_based_sizing
from praesidium.portfolio.timing import BuyAndHold, RegimeTiming, Timing, VolatilityBand, VolatilityTarget
from praesidium.portfolio.transformer import TransformerPortfolioOptimizer

__all__ = [
    "METRICS",
    "Allocator",
    "AttentionPortfolioOptimizer",
    "Backtest",
    "BayesianPortfolioOptimizer",
    "BuyAndHold",
    "Constraint",
    "Decisions",
    "EnsemblePortfolioOptimizer",
    "HierarchicalPortfolioOptimizer",
    "Ledger",
    "LeverageCapped",
    "LongOnly",
    "LongOrCash",
    "LongShort",
    "Metric",
    "Moments",
    "NetReturns",
    "Rebalanced",
    "RegimePrior",
    "RegimeTiming",
    "Resampled",
    "Strategy",
    "Timing",
    "Track",
    "TransformerPortfolioOptimizer",
    "VolatilityBand",
    "VolatilityTarget",
    "WeightDistribution",
    "advanced_portfolio_loss",
    "adversarial_portfolio_loss",
    "backtest",
    "calmar_loss",
    "change_probability",
    "characteristics",
    "confidence_based_sizing",
    "decide",
    "drift_loss",
    "net_returns",
    "optimize_leverage",
    "optimize_rebalancing_frequency",
    "path_drawdown",
    "portfolio_loss",
    "regime_conditional_loss",
    "regime_moments",
    "regime_targets",
    "regime_volatilities",
    "regimes_after_change",
    "resample",
    "risk_parity_loss",
    "run_ledger",
    "sharpe_loss",
    "sortino_loss",
    "summary",
    "transition_aware_loss",
    "variance_contributions",
    "window_returns",
]
