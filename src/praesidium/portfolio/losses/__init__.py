"""Scalars to train portfolios on: lower is better, weights at t earn the return of t + 1."""

from praesidium.portfolio.losses.accounting import NetReturns, net_returns
from praesidium.portfolio.losses.adversarial import adversarial_portfolio_loss
from praesidium.portfolio.losses.calmar import calmar_loss
from praesidium.portfolio.losses.change import change_probability, regimes_after_change
from praesidium.portfolio.losses.composite import advanced_portfolio_loss, portfolio_loss
from praesidium.portfolio.losses.contributions import variance_contributions
from praesidium.portfolio.losses.drawdown import path_drawdown
from praesidium.portfolio.losses.regime_conditional import Moments, regime_conditional_loss, regime_moments
from praesidium.portfolio.losses.risk_parity import risk_parity_loss
from praesidium.portfolio.losses.sharpe import sharpe_loss
from praesidium.portfolio.losses.sortino import sortino_loss
from praesidium.portfolio.losses.transition_aware import regime_targets, transition_aware_loss

__all__ = [
    "Moments",
    "NetReturns",
    "advanced_portfolio_loss",
    "adversarial_portfolio_loss",
    "calmar_loss",
    "change_probability",
    "net_returns",
    "path_drawdown",
    "portfolio_loss",
    "regime_conditional_loss",
    "regime_moments",
    "regime_targets",
    "regimes_after_change",
    "risk_parity_loss",
    "sharpe_loss",
    "sortino_loss",
    "transition_aware_loss",
    "variance_contributions",
]
