"""What a hedger knows of the regime: a filter fitted on training paths, kept as plain data."""

import json

import numpy as np
import pytest
import torch

from praesidium.component import InputError, build
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.regime_view import RegimeView
from praesidium.hedging.state_builder import StateBuilder, StateSettings
from praesidium.regimes import hmm

VIEW = RegimeView(n_regimes=2, paths=24)
SETTINGS = StateSettings(context=("previous_return", "regime_probabilities"), regimes=VIEW)


@pytest.fixture(scope="module")
def learned(calm, wild):
    return VIEW.fit([calm, wild])


def test_it_is_the_filter_of_the_returns_up_to_now(wild, learned):
    """By the recursion p_t ~ (p_{t-1} A) b_t, a path at a time."""
    seen = VIEW.probabilities(wild, learned)
    returns = np.diff(np.log(wild.spot[:, 5].numpy()))
    means, deviations = np.array(learned["means_"])[:, 0], np.array(learned["volatilities_"])
    now = np.array(learned["initial_"])
    for day, growth in enumerate(returns[:-1]):
        now = (now if day == 0 else now @ np.array(learned["transition_"])) / deviations
        now = now * np.exp(-0.5 * ((growth - means) / deviations) ** 2)
        now = now / now.sum()
        if day >= wild.lookback - 1:
            assert seen[day - wild.lookback + 1, 5].numpy() == pytest.approx(now, abs=1e-10)


def test_regimes_tell_the_environments_apart(calm, wild, learned):
    probabilities = [VIEW.probabilities(paths, learned)[..., 1].mean().item() for paths in (calm, wild)]
    assert probabilities[0] < 0.2
    assert probabilities[1] > 0.8


def test_the_future_cannot_move_it(wild, learned, rewrite):
    before, after = (VIEW.probabilities(paths, learned) for paths in (wild, rewrite(wild, 30)))
    assert torch.equal(before[:31], after[:31])
    assert not torch.equal(before[31:], after[31:])


def test_what_was_learned_is_plain_data_and_makes_the_same_states(calm, wild):
    builder = SETTINGS.fit([calm, wild], EuropeanCall())
    kept = json.loads(json.dumps(builder.learned()))
    again = StateBuilder.restore(SETTINGS, EuropeanCall(), kept)
    one, other = builder.build(wild, 1e-3), again.build(wild, 1e-3)
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.regimes, other.regimes)
    assert torch.equal(one.chain, other.chain)


def test_a_state_carries_probabilities_and_their_chain(calm, wild):
    state = SETTINGS.fit([calm, wild], EuropeanCall()).build(wild, 1e-3)
    assert state.regimes.shape == (wild.horizon, wild.count, 2)
    assert state.context.shape[-1] == len(SETTINGS.context_columns) == 3
    torch.testing.assert_close(state.chain.sum(-1), torch.ones(2, dtype=torch.float64))
    ahead = hmm.forecast(state.regimes, state.chain, steps=5)[..., -1, :]
    torch.testing.assert_close(ahead.sum(-1), torch.ones_like(ahead[..., 0]))
    some = state.take(torch.tensor([3, 1]))
    assert torch.equal(some.regimes, state.regimes[:, [3, 1]])


def test_columns_are_named_after_their_regime():
    assert SETTINGS.context_columns == ("previous_return", "regime_probabilities_0", "regime_probabilities_1")
    assert SETTINGS.phi_columns == SETTINGS.phi


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"context": ["regime_probabilities"]}, "need a view of the regime; say state.regimes.n_regimes=3"),
        ({"regimes": {"n_regimes": 1}}, "regimes.n_regimes: input should be greater than or equal to 2, not 1"),
        ({"regimes": {"model": "gaussian_hm"}}, "'gaussian_hm' is unknown; did you mean 'gaussian_hmm'?"),
        ({"regimes": {"parameters": {"covarianc": "full"}}}, "did you mean 'covariance'?"),
    ],
)
def test_what_cannot_be_seen_is_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence.replace("?", r"\?")):
        build(StateSettings, settings, where="state")
