"""Timing rules: what they hold, what they know, and what they may not ask."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from praesidium.component import InputError
from praesidium.data.volatility import realized_volatility
from praesidium.portfolio.backtest import decide
from praesidium.portfolio.timing import BuyAndHold, RegimeTiming, Timing, VolatilityBand, VolatilityTarget
from praesidium.regimes import GaussianHMM, RegimeModel, VolatilityBands
from praesidium.regimes.causality import LookAhead, deciding
from praesidium.training.reproducibility import stream


class Bands(RegimeModel):
    """Two regimes told apart by the size of the last return: the median of the training data divides them."""

    def __init__(self, *, n_regimes=2, random_state=0):
        self.n_regimes = n_regimes
        self.random_state = random_state

    def _fit(self, observed, inputs):
        sizes = observed.values[0, :, 0].abs()
        self.edge_ = sizes.median()
        self.initial_, self.transition_ = np.full(2, 0.5), np.array([[0.9, 0.1], [0.1, 0.9]])
        self.means_, self.volatilities_ = np.zeros((2, 1)), np.array([0.005, 0.02])

    def _reorder(self, order):
        super()._reorder(order)

    def _filter(self, observed, inputs):
        wild = (observed.values[..., 0].abs() > self.edge_).double()
        return torch.stack([0.9 - 0.8 * wild, 0.1 + 0.8 * wild], dim=-1)

    def _smooth(self, observed, inputs):
        return self._filter(observed, inputs)

    def _decode(self, observed, inputs):
        return self._filter(observed, inputs).argmax(-1)

    def _log_likelihood(self, observed, inputs):
        return torch.zeros(len(observed.values))

    def _emit(self, states, generator):
        return torch.zeros(len(states), 1)


class Cheat(RegimeTiming):
    """Asks for the smoothed regime."""

    def exposure(self, returns):
        return 1.0 - self.model_.smooth(returns.to_numpy())[:, -1].round()


def prices(days=260, assets=1, name="timing"):
    draws = np.random.default_rng(stream("tests", name).initial_seed())
    sizes = np.where(np.arange(days) // 65 % 2 == 0, 0.006, 0.025)[:, None]
    dates = pd.bdate_range("2001-01-01", periods=days)
    closes = 100 * np.exp((sizes * draws.normal(size=(days, assets))).cumsum(0))
    return pd.DataFrame(closes, dates, [f"asset {number}" for number in range(assets)])


def standing(rule, returns):
    """Exposure that stands at the close of each day."""
    return pd.DataFrame(rule.fit(returns).decide(returns), returns.index).ffill().sum(axis=1, skipna=False)


RETURNS = prices().pct_change().iloc[1:]
RULES = [BuyAndHold(), VolatilityBand(), VolatilityTarget(), RegimeTiming(Bands())]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_later_days_cannot_move_earlier_decisions(rule):
    fitted, changed = clone(rule).fit(RETURNS[:150]), RETURNS.copy()
    changed.iloc[200:] = -0.3 * changed.iloc[200:]
    with deciding():
        once, again = fitted.decide(RETURNS), fitted.decide(changed)
    assert np.array_equal(once[:200], again[:200], equal_nan=True)
    assert once.shape == RETURNS.shape


def test_regimes_decide_by_the_filtered_state_of_the_day():
    edge = RETURNS.abs().median().item()
    held = standing(RegimeTiming(Bands()), RETURNS)
    assert held.tolist() == (RETURNS.iloc[:, 0].abs() <= edge).astype(float).tolist()


def test_a_day_without_change_is_a_day_without_a_trade():
    decided = RegimeTiming(Bands()).fit(RETURNS).decide(RETURNS)[:, 0]
    held = pd.Series(decided).ffill()
    traded = ~np.isnan(decided)
    assert traded[0]
    assert np.array_equal(traded[1:], (held.diff() != 0).to_numpy()[1:])
    assert (~np.isnan(BuyAndHold().fit(RETURNS).decide(RETURNS))).sum() == 1


def test_volatility_rules_read_realized_volatility():
    volatility = realized_volatility(np.log1p(RETURNS.iloc[:, 0].to_numpy()), 20)
    target, band = standing(VolatilityTarget(target=0.15, cap=1.5), RETURNS), standing(VolatilityBand(), RETURNS)
    assert target[:19].isna().all() & band[:19].isna().all()
    np.testing.assert_allclose(target[19:], np.minimum(1.5, 0.15 / volatility[19:]))
    assert band[19:].tolist() == (volatility[19:] < 0.25).astype(float).tolist()
    assert 0 < band[19:].mean() < 1
    assert (standing(VolatilityTarget(), RETURNS * 0)[19:] == 1.0).all()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            VolatilityTarget(target=10),
            "VolatilityTarget: target=10 is not a fraction above 0; for 10 % a year say 0.10",
        ),
        (VolatilityTarget(target=-0.1), "target=-0.1 is not a fraction"),
        (VolatilityTarget(target=np.nan), "target=nan is not a fraction"),
        (VolatilityTarget(cap=0), "cap=0 is not an exposure above 0"),
        (VolatilityBand(limit=25), "VolatilityBand: limit=25 is not a fraction"),
        (VolatilityBand().set_params(window=0), "window=0 is not a number of days"),
        (VolatilityTarget().set_params(window=2.5), "window=2.5 is not a number of days"),
    ],
)
def test_settings_out_of_bounds_are_refused(rule, message):
    with pytest.raises(InputError, match=message):
        rule.fit(RETURNS).decide(RETURNS)


def test_a_basket_is_held_in_equal_parts_and_timed_by_its_mean():
    basket = prices(assets=3).pct_change().iloc[1:]
    rule = RegimeTiming(Bands()).fit(basket)
    decided = rule.decide(basket)
    decided = decided[~np.isnan(decided).any(axis=1)]
    assert set(np.unique(decided)) == {0, 1 / 3}
    assert (decided == decided[:, :1]).all()
    mean = standing(rule, basket.mean(axis=1).to_frame())
    np.testing.assert_allclose(standing(rule, basket), mean)


def test_a_hidden_markov_model_keeps_out_of_the_wild_regime():
    """Walked forward over refits, by the book and its audit; it never sees the regime that drew the returns."""
    closes = prices(520, name="two regimes")
    decisions = decide(RegimeTiming(GaussianHMM(n_regimes=2)), closes, train_window=260, refit_every=65)
    held = pd.Series(decisions.targets[:, 0]).ffill().fillna(0.0).to_numpy()
    calm = np.arange(260, 520) // 65 % 2 == 0
    assert (held == calm).mean() > 0.85
    assert len(decisions.refits) == 4


def test_the_model_is_cloned():
    model = Bands()
    rule = RegimeTiming(model).fit(RETURNS)
    assert not hasattr(model, "transition_")
    assert rule.get_params()["model"] is model
    assert isinstance(clone(rule), Timing)


def test_smoothing_is_refused_where_decisions_are_made():
    with pytest.raises(LookAhead, match="it looks ahead"):
        decide(Cheat(Bands()), prices(), train_window=100, refit_every=50)


def test_one_regime_cannot_time():
    with pytest.raises(InputError, match=r"GaussianHMM.*tells one regime apart; two are needed"):
        RegimeTiming(GaussianHMM(1)).fit(RETURNS)


def test_bands_say_by_themselves_how_many_they_are():
    exposure = RegimeTiming(VolatilityBands(edges=(0.1, 0.2))).fit(RETURNS).exposure(RETURNS.mean(axis=1))
    assert set(exposure[~np.isnan(exposure)]) <= {0.0, 1.0}
