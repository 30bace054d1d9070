"""Price tables of several assets: what is read is what was written, and what is wrong is said where it is."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.data.asset_prices import AssetPrices, asset_prices, read_closes

DAYS = pd.bdate_range("2019-01-02", periods=60)


def table():
    steps = np.arange(60)[:, None] * np.array([1.0, -0.2, 0.5])
    return pd.DataFrame(100 + steps, DAYS, ["Gold", "BRK B", "oil"])


def read(frame, **options):
    return read_closes(frame.to_csv(index_label="Date").encode(), "prices.csv", **options)


def test_a_table_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "mine.csv"
    table().to_csv(path, index_label="Date")
    found = asset_prices(str(path))
    pd.testing.assert_frame_equal(found.closes, table(), check_freq=False, check_index_type=False, check_names=False)
    assert (found.name, found.closes.index.name) == ("mine.csv", "date")


def test_other_delimiters_and_dates_are_understood():
    text = "day;A;B\n31/12/2019;1,234.50;$2\n02/01/2020;1300;2.5\n"
    found = read_closes(text.encode(), "prices.csv")
    assert found.to_numpy().tolist() == [[1234.5, 2.0], [1300.0, 2.5]]
    assert found.index.strftime("%Y-%m-%d").tolist() == ["2019-12-31", "2020-01-02"]


def test_every_flaw_is_named_with_its_place():
    frame = table()
    holed = frame.copy()
    holed.iloc[[3, 9], 1] = np.nan
    with pytest.raises(InputError, match=r"2 prices of 1 assets.*first: '' of BRK B on 2019-01-07, line 5") as told:
        read(holed)
    assert "keep the rows from 2019-01-16 on" in str(told.value)
    holed.iloc[-1, 2] = -1
    with pytest.raises(InputError, match=r"3 prices of 2 assets .*line 5\); leave these assets out"):
        read(holed)
    with pytest.raises(InputError, match="2019-01-04 appears on lines 4 and 5, 1 such rows"):
        read(frame.iloc[[0, 1, 2, 2, 3]])
    with pytest.raises(InputError, match="2019-01-03 on line 4 comes after 2019-01-04, 1 such steps back"):
        read(frame.iloc[[0, 2, 1, 3]])
    with pytest.raises(InputError, match="59 such steps back in all; sort the rows, oldest first"):
        read(frame[::-1])
    with pytest.raises(InputError, match="2 columns are called 'gold'"):
        read(frame.set_axis(["gold", "Gold", "oil"], axis=1))
    with pytest.raises(InputError, match="no date column among 'when', 'Gold'"):
        read_closes(frame.to_csv(index_label="when").encode(), "prices.csv")
    with pytest.raises(InputError, match="0 columns of prices"):
        read(frame[[]])
    split = frame.copy()
    split.iloc[30:, 0] /= 2
    with pytest.raises(InputError, match=r"1 jumps by more than a factor of 1.5 .*Gold on 2019-02-13.*--allow-jumps"):
        read(split)
    assert read(split, allow_jumps=True).iloc[30, 0] == 65


def test_what_the_last_rows_lack_can_be_cut():
    ended = table()
    ended.iloc[57:, 0] = np.nan
    with pytest.raises(InputError, match=r"keep the rows before 2019-03-22, or leave these assets out; returns are no"):
        read(ended)


def test_bars_are_one_asset():
    """Opens, highs and lows are no assets; a company called Low is one."""
    frame = table().set_axis(["Open", "High", "Low"], axis=1).assign(Close=50.0, Volume=7.0)
    found = read(frame)
    assert found.columns.tolist() == ["prices"]
    assert found["prices"].eq(50).all()
    assert read(frame.assign(**{"Adj Close": 40.0}))["prices"].eq(40).all()
    assert read(frame[["Low", "Close"]]).columns.tolist() == ["Low", "Close"]


def test_holes_are_spoken_of(tmp_path):
    path = tmp_path / "mine.csv"
    table().to_csv(path, index_label="Date")
    assert "nothing between" not in asset_prices(str(path)).caution
    table().drop(DAYS[20:30]).drop(DAYS[40:48]).to_csv(path, index_label="Date")
    assert "there is nothing between 2019-01-29 and 2019-02-13, and 2 such holes" in asset_prices(str(path)).caution


def test_names_and_files_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'sp500_stocks'"):
        asset_prices("sp500_stock")
    with pytest.raises(InputError, match="no such file; give the path of a CSV with a date column"):
        asset_prices(str(tmp_path / "nowhere.csv"))


def test_what_comes_with_skfolio_says_what_is_wrong_with_it():
    stocks, index = asset_prices("sp500_stocks"), asset_prices("sp500")
    assert stocks.closes.shape == (8313, 20)
    assert index.closes.shape == (8313, 1)
    assert "survivorship" in stocks.caution
    assert "no dividends" in index.caution
    for one in (stocks, index):
        assert one.closes.index.is_monotonic_increasing
        assert (one.closes.to_numpy() > 0).all()


def test_the_hash_sees_every_price_date_and_name():
    base = table()
    moved = base.copy()
    moved.iloc[5, 1] += 1e-9
    others = [moved, base.rename(columns={"oil": "gas"}), base.shift(freq="D"), base.iloc[:-1]]
    hashes = {AssetPrices("one", frame, "").sha256 for frame in [base, *others]}
    assert len(hashes) == 5
    assert AssetPrices("other", base.copy(), "").sha256 in hashes
