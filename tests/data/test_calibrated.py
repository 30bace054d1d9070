"""Calibrated data sets: what is kept of the calibration and of the template, and the file that holds them."""

import pytest
import yaml

from praesidium.component import InputError, build
from praesidium.data import calibrated
from praesidium.data.calibrated import place
from praesidium.data.environments import DataSet
from praesidium.data.simulated import Simulated
from praesidium.experiments.study import compose
from praesidium.markets.calibration.estimate import Calibration, Estimate
from praesidium.training.reproducibility import stream

HESTON = {
    "theta": (0.02, 0.015, 0.025),
    "kappa": (8.0, 5.0, 12.0),
    "xi": (0.5, 0.4, 0.6),
    "rho": (-0.5, -0.7, -0.3),
}
JUMPS = {"intensity": (4.0, 2.0, 8.0), "jump_mean": (-0.02, -0.04, 0.0), "jump_sd": (0.02, 0.01, 0.03)}
TEMPLATE = {
    "train": ["medium_15_20"],
    "validation": ["high"],
    "test": ["crisis"],
    "environments": {
        "medium_15_20": {"cost_rate": 0.0005, "market": {"kind": "heston", "theta": 0.03, "v0": [0.025, 0.035]}},
        "high": {"cost_rate": 0.001, "market": {"kind": "heston", "theta": 0.1, "v0": [0.09, 0.11]}},
        "crisis": {"cost_rate": 0.002, "market": {"kind": "heston", "theta": 0.3, "v0": [0.25, 0.42]}},
        "wide_medium_15_20": {"cost_rate": 0.0005, "market": {"kind": "heston"}},
    },
}


@pytest.fixture(scope="module", autouse=True)
def few_paths():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrated, "PATHS", 512)
        yield


@pytest.fixture(scope="module")
def heston(few_paths):
    return placed("heston", **HESTON)


def calibration(dynamics, **estimates):
    found = {
        name: Estimate(value=value, standard_error=0.1, low=low, high=high, identified=True)
        for name, (value, low, high) in estimates.items()
    }
    return Calibration(dynamics=dynamics, estimates=found, days=1000, data="0" * 12, moments={})


def placed(dynamics, **estimates):
    return place(calibration(dynamics, **estimates), TEMPLATE, generator=stream("tests", "place"))


def total_variance(theta=None, volatility=None, intensity=0.0, jump_mean=0.0, jump_sd=0.0, **rest):
    return (theta or volatility**2) + intensity * (jump_mean**2 + jump_sd**2)


def test_dynamics_come_from_the_calibration_and_levels_from_the_template(heston):
    settings, found = heston
    market = settings["environments"]["medium_15_20"]["market"]
    assert (market["theta"], market["v0"]) == (0.03, [0.025, 0.035])
    assert (market["kappa"], market["rho"]) == (8.0, -0.5)
    expected = 0.5 * (0.03 / 0.02) ** 0.5 * found["medium_15_20"].kept
    assert market["xi"] == pytest.approx(expected, rel=1e-3)
    assert settings["environments"]["crisis"] == TEMPLATE["environments"]["crisis"]
    assert "crisis" not in found
    assert [one["cost_rate"] for one in settings["environments"].values()] == [0.0005, 0.001, 0.002, 0.0005]
    assert build(Simulated, settings).train == ("medium_15_20",)


def test_the_variance_moves_as_much_as_the_band_allows(heston):
    _, found = heston
    assert found["medium_15_20"].kept == 1
    assert found["high"].kept < 1
    assert 0.8 <= found["high"].inside < 0.83
    assert all(one.inside >= 0.8 for one in found.values())


def test_wide_environments_draw_from_the_intervals(heston):
    settings, found = heston
    market = settings["environments"]["wide_medium_15_20"]["market"]
    scale = (0.03 / 0.02) ** 0.5 * found["wide_medium_15_20"].kept
    assert market["kind"] == "randomized"
    assert market["intervals"] == {
        "theta": [0.027, 0.033],
        "kappa": [5.0, 12.0],
        "xi": pytest.approx([0.4 * scale, 0.6 * scale], rel=1e-3),
        "rho": [-0.7, -0.3],
    }


