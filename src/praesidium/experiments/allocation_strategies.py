"""What the allocation study compares: a table of strategies, each a way to build what is walked forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from praesidium.component import Component
from praesidium.portfolio.allocator import Allocator
from praesidium.portfolio.attention import AttentionPortfolioOptimizer
from praesidium.portfolio.bayesian import BayesianPortfolioOptimizer
from praesidium.portfolio.ensemble import EnsemblePortfolioOptimizer
from praesidium.portfolio.hierarchical import HierarchicalPortfolioOptimizer
from praesidium.portfolio.losses import advanced_portfolio_loss
from praesidium.portfolio.prior import RegimePrior
from praesidium.portfolio.timing import BuyAndHold, RegimeTiming, Timing, VolatilityTarget
from praesidium.portfolio.transformer import TransformerPortfolioOptimizer
from praesidium.regimes import RegimeModel, deciding, regime_model

if TYPE_CHECKING:
    from skfolio.optimization import BaseOptimization

REGIMES = 2  # calm and wild, for all that ask for regimes
RISK_FIRST = partial(advanced_portfolio_loss, limit_weight=0.0, drawdown_weight=10.0, cvar_weight=100.0)
"""What the networks minimize: drawdown and tail before Sharpe ratio, weighed on decisions before 2005."""


class Schedule(Component):
    """When a strategy is fitted.

    Attributes:
        window: daily returns that each fit sees; fewer at the start of the data.
        every: days from one fit to the next.
    """

    window: int = Field(ge=2)
    every: PositiveInt


class Effort(Component):
    """How much is spent on each kind of strategy.

    Attributes:
        portfolios: schedule of the optimizers, which trade when they are fitted.
        timing: schedule of the rules that learn nothing, and of the hidden Markov model.
        jump: schedule of the jump model.
        neural: schedule of the networks.
        trade_every: days from one trade of the networks to the next.
        epochs: steps of training in each fit of a network.
        hidden: width of the networks, a multiple of 4.
        least: rows that have to lie before and after the first decision.
    """

    portfolios: Schedule = Schedule(window=1000, every=21)
    timing: Schedule = Schedule(window=3000, every=126)
    jump: Schedule = Schedule(window=3000, every=252)
    neural: Schedule = Schedule(window=1000, every=756)
    trade_every: PositiveInt = 21
    epochs: PositiveInt = 30
    hidden: int = Field(default=16, multiple_of=4, gt=0)
    least: PositiveInt = 252


@dataclass(frozen=True)
class Terms:
    """What a strategy may know when it is built.

    Attributes:
        effort: what may be spent on it.
        seed: of all that is drawn.
        cost_rate: of its trades.
    """

    effort: Effort
    seed: int
    cost_rate: float


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        name: on the command line and in every report.
        group: what it is compared beside.
        schedule: which schedule of the effort it follows.
        says: what it holds, in a few words.
        make: builds it, unfitted.
        least_assets: number of assets that it needs.
        needs_moves: whether every one of them has to move in its first window.
    """

    name: str
    group: Literal["portfolios", "timing", "networks"]
    schedule: Literal["portfolios", "timing", "jump", "neural"]
    says: str
    make: Callable[[Terms], Any]
    least_assets: int = 1
    needs_moves: bool = False


class Periodic:
    """An allocator that trades on the day of its fit, and every so many days from then on.

    Args:
        allocator: with a setting ``trade_every``, which alone would trade on its first row and count from there.
    """

    def __init__(self, allocator: Any) -> None:
        self.allocator = allocator

    def fit(self, X: pd.DataFrame) -> Periodic:
        self.allocator.fit(X)
        self.phase = (len(X) - 1) % self.allocator.trade_every
        return self

    def decide(self, X: pd.DataFrame) -> np.ndarray:
        weights = np.full(X.shape, np.nan)
        weights[self.phase :] = self.allocator.decide(X.iloc[self.phase :]).to_numpy()
        return weights


class Timed:
    """A portfolio while a timing rule is in the market, and cash while it is not.

    Trades on the day of a fit and when the rule changes its mind.

    Args:
        optimizer: of skfolio, fitted to the last ``window`` rows.
        rule: fitted to all rows; its exposure scales the portfolio.
        window: rows.
    """

    def __init__(self, optimizer: BaseOptimization, rule: Timing, window: int) -> None:
        self.optimizer, self.rule, self.window = optimizer, rule, window

    def fit(self, X: pd.DataFrame) -> Timed:
        self.rule.fit(X)
        with deciding():
            self.optimizer.fit(X.iloc[-self.window :])
        self.fitted_on = len(X) - 1
        return self

    def decide(self, X: pd.DataFrame) -> np.ndarray:
        exposure = self.rule.exposure(X.mean(axis=1))
        weights = exposure[:, None] * self.optimizer.weights_
        stays = np.append(False, exposure[1:] == exposure[:-1])
        stays[self.fitted_on] = False
        weights[stays] = np.nan
        return weights


