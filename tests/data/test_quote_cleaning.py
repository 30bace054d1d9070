"""Cleaning of quotes: bad ones dropped for a reason, forwards by parity, volatilities of what is left."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.data.quote_cleaning import REASONS, clean
from praesidium.data.quotes import read_quotes
from praesidium.pricing import black_scholes

SHIPPED = Path(__file__).parents[2] / "src/praesidium/data/synthetic_heston_options.csv"
DAY, EXPIRY = "2019-07-03", "2019-09-20"
TAU = 79 / 365
STRIKES = (80, 85, 90, 95, 100, 105, 110, 115, 120)


def price(strike, right, *, spot=100.0, tau=TAU, volatility=0.2, rate=0.0, dividend=0.0):
    value = black_scholes.price(
        torch.tensor(spot, dtype=torch.float64), strike, tau, volatility, rate=rate, dividend=dividend, right=right
    )
    return float(value)


def chain(half=0.01, strikes=STRIKES, expiry=EXPIRY, date=DAY, volume=10, **market):
    """Rows of a chain: date, expiry, strike, right, bid, ask, volume."""
    rows = []
    for right in ("call", "put"):
        for strike in strikes:
            fair = price(strike, right, **market)
            rows.append([date, expiry, strike, right, fair - half, fair + half, volume])
    return rows


def frame(rows, names=("date", "expiry", "strike", "type", "bid", "ask", "volume")):
    return pd.DataFrame(rows, columns=list(names))


@pytest.fixture
def put(tmp_path):
    def write(table):
        path = tmp_path / "quotes.csv"
        table.to_csv(path, index=False)
        return path

    return write


@pytest.fixture
def cleaned(put):
    def made(rows, **settings):
        return clean(read_quotes(put(frame(rows))), **settings)

    return made


@settings(max_examples=25, deadline=None)
@given(
    volatility=st.floats(0.1, 0.6),
    rate=st.floats(-0.02, 0.08),
    dividend=st.floats(0, 0.05),
)
def test_without_spreads_and_errors_everything_is_found_again(tmp_path_factory, volatility, rate, dividend):
    path = tmp_path_factory.mktemp("quotes") / "quotes.csv"
    rows = chain(half=1e-9, strikes=(90, 95, 100, 105, 110), volatility=volatility, rate=rate, dividend=dividend)
    frame(rows).to_csv(path, index=False)
    found = clean(read_quotes(path), rate=rate)
    forward = 100 * np.exp((rate - dividend) * TAU)
    assert found.forwards[EXPIRY] == (pytest.approx(forward, rel=1e-12), "parity")
    assert found.table["volatility"].to_numpy() == pytest.approx(volatility, rel=1e-7)
    assert found.table["k"].to_numpy() == pytest.approx(np.log(np.array([90, 95, 100, 105, 110]) / forward), abs=1e-12)
    assert found.table["right"].tolist() == ["put" if k < forward else "call" for k in (90, 95, 100, 105, 110)]
    assert found.table["tau"].unique() == pytest.approx([TAU])


def test_without_pairs_the_forward_is_the_spot_with_carry(cleaned):
    puts = [row for row in chain() if row[3] == "put" and row[2] < 104]
    found = cleaned(puts, spot=101.0, rate=0.05, dividend=0.02)
    assert found.forwards[EXPIRY] == (pytest.approx(101 * np.exp(0.03 * TAU), rel=1e-14), "spot")
    with pytest.raises(InputError, match=r"no spot, and no call and put .* 2019-09-20; give --spot"):
        cleaned(puts)


def test_a_wild_pair_does_not_move_the_forward(cleaned):
    rows = chain()
    rows[4][4:6] = 9.0, 9.1  # the call at 100, some 5.5 too dear
    assert cleaned(rows).forwards[EXPIRY][0] == pytest.approx(100, abs=1e-9)


def test_the_forward_is_told_by_the_pairs_nearest_to_the_money(cleaned):
    rows = chain()
    for place in (6, 7, 8):  # the calls from 110 on
        rows[place][4:6] = rows[place][4] + 0.5, rows[place][5] + 0.5
    assert cleaned(rows).forwards[EXPIRY][0] == pytest.approx(100, abs=1e-9)


def dropped(found):
    return {name: found.counts[name] for name in REASONS if found.counts[name]}


def change(row, **columns):
    """A chain with one quote changed, of a call unless its number is 9 or more."""
    rows = chain()
    places = {"expiry": 1, "strike": 2, "bid": 4, "ask": 5}
    for name, value in columns.items():
        rows[row][places[name]] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (change(6, strike=0), "no_strike"),
        (change(6, strike=-110), "no_strike"),
        (change(6, expiry=DAY), "expired"),
        (change(6, bid=0.0), "one_sided"),
        (change(6, bid=None), "one_sided"),
        (change(6, ask=None), "one_sided"),
        (change(6, bid=2.0, ask=1.0), "crossed"),
        (change(6, bid=0.3, ask=0.91), "wide"),
        ([*chain(), chain()[6]], "duplicate"),
        (change(0, bid=19.0, ask=19.5), "below_intrinsic"),
        (change(9, bid=80.0, ask=80.2), "above_bound"),
        (change(9, bid=79.9, ask=81.0), "above_bound"),
    ],
)
def test_each_bad_quote_is_dropped_for_its_reason(cleaned, rows, reason):
    found = cleaned(rows)
    assert dropped(found) == {reason: 1, "in_the_money": found.counts["in_the_money"]}
    assert (
        found.counts["quotes"] == sum(found.counts[name] or 0 for name in REASONS) + found.counts["kept"] == len(rows)
    )
    assert found.counts["stale"] is None  # one day cannot tell
    assert found.table["volatility"].to_numpy() == pytest.approx(0.2, abs=1e-6)  # what is left is all good


def test_a_quote_is_no_duplicate_of_a_bad_one(cleaned):
    bad = [*chain()[6][:4], 2.0, 1.0, 10]
    assert cleaned([bad, *chain()]).counts["duplicate"] == 0


def test_locked_quotes_and_just_narrow_enough_ones_stay(cleaned):
    rows = change(6, bid=0.5, ask=1.5)
    rows[7][4] = rows[7][5] = 0.2
    assert set(dropped(cleaned(rows))) == {"in_the_money"}


def days(quotes):
    """The chain on three days; the call at 110 and the put at 90 as given: (bid, ask, volume) by day."""
    rows = []
    for number, date in enumerate(("2019-07-01", "2019-07-02", "2019-07-03")):
        today = chain(date=date, half=0.01 + 0.001 * number, volume=0)
        for place in (6, 11):
            today[place][4:] = quotes[number]
        rows += today
    return rows


def test_a_quote_is_stale_when_neither_price_nor_volume_moves_for_three_days(cleaned):
    same = (0.7, 0.72, 5)
    assert cleaned(days([same] * 3)).counts["stale"] == 2
    assert cleaned(days([same, same, (0.7, 0.72, 6)])).counts["stale"] == 0
    assert cleaned(days([same, same, (0.7, 0.73, 5)])).counts["stale"] == 0
    assert cleaned(days([(0.69, 0.72, 5), same, same])).counts["stale"] == 0
    assert cleaned(days([same] * 3)[::-1]).counts["stale"] == 2  # in any order of the file


def test_the_last_three_days_tell_in_any_order_of_the_file(cleaned):
    same = (0.7, 0.72, 5)
    earlier = chain(date="2019-06-28", half=0.03, volume=0)
    assert cleaned([*days([same] * 3)[::-1], *earlier]).counts["stale"] == 2


def test_staleness_does_not_look_ahead(cleaned):
    rows = days([(0.7, 0.72, 5)] * 3)
    assert cleaned(rows, date="2019-07-02").counts["stale"] is None
    later = chain(date="2019-07-04", half=0.5)
    before, after = cleaned(rows), cleaned(rows + later, date="2019-07-03")
    pd.testing.assert_frame_equal(before.table, after.table)
    assert before.counts == after.counts


def test_without_volumes_staleness_is_not_told(put):
    table = frame(days([(0.7, 0.72, 5)] * 3)).drop(columns="volume")
    assert clean(read_quotes(put(table))).counts["stale"] is None


def test_expiries_with_few_strikes_are_left_out(cleaned):
    thin = chain(strikes=(95, 100, 105, 110), expiry="2019-08-16", tau=44 / 365)
    found = cleaned(chain() + thin)
    assert found.counts["thin_expiry"] == 4
    assert list(found.forwards) == [EXPIRY]
    with pytest.raises(InputError, match=r"no expiry on 2019-07-03 has 5 usable strikes \(.*thin_expiry 4"):
        cleaned(thin)


def test_volatilities_in_the_file_are_only_compared(put):
    table = frame(chain(half=1e-9)).assign(iv=0.2)
    table.loc[6, "iv"] = 0.23
    found = clean(read_quotes(put(table)))
    assert found.largest_difference == pytest.approx(0.03, abs=1e-6)
    assert found.table["volatility"].to_numpy() == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"date": "2019-07-04"}, "no quotes on 2019-07-04; it has 2019-07-03"),
        ({"widest": 1.0}, "widest: 1.0"),
        ({"spot": -1.0}, "spot: -1.0"),
    ],
)
def test_bad_settings_get_one_sentence(cleaned, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        cleaned(chain(), **settings)


def test_the_shipped_quotes_hold_a_bad_one_of_each_kind():
    read = read_quotes(SHIPPED)
    counts = clean(read).counts
    assert all(counts[reason] for reason in REASONS)
    assert "synthetic" in read.name
    assert read.dates == ("2019-12-27", "2019-12-30", "2019-12-31")


def test_the_shipped_quotes_can_be_made_again(tmp_path, monkeypatch):
    import runpy

    script = Path(__file__).parents[2] / "scripts/make_synthetic_options.py"
    monkeypatch.setattr("sys.argv", [str(script), str(tmp_path / "again.csv")])
    runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / "again.csv").read_bytes() == SHIPPED.read_bytes()
