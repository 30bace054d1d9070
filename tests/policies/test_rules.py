"""The textbook hedges."""

from dataclasses import replace

import pytest
import torch

from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.rollout import rollout
from praesidium.hedging.state_builder import StateSettings
from praesidium.policies.greeks import Delta
from praesidium.policies.no_hedge import NoHedge
from praesidium.policies.whalley_wilmott import WhalleyWilmott, follow


@pytest.fixture(scope="module")
def state(builder, calm):
    return builder.build(calm, 1e-3)


def priced(state, rate):
    return replace(state, cost_rate=torch.full_like(state.cost_rate, rate))


def test_without_costs_the_band_is_delta(state):
    rule = WhalleyWilmott()
    assert torch.equal(rule.positions(priced(state, 0.0)), state.delta)
    gaps = [
        (rule.positions(priced(state, rate)) - state.delta).abs().max().item() for rate in (1e-2, 1e-5, 1e-8, 1e-11)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < gaps[0] / 500


@pytest.mark.parametrize("aversion", [1.0, 100.0])
def test_the_band_is_that_of_the_paper(state, aversion):
    """One trade a day at most, and only to the nearer edge of delta +- (3/2 k S Gamma^2 / a)^(1/3)."""
    positions = WhalleyWilmott(risk_aversion=aversion).positions(state)
    trades = 0
    for path in range(20):
        held = 0.0
        for day in range(len(positions)):
            spot, delta, gamma = (getattr(state, name)[day, path].item() for name in ("spot", "delta", "gamma"))
            width = (1.5 * 1e-3 * spot * gamma**2 / aversion) ** (1 / 3)
            inside = abs(held - delta) <= width
            expected = held if inside else delta + (width if held > delta else -width)
            assert positions[day, path].item() == pytest.approx(expected, abs=1e-12)
            trades += not inside
            held = expected
    assert 20 < trades < 20 * len(positions)


def test_a_dearer_market_and_a_bolder_trader_trade_less(calm, builder):
    def turnover(rate, aversion):
        return rollout(WhalleyWilmott(risk_aversion=aversion), calm, builder, rate).turnover.mean().item()

    by_cost, by_aversion = (
        [turnover(rate, 100) for rate in (0, 1e-4, 1e-3, 1e-2)],
        [turnover(1e-3, a) for a in (300, 3)],
    )
    assert by_cost == sorted(by_cost, reverse=True)
    assert by_aversion[0] > by_aversion[1]
    assert by_cost[0] == rollout(Delta(), calm, builder, 0.0).turnover.mean().item()


def test_follow_moves_only_as_far_as_it_must():
    low = torch.tensor([[-1.0], [0.5], [0.2], [-2.0]])
    high = torch.tensor([[1.0], [0.9], [0.4], [-1.0]])
    assert follow(low, high).flatten().tolist() == pytest.approx([0.0, 0.5, 0.4, -1.0])


def test_no_hedge_pays_the_option(calm, builder):
    episode = rollout(NoHedge(), calm, builder, 1e-2)
    torch.testing.assert_close(episode.pnl, episode.premium - episode.payoff, atol=1e-12, rtol=0)
    assert (episode.turnover == 0).all()
    assert (episode.costs == 0).all()


def test_delta_hedging_takes_most_of_the_risk(calm, builder):
    hedged, naked = (rollout(rule, calm, builder, 0.0).pnl.std().item() for rule in (Delta(), NoHedge()))
    assert hedged < 0.4 * naked


def test_delta_uses_the_volatility_of_the_state(calm, wild):
    positions = [
        Delta().positions(StateSettings().fit(training, EuropeanCall()).build(calm, 0.0))
        for training in ([calm], [wild])
    ]
    assert not torch.allclose(*positions, atol=1e-3)
