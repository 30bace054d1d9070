"""Walking forward: nothing from the future, no gap, no restart, every day decided once."""

import inspect
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_dataset
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.optimization import EqualWeighted, InverseVolatility, MeanRisk, ObjectiveFunction
from skfolio.pre_selection import SelectKExtremes
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from praesidium.component import InputError
from praesidium.portfolio.backtest import Strategy, backtest, decide
from praesidium.portfolio.ledger import run_ledger
from praesidium.portfolio.metrics import summary
from praesidium.portfolio.timing import BuyAndHold, VolatilityBand, VolatilityTarget
from praesidium.regimes.causality import LookAhead
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=12)
unchecked = inspect.unwrap(decide)  # arguments of other types reach it


def prices(days=200, assets=3, name="backtest"):
    draws = np.random.default_rng(stream("tests", name).initial_seed())
    closes = 100 * np.exp(draws.normal(3e-4, 0.02, (days, assets)).cumsum(0))
    return pd.DataFrame(closes, pd.bdate_range("2001-01-01", periods=days), list("abcdefgh")[:assets])


class Momentum:
    """All in the asset that rose most over the last days; learns for how many days from the size of its window."""

    def fit(self, X):
        self.days = 5 + len(X) % 7
        return self

    def decide(self, X):
        best = X.rolling(self.days, min_periods=1).sum().to_numpy().argmax(axis=1)
        return np.eye(X.shape[1])[best]


class Tomorrow(Momentum):
    def decide(self, X):
        return np.eye(X.shape[1])[X.shift(-1).fillna(0).to_numpy().argmax(axis=1)]


