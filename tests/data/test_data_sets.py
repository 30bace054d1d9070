"""The shipped data sets: bands, roles, and nothing of the future in what is learned."""

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError, build
from praesidium.data.environments import DataSet
from praesidium.data.history import Historical
from praesidium.data.prices import Prices
from praesidium.data.sources import EmbeddedSP500, PriceSource, Staged
from praesidium.data.volatility import BANDS
from praesidium.experiments.study import compose
from praesidium.training.reproducibility import stream


@pytest.fixture(scope="module")
def simulated():
    return compose(["data=synthetic_heston"]).data


@pytest.fixture(scope="module")
def sp500():
    return compose(["data=sp500"]).data


def realized(paths, first, last):
    returns = paths.spot.double().log().diff(dim=0)[first:last]
    return (returns.square().mean(0) * 252).sqrt()


@pytest.mark.parametrize("name", ["low", "medium", "medium_10_15", "medium_15_20", "medium_20_25", "high", "crisis"])
def test_realized_volatility_lies_in_its_band(simulated, name):
    low, high = BANDS[name.split("_")[0]]
    paths = (
        simulated.open().simulators[name].simulate(paths=8000, horizon=60, lookback=20, generator=stream("bands", name))
    )
    for first, last in ((0, 20), (20, 80)):  # twenty days before inception, and the episode
        volatility = realized(paths, first, last)
        assert ((volatility >= low) & (volatility < high)).double().mean() >= 0.8


@pytest.mark.parametrize("data", ["synthetic_heston", "sp500"])
def test_roles_are_those_of_the_study(data):
    settings = compose([f"data={data}"]).data

    assert settings.train == ("low", "medium_10_15", "medium_15_20", "medium_20_25")
    assert settings.validation == ("high",)
    assert settings.test[0] == "crisis"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.test=[low]", "test: low is trained on"),
        ("data.test=[]", "test names no environment"),
        ("data.validation=[hihg]", "validation: 'hihg' is unknown; did you mean 'high'?"),
        ("data.lookback=5", "data.lookback: input should be greater than or equal to 20"),
        ("data.environments.low.cost_rate=-1", "data.environments.low.cost_rate: input should be greater"),
    ],
)
def test_settings_that_make_no_sense_are_refused(override, sentence):
    with pytest.raises(InputError, match=sentence.replace("?", r"\?")):
        compose(["data=synthetic_heston", override])


def test_environments_start_in_their_band(sp500):
    for name, simulator in sp500.open().simulators.items():
        low, high = sp500.environments[name].band
        volatility = np.sqrt(simulator.starts * 252)
        assert (volatility >= low).all()
        assert (volatility < high).all()


class Changed(PriceSource, kind="changed_for_test"):
    """The embedded prices with the days from a date on replaced."""

    day: str = "2020-01-02"

    def read(self) -> Prices:
        prices = EmbeddedSP500().read()
        close = prices.close.copy()
        later = prices.dates >= pd.Timestamp(self.day)
        close[later] *= np.linspace(1.0, 3.0, later.sum())
        return Prices(prices.dates, close, prices.name)


def test_what_training_learns_does_not_depend_on_what_comes_after(sp500):
    changed = build(DataSet, {**sp500.settings(), "prices": {"kind": "changed_for_test"}})
    before, after = sp500.open(), changed.open()

    assert before.report["gjr"] == after.report["gjr"]
    for name in sp500.settings_by_environment:
        draws = [
            one.simulators[name].simulate(paths=50, horizon=60, lookback=20, generator=stream("future", name))
            for one in (before, after)
        ]
        if name != "crisis":  # its shocks run up to February 2020
            assert torch.equal(draws[0].spot, draws[1].spot)
            assert torch.equal(draws[0].implied, draws[1].implied)


def test_crisis_shocks_end_before_the_crisis_window(sp500):
    changed = build(DataSet, {**sp500.settings(), "prices": {"kind": "changed_for_test", "day": "2020-02-20"}})

    first, second = (one.open().simulators["crisis"] for one in (sp500, changed))
    assert np.array_equal(first.residuals, second.residuals)
    assert np.array_equal(first.starts, second.starts)


def test_training_days_keep_clear_of_every_window(sp500):
    assert isinstance(sp500, Historical)
    report = sp500.open().report

    # 2017-2019 without February and March 2018 and the last quarter of 2018: three stretches of returns.
    assert (report["training_segments"], report["training_days"]) == (3, 648)
    assert report["windows_missing"] == []


def test_the_record_says_which_crises_the_training_shocks_reach(sp500):
    coverage = sp500.open().report["tail_coverage"]

    assert {name for name, one in coverage.items() if not one["covered"]} == {
        "covid_2020",
        "selloff_2022",
        "late_2018",
    }
    assert all(one["covered"] == (one["pool"] >= one["other"]) for one in coverage.values())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.train_first=2030-01-01", "data.train_last=2031-01-01"], "holds no training episode"),
        (["data.environments.high.band=[0.9,0.95]"], "20 are needed"),
        (["data.crisis=ltcm"], "did you mean 'ltcm_1998'"),
        (["data.environments.low.band=[0.2,0.1]"], "is not an interval of volatilities"),
    ],
)
def test_a_history_that_does_not_suffice_is_refused(overrides, sentence):
    with pytest.raises(InputError, match=sentence):
        compose(["data=sp500", *overrides]).data.open()


def test_prices_that_are_not_staged_say_how_to_stage_them(tmp_path):
    with pytest.raises(InputError, match="praesidium stage FILE"):
        Staged(path=str(tmp_path / "none.csv")).read()
