"""The command on a small price file: what it prints, what it writes, what it refuses."""

import datetime

import numpy as np
import pytest
import yaml

from praesidium.cli.calibrate import calibrate
from praesidium.component import InputError
from praesidium.data import calibrated
from praesidium.experiments.study import compose

CALM, WILD = 0.01, 0.05


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrated, "PATHS", 128)
    return tmp_path


def weekdays(first, count):
    day = datetime.date.fromisoformat(first)
    while count:
        if day.weekday() < 5:
            yield day
            count -= 1
        day += datetime.timedelta(days=1)


@pytest.fixture
def prices(here):
    """Five hundred days around the window of early 2018, in which returns are five times as large."""
    days = list(weekdays("2017-03-01", 500))
    wild = np.array([datetime.date(2018, 2, 1) <= day <= datetime.date(2018, 3, 31) for day in days])
    returns = np.where(wild, WILD, CALM) * np.random.default_rng(0).standard_normal(500)
    close = 100 * np.exp(np.cumsum(returns))
    path = here / "own.csv"
    path.write_text("date,close\n" + "".join(f"{day},{value:.6f}\n" for day, value in zip(days, close, strict=True)))
    return str(path)


def run(data, market="gbm", **options):
    options = {"first": None, "last": None, "keep_windows": False, "out": None, "force": False, **options}
    calibrate(data=data, market=market, **options)


def volatility(capsys):
    line = next(line for line in capsys.readouterr().out.splitlines() if "volatility" in line)
    return float(line.split("│")[2])


def test_parameters_are_printed_with_intervals_and_warnings_beside_them(prices, capsys):
    run(prices, "merton")
    said = capsys.readouterr()
    for name in ("volatility", "intensity", "jump_mean", "jump_sd", "95 % low", "identified", "log_kurtosis"):
        assert name in said.out
    assert "warning: jumps are not identified" in said.err
    assert "warning" not in said.out


def test_crisis_windows_are_left_out_unless_they_are_kept(prices, capsys):
    run(prices)
    assert volatility(capsys) == pytest.approx(CALM * 252**0.5, rel=0.12)
    run(prices, keep_windows=True)
    assert volatility(capsys) > 1.5 * CALM * 252**0.5


def test_a_return_needs_both_its_days(prices, capsys):
    run(prices, first="2017-03-03", last="2018-06-29")
    assert "2017-03-06 to 2018-06-29" in capsys.readouterr().out


def test_the_file_is_a_data_set_that_says_where_it_comes_from(prices, here, capsys):
    out = here / "new" / "own.yaml"
    run(prices, "merton", out=out, last="2018-12-31")
    text = out.read_text()
    assert text.startswith(f"# Written by: praesidium calibrate --data {prices} --market merton --last 2018-12-31\n")
    assert "Left out: volmageddon_2018, late_2018." in text
    assert "# volatility: " in text
    assert "# Warning: jumps are not identified" in text
    assert "&" not in text.split("kind: simulated")[1]
    data = compose(["data=calibrated", f"data.path={out}"]).data
    assert data.environments["low"].market.kind == "merton"
    assert data.settings()["environments"].keys() == yaml.safe_load(text)["environments"].keys()
    assert f"praesidium train --datasets calibrated data.path={out}" in capsys.readouterr().out


def test_what_is_there_stays_unless_it_may_go(prices, here):
    out = here / "own.yaml"
    out.write_text("mine")
    with pytest.raises(InputError, match="is there already; name another file, or replace it with --force"):
        run(prices, out=out)
    assert out.read_text() == "mine"
    run(prices, out=out, force=True)
    assert "kind: simulated" in out.read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"market": "hestn"}, "market: 'hestn' is unknown; did you mean 'heston'"),
        ({"data": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"data": "sp50"}, "data: 'sp50' is unknown; did you mean 'sp500'"),
        ({"data": "real_spy"}, "no prices are staged there"),
        ({"first": "2017-13-01"}, "first: '2017-13-01' is no day; write it as 2019-12-31"),
        ({"first": "2018-01-01", "last": "2017-01-01"}, "last: 2017-01-01 is before the first day, 2018-01-01"),
        ({"first": "2030-01-01", "last": "2031-01-01"}, "has no returns from 2030-01-01 to 2031-01-01"),
        ({"last": "2017-09-01"}, "are too few, a calibration needs 250"),
        ({"out": "own.txt"}, "does not end in .yaml"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(options, sentence, prices, here):
    out = here / options.pop("out", "out.yaml")
    with pytest.raises(InputError, match=sentence) as refused:
        run(options.pop("data", prices), out=out, **options)
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in here.iterdir()) == ["own.csv"]


def test_prices_that_do_not_move_are_refused(here):
    path = here / "flat.csv"
    path.write_text("date,close\n" + "".join(f"{day},100\n" for day in weekdays("2015-01-01", 300)))
    with pytest.raises(InputError, match="all 299 are equal"):
        run(str(path))
