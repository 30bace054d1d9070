import math
from itertools import pairwise

import pytest
import torch

from praesidium.component import InputError, build
from praesidium.experiments.study import compose
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.correlated import CorrelatedBrownian
from praesidium.markets.market import Market
from praesidium.training.reproducibility import stream

MATRIX = ((1.0, 0.5, -0.2), (0.5, 1.0, 0.3), (-0.2, 0.3, 1.0))
THREE = CorrelatedBrownian(volatilities=(0.2, 0.4, 0.1), correlation=MATRIX)


def simulate(market, paths=40_000, **kwargs):
    return market.simulate(
        paths=paths, horizon=20, lookback=5, generator=stream("correlated"), dtype=torch.float64, **kwargs
    )


def every_asset(paths):
    return torch.cat([paths.spot.unsqueeze(0), paths.others])


def test_returns_have_the_volatilities_and_correlations_that_were_asked_for():
    returns = every_asset(simulate(THREE)).log().diff(dim=1).flatten(1)
    matrix = torch.corrcoef(returns)
    torch.testing.assert_close(matrix, torch.tensor(MATRIX, dtype=torch.float64), atol=5e-3, rtol=0)
    volatility = returns.std(-1) * math.sqrt(252)
    torch.testing.assert_close(volatility, volatility.new_tensor(THREE.volatilities), atol=0, rtol=3e-3)
    # One day says nothing about the next, of whatever asset.
    logs = every_asset(simulate(THREE)).log().diff(dim=1)
    lagged = torch.corrcoef(torch.cat([logs[:, :-1].flatten(1), logs[:, 1:].flatten(1)]))[:3, 3:]
    assert lagged.abs().max() < 5e-3


def test_every_asset_is_a_martingale_that_starts_at_one():
    assets = every_asset(simulate(THREE))
    assert torch.equal(assets[:, 5], torch.ones_like(assets[:, 5]))
    last = assets[:, -1]
    assert ((last.mean(-1) - 1).abs() < 3 * last.std(-1) / 200).all()


def test_each_is_marked_at_its_own_volatility():
    paths = simulate(THREE, paths=8, left=[range(20, -1, -1), [40] * 21])
    assert torch.equal(paths.implied, torch.full_like(paths.implied, 0.2))
    assert torch.equal(paths.listed, torch.full_like(paths.listed, 0.2))
    expected = paths.implied.new_tensor([0.4, 0.1]).view(2, 1, 1).expand(2, 21, 8)
    torch.testing.assert_close(paths.others_implied, expected, atol=1e-15, rtol=0)


def test_the_first_asset_is_that_of_sample():
    spot, variance = THREE.sample(paths=8, steps=25, dt=1 / 252, generator=stream("correlated"), dtype=torch.float64)
    whole = simulate(THREE, paths=8)
    torch.testing.assert_close(spot / spot[5], whole.spot, atol=1e-15, rtol=0)
    torch.testing.assert_close(variance, torch.full_like(variance, 0.04))


def test_the_spot_has_the_law_of_the_market_of_one_asset():
    """By Sobol points, which leave next to no chance."""
    kwargs = {"paths": 4096, "steps": 10, "dt": 0.01, "dtype": torch.float64}
    pair = CorrelatedBrownian(volatilities=(0.2, 0.5), sampling="sobol").sample(**kwargs, generator=stream("law"))[0]
    one = GeometricBrownian(sampling="sobol").sample(**kwargs, generator=stream("law"))[0]
    for strike in (0.95, 1.0, 1.05):
        calls = [(spot[-1] - strike).clamp(min=0).mean().item() for spot in (pair, one)]
        assert calls[0] == pytest.approx(calls[1], abs=2e-5)


def test_one_number_is_a_matrix_of_it():
    kwargs = {"volatilities": (0.2, 0.3, 0.4)}
    matrix = tuple(tuple(1.0 if i == j else 0.25 for j in range(3)) for i in range(3))
    one, other = (
        simulate(CorrelatedBrownian(**kwargs, correlation=correlation), paths=4) for correlation in (0.25, matrix)
    )
    assert torch.equal(one.others, other.others)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"correlation": 1.0}, "not positive definite"),
        ({"volatilities": [0.2, 0.2, 0.2], "correlation": -0.6}, "no 3 assets can be correlated like that"),
        ({"correlation": [[1.0, 0.2], [0.3, 1.0]]}, "not symmetric"),
        ({"correlation": [[1.0, 0.2], [0.2, 2.0]]}, "not symmetric with ones on its diagonal"),
        ({"correlation": [[1.0]]}, "does not have 2 rows of 2"),
        ({"volatilities": [0.2]}, "at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        build(Market, {"kind": "correlated_gbm", **settings})


def test_the_shipped_data_set_has_the_roles_of_the_others():
    data, other = compose(["data=correlated_assets"]).data, compose(["data=synthetic_heston"]).data
    assert (data.train, data.validation, data.test) == (other.train, other.validation, ("crisis",))
    levels = [data.environments[name].market.volatilities[0] for name in (*data.train, *data.validation, *data.test)]
    assert all(calm < wild for calm, wild in pairwise(levels))
    for name in data.environments:
        assert data.environments[name].cost_rate == other.environments[name].cost_rate
    assert data.open().simulators["low"].simulate(
        paths=2, horizon=3, lookback=1, generator=stream("correlated")
    ).others.shape == (1, 5, 2)
