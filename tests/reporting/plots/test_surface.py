"""The figure of a surface: the curves in it are the slices, the red in it is the arbitrage."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from praesidium.component import InputError
from praesidium.pricing.arbitrage import clean
from praesidium.pricing.surface import Surface
from praesidium.pricing.svi import Slice
from praesidium.reporting.plots import surface as module
from praesidium.reporting.plots.canvas import ALARM
from praesidium.reporting.plots.surface import surface_figure

BEFORE = Surface(
    (
        Slice(tau=0.5, a=0.008, b=0.045, rho=-0.4, m=0.02, sigma=0.12),
        Slice(tau=1.0, a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153),
        Slice(tau=1.5, a=0.0045, b=0.06, rho=0.0, m=0.1, sigma=0.1),
    )
)
K = np.linspace(-1.0, 1.0, 9)


@pytest.fixture(scope="module")
def after():
    return clean(BEFORE, [K, K, K])[0]


@pytest.fixture(scope="module")
def quotes():
    made = [pd.DataFrame({"tau": one.tau, "k": K, "volatility": one.volatility(K)}) for one in BEFORE.slices]
    return pd.concat(made)


@pytest.fixture(scope="module")
def panels(after, quotes):
    """The figure's axes, by row; no file."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "save", lambda figure, path, formats: kept.append(figure) or path)
        surface_figure(BEFORE, after, quotes, Path("surface.png"))
    axes = kept[0].axes
    return {"before": axes[:3], "after": axes[3:]}


def red(axis):
    """Points of lines that stand for arbitrage, as (k, value)."""
    lines = [line.get_xydata() for line in axis.lines if line.get_color() == ALARM]
    points = np.concatenate(lines)
    return points[np.isfinite(points[:, 1])]


def test_titles_and_axes(panels):
    titles = [axis.get_title(loc="left") for axis in (*panels["before"], *panels["after"])]
    assert titles == [
        "implied volatility, as fitted", "total variance", "Durrleman's g",
        "implied volatility, without arbitrage", "total variance", "Durrleman's g",
    ]  # fmt: skip
    for above, below in zip(panels["before"], panels["after"], strict=True):
        assert above.get_ylim() == below.get_ylim()
        assert above.get_xlim() == below.get_xlim()


@pytest.mark.parametrize("row", ["before", "after"])
def test_curves_are_the_slices_in_percent(panels, after, row):
    surface = {"before": BEFORE, "after": after}[row]
    smiles, variances, functions = panels[row]
    dots = [line for line in smiles.lines if line.get_marker() == "o"]
    solid = [line for line in smiles.lines if line.get_linestyle() == "-"]
    dotted = [line for line in smiles.lines if line.get_linestyle() == ":"]
    for one, original, shown, inside, outside in zip(surface.slices, BEFORE.slices, dots, solid, dotted, strict=True):
        np.testing.assert_allclose(shown.get_xdata(), K)
        np.testing.assert_allclose(shown.get_ydata(), 100 * original.volatility(K))
        k, both = inside.get_xdata(), np.stack([inside.get_ydata(), outside.get_ydata()])
        assert (np.isfinite(both).sum(0) == 1).all()
        assert (np.isfinite(both[0]) == (np.abs(k) <= 1)).all()
        assert k.min() < -1.2
        np.testing.assert_allclose(np.nansum(both, 0), 100 * one.volatility(k))
    for axis, function in ((variances, "total_variance"), (functions, "durrleman")):
        curves = [line for line in axis.lines if line.get_color() != ALARM and len(line.get_xdata()) > 2]
        for one, curve in zip(surface.slices, curves, strict=True):
            np.testing.assert_allclose(curve.get_ydata(), getattr(one, function)(np.asarray(curve.get_xdata())))


def test_red_is_where_the_arbitrage_is(panels):
    _, variances, functions = panels["before"]
    first, butterfly, last = BEFORE.slices
    crossed = red(variances)
    k = np.asarray(variances.lines[0].get_xdata())
    w = np.stack([one.total_variance(k) for one in (first, butterfly, last)])
    expected = [w[1] < w[0], w[2] < np.maximum(w[0], w[1])]
    assert all(mask.any() and not mask.all() for mask in expected)
    assert (expected[1] & (w[2] > w[1])).any()  # below the first slice alone
    np.testing.assert_allclose(crossed[:, 0], np.concatenate([k[mask] for mask in expected]))
    np.testing.assert_allclose(crossed[:, 1], np.concatenate([w[1][expected[0]], w[2][expected[1]]]))
    negative = red(functions)
    assert (negative[:, 1] < 0).all()
    expected = np.concatenate([k[one.durrleman(k) < 0] for one in BEFORE.slices])
    np.testing.assert_allclose(negative[:, 0], expected)
    assert functions.get_ylim()[0] < negative[:, 1].min()


def test_nothing_is_red_after(panels):
    for axis in panels["after"][1:]:
        assert len(red(axis)) == 0
        for shade in axis.collections:
            assert to_rgba(ALARM)[:3] == tuple(shade.get_facecolor()[0][:3])
            assert not any(len(path.vertices) for path in shade.get_paths())


def test_the_legend_names_maturities(panels):
    (legend,) = panels["before"][0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "182 days",
        "1 year",
        "1.5 years",
        "quotes",
        "arbitrage",
    ]


def test_one_slice_is_a_figure(tmp_path, quotes, drawn):
    alone, formats = Surface(BEFORE.slices[:1]), ("png", "pdf")
    drawn(
        surface_figure(alone, alone, quotes.query("tau == 0.5"), tmp_path / "one.png", formats=formats), formats=formats
    )


def test_without_quotes_there_is_no_figure(after, quotes, tmp_path):
    assert surface_figure(BEFORE, after, quotes.iloc[:0], tmp_path / "surface.png") is None
    assert not list(tmp_path.iterdir())


def test_what_does_not_go_together_is_refused(after, quotes, tmp_path):
    with pytest.raises(InputError, match="surface_figure: the frame has no column volatility"):
        surface_figure(BEFORE, after, quotes.drop(columns="volatility"), tmp_path / "surface.png")
    with pytest.raises(InputError, match=r"^surface_figure: before and after differ in their maturities; pass a surfa"):
        surface_figure(BEFORE, Surface(after.slices[:2]), quotes, tmp_path / "surface.png")
