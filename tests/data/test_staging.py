"""Staging takes price files as people have them, and refuses broken ones in one sentence without a trace."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.data.prices import read_staged
from praesidium.data.staging import stage

DAYS = pd.bdate_range("2019-01-02", periods=120)
CLOSES = np.round(250 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 120))), 4)
SPY = Path(__file__).parents[2].parent / "shared" / "data" / "spy.csv"


def rows(form="%Y-%m-%d"):
    return [[f"{day:{form}}", repr(float(close))] for day, close in zip(DAYS, CLOSES, strict=True)]


def text(header, body):
    return "\n".join([header, *(",".join(row) for row in body)]) + "\n"


@pytest.fixture
def put(tmp_path):
    def write(content, name="prices.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def staged(tmp_path):
    return tmp_path / "processed" / "spy_prices.csv"


def test_what_is_staged_is_what_was_given(put, staged):
    source = put(text("Date,Close", rows()))
    report = stage(source, staged)
    prices = read_staged(staged)
    assert np.array_equal(prices.close, CLOSES)
    assert list(prices.dates) == list(DAYS)
    assert prices.name == "spy_prices"
    assert (report.rows, report.first, report.last) == (120, "2019-01-02", f"{DAYS[-1]:%Y-%m-%d}")
    assert report.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    record = json.loads(staged.with_suffix(".json").read_text())
    assert record["sha256"] == hashlib.sha256(staged.read_bytes()).hexdigest() == report.sha256
    assert sorted(path.name for path in staged.parent.iterdir()) == ["spy_prices.csv", "spy_prices.json"]


def test_floats_survive_to_the_last_bit(put, staged):
    closes = 100 + np.random.default_rng(0).random(120)
    stage(put(text("date,close", zip((row[0] for row in rows()), map(repr, closes.tolist()), strict=True))), staged)
    assert np.array_equal(read_staged(staged).close, closes)


def test_staging_twice_changes_nothing(put, staged, tmp_path):
    stage(put(text("Date,Close", rows())), staged)
    again = tmp_path / "again.csv"
    stage(staged, again)
    assert again.read_bytes() == staged.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        text(" DATE , CLOSE ", rows()),
        text("timestamp,price", rows("%Y%m%d")),
        text("Datetime,Close", rows("%Y-%m-%d 00:00:00-05:00")),
        text("Datetime,Close", rows("%Y-%m-%dT16:00:00Z")),
        text("date,close", rows("%m/%d/%Y")),
        text("date,close", rows("%d.%m.%Y")),
        text("date,close", rows("%d-%b-%Y")),
        text(",Close", rows()),
        text("Date,Close", rows()[::-1]),
        text("date,close", rows()).replace(",", ";"),
        text("Date,Close", rows()).replace("\n", "\r\n"),
        text("Date,Close", rows()).replace("\n", "\n\n"),
        text("Date,Close/Last", [[day, f"${close}"] for day, close in rows()]),
        "\ufeff" + text("Date,Close", rows()),
        text("Price,Close\nTicker,SPY\nDate,", rows()),
    ],
)
def test_prices_as_people_have_them(put, staged, content):
    stage(put(content), staged)
    prices = read_staged(staged)
    assert np.array_equal(prices.close, CLOSES)
    assert list(prices.dates) == list(DAYS)


def test_thousands_commas_are_read_where_they_cannot_be_decimals(put, staged):
    body = [[day, f'"{1000 + close:,.2f}"'] for (day, _), close in zip(rows(), CLOSES, strict=True)]
    stage(put(text("Date,Price", body)), staged)
    assert np.allclose(read_staged(staged).close, 1000 + CLOSES, atol=0.005)


def test_adjusted_close_is_preferred_and_the_bar_scaled_with_it(put, staged):
    body = [[day, str(2 * float(close)), "12", close, str(2 * float(close))] for day, close in rows()]
    report = stage(put(text("Date,Open,Volume,Adj Close,Close", body)), staged)
    frame = pd.read_csv(staged)
    assert list(frame.columns) == ["date", "close", "open", "volume"]
    assert np.array_equal(frame["close"], CLOSES)
    assert np.allclose(frame["open"], CLOSES)
    assert any("'Adj Close', not from 'Close'" in note for note in report.notes)


def test_the_report_says_what_was_done(put, staged):
    body = [[day, close, "0", "x"] for day, close in rows("%Y-%m-%d 09:30")][::-1]
    notes = " ".join(stage(put(text("Date,Close,Open,Dividends", body)), staged).notes)
    for part in ("Sorted", "Ignored 'Dividends'", "Left out open", "120 timestamps"):
        assert part in notes


def changed(line, row):
    """The good file with another row on a line; line 1 is the header."""
    body = rows()
    body[line - 2] = row
    return text("Date,Close", body)


JUMP = [[day, close if place < 60 else repr(float(close) / 2)] for place, (day, close) in enumerate(rows())]
BROKEN = {
    "empty": (b"", "is empty"),
    "binary": (b"\x89PNG\r\n\x00\xff", "not a text file"),
    "no rows": ("Date,Close\n", "no rows"),
    "no date": (text("When,Close", rows()), "no date column among 'When', 'Close'"),
    "no close": (text("Date,Value", rows()), "no close column among 'Date', 'Value'"),
    "two assets": (text("Date,Close,Close", [[*row, "1"] for row in rows()]), "2 columns are called 'close'"),
    "duplicate": (changed(31, rows()[28]), "1 date appears twice (first: 2019-02-11, lines 30 and 31)"),
    "negative": (changed(40, ["2019-02-25", "-3"]), "1 price is not a positive number (first: '-3', line 40)"),
    "zero": (changed(40, ["2019-02-25", "0"]), "(first: '0', line 40)"),
    "missing": (changed(40, ["2019-02-25"]), "(first: '', line 40)"),
    "infinite": (changed(40, ["2019-02-25", "inf"]), "(first: 'inf', line 40)"),
    "word": (changed(40, ["2019-02-25", "closed"]), "(first: 'closed', line 40)"),
    "decimal comma": (changed(40, ["2019-02-25", '"251,3"']), "(first: '251,3', line 40)"),
    "cells": (changed(40, ["2019-02-25", "251,3"]), "line 40 has 3 cells, the header 2"),
    "bad date": (changed(50, ["soon", "250"]), "1 date cannot be read (first: 'soon', line 50)"),
    "no such day": (changed(50, ["2019-02-30", "250"]), "(first: '2019-02-30', line 50)"),
    "either order": (text("Date,Close", [["01/02/2019", "250"], ["01/03/2019", "251"]]), "cannot be told apart"),
    "both orders": (text("Date,Close", [["13/02/2019", "250"], ["02/14/2019", "251"]]), "cannot be told apart"),
    "split": (text("Date,Close", JUMP), "1 jump by more than a factor of 1.5 in a day (first: 2019-03-27, -5"),
    "short": (text("Date,Close", rows()[:50]), "50 rows, but one episode needs 81"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_gets_one_sentence_and_leaves_no_trace(put, staged, case):
    stage(put(text("Date,Close", rows())), staged)
    before = {path.name: path.read_bytes() for path in staged.parent.iterdir()}
    content, sentence = BROKEN[case]
    with pytest.raises(InputError) as refusal:
        stage(put(content), staged)
    message = str(refusal.value)
    assert sentence in message
    assert message.startswith("prices.csv: ")
    assert "\n" not in message
    assert {path.name: path.read_bytes() for path in staged.parent.iterdir()} == before


def test_line_numbers_are_those_of_the_file(put, staged):
    body = text("Date,Close", rows()).splitlines()
    body[10:10] = ["", ""]
    body[40] = "2019-02-21,none"
    with pytest.raises(InputError, match="line 41"):
        stage(put("\n".join(body)), staged)


def test_several_duplicates_are_counted(put, staged):
    body = rows()
    body[30], body[40], body[50] = body[29], body[39], body[49]
    with pytest.raises(InputError, match=r"prices\.csv: 3 dates appear twice \(first: 2019-02-12, lines 31 and 32\)"):
        stage(put(text("Date,Close", body)), staged)


def test_sources_and_destinations_that_are_none(tmp_path, put, staged):
    with pytest.raises(InputError, match="no such file"):
        stage(tmp_path / "nowhere.csv", staged)
    with pytest.raises(InputError, match="is a directory"):
        stage(tmp_path, staged)
    source = put(text("Date,Close", rows()))
    with pytest.raises(InputError, match="destination itself"):
        stage(source, source)
    with pytest.raises(InputError, match=r"ends in \.csv"):
        stage(source, tmp_path / "prices.parquet")
    assert not staged.parent.exists()


def test_a_disk_that_fails_leaves_what_was_there(put, staged, monkeypatch):
    stage(put(text("Date,Close", rows())), staged)
    before = {path.name: path.read_bytes() for path in staged.parent.iterdir()}

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("praesidium.data.staging.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        stage(put(text("Date,Close", rows()[:100])), staged)
    assert {path.name: path.read_bytes() for path in staged.parent.iterdir()} == before


def test_jumps_can_be_allowed_and_stay_so(put, staged):
    stage(put(text("Date,Close", JUMP)), staged, allow_jumps=True)
    assert len(read_staged(staged).close) == 120


def test_fewer_rows_do_for_a_shorter_episode(put, staged):
    stage(put(text("Date,Close", rows()[:50])), staged, episode=41)
    assert len(read_staged(staged).close) == 50


@pytest.mark.skipif(not SPY.exists(), reason="the SPY bars are not on this machine")
def test_the_spy_file_is_staged(staged):
    report = stage(SPY, staged)
    prices = read_staged(staged)
    assert report.columns == ("date", "close", "open", "high", "low", "volume")
    assert len(prices.close) == report.rows > 6000
    assert np.abs(prices.log_returns).max() < 0.2
