"""Beliefs and returns for allocators, and a regime model that is fitted at once."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator

from praesidium.portfolio.attention import AttentionPortfolioOptimizer
from praesidium.portfolio.bayesian import BayesianPortfolioOptimizer
from praesidium.portfolio.ensemble import EnsemblePortfolioOptimizer
from praesidium.portfolio.hierarchical import HierarchicalPortfolioOptimizer
from praesidium.portfolio.transformer import TransformerPortfolioOptimizer
from praesidium.training.reproducibility import stream

MEMBERS = (
    AttentionPortfolioOptimizer,
    TransformerPortfolioOptimizer,
    BayesianPortfolioOptimizer,
    EnsemblePortfolioOptimizer,
    HierarchicalPortfolioOptimizer,
)


@pytest.fixture(scope="session")
def members():
    """All allocators."""
    return MEMBERS


@pytest.fixture(params=MEMBERS)
def member(request):
    """Each of them."""
    return request.param


class Calm(BaseEstimator):
    """Regimes by the size of the last returns against that of all that were fitted."""

    def __init__(self, n_regimes=3):
        self.n_regimes = n_regimes

    def fit(self, X, y=None):
        self.scale_ = np.abs(X).mean()
        return self

    def filter(self, X):
        size = pd.Series(np.abs(X)).ewm(halflife=3).mean().to_numpy() / self.scale_
        score = -np.square(size[:, None] - np.linspace(0.5, 1.5, self.n_regimes)) * 8
        return np.exp(score) / np.exp(score).sum(1, keepdims=True)

    def forecast(self, X, *, steps=1):
        return 0.9 * self.filter(X) + 0.1 / self.n_regimes


@pytest.fixture(scope="session")
def calm_model():
    return Calm


@pytest.fixture(scope="session")
def beliefs():
    """Distributions over regimes, (batch, time, regimes)."""

    def drawn(batch, times, regimes, purpose="beliefs"):
        return (3 * torch.randn(batch, times, regimes, generator=stream("tests", purpose))).softmax(-1)

    return drawn


@pytest.fixture(scope="session")
def market():
    """Daily returns of four assets over 160 rows, calm and wild by turns."""
    generator = np.random.default_rng(7)
    level = np.where((np.arange(160) // 40) % 2 == 0, 0.006, 0.02)[:, None]
    shocks = generator.standard_normal((160, 4)) + 0.7 * generator.standard_normal((160, 1))
    index = pd.bdate_range("2020-01-01", periods=160)
    return pd.DataFrame(0.0005 + level * shocks, index=index, columns=["A", "B", "C", "D"])
