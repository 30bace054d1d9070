"""Surfaces of quotes: fitted to them, kept in a file, and behind the marks of a data set."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError, build
from praesidium.data import surfaces
from praesidium.data.environments import DataSet
from praesidium.data.history import Historical
from praesidium.data.prices import Prices
from praesidium.data.quote_cleaning import clean
from praesidium.data.quotes import read_quotes
from praesidium.data.sources import EmbeddedSP500, PriceSource
from praesidium.data.surfaces import OptionSurface, read_surface, write_surface
from praesidium.experiments.scenes import prepare
from praesidium.experiments.study import compose
from praesidium.hedging.liabilities.european_put import EuropeanPut
from praesidium.hedging.listed import Listed
from praesidium.hedging.state_builder import StateSettings
from praesidium.pricing import black_scholes
from praesidium.pricing.arbitrage import butterfly, calendar, strikes
from praesidium.training.reproducibility import stream

DATA = Path(__file__).parents[2] / "src/praesidium/data"
QUOTES, SURFACE = DATA / "synthetic_heston_options.csv", DATA / "synthetic_heston_surface.json"
DAY = "2020-01-02"  # of the surface in these tests: a day of the history on which a window opens
WINDOW = {"name": "after", "first": DAY, "last": "2020-02-14", "role": "test"}
CRISIS = {"name": "covid_2020", "first": "2020-02-20", "last": "2020-06-30", "role": "test"}


class ChangedAfter(PriceSource, kind="changed_for_surfaces"):
    """The embedded prices, all different after a day."""

    day: str = DAY

    def read(self):
        prices = EmbeddedSP500().read()
        close = prices.close * np.where(prices.dates > pd.Timestamp(self.day), 0.7, 1.0)
        return Prices(prices.dates, close, prices.name)


def data_set(tmp_path, **settings):
    """The shipped data set in few environments, with the surface dated to a day of a window."""
    path = tmp_path / "surface.json"
    path.write_text(SURFACE.read_text().replace("2019-12-31", settings.pop("day", DAY)))
    base = compose(["data=spy_options"]).data.settings()
    few = {name: base["environments"][name] for name in ("low", "medium_10_15", "high")}
    own = {"train": ["low"], "validation": ["medium_10_15"], "test": ["high"], "environments": few}
    own |= {"windows": [WINDOW, CRISIS], "options": {"path": str(path)}, **settings}
    return build(DataSet, {**base, **own})


@pytest.fixture
def smiling(tmp_path):
    return data_set(tmp_path)


@pytest.fixture(scope="module")
def surface():
    return read_surface(SURFACE).surface


def draw(source, left=(), name="low", paths=64):
    return source.simulators[name].simulate(
        paths=paths, horizon=60, lookback=20, generator=stream("tests", "surfaces"), left=left
    )


# ---- made of quotes -------------------------------------------------------------------------------------------------


def test_the_shipped_surface_is_that_of_the_shipped_quotes(surface):
    read = read_quotes(QUOTES)
    cleaned, kept = clean(read), read_surface(SURFACE)
    assert (kept.record["source"], kept.record["sha256"], kept.date) == (read.name, read.sha256, cleaned.date)
    assert kept.record["counts"] == cleaned.counts
    assert [one["expiry"] for one in kept.record["expiries"]] == list(cleaned.forwards)
    table = cleaned.table
    columns = ("forward", "strike", "tau", "k", "mid", "spread")
    forward, strike, tau, k, mid, spread = (torch.tensor(table[name].to_numpy()) for name in columns)
    for right in ("call", "put"):
        fitted = black_scholes.price(forward, strike, tau, surface.volatility(k, tau), right=right)
        mine = torch.tensor((table["right"] == right).to_numpy())
        assert ((fitted - mid).abs() <= spread)[mine].double().mean() > 0.99


def test_the_shipped_surface_has_no_arbitrage(surface):
    k = strikes(surface.slices, points=4001)
    assert all(butterfly(one, k) >= 0 for one in surface.slices)
    assert all(calendar(*pair, k) >= 0 for pair in zip(surface.slices, surface.slices[1:], strict=False))


@pytest.fixture(scope="module")
def one_expiry(tmp_path_factory):
    """A CSV with the puts and calls of one expiry of the shipped quotes, and its surface."""
    path = tmp_path_factory.mktemp("surfaces") / "one.csv"
    table = pd.read_csv(QUOTES)
    table[(table["date"] == "2019-12-31") & (table["expiry"] == "2020-06-19")].to_csv(path, index=False)
    return path, OptionSurface(path=str(path)).read(0.0, 0.0)


def test_a_surface_of_a_csv_is_near_its_quotes_and_says_where_it_comes_from(one_expiry, surface):
    path, found = one_expiry
    table = clean(read_quotes(path)).table
    k, tau = (torch.tensor(table[name].to_numpy()) for name in ("k", "tau"))
    away = (found.surface.volatility(k, tau) - torch.tensor(table["volatility"].to_numpy())).abs()
    (told,) = found.record["expiries"]
    assert told["largest_error"] == pytest.approx(away.max().item(), rel=1e-12)
    assert told["rms_error"] == pytest.approx(away.square().mean().sqrt().item(), rel=1e-12)
    assert told["largest_error"] < 0.002
    assert (told["expiry"], told["forward_from"], told["quotes"]) == ("2020-06-19", "parity", len(table))
    middle = (table["k"].abs() < 0.1).to_numpy()
    same = surface.volatility(k, tau).numpy()  # the same quotes are a slice of the whole surface
    assert found.surface.volatility(k, tau).numpy()[middle] == pytest.approx(same[middle], abs=1e-4)


def test_slices_are_fitted_in_prices_over_spreads(one_expiry, monkeypatch):
    asked = {}
    found = one_expiry[1].surface
    monkeypatch.setattr(
        surfaces, "from_quotes", lambda *_, weights: asked.update(weights=weights) or (found, found, ())
    )
    read = read_quotes(one_expiry[0])
    cleaned = clean(read)
    with pytest.raises(ValueError, match="zip"):  # there are no reports to go with the slices
        surfaces.make_surface(read, cleaned)
    columns = ("forward", "strike", "tau", "volatility", "spread")
    forward, strike, tau, volatility, spread = (torch.tensor(cleaned.table[name].to_numpy()) for name in columns)
    step = 1e-6 * volatility**2 * tau
    up, down = (
        black_scholes.price(forward, strike, tau, (volatility**2 + sign * step / tau).sqrt()) for sign in (1, -1)
    )
    expected = ((up - down) / (2 * step) / spread) ** 2
    assert asked["weights"] == pytest.approx(expected.numpy(), rel=1e-4)


def test_a_file_gives_back_the_surface_that_was_written(one_expiry, tmp_path):
    _, found = one_expiry
    path = tmp_path / "deep" / "surface.json"
    write_surface(found, path)
    back = read_surface(path)
    assert (back.surface, back.date, back.record) == (found.surface, found.date, found.record)
    write_surface(back, path)  # a surface may be replaced
    assert read_surface(path).surface == found.surface


def test_nothing_but_a_surface_is_overwritten(one_expiry, tmp_path):
    _, found = one_expiry
    for content in ("", "{}", "[1]", '{"format": "other"}', json.dumps({"format": "praesidium volatility surface"})):
        path = tmp_path / "other.json"
        path.write_text(content)
        with pytest.raises(InputError, match="holds something else"):
            write_surface(found, path)
        assert path.read_text() == content
        with pytest.raises(InputError, match="holds no surface"):
            read_surface(path)
    with pytest.raises(InputError, match=r"ends in \.json"):
        write_surface(found, tmp_path / "surface.csv")


def test_a_surface_of_another_day_is_refused():
    with pytest.raises(InputError, match="is the surface of 2019-12-31, not of 2020-01-02"):
        OptionSurface(path=str(SURFACE), date="2020-01-02").read(0.0, 0.0)


# ---- behind the marks of a data set ---------------------------------------------------------------------------------


def test_on_the_day_of_the_quotes_premiums_are_those_of_the_surface(smiling, surface):
    source = smiling.open()
    window = source.windows["after"]
    assert f"{window.starts[0]:%Y-%m-%d}" == DAY
    liability, listed = EuropeanPut(strike=0.95), Listed(right="put", moneyness=0.9, days=120)
    paths = window.marked([liability.days_left(60), listed.days_left(60)])
    for strike, days, premium in (
        (0.95, 60, liability.value(liability.conditions(paths).at(0))),
        (0.9, 120, listed.contract(paths, paths.listed[0]).price[0]),
    ):
        tau = torch.tensor(days / 252, dtype=torch.float64)
        volatility = surface.volatility(torch.log(torch.tensor(strike, dtype=torch.float64)), tau)
        expected = black_scholes.price(torch.ones((), dtype=torch.float64), strike, tau, volatility, right="put")
        assert premium[0].item() == pytest.approx(expected.item(), rel=1e-12)
        assert abs(premium[1].item() / expected.item() - 1) > 1e-3  # on the next day the market has moved


def test_marks_go_with_the_data_sets_own(tmp_path, smiling, surface):
    plain = build(DataSet, {**smiling.settings(), "options": None})
    left = [list(range(60, -1, -1)), list(range(120, 59, -1))]
    one, other = draw(plain.open(), left), draw(smiling.open(), left)
    assert torch.equal(one.spot, other.spot)
    assert other.smile == smiling.open().smile == surface
    for before, after in ((one.implied, other.implied), (one.listed[0], other.listed[0])):
        ratio = after / before
        assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-5)  # one number for each day
        assert not torch.allclose(ratio, torch.ones_like(ratio), rtol=1e-2)
    assert torch.allclose(draw(smiling.open()).implied, other.implied)  # what a simulator marks if nobody asks


def test_outside_the_history_the_long_run_variance_refers(tmp_path, surface):
    source = data_set(tmp_path, day="2031-01-02").open()
    assert source.report["options"]["variance"] == "long-run"
    assert set(source.report["options"]["windows_before"]) == {"after", "covid_2020"}
    years = torch.tensor([60 / 252], dtype=torch.float64)
    marks = source.simulators["low"].marks
    expected = 1.15 * source.report["gjr"]["volatility"]
    assert marks.reference(60 * torch.ones(1, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-9)
    own = torch.full((1, 1), expected, dtype=torch.float64)
    assert marks.level(own, [60]).item() == pytest.approx(surface.volatility(0 * years, years).item(), rel=1e-12)


def test_the_report_names_the_quotes_and_the_windows_before_them(smiling, tmp_path):
    told = smiling.open().report["options"]
    assert (told["date"], told["variance"], told["windows_before"]) == (DAY, "filtered", [])
    assert told["sha256"] == read_quotes(QUOTES).sha256
    later = data_set(tmp_path, day="2020-01-03").open().report["options"]
    assert later["windows_before"] == ["after"]
    json.dumps(smiling.open().report["options"], allow_nan=False)


def test_marks_on_a_day_do_not_look_ahead(tmp_path, smiling):
    changed = data_set(tmp_path, prices={"kind": "changed_for_surfaces"})
    before, after = (one.open().windows["after"].paths for one in (smiling, changed))
    assert torch.equal(before.implied[0, :1], after.implied[0, :1])
    assert not torch.allclose(before.implied[1, :1], after.implied[1, :1], rtol=1e-3)


def test_a_weekend_counts_as_the_last_day_before(tmp_path):
    friday, sunday = (data_set(tmp_path, day=day).open() for day in ("2020-01-03", "2020-01-05"))
    assert torch.equal(friday.windows["after"].paths.implied, sunday.windows["after"].paths.implied)


def test_without_options_nothing_changes(smiling):
    plain = build(Historical, {**smiling.settings(), "options": None}).open()
    assert plain.smile is None
    assert "options" not in plain.report
    assert plain.windows["after"].paths.smile is None


def test_states_and_premiums_see_the_smile(smiling, surface):
    liability = EuropeanPut(strike=0.95)
    prepared = prepare(smiling, liability, StateSettings(revalue=True))
    (scene,) = prepared.training(32, 0)
    claim, volatility = scene.state.valued
    assert claim.smile == surface
    (paths,) = (paths for _, paths in prepared.draw(("low",), 32, "training", 0))
    years = torch.tensor(60 / 252)
    at = paths.implied[0] * surface.ratio(torch.log(torch.tensor([0.95])), years.expand(1))
    premium = black_scholes.price(torch.ones(32), 0.95, 60 / 252, at, right="put")
    payoff = (0.95 - paths.episode[-1]).clamp(min=0)
    assert torch.allclose(scene.owed, payoff - premium, atol=1e-6)
    assert torch.isfinite(volatility).all()