@pytest.mark.parametrize(
    ("dynamics", "estimates"),
    [
        ("gbm", {"volatility": (0.2, 0.18, 0.22)}),
        ("merton", {"volatility": (0.15, 0.14, 0.16), **JUMPS}),
        ("bates", {**HESTON, **JUMPS}),
    ],
)
def test_other_dynamics_have_the_level_too_jumps_included(dynamics, estimates):
    settings, _ = placed(dynamics, **estimates)
    data = build(Simulated, settings)
    for name, level in (("medium_15_20", 0.03), ("high", 0.1)):
        market = settings["environments"][name]["market"]
        flat = {**market, **market.get("base", {})}
        assert total_variance(**flat) == pytest.approx(level, rel=2e-3)
        before = {name: value for name, (value, _, _) in estimates.items()}
        if dynamics != "gbm":
            assert market["intensity"] == before["intensity"]
            size = (level / total_variance(**before)) ** 0.5
            assert market["jump_sd"] == pytest.approx(before["jump_sd"] * size, rel=1e-3)
            assert market["jump_mean"] == pytest.approx(before["jump_mean"] * size, rel=1e-3)
    wide = data.environments["wide_medium_15_20"].market
    assert set(wide.intervals) <= {*estimates, "volatility"}
    assert wide.intervals


@pytest.fixture
def frozen(tmp_path):
    path = tmp_path / "own.yaml"
    settings, _ = placed("gbm", volatility=(0.2, 0.18, 0.22))
    path.write_text(yaml.safe_dump({"kind": "simulated", **settings}))
    return path


def test_a_file_is_read_once_and_for_all(frozen):
    data = build(DataSet, {"kind": "calibrated", "path": str(frozen)})
    assert type(data) is Simulated
    frozen.unlink()
    assert build(DataSet, data.settings()) == data


def test_what_is_set_beside_the_file_goes_before_it(frozen):
    data = compose(
        ["data=calibrated", f"data.path={frozen}", "data.horizon=30", "data.environments.high.cost_rate=0.01"]
    ).data
    there = build(DataSet, {"kind": "calibrated", "path": str(frozen)})
    assert data.horizon == 30
    assert data.environments["high"].cost_rate == 0.01
    assert data.environments["high"].market == there.environments["high"].market
    other = {"high": {"market": {"kind": "heston", "theta": 0.1}}}
    replaced = build(DataSet, {"kind": "calibrated", "path": str(frozen), "environments": other})
    assert replaced.environments["high"].market.theta == 0.1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such file; write one with: praesidium calibrate"),
        ("kind: historical", "holds no simulated data set"),
        ("a: [", "holds no simulated data set"),
        ("kind: simulated\ntrian: [low]", "did you mean 'train'"),
    ],
)
def test_a_file_that_is_none_is_refused(content, sentence, tmp_path):
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=sentence):
        build(DataSet, {"kind": "calibrated", "path": str(path)})


def test_the_path_is_asked_for():
    with pytest.raises(InputError, match="path: field required"):
        build(DataSet, {"kind": "calibrated"})


def test_what_is_shipped_lies_in_its_bands_and_keeps_the_a_priori_crises():
    data, prior = compose(["data=synthetic_calibrated"]).data, compose(["data=synthetic_heston"]).data
    assert (data.train, data.validation, data.test) == (prior.train, prior.validation, prior.test)
    for name in ("crisis", "crisis_jumps", "crisis_liquidity"):
        assert data.environments[name] == prior.environments[name]
    calm = [one.market for name, one in data.environments.items() if name in (*data.train, *data.validation)]
    assert len({(one.kappa, one.rho) for one in calm}) == 1
    assert {one.theta for one in calm} == {
        prior.environments[name].market.theta for name in (*data.train, *data.validation)
    }
    for name in ("low", "medium_20_25", "high"):
        band = calibrated.BANDS[name.split("_")[0]]
        inside = calibrated._share_inside(data.environments[name].market, band, data, stream("tests", "shipped"))
        assert inside >= 0.76  # 80 %, and two standard errors of 512 paths
