"""The allocation study: no strategy sees tomorrow, and what is measured is what was walked."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from skfolio.optimization import InverseVolatility

from praesidium.component import InputError
from praesidium.data.asset_prices import AssetPrices
from praesidium.experiments.allocation import (
    RETURNS,
    Preset,
    Walk,
    measure,
    preset_of,
    run_walks,
    study_of,
    walk,
)
from praesidium.experiments.allocation_strategies import STRATEGIES, Effort, Periodic, Schedule, Timed
from praesidium.experiments.engines import Local
from praesidium.portfolio.backtest import decide
from praesidium.portfolio.metrics import Track, summary
from praesidium.portfolio.timing import BuyAndHold, VolatilityBand
from praesidium.reporting.allocation import read_allocation
from praesidium.training.reproducibility import stream

TINY = Effort(
    portfolios=Schedule(window=70, every=15),
    timing=Schedule(window=90, every=30),
    jump=Schedule(window=90, every=30),
    neural=Schedule(window=70, every=30),
    trade_every=10,
    epochs=2,
    hidden=4,
    least=40,
)
FIRST, CHANGED = 100, 137  # rows: of the first decision, and the last before the future changes, neither a refit


def prices(days=158, assets=4):
    draws = np.random.default_rng(stream("tests", "allocation").initial_seed())
    wild = np.where(np.arange(days) // 30 % 2 == 0, 0.006, 0.02)[:, None]
    closes = 100 * np.exp((wild * draws.normal(0.05, 1, (days, assets))).cumsum(0))
    days_ = pd.bdate_range("2001-01-01", periods=days, name="date")
    return AssetPrices("made up", pd.DataFrame(closes, days_, list("ABCDEFGH")[:assets]), "made up, not earned")


def study(table=None, **settings):
    table = table or prices()
    day = f"{table.closes.index[FIRST]:%Y-%m-%d}"
    return study_of(table, Preset(effort=TINY, resamples=100), **{"first": day, **settings})


@pytest.mark.parametrize("name", STRATEGIES)
def test_other_prices_tomorrow_leave_wealth_up_to_today_as_it_is(name):
    table = prices()
    changed = table.closes.copy()
    changed.iloc[CHANGED + 1 :] *= np.linspace(0.7, 1.6, changed.iloc[CHANGED + 1 :].size).reshape(-1, 4)
    one, other = (
        walk(study(AssetPrices("made up", closes, ""), strategies=[name])[0], name, closes).query("delay == 1")
        for closes in (table.closes, changed)
    )
    known = CHANGED + 1 - FIRST
    assert np.array_equal(one[:known].to_numpy(), other[:known].to_numpy())
    assert not np.array_equal(one[known:].to_numpy(), other[known:].to_numpy())
    weights = one.filter(like="weight_").sum(axis=1)
    assert (weights.iloc[1:] <= 1 + 1e-6).all()
    assert weights.iloc[1:].max() > 0.2


def test_every_strategy_follows_a_schedule_and_says_what_it_holds():
    assert {entry.schedule for entry in STRATEGIES.values()} <= set(Effort.model_fields)
    assert len({entry.says for entry in STRATEGIES.values()}) == len(STRATEGIES)


class Daily:
    """An allocator that holds all of the next asset each time it trades, and lets it drift in between."""

    trade_every = 10

    def fit(self, X):
        return self

    def decide(self, X):
        chosen = np.arange(len(X)) // self.trade_every % X.shape[1]
        weights = pd.DataFrame(np.eye(X.shape[1])[chosen], X.index)
        weights[np.arange(len(X)) % self.trade_every != 0] = np.nan
        return weights


def test_an_allocator_trades_on_its_days_alone_counted_from_each_fit():
    decisions = decide(Periodic(Daily()), prices().closes, start=FIRST, train_window=73, refit_every=30)
    traded = np.flatnonzero(~np.isnan(decisions.targets).any(axis=1))
    assert traded.tolist() == [0, 10, 20, 30, 40, 50]


def test_a_timed_portfolio_is_the_portfolio_or_cash():
    returns = prices().closes.pct_change().iloc[1:]
    rule = VolatilityBand(limit=0.12, window=5)
    timed = Timed(InverseVolatility(), rule, 50).fit(returns[:100])
    target = timed.decide(returns)
    alone = InverseVolatility().fit(returns[50:100]).weights_
    exposure = rule.exposure(returns.mean(axis=1))
    assert 0 < np.nanmean(exposure) < 1
    held = pd.DataFrame(target).ffill().to_numpy()[99:]
    np.testing.assert_allclose(held, exposure[99:, None] * alone)
    days = np.flatnonzero(~np.isnan(target).any(axis=1))
    assert set(days[days > 99]) == set(np.flatnonzero(np.diff(exposure) != 0) + 1) - set(range(100))
    always = Timed(InverseVolatility(), BuyAndHold(), 50).fit(returns[:100]).decide(returns)
    assert np.flatnonzero(~np.isnan(always).any(axis=1)).tolist() == [0, 99]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study of three strategies, walked by two processes."""
    folder = tmp_path_factory.mktemp("allocation")
    settings, closes = study(strategies=["min_variance", "jump_timing", "hierarchical"])
    outcomes = list(run_walks(settings, closes, folder, Local(jobs=2)))
    assert {one.status for one in outcomes} == {"done"}, outcomes
    return settings, closes, folder, measure(settings, folder)


