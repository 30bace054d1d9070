"""Staged files are trusted only as long as they are what staging wrote."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.data.prices import Prices, read_staged, sp500
from praesidium.data.staging import stage


@pytest.fixture
def staged(tmp_path):
    days = pd.bdate_range("2019-01-02", periods=100)
    source = tmp_path / "raw.csv"
    pd.DataFrame({"Date": days, "Close": np.linspace(100, 120, 100)}).to_csv(source, index=False)
    stage(source, tmp_path / "spy_prices.csv")
    return tmp_path / "spy_prices.csv"


def test_log_returns_telescope(staged):
    prices = read_staged(staged)
    assert len(prices.log_returns) == 99
    assert prices.log_returns.sum() == pytest.approx(np.log(1.2))


def test_a_file_changed_since_staging_is_refused(staged):
    staged.write_text(staged.read_text().replace(",120.0", ",121.0"))
    with pytest.raises(InputError, match=r"changed since it was staged; stage raw\.csv again"):
        read_staged(staged)


def test_a_file_without_record_is_checked_like_a_source(staged):
    staged.with_suffix(".json").unlink()
    assert len(read_staged(staged).close) == 100
    staged.write_text(staged.read_text().replace(",120.0", ",-1"))
    with pytest.raises(InputError, match="not a positive number"):
        read_staged(staged)


def test_a_record_that_is_none_and_a_file_that_is_not_there(staged):
    staged.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match="no staging record"):
        read_staged(staged)
    with pytest.raises(InputError, match="stage a price CSV there first"):
        read_staged(staged.with_name("other.csv"))


def test_closes_and_dates_go_together():
    with pytest.raises(ValueError, match="2 dates"):
        Prices(pd.bdate_range("2019-01-02", periods=2), np.ones(3), "x")


def test_the_embedded_index_is_daily_and_positive():
    prices = sp500()
    assert (prices.name, f"{prices.dates[0]:%Y-%m-%d}", f"{prices.dates[-1]:%Y-%m-%d}") == (
        "sp500",
        "1990-01-02",
        "2022-12-28",
    )
    assert prices.dates.is_monotonic_increasing
    assert prices.dates.is_unique
    assert (prices.close > 0).all()
