"""praesidium regimes: what it writes, what it refuses, and that nothing is overwritten."""

import json

import numpy as np
import pandas as pd
import pytest

from praesidium.cli import main
from praesidium.experiments.regimes import history
from praesidium.regimes import GaussianHMM

FIT = ("regimes", "fit", "--data", "markov_switching", "--model", "gaussian_hmm")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regimes") / "fit"
    call(*FIT, "covariance=full", "--out", str(folder))
    return folder


def call(*arguments):
    """Exit code of a command."""
    try:
        main(arguments)
    except SystemExit as stop:
        return stop.code or 0
    return 0


def refused(capsys, *arguments):
    assert call(*arguments) == 2
    return capsys.readouterr().err


def test_a_fit_is_kept_as_plain_data_and_drawn(fitted):
    record = json.loads((fitted / "regimes.json").read_text())
    table = pd.read_csv(fitted / "regimes.csv", index_col="day")
    returns = history("markov_switching").returns.to_numpy()
    model = GaussianHMM(**record["settings"]).restore(record["learned"])
    assert record["settings"]["covariance"] == "full"
    assert table.iloc[:, 1:].to_numpy() == pytest.approx(model.filter(returns), abs=1e-12)
    assert record["rows"] == 3000
    assert (fitted / "regimes.png").stat().st_size > 10_000


def test_filtered_regimes_of_the_fitted_days_do_not_know_the_others(fitted):
    table = pd.read_csv(fitted / "regimes.csv", index_col="day")
    record = json.loads((fitted / "regimes.json").read_text())
    returns = history("markov_switching").returns.to_numpy()[:3000]
    again = GaussianHMM(**record["settings"]).fit(returns).filter(returns)
    assert np.array_equal(table.iloc[:3000, 1:].to_numpy().argmax(1), again.argmax(1))


def test_a_part_is_drawn_beside_it(fitted, tmp_path, capsys):
    target = tmp_path / "part.png"
    assert call("regimes", "plot", str(fitted), "--first", "100", "--last", "400", "--out", str(target)) == 0
    assert target.stat().st_size > 10_000
    before = (fitted / "regimes.png").read_bytes()
    assert call("regimes", "plot", str(fitted), "--first", "100", "--last", "400") == 0
    assert (fitted / "regimes_100_400.png").is_file()
    assert (fitted / "regimes.png").read_bytes() == before
    assert call("regimes", "plot", str(fitted), "--out", str(tmp_path)) == 0
    assert (tmp_path / "regimes.png").is_file()
    assert call("regimes", "plot", str(fitted), "--out", str(tmp_path / "a.svg")) == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert "end it in .png, .pdf, .svg" in refused(capsys, "regimes", "plot", str(fitted), "--out", "a.jpg")
    assert "name days within 1 to 5000" in refused(capsys, "regimes", "plot", str(fitted), "--first", "9000")


def test_models_are_compared_on_a_market_with_known_regimes(tmp_path, capsys):
    out = tmp_path / "compared.csv"
    assert call("regimes", "compare", "--data", "markov_switching", "--models", "gaussian_hmm", "--out", str(out)) == 0
    shown = capsys.readouterr().out
    assert "the market itself" in shown
    table = pd.read_csv(out, index_col="model")
    assert list(table.index) == ["the market itself", "gaussian_hmm"]
    assert table.accuracy.between(0.5, 1).all()
    assert "is there already" in refused(capsys, "regimes", "compare", "--models", "gaussian_hmm", "--out", str(out))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fit", "--model", "gausian_hmm"), "did you mean 'gaussian_hmm'?"),
        (("fit", "--data", "sp50"), "did you mean 'sp500'?"),
        (("fit", "covariance"), "write key=value"),
        (("fit", "covariance=["), "'[' is no value; write a number, a word, or a list such as [1,2]"),
        (("compare", "--data", "markov_switching", "--regimes", "2"), "2 are asked for, but the market has 3"),
        (("fit", "--model", "gaussian_hmm", "covarianc=full"), "did you mean 'covariance'?"),
        (("fit", "n_regimes=4"), "say --regimes or --seed"),
        (("fit", "--until", "1991-01-02", "--data", "markov_switching"), "has no dates"),
        (("fit", "--until", "foo"), "until: 'foo' is no day"),
        (("compare", "--until", "foo"), "until: 'foo' is no day"),
        (("plot", "nowhere"), "make one with: praesidium regimes fit"),
        (("compare", "--models", "gaussian_hmm,jumpp"), "'jumpp' is unknown"),
        (("compare", "--models", "gaussian_hmm,input_driven_hmm"), "needs inputs, and prices are all there is here"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, "regimes", *arguments)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_fit_has_left_is_made_anew(tmp_path):
    for name in ("regimes.csv", "regimes.json.partial", "regimes.partial.png"):
        (tmp_path / name).write_text("day,price\n")
    assert call(*FIT, "--out", str(tmp_path)) == 0
    assert json.loads((tmp_path / "regimes.json").read_text())["model"] == "gaussian_hmm"
    assert (tmp_path / "regimes.png").is_file()


def test_what_is_in_the_way_is_said_before_the_fit(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("mine")
    for arguments in (FIT, ("regimes", "compare", "--data", "markov_switching")):
        assert "mine.csv is a file; name a folder" in refused(capsys, *arguments, "--out", str(tmp_path / "mine.csv/x"))


def prices(path, close):
    days = pd.bdate_range("2015-01-01", periods=len(close) + 40).delete(slice(60, 100))
    pd.DataFrame({"close": close}, pd.Index(days, name="date")).to_csv(path)
    return str(path)


def test_prices_that_cannot_be_told_apart_are_refused(tmp_path, capsys):
    drawn = 100 * np.exp(np.random.default_rng(0).normal(0, 0.01, 400).cumsum())
    few, still = (
        prices(tmp_path / "few.csv", drawn[:100]),
        prices(tmp_path / "still.csv", np.r_[np.full(300, 100.0), drawn]),
    )
    fit = ("regimes", "fit", "--model", "gaussian_hmm", "--out", str(tmp_path / "out"), "--data")
    assert "few has 99 returns; 120 are needed" in refused(capsys, *fit, few)
    assert "still does not move in its first " in refused(capsys, *fit, still, "--until", "2015-07-16")
    assert call(*fit, prices(tmp_path / "good.csv", drawn)) == 0
    assert "there is nothing between 2015-03-25 and 2015-05-21" in capsys.readouterr().err


def test_nothing_is_overwritten(fitted, capsys):
    before = (fitted / "regimes.csv").read_bytes()
    assert "holds a model; name another folder" in refused(capsys, *FIT, "--out", str(fitted))
    assert (fitted / "regimes.csv").read_bytes() == before


def test_a_folder_of_another_kind_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert "is there already; name another folder" in refused(capsys, *FIT, "--out", str(tmp_path))