def test_results_do_not_depend_on_the_number_of_processes(done):
    settings, closes, folder, _ = done
    for name in settings.strategies:
        here = walk(settings, name, closes)
        there = pd.read_parquet(Walk({}, name, folder).file)
        pd.testing.assert_frame_equal(here, there, check_exact=True, check_freq=False)


def test_what_is_measured_is_what_was_walked(done):
    settings, closes, folder, metrics = done
    found = read_allocation(folder_with_settings(folder, settings))
    for name in settings.strategies:
        own = walk(settings, name, closes).query("delay == 5")
        expected = summary(Track(own["return"].to_numpy(), own["turnover"].to_numpy()))
        for metric, value in expected.items():
            told = found.intervals[5, name, metric]
            assert told.point == pytest.approx(value, nan_ok=True)
            assert metrics[f"5/{name}/{metric}"] == (None if np.isnan(value) else pytest.approx(value))
    returns = pd.read_csv(folder / RETURNS.format(5), index_col="date")
    assert returns.columns.tolist() == list(settings.strategies)
    assert found.baselines == ["min_variance", "jump_timing"]
    for (delay, baseline, name, metric), difference in found.differences.items():
        one, other = (found.intervals[delay, strategy, metric].point for strategy in (name, baseline))
        assert difference.point == pytest.approx(one - other, nan_ok=True)


def folder_with_settings(folder, settings):
    (folder / "config.yaml").write_text(yaml.safe_dump(settings.settings()))
    return folder


def test_a_walk_that_is_done_is_not_walked_again(done):
    settings, closes, folder, _ = done
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "strategies").iterdir()}
    assert {one.status for one in run_walks(settings, closes, folder, Local())} == {"skipped"}
    assert before == {path.name: path.stat().st_mtime_ns for path in (folder / "strategies").iterdir()}


def test_a_strategy_that_fails_is_missing_and_the_others_are_not(tmp_path, monkeypatch):
    entry = STRATEGIES["equal_weight"]
    broken = type(entry)("equal_weight", entry.group, entry.schedule, entry.says, lambda terms: 1 / 0)
    monkeypatch.setitem(STRATEGIES, "equal_weight", broken)
    settings, closes = study(strategies=["equal_weight", "buy_and_hold"])
    outcomes = {one.cell: one for one in run_walks(settings, closes, tmp_path, Local())}
    assert (outcomes["equal_weight"].status, outcomes["buy_and_hold"].status) == ("failed", "done")
    assert "ZeroDivisionError" in outcomes["equal_weight"].reason
    metrics = measure(settings, tmp_path)
    assert {key.split("/")[1] for key in metrics} == {"buy_and_hold"}


