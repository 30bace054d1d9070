"""A claim on several assets: hedged in all of them, and refused where there is but one."""

from dataclasses import replace

import pytest
import torch

from praesidium.component import InputError, build
from praesidium.hedging.asset import Asset
from praesidium.hedging.episode import settle
from praesidium.hedging.liabilities.basket import Basket
from praesidium.hedging.liability import Liability
from praesidium.hedging.rollout import Scene, rollout
from praesidium.hedging.state_builder import StateSettings
from praesidium.hedging.volatility import Quoted
from praesidium.markets.correlated import CorrelatedBrownian
from praesidium.training.reproducibility import stream

CLAIM = Basket(weights=(0.6, 0.3), strike=0.92, correlation=0.4)


class Textbook:
    def positions(self, state):
        return state.hedge


@pytest.fixture(scope="module")
def paths():
    market = CorrelatedBrownian(volatilities=(0.2, 0.4, 0.3), correlation=0.4)
    return market.simulate(
        paths=400, horizon=60, lookback=20, generator=stream("tests", "basket"), dtype=torch.float64
    ).carried(0.05, 0.02)


def test_it_pays_by_the_weighted_sum(paths):
    total = 0.6 * paths.episode[-1] + 0.3 * paths.others[0, -1]
    assert torch.equal(CLAIM.payoff(paths), (total - 0.92).clamp(min=0))
    put = CLAIM.model_copy(update={"right": "put"})
    torch.testing.assert_close(CLAIM.payoff(paths) - put.payoff(paths), total - 0.92, atol=1e-15, rtol=0)


def test_deltas_in_the_other_assets_are_derivatives(paths):
    at, h = CLAIM.conditions(paths).at(slice(0, 59)), 1e-6
    found = CLAIM.greeks(at).others
    for number in range(2):
        step = torch.zeros_like(at.others)
        step[number] = h
        up, down = (CLAIM.value(replace(at, others=at.others + sign * step)) for sign in (1, -1))
        torch.testing.assert_close(found[number], (up - down) / (2 * h), atol=1e-8, rtol=0)
    assert not found[1].any()  # it does not belong to the basket
    assert found[0].abs().max() > 0.1


def test_value_is_homogeneous(paths):
    """Euler: the value of a claim scales with prices and strike, and deltas add up to what prices bring."""
    at = CLAIM.conditions(paths)
    doubled = replace(at, spot=2 * at.spot, others=2 * at.others)
    twice = Basket(weights=CLAIM.weights, strike=2 * 0.92, correlation=0.4)
    torch.testing.assert_close(twice.value(doubled), 2 * CLAIM.value(at), atol=1e-14, rtol=0)


def test_hedging_all_assets_takes_most_of_the_risk(paths):
    state = StateSettings(volatility=Quoted())
    both = state.fit([paths], CLAIM, (Asset(number=0),))
    alone = state.fit([paths], CLAIM)
    full, half = (rollout(Textbook(), paths, builder, 0.0) for builder in (both, alone))
    none = settle(torch.zeros(60, 400, dtype=torch.float64), paths, CLAIM, 0.0)
    assert full.pnl.std() < 0.2 * none.pnl.std()
    assert full.pnl.std() < 0.35 * half.pnl.std()
    assert abs(full.pnl.mean()) < 3 * full.pnl.std() / 20 + 1e-4
    scene = Scene.make(paths, both, 1e-3)
    expected = -settle(scene.state.hedge, paths, CLAIM, 1e-3, instruments=(Asset(number=0),)).pnl
    torch.testing.assert_close(scene.losses(scene.state.hedge), expected, atol=1e-12, rtol=0)


def test_a_market_of_too_few_assets_is_refused(paths, wild):
    with pytest.raises(InputError, match="has 1 beside that of the spot, but the market has 0 further assets"):
        CLAIM.payoff(wild)
    four = Basket(weights=(0.2, 0.2, 0.2, 0.2))
    with pytest.raises(InputError, match="has 3 beside that of the spot, but the market has 2 further assets"):
        four.value(four.conditions(paths))


def test_an_impossible_correlation_is_refused():
    with pytest.raises(InputError, match=r"correlation: -0\.6 is impossible between 3 assets; the lowest is -0\.5"):
        build(Liability, {"kind": "basket", "weights": [0.2, 0.2, 0.2], "correlation": -0.6})
