"""Every market, by its registry: what the rest of the library relies on."""

import pytest
import torch

from praesidium.component import build
from praesidium.experiments.study import register_members
from praesidium.markets.market import Market
from praesidium.training.reproducibility import stream

register_members()
every_market = pytest.mark.parametrize(
    "market", [kind() for kind in Market.registry.values()], ids=lambda one: one.kind
)


@every_market
def test_paths_start_at_one_and_have_the_shape_they_promise(market):
    paths = market.simulate(paths=64, horizon=10, lookback=5, generator=stream(0, "contract"))

    assert paths.spot.shape == (16, 64)
    assert paths.implied.shape == (11, 64)
    assert torch.equal(paths.spot[5], torch.ones(64))
    assert (paths.spot > 0).all()
    assert (paths.implied[:-1] > 0).all()


@every_market
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_spot_is_a_martingale(market, dtype):
    spot, _ = market.sample(paths=40_000, steps=60, dt=1 / 252, generator=stream(1, "contract"), dtype=dtype)

    assert spot.dtype == dtype
    error = spot[-1].double().std() / spot.shape[1] ** 0.5
    assert abs(spot[-1].double().mean() - 1) < 3 * error


@every_market
def test_the_generator_is_the_only_source_of_chance(market):
    torch.manual_seed(0)
    first = market.sample(paths=16, steps=5, dt=0.01, generator=stream(2, "contract"))
    state = torch.get_rng_state()
    torch.manual_seed(1)
    second = market.sample(paths=16, steps=5, dt=0.01, generator=stream(2, "contract"))

    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


@every_market
def test_quadratic_variation_is_what_the_market_expects(market):
    spot, variance = market.sample(paths=40_000, steps=60, dt=1 / 252, generator=stream(3, "contract"))
    realized = spot.double().log().diff(dim=0).square().mean(0) * 252
    expected = market.expected_variance(variance[0].double(), 60 / 252)

    difference = realized - expected
    # Sixty daily returns differ from the continuous limit by the square of the drift, far below this bound.
    assert abs(difference.mean()) < 3 * difference.std() / 200 + 0.002 * expected.mean()


@every_market
def test_settings_round_trip(market):
    assert build(Market, market.settings()) == market