def _equal_weight(_: Terms) -> Any:
    from skfolio.optimization import EqualWeighted  # noqa: PLC0415  (importing skfolio takes seconds)

    return EqualWeighted()


def _inverse_volatility(_: Terms) -> Any:
    from skfolio.optimization import InverseVolatility  # noqa: PLC0415

    return InverseVolatility()


def _min_variance(_: Terms) -> Any:
    from skfolio.moments import LedoitWolf  # noqa: PLC0415
    from skfolio.optimization import MeanRisk  # noqa: PLC0415
    from skfolio.prior import EmpiricalPrior  # noqa: PLC0415

    return MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()))


def _mean_cvar(_: Terms) -> Any:
    from skfolio import RiskMeasure  # noqa: PLC0415
    from skfolio.optimization import MeanRisk  # noqa: PLC0415

    return MeanRisk(risk_measure=RiskMeasure.CVAR)


def _regime_prior(terms: Terms) -> Any:
    from skfolio.optimization import MeanRisk  # noqa: PLC0415

    return MeanRisk(prior_estimator=RegimePrior(_hmm(terms), horizon=terms.effort.portfolios.every))


def _hmm_timing(terms: Terms) -> Any:
    return RegimeTiming(_hmm(terms))


def _jump_timing(terms: Terms) -> Any:
    return RegimeTiming(regime_model("jump", n_regimes=REGIMES, indicators="returns", random_state=terms.seed))


def _timed_min_variance(terms: Terms) -> Any:
    return Timed(_min_variance(terms), _jump_timing(terms), terms.effort.portfolios.window)


def _network(family: type[Allocator], terms: Terms) -> Any:
    return Periodic(
        family(
            K=REGIMES,
            hidden_dim=terms.effort.hidden,
            trade_every=terms.effort.trade_every,
            transaction_costs=terms.cost_rate,
            loss=RISK_FIRST,
            regime_model=_hmm(terms),
            epochs=terms.effort.epochs,
            random_state=terms.seed,
        )
    )


def _hmm(terms: Terms) -> RegimeModel:
    return regime_model("gaussian_hmm", n_regimes=REGIMES, random_state=terms.seed)


def _networks() -> Iterator[Entry]:
    for family, name, says in (
        (AttentionPortfolioOptimizer, "attention", "attention over a month of regime probabilities"),
        (TransformerPortfolioOptimizer, "transformer", "two blocks of causal attention"),
        (BayesianPortfolioOptimizer, "bayesian", "mean over networks of a variational posterior"),
        (EnsemblePortfolioOptimizer, "ensemble", "mean over five networks, each on its own sample"),
        (HierarchicalPortfolioOptimizer, "hierarchical", "slow macro states gate fast networks"),
    ):
        yield Entry(name, "networks", "neural", says, partial(_network, family), least_assets=2)


STRATEGIES = {
    entry.name: entry
    for entry in (
        Entry("equal_weight", "portfolios", "portfolios", "equal parts", _equal_weight, 2),
        Entry("inverse_volatility", "portfolios", "portfolios", "1 / volatility", _inverse_volatility, 2, True),
        Entry("min_variance", "portfolios", "portfolios", "least variance, Ledoit-Wolf covariance", _min_variance, 2),
        Entry("mean_cvar", "portfolios", "portfolios", "least CVaR-95 of the days of the window", _mean_cvar, 2, True),
        Entry("regime_prior", "portfolios", "portfolios", "least variance in the regimes to come", _regime_prior, 2),
        Entry("buy_and_hold", "timing", "timing", "equal parts once, never touched again", lambda _: BuyAndHold()),
        Entry("volatility_target", "timing", "timing", "basket, at 10 % volatility", lambda _: VolatilityTarget()),
        Entry("hmm_timing", "timing", "timing", "basket unless the HMM says wild", _hmm_timing),
        Entry("jump_timing", "timing", "jump", "basket unless the jump model says wild", _jump_timing),
        Entry(
            "timed_min_variance",
            "timing",
            "timing",
            "min_variance unless the jump model says wild",
            _timed_min_variance,
            2,
        ),
        *_networks(),
    )
}
"""All strategies by name, in the order of every table."""
