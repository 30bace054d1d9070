"""What a belief says of the days ahead, and policies that cannot do without."""

from dataclasses import replace

import pytest
import torch

from praesidium.component import InputError
from praesidium.policies.beliefs import ahead
from praesidium.policies.lstm_encoder import LSTM
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Sizes
from praesidium.policies.regime_encoders import Regime, Transition
from praesidium.regimes.hmm import forecast, sample_chain, survival
from praesidium.training.reproducibility import stream

CHAIN = torch.tensor([[0.90, 0.08, 0.02], [0.05, 0.90, 0.05], [0.01, 0.19, 0.80]], dtype=torch.float64)
BELIEFS = torch.rand(7, 3, dtype=torch.float64, generator=stream("tests", "beliefs"))
BELIEFS = BELIEFS / BELIEFS.sum(-1, keepdim=True)
BLIND = Sizes(phi=4, context=5, environments=2)


def test_columns_are_the_forecasts_and_the_chance_of_leaving():
    seen = ahead(BELIEFS, CHAIN, lookahead=4)
    assert seen.shape == (7, 5 * 3 + 1)
    torch.testing.assert_close(seen[:, :3], BELIEFS, atol=1e-15, rtol=0)
    torch.testing.assert_close(seen[:, 3:15].unflatten(-1, (4, 3)), forecast(BELIEFS, CHAIN, steps=4))
    torch.testing.assert_close(seen[:, 15], 1 - BELIEFS @ survival(CHAIN, steps=4))


def test_the_chance_of_leaving_is_how_often_chains_leave():
    logs = [BELIEFS[0].log(), CHAIN.log()]
    states = sample_chain(*logs, steps=5, batch=40_000, generator=stream("tests", "chains"))
    left = (states != states[:, :1]).any(-1).double().mean()
    assert ahead(BELIEFS[:1], CHAIN, lookahead=4)[0, -1].item() == pytest.approx(left.item(), abs=0.01)


def test_each_belief_may_have_a_chain_of_its_own():
    chains = torch.stack([torch.matrix_power(CHAIN, power) for power in range(1, 8)])
    together = ahead(BELIEFS, chains, lookahead=3)
    for row, belief, chain in zip(together, BELIEFS, chains, strict=True):
        torch.testing.assert_close(row, ahead(belief, chain, lookahead=3), atol=1e-14, rtol=0)


@pytest.mark.parametrize("encoder", [Regime(), Transition()], ids=lambda one: one.kind)
def test_without_a_view_of_the_regime_a_policy_says_what_it_needs(encoder, builder, wild):
    with pytest.raises(InputError, match=rf"{encoder.kind}: .*say state\.regimes\.n_regimes=3"):
        Neural(encoder=encoder).build(BLIND, seed=0)
    rule = Neural(encoder=encoder).build(replace(BLIND, regimes=3), seed=0).double()
    with pytest.raises(InputError, match=rf"{encoder.kind}: .*say state\.regimes\.n_regimes=3"):
        rule.positions(replace(builder.build(wild, 1e-3), regimes=None))


def test_a_memory_works_without_a_view_of_the_regime_and_its_past_counts(builder, wild):
    rule = Neural(encoder=LSTM()).build(BLIND, seed=0).double()
    state = replace(builder.build(wild, 1e-3), regimes=None)
    features = state.features.clone()
    features[:10] += 1
    moved = rule.encoder.prepare(state.seeing(features))[0] - rule.encoder.prepare(state)[0]
    assert moved[15].abs().max() > 1e-4  # five days after all is as it was
    assert moved[15].abs().max() < moved[9].abs().max()
