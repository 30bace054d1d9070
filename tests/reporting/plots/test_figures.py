"""Each figure: written where there is something to see, None where there is not, the right numbers in it."""

import numpy as np
import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.reporting.plots import ire, qq, training
from praesidium.reporting.plots.head import head_figure
from praesidium.reporting.plots.ire import ire_figure
from praesidium.reporting.plots.qq import qq_figure
from praesidium.reporting.plots.sweep import sweep_figure
from praesidium.reporting.plots.training import alignment_figure, training_figure


@pytest.fixture
def canvas(monkeypatch):
    """Figures that a module saves, kept to look at their axes."""
    kept = []

    def watch(module):
        save = module.save
        monkeypatch.setattr(module, "save", lambda figure, *rest: kept.append(figure) or save(figure, *rest))
        return kept

    return watch


# ---- quantiles -----------------------------------------------------------------------------------------------------


@pytest.fixture
def episodes():
    base = np.random.default_rng(0).normal(0, 0.02, 2000)
    return pd.concat(
        [
            pd.DataFrame({"method": "hirm", "seed": 0, "pnl": base[::-1] / 2}),
            pd.DataFrame({"method": "erm", "seed": 0, "pnl": base}),
        ]
    )


def test_quantiles_of_a_rescaled_pnl_lie_on_its_line(episodes, tmp_path, drawn, canvas):
    kept = canvas(qq)
    drawn(qq_figure(episodes, tmp_path / "qq.png", formats=("png", "pdf")), formats=("png", "pdf"))

    _, body, tail = kept[0].axes[0].lines
    for dots in (body, tail):
        np.testing.assert_allclose(dots.get_ydata(), np.asarray(dots.get_xdata()) / 2)
    assert len(tail.get_xdata()) == 50  # the worst 5 % of 1,000 quantiles
    assert max(tail.get_xdata()) < min(body.get_xdata())


def test_no_reference_or_nothing_beside_it_is_no_figure(episodes, tmp_path):
    assert qq_figure(episodes.query("method == 'hirm'"), tmp_path / "qq.png") is None
    assert qq_figure(episodes.query("method == 'erm'"), tmp_path / "qq.png") is None
    assert qq_figure(episodes.iloc[:0], tmp_path / "qq.png") is None
    assert not list(tmp_path.iterdir())


def test_the_worst_share_is_a_fraction(episodes, tmp_path):
    with pytest.raises(InputError, match=r"say tail=0\.05"):
        qq_figure(episodes, tmp_path / "qq.png", tail=5.0)


# ---- training ------------------------------------------------------------------------------------------------------


@pytest.fixture
def curves():
    rows = []
    for method in ("erm", "hirm"):
        for seed in (0, 1, 2):
            for step in range(1, 41):
                at = {"method": method, "seed": seed, "step": step, "ramp": min(1.0, max(0.0, (step - 10) / 10))}
                told = [("risk", None, 0.02 + 0.01 * seed), ("penalty", None, 1e-3 * at["ramp"] * (method == "hirm"))]
                told += [("environment_risk", name, 0.01 + 0.001 * step) for name in ("low", "high")]
                if step % 10 == 0:
                    told.append(("validation_risk", None, 0.03))
                if method == "hirm" and step > 10:
                    told += [("cosine", None, 0.4), ("agreement", None, 0.7)]
                    told += [("noise_to_signal", name, 0.1 if name == "low" else 0.8) for name in ("low", "high")]
                rows += [{**at, "quantity": name, "environment": of, "value": value} for name, of, value in told]
    return pd.DataFrame(rows)


def test_curves_are_medians_over_seeds_in_basis_points(curves, tmp_path, drawn, canvas):
    kept = canvas(training)
    drawn(training_figure(curves, tmp_path / "training.png"))

    axes = {axis.get_title(loc="left"): axis for axis in kept[0].axes}
    assert list(axes)[3:] == ["training risk, low", "training risk, high"]
    for line in axes["mean training risk"].lines:
        np.testing.assert_allclose(line.get_ydata(), 300)  # of 0.02, 0.03 and 0.04
    assert len(axes["penalty, weighted"].lines) == 1  # erm has none
    (shade,) = axes["mean training risk"].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (11, 19)


def test_alignment_is_drawn_for_those_who_logged_it(curves, tmp_path, drawn, canvas):
    kept = canvas(training)
    drawn(alignment_figure(curves, tmp_path / "alignment.png"))

    axes = {axis.get_title(loc="left"): axis for axis in kept[0].axes}
    assert list(axes) == [
        "cosine of one batch",
        "agreement |mean g| / mean |g|",
        "noise to signal, noisiest environment",
    ]
    np.testing.assert_allclose(axes["noise to signal, noisiest environment"].lines[0].get_ydata(), 0.8)


