"""Figures of wealth: what they draw is what was earned."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.reporting.plots import equity
from praesidium.reporting.plots.equity import drawdown_figure, equity_figure

DAYS = pd.bdate_range("2001-01-01", periods=4)
RETURNS = pd.DataFrame({"up": [0.0, 0.5, 0.0, 0.2], "down": [0.0, -0.5, 0.5, 0.0], "flat": [0.0] * 4}, DAYS)
GROUPS = {"movers": ["up", "down"], "others": ["flat"]}


@pytest.fixture
def drawn(monkeypatch):
    """Lines of each panel by label, as they are saved."""
    found = []

    def keep(figure, path, formats):
        panels = [{line.get_label(): line.get_ydata() for line in axis.get_lines()} for axis in figure.axes]
        found.extend(panels)
        return path

    monkeypatch.setattr(equity, "save", keep)
    return found


def test_wealth_starts_at_one_and_compounds(drawn, tmp_path):
    equity_figure(RETURNS, GROUPS, tmp_path / "e.png", heading="h", footnote="f", references=["flat"])
    assert list(drawn[0]) == ["flat", "up", "down"]
    assert list(drawn[1]) == ["flat"]
    np.testing.assert_allclose(drawn[0]["up"], [1, 1.5, 1.5, 1.8])
    np.testing.assert_allclose(drawn[0]["down"], [1, 0.5, 0.75, 0.75])


def test_drawdown_is_the_fall_from_the_peak_the_start_included(drawn, tmp_path):
    lost = RETURNS.assign(down=[-0.2, 0.25, -0.5, 0.0])
    drawdown_figure(lost, GROUPS, tmp_path / "d.png", heading="h", footnote="f")
    np.testing.assert_allclose(drawn[0]["down 50%"], [-0.2, 0.0, -0.5, -0.5])
    np.testing.assert_allclose(drawn[0]["up 0%"], 0)


@pytest.mark.parametrize("growth", [0.0, 0.02, 9.0])
def test_wealth_can_be_read_from_its_axis(growth, monkeypatch, tmp_path):
    """However little it moves, or much."""
    drawn = []
    monkeypatch.setattr(equity, "save", lambda figure, path, _: drawn.append(figure) or path)
    returns = pd.DataFrame({"one": np.full(30, (1 + growth) ** (1 / 30) - 1)}, pd.bdate_range("2001-01-01", periods=30))
    equity_figure(returns, {"all": ["one"]}, tmp_path / "e.png", heading="h", footnote="long words " * 40)
    axis, figure = drawn[0].axes[0], drawn[0]
    low, high = axis.get_ylim()
    assert sum(low <= tick <= high for tick in axis.yaxis.get_majorticklocs()) >= 2
    figure.draw_without_rendering()
    assert figure._supxlabel.get_window_extent().x1 <= figure.bbox.width


def test_a_file_is_written_and_unknown_strategies_are_refused(tmp_path):
    path = equity_figure(RETURNS, GROUPS, tmp_path / "e.png", heading="h", footnote="f")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no column sideways; known: up, down, flat"):
        drawdown_figure(RETURNS, {"a": ["sideways"]}, tmp_path / "d.png", heading="h", footnote="f")
    with pytest.raises(InputError, match="no column is asked for"):
        equity_figure(RETURNS, {}, tmp_path / "e.png", heading="h", footnote="f")