class Reading:
    """Keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def __deepcopy__(self, memo):
        return self

    def fit(self, X):
        self.shown.append(("fit", X.index[0], X.index[-1]))

    def decide(self, X):
        self.shown.append(("decide", X.index[0], X.index[-1]))
        return np.full(X.shape, 0.25)


def check_the_past_stays(strategy, day):
    closes = prices(100)
    changed = closes.copy()
    changed.iloc[day + 1 :] *= np.linspace(0.5, 2, changed.iloc[day + 1 :].size).reshape(-1, 3)
    one = backtest(strategy, closes, train_window=40, refit_every=15)
    other = backtest(strategy, changed, train_window=40, refit_every=15)
    known = day + 1 - 40
    assert np.array_equal(one.wealth[:known], other.wealth[:known])
    assert np.array_equal(one.decisions.targets[:known], other.decisions.targets[:known], equal_nan=True)
    assert np.array_equal(one.weights[:known], other.weights[:known])
    assert not np.array_equal(one.wealth[known:], other.wealth[known:])


RULES = [Momentum(), BuyAndHold(), VolatilityBand(window=5)]


@pytest.mark.parametrize("strategy", RULES, ids=lambda one: type(one).__name__)
@LAW
@given(day=st.integers(42, 98))
def test_other_prices_tomorrow_leave_wealth_up_to_today_as_it_is(strategy, day):
    check_the_past_stays(strategy, day)


@pytest.mark.parametrize("strategy", [InverseVolatility(), MeanRisk()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("day", [54, 55, 56])  # about a refit
def test_other_prices_tomorrow_leave_an_optimizer_as_it_was(strategy, day):
    check_the_past_stays(strategy, day)


def test_a_strategy_that_knows_tomorrow_is_refused():
    with pytest.raises(LookAhead, match="decide each row from the rows up to it"):
        decide(Tomorrow(), prices(), train_window=40)


def test_it_is_shown_the_past_alone_and_decides_every_day_once():
    closes, reading = prices(100), Reading()
    decisions = decide(reading, closes, train_window=30, start=50, refit_every=20)
    dates = closes.index
    fits = [shown[1:] for shown in reading.shown if shown[0] == "fit"]
    assert fits == [(dates[now - 29], dates[now]) for now in (50, 70, 90)]
    blocks = {shown[1:] for shown in reading.shown if shown[0] == "decide"}
    # A block ends the day before the next fit; the last close of all could not be traded on any more.
    assert blocks == {(dates[now - 29], dates[end]) for now, end in ((50, 69), (70, 89), (90, 98))}
    assert decisions.refits.tolist() == [dates[50], dates[70], dates[90]]
    assert decisions.prices.index.equals(dates[50:])
    assert not np.isnan(decisions.targets[:-1]).any()
    assert np.isnan(decisions.targets[-1]).all()


def test_a_growing_window_starts_with_the_data():
    closes, reading = prices(80), Reading()
    decide(reading, closes, start=str(closes.index[40].date()), refit_every=20)
    assert [shown[1] for shown in reading.shown if shown[0] == "fit"] == [closes.index[1]] * 2
    assert [shown[2] for shown in reading.shown if shown[0] == "fit"] == [closes.index[40], closes.index[60]]


def test_wealth_runs_through_refits_without_gap_or_restart():
    """Periods that start with fresh capital, or days glued over a gap, would show as returns nobody earned."""
    closes = prices(160)
    whole = backtest(BuyAndHold(), closes, train_window=40, refit_every=10, delay=0, cost_rate=0.0)
    basket = (closes.iloc[40:] / closes.iloc[40]).mean(axis=1)
    np.testing.assert_allclose(whole.wealth, basket, rtol=1e-12)
    assert whole.dates.equals(closes.index[40:])
    np.testing.assert_allclose((1 + whole.returns).cumprod(), whole.wealth)
    other = backtest(BuyAndHold(), closes, train_window=40, refit_every=33, delay=0, cost_rate=0.0)
    np.testing.assert_allclose(other.wealth, whole.wealth, rtol=1e-12)


def test_a_strategy_that_never_changes_its_mind_trades_once():
    book = backtest(BuyAndHold(), prices(160), train_window=40, refit_every=10)
    assert np.flatnonzero(book.turnover).tolist() == [1]
    flat = pd.DataFrame(50.0, prices(160).index, list("abc"))
    lost = backtest(Momentum(), flat, train_window=40, capital=100_000, cost_rate=0.0015)
    assert lost.wealth.iloc[-1] == pytest.approx(100_000 - lost.ledger.costs.sum())


def test_the_first_day_of_a_new_fit_moves_to_where_it_stands():
    """The threshold that a fit learned puts the same days on another side."""

    class Switch:
        def fit(self, X):
            self.level = float(len(X) > 60)
            return self

        def decide(self, X):
            weights = np.full(X.shape, np.nan)
            weights[0] = self.level
            return weights

    decisions = decide(Switch(), prices(160, 1), start=40, refit_every=15)
    traded = np.flatnonzero(~np.isnan(decisions.targets[:, 0]))
    assert traded.tolist() == [30]  # out from the start, in at the third fit, never again
    assert decisions.targets[30, 0] == 1.0


def test_delays_cost_what_they_miss():
    decisions = decide(Momentum(), prices(), train_window=40)
    books = {delay: decisions.traded(delay=delay) for delay in (0, 1, 5)}
    for delay, book in books.items():
        expected = run_ledger(decisions.prices.to_numpy(), decisions.targets, delay=delay, cost_rate=0.001)
        assert np.array_equal(book.wealth, expected.wealth)
        assert not book.ledger.trades[:delay].any()
    assert len({book.wealth.iloc[-1] for book in books.values()}) == 3


def test_an_optimizer_agrees_with_skfolio_on_frictionless_walks():
    closes = load_sp500_dataset().iloc[-400:, :6]
    book = backtest(InverseVolatility(), closes, train_window=120, refit_every=20, delay=0, cost_rate=0.0)
    splits = WalkForward(train_size=120, test_size=20, reduce_test=True)
    theirs = cross_val_predict(
        InverseVolatility(portfolio_params={"weight_drift": True}), closes.pct_change().iloc[1:], cv=splits
    )
    np.testing.assert_allclose(book.returns.iloc[1:], theirs.returns, atol=1e-12)


def test_an_optimizer_is_told_what_it_holds():
    """The cost of a trade makes weights stick to those held, which have drifted since the last fit."""
    closes = load_sp500_dataset().iloc[-400:, :4]
    bold = MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_UTILITY, risk_aversion=5)
    loose = backtest(bold, closes, train_window=100, refit_every=50)
    costly = clone(bold).set_params(transaction_costs=0.02)
    sticky = backtest(costly, closes, train_window=100, refit_every=50)
    assert summary(sticky.track)["turnover"] < 0.7 * summary(loose.track)["turnover"]
    assert not hasattr(costly, "weights_")
    assert costly.previous_weights is None


class Told(InverseVolatility):
    told: ClassVar[list] = []

    def fit(self, X, y=None):
        self.told.append(self.previous_weights)
        return super().fit(X, y)


def test_what_an_optimizer_is_told_is_what_the_book_without_delay_holds():
    """Drift and costs included; a trade that comes late does not change what is told."""
    closes = prices(160)
    Told.told.clear()
    books = [backtest(Told(), closes, train_window=40, refit_every=15, delay=delay) for delay in (0, 1)]
    ledger, refits = books[0].ledger, np.arange(15, 120, 15)
    values = ledger.units[refits - 1] * closes.iloc[40 + refits].to_numpy()
    held = values / (ledger.cash[refits - 1, None] + values.sum(-1, keepdims=True))
    assert len(Told.told) == 2 * (1 + len(refits))
    for told in (Told.told[:8], Told.told[8:]):
        np.testing.assert_allclose(told, [np.zeros(3), *held], atol=1e-12)
    assert np.abs(held - ledger.weights[refits - 1]).max() > 1e-3


def test_the_same_strategy_twice_gives_the_same_book():
    one, other = (backtest(EqualWeighted(), prices(), train_window=40) for _ in range(2))
    assert np.array_equal(one.wealth, other.wealth)
    assert isinstance(VolatilityTarget(), Strategy)
    assert not isinstance(EqualWeighted(), Strategy)
    assert one.weights.iloc[2:].sum(axis=1).to_numpy() == pytest.approx(1)


def test_the_first_decision_is_a_number_or_a_day():
    closes = prices(60)
    there = closes.tz_localize("US/Eastern")
    for table, start in (
        (closes, np.int64(30)),
        (closes, str(closes.index[30].date())),
        (closes, closes.index[30].date()),
        (there, there.index[30]),
    ):
        assert len(unchecked(BuyAndHold(), table, start=start).targets) == 30
    for table, start in (
        (closes, 30.0),
        (closes, "nonsense"),
        (there, "2001-02-01"),
        (closes.reset_index(drop=True), "2001-02-01"),
    ):
        with pytest.raises(InputError, match=f"start={start!r} is no day among dates of type .*whole number of ret"):
            unchecked(BuyAndHold(), table, start=start)


def test_bad_input_is_refused():
    closes = prices(60)
    with pytest.raises(InputError, match="neither start nor train_window"):
        decide(BuyAndHold(), closes)
    for start in (1, 59, "2030-01-01"):
        with pytest.raises(InputError, match="needs two returns to look back on"):
            decide(BuyAndHold(), closes, start=start)
    with pytest.raises(InputError, match="dates of prices do not increase"):
        decide(BuyAndHold(), closes[::-1], train_window=20)
    holed = closes.copy()
    holed.iloc[7, 1] = np.nan
    with pytest.raises(InputError, match=r"1 prices are missing, .* above zero \(first: 2001-01-10"):
        decide(BuyAndHold(), holed, train_window=20)

    holed.iloc[7, 1] = np.inf
    with pytest.raises(InputError, match="1 prices are missing, infinite"):
        decide(BuyAndHold(), holed, train_window=20)
    with pytest.raises(InputError, match="column a of prices appears twice"):
        decide(EqualWeighted(), closes.set_axis(list("aab"), axis=1), train_window=20)
    with pytest.raises(InputError, match="column d of prices does not hold numbers"):
        decide(BuyAndHold(), closes.assign(d="1.5"), train_window=20)
    for size in ({"train_window": 20, "refit_every": 0}, {"train_window": 20.5}, {"train_window": 1}):
        with pytest.raises(InputError, match="is not a whole number of days"):
            unchecked(BuyAndHold(), closes, **size)
    for table in (closes.to_numpy(), closes["a"]):
        with pytest.raises(InputError, match="give a DataFrame, dates down"):
            unchecked(BuyAndHold(), table, start=20)
    with pytest.raises(InputError, match="a Pipeline is neither an optimizer of skfolio nor has it fit and decide"):
        unchecked(make_pipeline(SelectKExtremes(), EqualWeighted()), closes, start=20)

    class Flat(Momentum):
        def decide(self, X):
            return np.zeros(len(X))

    with pytest.raises(InputError, match="weights have shape \\(40,\\)"):
        decide(Flat(), closes, train_window=20)