def test_a_study_is_checked_before_anything_runs():
    settings, closes = study(last="2001-08-05")  # a Sunday
    assert settings.last == "2001-08-03" == f"{closes.index[-1]:%Y-%m-%d}"
    assert len(closes) == 155
    assert study(first="2001-05-19")[0].first == "2001-05-21"  # the next close
    assert study(last="2001-08-03")[0] == settings
    assert study(delays=[0])[0] != study()[0]
    assert study(delays=[57])[0].delays == (57,)
    refused = {
        "did you mean 'min_variance'": {"strategies": ["min_varianz"]},
        r"delays: \[1, 1\] are not different": {"delays": [1, 1]},
        r"delays: \[-1\] are not different": {"delays": [-1]},
        "delays: 58 closes after a decision are more than there are, 58 from the first": {"delays": [1, 58]},
        "made up has 158 rows, and the first decision would come after 22; it needs 40 before": {"first": "2001-01-31"},
        "first: 'never' is no day": {"first": "never"},
        "last: 'soon' is no day": {"last": "soon"},
        "first: '2001-05-19T00:00Z' is no day": {"first": "2001-05-19T00:00Z"},
        "made up has 7 rows up to 2001-01-09; 80 are needed": {"last": "2001-01-09"},
        "cost_rate: .* less than 1": {"cost_rate": 1.0},
    }
    for message, given in refused.items():
        with pytest.raises(InputError, match=message):
            study(**given)
    with pytest.raises(InputError, match="1200 rows, and the first decision would come after 1000"):
        study_of(prices(1200), preset_of("quick"))
    with pytest.raises(InputError, match="mean_cvar chooses between assets, and made up has 1; known for one asset"):
        study(prices(assets=1), strategies=["mean_cvar"])


def test_one_asset_is_timed():
    settings, closes = study(prices(assets=1))
    assert settings.strategies == ("buy_and_hold", "volatility_target", "hmm_timing", "jump_timing")
    assert settings.baselines == ("jump_timing", "buy_and_hold")
    whole = walk(settings, "buy_and_hold", closes).query("delay == 1")
    grown = closes["A"].iloc[-1] / closes["A"].iloc[FIRST + 1] / 1.001
    assert (1 + whole["return"]).prod() == pytest.approx(grown)


def test_presets_are_files_that_overrides_change():
    assert preset_of("quick").effort == Effort()
    standard = preset_of("standard", ["effort.epochs=7", "effort.jump.every=5", "resamples=300"])
    assert (standard.effort.epochs, standard.effort.hidden, standard.effort.neural.every) == (7, 32, 252)
    assert (standard.effort.jump, standard.resamples) == (Schedule(window=3000, every=5), 300)
    for override, sentence in (
        ("effort.epoch=7", "effort: 'epoch' is unknown; did you mean 'epochs'?"),
        ("train.steps=7", "'train' is unknown; known: effort, resamples"),
        ("resamples=99", "resamples: input should be greater than or equal to 100, not 99"),
        ("effort.hidden=6", "effort.hidden: input should be a multiple of 4, not 6"),
    ):
        with pytest.raises(InputError, match=re.escape(sentence)):
            preset_of("quick", [override])


def test_what_does_not_move_is_no_part_of_a_portfolio():
    table = prices()
    table.closes["B"] = 100.0
    with pytest.raises(InputError, match="data: B does not move before the first decision on 2001-05-21"):
        study(table)
    able = ["equal_weight", "min_variance", "regime_prior", "timed_min_variance", "attention"]
    settings, closes = study(table, strategies=able)
    for name in able[:4]:
        assert np.isfinite(walk(settings, name, closes)["return"]).all()


def test_a_damaged_walk_is_named(tmp_path):
    settings, _ = study(strategies=["buy_and_hold"])
    damaged = Walk({}, "buy_and_hold", tmp_path).file
    damaged.parent.mkdir()
    damaged.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"buy_and_hold\.parquet: cannot be read; delete it and run"):
        measure(settings, tmp_path)