def test_runs_without_a_log_give_no_curves(curves, tmp_path):
    assert alignment_figure(curves.query("method == 'erm'"), tmp_path / "alignment.png") is None
    assert training_figure(curves.query("quantity == 'cosine'"), tmp_path / "training.png") is None
    assert training_figure(curves.iloc[:0], tmp_path / "training.png") is None


def test_two_runs_under_one_name_are_refused(curves, tmp_path):
    with pytest.raises(InputError, match="two values at one step"):
        training_figure(pd.concat([curves, curves]), tmp_path / "training.png")


# ---- sweep ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sweep():
    return pd.DataFrame(
        {"method": method, "seed": seed, "penalty": weight, "training_risk": 0.01, "validation_cvar95": 0.02 + weight}
        for method, weight in [("erm", 0.0), ("hirm", 0.1), ("hirm", 1.0)]
        for seed in (0, 1)
    )


def test_a_sweep_has_a_panel_for_each_risk_that_is_known(sweep, tmp_path, drawn):
    two = drawn(sweep_figure(sweep.assign(crisis_cvar95=np.nan), tmp_path / "two.png"))
    three = drawn(sweep_figure(sweep.assign(crisis_cvar95=0.05), tmp_path / "three.png"))

    assert three[0] > two[0]


def test_erm_alone_is_no_sweep(sweep, tmp_path):
    rows = sweep.assign(crisis_cvar95=0.05)

    assert sweep_figure(rows.query("method == 'erm'"), tmp_path / "sweep.png") is None
    assert not list(tmp_path.iterdir())


# ---- invariance, robustness, efficiency ----------------------------------------------------------------------------


@pytest.fixture
def points():
    names = ["erm", "groupdro", "vrex", "irm_head", "hirm"]
    return pd.DataFrame(
        {"method": name, "seed": seed, "ig": 0.03, "worst_group": 0.05, "er": -0.08, "mean_pnl": -0.0035}
        | {"isi": None if name == "erm" else 0.5 + 0.01 * place}
        for place, name in enumerate(names)
        for seed in (0, 1)
    )


def test_names_of_methods_at_one_point_do_not_cover_each_other(points, tmp_path, drawn, canvas):
    kept = canvas(ire)
    drawn(ire_figure(points.drop(columns="isi"), tmp_path / "ire.png"))

    axis = kept[0].axes[0]
    boxes = [text.get_window_extent() for text in axis.texts if "bp)" in text.get_text()]
    assert len(boxes) == 5
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
    assert axis.xaxis_inverted()
    assert axis.yaxis_inverted()


def test_the_index_comes_before_the_gap_and_who_lacks_it_is_named(points, tmp_path, drawn, canvas):
    kept = canvas(ire)
    drawn(ire_figure(points, tmp_path / "ire.png"))

    axis = kept[0].axes[0]
    assert axis.get_xlabel() == ire.INVARIANCE["isi"]
    assert not axis.xaxis_inverted()
    assert kept[0].get_suptitle().endswith("without a measure: erm")


def test_a_mean_over_some_of_the_seeds_says_so(points, tmp_path, canvas):
    kept = canvas(ire)
    points.loc[(points.method == "hirm") & (points.seed == 0), "isi"] = None
    ire_figure(points, tmp_path / "ire.png")

    told = {text.get_text() for text in kept[0].axes[0].texts}
    assert {"hirm (-35 bp, 1/2 seeds)", "vrex (-35 bp)"} <= told


def test_points_without_an_efficiency_are_drawn_and_without_a_place_are_not(points, tmp_path, drawn):
    drawn(ire_figure(points.assign(er=None, mean_pnl=None), tmp_path / "ire.png"))

    assert ire_figure(points.assign(worst_group=None), tmp_path / "none.png") is None
    assert ire_figure(points.iloc[:0], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


# ---- head ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sensitivities():
    return pd.DataFrame(
        {"method": method, "environment": place, "feature": feature, "group": group, "sensitivity": 0.1}
        for method in ("erm", "hirm")
        for place in ("low", "crisis")
        for feature, group in [("delta", "phi"), ("gamma_scaled", "phi"), ("drawdown_20", "context")]
    )


def test_the_head_has_a_panel_for_each_method(sensitivities, tmp_path, drawn):
    one = drawn(head_figure(sensitivities.query("method == 'erm'"), tmp_path / "one.png"))
    two = drawn(head_figure(sensitivities, tmp_path / "two.png"))

    assert two[0] > 1.5 * one[0]


def test_calm_without_crisis_is_no_figure(sensitivities, tmp_path):
    assert head_figure(sensitivities.query("environment == 'low'"), tmp_path / "head.png") is None
    assert head_figure(sensitivities.assign(sensitivity=np.nan), tmp_path / "head.png") is None
    assert head_figure(sensitivities, tmp_path / "head.png", crisis="crisis_jumps") is None
