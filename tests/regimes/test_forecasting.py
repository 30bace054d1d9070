"""Regimes some periods ahead, against p A^h where it is right and where it is not."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes.forecasting import ForwardTransitionPredictor
from praesidium.regimes.hmm import filtered, sample_chain
from praesidium.training.reproducibility import stream

A = torch.tensor([[0.95, 0.04, 0.01], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]], dtype=torch.float64)
START = torch.full((3,), 1 / 3, dtype=torch.float64).log()


def hot(states, K=3):
    return torch.nn.functional.one_hot(states, K).double()


def beliefs(batch, time, purpose="beliefs"):
    return torch.randn(batch, time, 3, dtype=torch.float64, generator=stream("tests", purpose)).softmax(-1)


def second_order(batch, time):
    """Two regimes: the next is the one before last with 90 %, whatever the last; of first order it looks like noise."""
    repeat = torch.rand(batch, time, generator=stream("tests", "second order")) < 0.9
    states = torch.zeros(batch, time, dtype=torch.int64)
    states[:, 1] = torch.arange(batch) % 2
    for t in range(2, time):
        states[:, t] = torch.where(repeat[:, t], states[:, t - 2], 1 - states[:, t - 2])
    return states


@pytest.fixture(scope="module")
def fitted():
    states = second_order(20, 120)
    return ForwardTransitionPredictor(2, n_steps=4, hidden_dim=16).fit(hot(states, 2), states)


def test_untrained_it_is_the_power_of_the_transition_matrix():
    predictor, belief = ForwardTransitionPredictor(3, 5, transition=A), beliefs(2, 7)
    ahead = predictor.forecasts(belief)
    for step in range(5):
        torch.testing.assert_close(ahead[:, :, step], belief @ torch.linalg.matrix_power(A, step + 1))
    assert torch.equal(predictor(belief), ahead[:, -1])


def test_it_learns_a_chain_of_second_order(fitted):
    """To be had are 90 % one and two steps ahead (log score -0.325) and 82 % (-0.471) after; p A^h has -0.693."""
    assert fitted.beats_baseline_
    assert fitted.scores_.gain > 0.2
    assert fitted.summary().startswith("ForwardTransitionPredictor beats p A^h by +0.")
    ahead = fitted(hot(torch.tensor([[0, 1] * 10, [0, 0, 1, 1, 1, 1, 0, 0, 0, 0] * 2]), 2))
    truth = torch.tensor([[[0.9, 0.1], [0.1, 0.9]], [[0.9, 0.1], [0.9, 0.1]]], dtype=torch.float64)
    torch.testing.assert_close(ahead[:, :2], truth, atol=0.1, rtol=0)


def test_on_a_markov_chain_it_says_that_the_free_forecast_is_as_good_and_gives_it():
    states = sample_chain(START, A.log(), steps=150, batch=24, generator=stream("tests", "markov"))
    noise = torch.randn(24, 150, 3, dtype=torch.float64, generator=stream("tests", "markov noise"))
    belief = filtered(START, A.log(), 2 * (2 * hot(states) + noise))
    predictor = ForwardTransitionPredictor(3, 3, transition=A).fit(belief, states)
    assert not predictor.beats_baseline_
    assert "does not beat p A^h" in predictor.summary()
    assert "it now gives p A^h" in predictor.summary()
    free = ForwardTransitionPredictor(3, 3, transition=A)
    assert torch.equal(predictor.forecasts(belief), free.forecasts(belief))
    assert torch.equal(predictor.transition, A)  # a given matrix is not estimated anew


def test_later_probabilities_can_stand_for_labels():
    states = second_order(20, 60)
    soft = 0.9 * hot(states, 2) + 0.05
    predictor = ForwardTransitionPredictor(2, 2, hidden_dim=16).fit(soft)
    assert predictor.beats_baseline_


def test_the_future_cannot_move_the_past(fitted):
    now = beliefs(2, 30)[..., :2].softmax(-1)
    later = torch.cat([now[:, :20], now[:, 20:].flip(-1)], dim=1)
    before, after = fitted.forecasts(now), fitted.forecasts(later)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20:], after[:, 20:])


def test_forecasts_are_distributions_also_of_padded_and_single_precision_sequences(fitted):
    belief = beliefs(3, 20)[..., :2].softmax(-1).float()
    lengths = torch.tensor([20, 1, 7])
    ahead = fitted(belief, lengths=lengths)
    torch.testing.assert_close(ahead.sum(-1), torch.ones(3, 4, dtype=torch.float64))
    torch.testing.assert_close(ahead[2], fitted(belief[2:, :7])[0])


def test_probabilities_can_be_trained_through_it(fitted):
    logits = torch.zeros(1, 5, 2, dtype=torch.float64, requires_grad=True)
    fitted(logits.softmax(-1))[0, 0, 0].backward()
    assert logits.grad.abs().sum() > 0


def test_wrong_layouts_are_named():
    with pytest.raises(InputError, match=r"\(4, 3, 60\); wanted are \(batch, time, regimes=3\).*transpose\(1, 2\)"):
        ForwardTransitionPredictor(3, 2)(beliefs(4, 60).transpose(1, 2))
    with pytest.raises(InputError, match="n_steps=0"):
        ForwardTransitionPredictor(3, 0)
