"""Option quotes are read as vendors write them, and refused in one sentence where they cannot be."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.data.quotes import read_quotes

DAY, EXPIRY = "2019-07-03", "2019-09-20"
STRIKES = (80, 85, 90, 95, 100, 105, 110, 115, 120)
NAMES = ("date", "expiry", "strike", "type", "bid", "ask", "volume")


def chain():
    """Rows of a chain, calls before puts."""
    fair = {"call": lambda strike: (130 - strike) / 8, "put": lambda strike: (strike - 70) / 8}
    return [
        [DAY, EXPIRY, strike, right, fair[right](strike), fair[right](strike) + 0.25, strike - 60]
        for right in ("call", "put")
        for strike in STRIKES
    ]


def frame(rows):
    return pd.DataFrame(rows, columns=list(NAMES))


@pytest.fixture
def put(tmp_path):
    def write(table, name="quotes.csv", **options):
        path = tmp_path / name
        if isinstance(table, str):
            path.write_text(table)
        else:
            table.to_csv(path, index=False, **options)
        return path

    return write


def optionmetrics():
    table = frame(chain()).rename(
        columns={
            "expiry": "exdate",
            "strike": "strike_price",
            "type": "cp_flag",
            "bid": "best_bid",
            "ask": "best_offer",
        }
    )
    table["strike_price"] *= 1000
    table["cp_flag"] = table["cp_flag"].str[0].str.upper()
    return table.assign(impl_volatility=0.2, secid=109820)


def cboe():
    table = frame(chain()).rename(
        columns={"date": "quote_date", "expiry": "expiration", "type": "option_type", "volume": "trade_volume"}
    )
    table = table.rename(columns={"bid": "bid_1545", "ask": "ask_1545"})
    table["option_type"] = table["option_type"].str[0].str.upper()
    fixed = {"underlying_symbol": "^SPX", "bid_eod": 0.0, "ask_eod": 9.0, "implied_volatility_1545": 0.2}
    return table.assign(**fixed, underlying_bid_1545=99.9, underlying_ask_1545=100.1)


def side_by_side():
    table = frame(chain())
    calls, puts = (table[table["type"] == right].set_index("strike") for right in ("call", "put"))
    columns = {"[QUOTE_DATE]": DAY, " [EXPIRE_DATE]": EXPIRY, " [UNDERLYING_LAST]": 100.0, " [STRIKE]": calls.index}
    for letter, part in (("C", calls), ("P", puts)):
        columns |= {f" [{letter}_{name.upper()}]": part[name].to_numpy() for name in ("bid", "ask", "volume")}
        columns[f" [{letter}_IV]"] = 0.2
    return pd.DataFrame(columns)


def yfinance():
    table = frame(chain())
    letters = table["type"].str[0].str.upper()
    symbols = [f"SPY190920{one}{int(1000 * k):08d}" for one, k in zip(letters, table["strike"], strict=True)]
    kept = table[["strike", "bid", "ask", "volume"]].assign(
        contractSymbol=symbols, lastPrice=1.0, impliedVolatility=0.2
    )
    return kept.assign(lastTradeDate="2019-07-02 19:59:59+00:00")


@pytest.mark.parametrize(
    ("vendor", "options", "spot"),
    [(optionmetrics, {}, None), (cboe, {}, 100.0), (side_by_side, {}, 100.0), (yfinance, {"date": DAY}, None)],
)
def test_vendors_write_the_same_quotes_in_their_own_way(put, vendor, options, spot):
    plain = read_quotes(put(frame(chain()), "plain.csv")).table
    read = read_quotes(put(vendor(), "vendor.csv"), **options)
    order = ["right", "strike"]
    one, other = (table.sort_values(by=order).reset_index(drop=True) for table in (plain, read.table))
    same = ["date", "expiry", "strike", "right", "bid", "ask", "volume"]
    pd.testing.assert_frame_equal(one[same], other[same], check_dtype=False)
    assert (other["implied"] == 0.2).all()
    assert other["spot"].isna().all() if spot is None else np.allclose(other["spot"], spot)


@pytest.mark.parametrize("words", [("C", "P"), ("call", "put"), ("CALL", "Put"), ("c", "p"), ("Calls", "PUTS")])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rights_and_delimiters_in_any_form(put, words, separator):
    table = frame(chain())
    table["type"] = table["type"].map(dict(zip(("call", "put"), words, strict=True)))
    read = read_quotes(put(table, sep=separator, encoding="utf-8-sig"))
    assert read.table["right"].tolist() == ["call"] * 9 + ["put"] * 9


def test_the_expiry_tells_the_order_of_day_and_month(put):
    rows = [["05/06/2019", "20/09/2019", *row[2:]] for row in chain()]
    assert read_quotes(put(frame(rows))).dates == ("2019-06-05",)


@pytest.mark.parametrize("names", [{"strike": "strike_price"}, {"type": "cp_flag"}])
def test_strikes_in_dollars_stay_as_they_are(put, names):
    table = frame(chain()).rename(columns=names)
    assert set(read_quotes(put(table)).table["strike"]) == set(STRIKES)


GOOD = "date,expiry,strike,type,bid,ask\n2019-07-03,2019-09-20,100,call,3.5,3.6\n"
BROKEN = {
    "no rows": ("date,expiry,strike,type,bid,ask\n", "no rows"),
    "no date": (GOOD.replace("date,", "when,", 1), "no date column among 'when', 'expiry'"),
    "no expiry": (GOOD.replace("expiry", "until"), "no expiry column"),
    "no strike": (GOOD.replace("strike", "level"), "no strike column"),
    "no type": (GOOD.replace("type", "kind"), "no type column"),
    "no bid": (GOOD.replace("bid", "buy"), "no bid column"),
    "no ask": (GOOD.replace("ask", "sell"), "no ask column"),
    "type": (GOOD + "2019-07-03,2019-09-20,100,both,3.5,3.6\n", "1 option type cannot be read (first: 'both', line 3)"),
    "strike": (GOOD + "2019-07-03,2019-09-20,k,put,3.5,3.6\n", "1 strike cannot be read (first: 'k', line 3)"),
    "day": (GOOD + "2019-07-03,2019-02-30,100,put,3.5,3.6\n", "(first: '2019-02-30', line 3)"),
    "symbol": (
        "date,contractSymbol,bid,ask\n2019-07-03,SPY,1,2\n",
        "1 contract symbol cannot be read (first: 'SPY', l",
    ),
    "two assets": (
        "ticker," + GOOD.replace("\n2019", "\nSPY,2019") + "QQQ,2019-07-03,2019-09-20,100,put,1,2\n",
        "2 underlyings (QQQ, SPY, ...)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_gets_one_sentence(put, case):
    content, sentence = BROKEN[case]
    with pytest.raises(InputError) as refusal:
        read_quotes(put(content))
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("quotes.csv: ")
    assert "\n" not in str(refusal.value)
