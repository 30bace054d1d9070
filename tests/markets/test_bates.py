import pytest
import torch

from praesidium.component import InputError, build
from praesidium.markets.bates import Bates
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.markets.market import Market
from praesidium.training.reproducibility import stream

DIFFUSION = {"theta": 0.09, "kappa": 1.5, "xi": 0.8, "rho": -0.4, "v0": (0.02, 0.06), "sampling": "antithetic"}
JUMPS = {"intensity": 9.0, "jump_mean": -0.1, "jump_sd": 0.07}


def draw(market, dtype=torch.float32):
    return market.sample(paths=500, steps=20, dt=1 / 52, generator=stream("bates"), dtype=dtype)


def test_the_settings_are_those_of_heston_and_of_the_jumps():
    assert set(Bates.model_fields) == set(Heston.model_fields) | set(Merton.model_fields) - {"base"}
    assert set(DIFFUSION) == set(Heston.model_fields)


@pytest.mark.parametrize("settings", [{}, DIFFUSION, JUMPS, DIFFUSION | JUMPS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paths_and_marks_are_those_of_the_nested_form(settings, dtype):
    flat = Bates(**settings)
    base = Heston(**{name: one for name, one in settings.items() if name in DIFFUSION})
    nested = Merton(base=base, **{name: one for name, one in settings.items() if name in JUMPS})

    assert all(map(torch.equal, draw(flat, dtype), draw(nested, dtype)))
    variance, years = torch.linspace(0, 0.2, 5, dtype=dtype), torch.tensor([[0.0], [0.5]], dtype=dtype)
    assert torch.equal(
        flat.expected_variance(variance.expand(2, 5), years), nested.expected_variance(variance.expand(2, 5), years)
    )


@pytest.mark.parametrize("name", [*DIFFUSION, *JUMPS])
def test_each_setting_counts(name):
    assert not torch.equal(draw(Bates())[0], draw(Bates(**{name: (DIFFUSION | JUMPS)[name]}))[0])


def test_settings_make_the_round_trip():
    market = Bates(**DIFFUSION, **JUMPS)
    assert build(Market, market.settings()) == market
    assert market.settings()["kind"] == "bates"


@pytest.mark.parametrize(
    "bad", [{"v0": (0.06, 0.02)}, {"xi": 0.0}, {"intensity": -1.0}, {"jump_sd": -0.1}, {"base": {"kind": "gbm"}}]
)
def test_bounds_of_settings(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        build(Market, {"kind": "bates", **bad})
