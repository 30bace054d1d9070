"""praesidium quotes: what it prints, what it writes, and what it refuses."""

from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from praesidium.cli.quotes import quotes
from praesidium.component import InputError
from praesidium.data.surfaces import read_surface

SHIPPED = Path(__file__).parents[2] / "src/praesidium/data/synthetic_heston_options.csv"

app = typer.Typer()
app.command()(quotes)


@pytest.fixture
def chain(tmp_path):
    table = pd.read_csv(SHIPPED)
    path = tmp_path / "chain.csv"
    table[table["expiry"].isin(["2020-06-19", "2020-01-03"])].to_csv(path, index=False)
    return path


def test_a_surface_is_made_and_written(chain, tmp_path):
    out = tmp_path / "surface.json"
    told = CliRunner().invoke(app, [str(chain), "--out", str(out), "--date", "2019-12-30", "--rate", "0.01"])
    assert told.exit_code == 0, told.output
    for part in (
        "chain.csv, 2019-12-30",
        "dropped: fewer than 5 strikes left at the expiry",
        "2020-06-19",
        "unchanged",
    ):
        assert part in told.output
    found = read_surface(out)
    assert (found.date, found.record["rate"], found.record["counts"]["thin_expiry"]) == ("2019-12-30", 0.01, 4)
    assert len(found.surface.slices) == 1


def test_another_file_is_not_overwritten(chain, tmp_path):
    out = tmp_path / "notes.json"
    out.write_text("{}")
    with pytest.raises(InputError, match="holds something else"):
        CliRunner().invoke(app, [str(chain), "--out", str(out)], catch_exceptions=False)
    assert out.read_text() == "{}"
