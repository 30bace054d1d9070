"""The simulated data sets: what the wide environments keep, and the rungs of the ladder."""

import pytest
import torch

from praesidium.data.volatility import BANDS
from praesidium.experiments.study import compose
from praesidium.markets.jumps import Merton
from praesidium.training.reproducibility import stream


@pytest.fixture(scope="module")
def synthetic():
    return compose(["data=synthetic_heston"]).data


@pytest.fixture(scope="module")
def ladder():
    return compose(["data=heston_ladder"]).data


def realized(market, paths):
    spot = market.simulate(paths=paths, horizon=60, lookback=20, generator=stream("simulated")).episode.double()
    return (spot.log().diff(dim=0).square().mean(0) * 252).sqrt()


@pytest.mark.parametrize("name", ["low", "medium_10_15", "medium_15_20", "medium_20_25"])
def test_a_wide_environment_differs_from_its_namesake_in_dynamics_alone(synthetic, name):
    narrow, wide = synthetic.environments[name], synthetic.environments[f"wide_{name}"]
    theta, xi = narrow.market.theta, narrow.market.xi

    assert wide.cost_rate == narrow.cost_rate
    assert wide.market.base == narrow.market
    assert {key: pytest.approx(bounds) for key, bounds in wide.market.intervals.items()} == {
        "theta": (0.9 * theta, 1.1 * theta),
        "kappa": (2.0, 10.0),
        "xi": (0.5 * xi, 2.0 * xi),
        "rho": (-0.9, 0.0),
    }
    low, high = BANDS[name.split("_")[0]]
    volatility = realized(wide.market, 4096)
    assert ((volatility >= low) & (volatility < high)).double().mean() >= 0.8


def test_wide_environments_play_no_part_unless_asked(synthetic):
    assert not [name for name in synthetic.names if name.startswith("wide")]


def test_the_ladder_trains_as_synthetic_heston_does(synthetic, ladder):
    assert (ladder.train, ladder.validation) == (synthetic.train, synthetic.validation)
    for name in (*ladder.train, *ladder.validation):
        assert ladder.environments[name] == synthetic.environments[name]


def test_the_rungs_lie_on_one_line(ladder):
    bottom, top = ladder.environments["medium_20_25"].market, ladder.environments["crisis_jumps"].market

    def at(share):
        base = bottom.settings()
        for name, high in top.base.settings().items():
            if name in ("theta", "xi"):
                base[name] += share * (high - base[name])
        base["v0"] = [one + share * (other - one) for one, other in zip(bottom.v0, top.base.v0, strict=True)]
        base["rho"] += min(share, 1) * (top.base.rho - bottom.rho)
        return base, share * top.intensity

    assert len(ladder.test) == 9
    for step, name in enumerate(ladder.test):
        rung = ladder.environments[name]
        base, intensity = at(step / 4)
        assert name == f"severity_{25 * step:03d}"
        assert isinstance(rung.market, Merton)
        assert rung.cost_rate == 0.002
        assert rung.market.intensity == pytest.approx(intensity)
        assert (rung.market.jump_mean, rung.market.jump_sd) == (top.jump_mean, top.jump_sd)
        settings = rung.market.base.settings()
        assert settings.pop("v0") == pytest.approx(base.pop("v0"))
        assert settings.pop("kind") == base.pop("kind")
        assert settings == pytest.approx(base)
    assert ladder.environments["severity_100"] == ladder.environments["crisis_jumps"]


def test_each_rung_moves_more_than_the_one_before(ladder):
    simulators = ladder.open().simulators
    means = torch.stack([realized(simulators[name], 400).mean() for name in ladder.test])

    assert (means.diff() > 0.02).all()
