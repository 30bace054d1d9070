"""Regime models on one history: what is compared is right, and comes from days that were not fitted on."""

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError
from praesidium.experiments.regimes import History, compare, history, models, summary
from praesidium.markets.switching import Switching
from praesidium.regimes import GaussianHMM, VolatilityBands


@pytest.fixture(scope="module")
def market():
    return history("markov_switching")


@pytest.fixture(scope="module")
def table(market):
    candidates = models(["gaussian_hmm", "bands"], n_regimes=3, settings={"random_state": 0})
    return compare(candidates, market, market.rows_until(None))


def test_the_market_is_known(market):
    assert isinstance(market.market, Switching)
    assert len(market.states) == len(market.returns) == 5000
    spread = [market.returns.to_numpy()[market.states == one].std() * 252**0.5 for one in range(3)]
    assert spread == pytest.approx(sorted(market.market.volatilities), rel=0.05)


def test_who_knows_the_market_is_ahead_of_who_has_to_learn_it(table):
    best = table.loc["the market itself"]
    assert np.isnan(best.seconds)
    for name in ("gaussian_hmm", "bands"):
        assert table.loc[name, "state_score"] < best.state_score
        assert table.loc[name, "accuracy"] < best.accuracy + 0.005
    assert table.loc["gaussian_hmm", "accuracy"] > best.accuracy - 0.05


def test_a_regime_model_beats_one_normal_law_out_of_sample(table):
    assert table.loc["gaussian_hmm", "log_score"] > 0.05
    assert table.loc["gaussian_hmm", "spread"] > 2


def test_log_scores_are_those_of_the_days_after_the_fit(market):
    """By hand, for one regime: the law of the first days on the others."""
    rows = market.rows_until(None)
    table = compare({"one": GaussianHMM(n_regimes=1)}, History(market.name, market.prices), rows)
    assert table.loc["one", "log_score"] == pytest.approx(0, abs=1e-3)


def test_the_summary_is_of_the_fitted_model(market):
    model = GaussianHMM(n_regimes=2).fit(market.returns.to_numpy())
    told = summary(model, market)
    assert told.volatility.is_monotonic_increasing
    assert told.days.sum() == pytest.approx(1)
    assert told.now.sum() == pytest.approx(1)
    assert told.stay.to_numpy() == pytest.approx(1 / (1 - np.diag(model.transition_)))
    ahead = told.now.to_numpy() @ np.linalg.matrix_power(model.transition_, 21)
    assert told["in a month"].to_numpy() == pytest.approx(ahead)


def test_days_to_fit_on():
    dates = pd.bdate_range("2020-01-01", periods=400)
    seen = History("mine", pd.Series(np.linspace(1, 2, 400), dates))
    assert seen.rows_until(None) == round(0.6 * 399)
    assert seen.rows_until("2020-12-31") == 261
    short = [History("mine", seen.prices[:rows]) for rows in (121, 131, 149, 150)]
    assert [one.rows_until(None) for one in short] == [60, 70, 88, 89]
    with pytest.raises(InputError, match=r"until: 2020-01-15 leaves 10 of 399 returns .* name a day between"):
        seen.rows_until("2020-01-15")
    for day in ("foo", "2020-12-31T00:00Z"):
        with pytest.raises(InputError, match=f"until: '{day}' is no day; write it as 2005-01-03"):
            seen.rows_until(day)
    with pytest.raises(InputError, match="has no dates"):
        history("markov_switching").rows_until("2020-01-15")


def test_names_are_checked():
    with pytest.raises(InputError, match=r"'sp50' is unknown; did you mean 'sp500'\?"):
        history("sp50")
    with pytest.raises(InputError, match=r"did you mean 'gaussian_hmm'\?"):
        models(["gaussian_hm"], n_regimes=2, settings={})
    with pytest.raises(InputError, match="2 are asked for, but the market has 3"):
        compare(models(["gaussian_hmm"], n_regimes=2, settings={}), history("markov_switching"), 3000)
    with pytest.raises(InputError, match="4 are asked for, but the market has 3"):
        compare({"bands": VolatilityBands()}, history("markov_switching"), 3000)


def test_another_seed_is_another_market(market):
    other = history("markov_switching", seed=1)
    assert not np.array_equal(other.states, market.states)
    assert torch.equal(torch.from_numpy(history("markov_switching").states), torch.from_numpy(market.states))
