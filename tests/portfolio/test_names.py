"""Every name of the system is found in the package that it belongs to."""

from importlib import import_module

import pytest

import praesidium.portfolio
from praesidium.portfolio import allocator, backtest, losses

NAMES = {
    "regimes": [
        *("Encoder", "Prior", "Decoder", "VAE_HMM", "RandomChunkDataset", "train_model", "collate_fn"),
        *("RegimeChangeDetector", "ForwardTransitionPredictor", "RegimePersistenceModel", "TemperatureScaling"),
        *("RegimeFactorModel", "estimate_regime_covariance"),
    ],
    "portfolio": [
        *("AttentionPortfolioOptimizer", "TransformerPortfolioOptimizer", "BayesianPortfolioOptimizer"),
        *("EnsemblePortfolioOptimizer", "HierarchicalPortfolioOptimizer"),
        *("advanced_portfolio_loss", "sortino_loss", "calmar_loss", "risk_parity_loss", "regime_conditional_loss"),
        *("adversarial_portfolio_loss", "transition_aware_loss", "portfolio_loss", "sharpe_loss"),
        *("confidence_based_sizing", "optimize_rebalancing_frequency", "optimize_leverage", "RegimePrior"),
    ],
    "training": [
        *("MetaPortfolioOptimizer", "OnlinePortfolioOptimizer", "WalkForwardTrainer"),
        *("train_advanced_portfolio", "train_portfolio"),
    ],
    "policies": [
        *("RegimeDeltaHedger", "DynamicDeltaHedger", "LSTMDeltaHedger", "TransactionCostAwareHedger"),
        *("TransitionAwareHedger", "minimum_variance_hedge_ratio", "delta_hedge_loss", "optimal_hedge_frequency"),
        "train_delta_hedger",
    ],
}


@pytest.mark.parametrize(("package", "name"), [(package, name) for package, names in NAMES.items() for name in names])
def test_names_are_where_they_are_looked_for(package, name):
    home = import_module(f"praesidium.{package}")
    assert callable(getattr(home, name))
    assert name in home.__all__


def test_the_package_offers_every_member_and_every_loss():
    offered = {getattr(praesidium.portfolio, name) for name in praesidium.portfolio.__all__ if name != "METRICS"}
    assert set(allocator.Allocator.registry.values()) <= offered
    assert {getattr(losses, name) for name in losses.__all__} <= offered


def test_a_function_with_the_name_of_its_module_is_the_function():
    """Whichever was imported first."""
    assert backtest is import_module("praesidium.portfolio.backtest").backtest
    assert callable(praesidium.portfolio.characteristics)
