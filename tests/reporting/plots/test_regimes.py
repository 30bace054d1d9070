"""The figure of prices and regimes."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.reporting.plots import regimes
from praesidium.reporting.plots.regimes import regime_colors, regimes_figure

DAYS = pd.bdate_range("2020-01-01", periods=60)
PRICES = pd.Series(np.linspace(100, 130, 60), DAYS)
HALF = pd.DataFrame(np.repeat([[0.8, 0.2], [0.1, 0.9]], 30, axis=0), DAYS)


@pytest.mark.parametrize("until", [None, DAYS[40]])
def test_it_is_written_whole(tmp_path, until):
    some = HALF.copy()
    some.iloc[:5] = np.nan
    file = regimes_figure(
        PRICES, some, tmp_path / "some.png", volatilities=[0.1, 0.3], heading="mine", fitted_until=until
    )
    assert file.stat().st_size > 5000
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(InputError, match="not positive"):
        regimes_figure(PRICES * 0, HALF, tmp_path / "a.png", volatilities=[0.1, 0.3], heading="mine")
    with pytest.raises(InputError, match="volatilities: 1 for 2 regimes"):
        regimes_figure(PRICES, HALF, tmp_path / "a.png", volatilities=[0.1], heading="mine")


def test_the_names_of_many_regimes_stay_in_the_picture(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(regimes, "save", lambda figure, path, _: drawn.append(figure) or path)
    many = pd.DataFrame(np.full((60, 12), 1 / 12), DAYS)
    regimes_figure(PRICES, many, tmp_path / "a.png", volatilities=[0.1] * 12, heading="mine")
    drawn[0].draw_without_rendering()
    assert drawn[0].legends[0].get_window_extent().x1 <= drawn[0].bbox.width


def test_every_regime_has_its_own_color():
    assert len(set(regime_colors(6))) == 6
    assert regime_colors(2) == [regime_colors(5)[0], regime_colors(5)[-1]]
