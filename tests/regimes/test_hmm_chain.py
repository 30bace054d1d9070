"""Samples of a hidden chain, forecasts of it, and how long it stays."""

import math

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes import hmm
from praesidium.training.reproducibility import stream

COUNT = 20_000


@pytest.fixture
def chain():
    """log_initial, log_transition by time, and log_likelihood, of two states over four times."""

    def make(purpose, *, impossible=False):
        generator = stream("tests", "chain", purpose)

        def normal(*shape):
            return torch.randn(shape, dtype=torch.float64, generator=generator)

        moves = normal(3, 2, 2)
        if impossible:
            moves[:, 1, 0] = -torch.inf
        return normal(2).log_softmax(-1), moves.log_softmax(-1), normal(1, 4, 2)

    return make


def near(seen, expected):
    """Whether frequencies are within four and a half standard errors."""
    return bool(((seen - expected).abs() <= 4.5 * (expected * (1 - expected) / COUNT).sqrt() + 1e-12).all())


def joint(paths):
    """Frequencies of states by time, and of neighboring pairs."""
    one_hot = torch.nn.functional.one_hot(paths, 2).double()
    return one_hot.mean(0), torch.einsum("bti,btj->tij", one_hot[:, :-1], one_hot[:, 1:]) / len(paths)


@pytest.mark.parametrize("impossible", [False, True])
def test_samples_of_the_posterior_have_its_frequencies(chain, impossible):
    initial, moves, likelihood = chain("posterior", impossible=impossible)
    expected = hmm.smoothed(initial, moves, likelihood)
    many = likelihood.expand(COUNT, -1, -1)
    drawn = hmm.sample_posterior(initial, moves, many, generator=stream("tests", "posterior"))
    states, pairs = joint(drawn)
    assert near(states, expected.marginals[0])
    assert near(pairs, expected.pairs[0])
    # a posterior of independent states would have the same marginals: the first and the last state tell them apart
    both = ((drawn[:, 0] == 1) & (drawn[:, 3] == 1)).double().mean()
    through = expected.pairs[0] / expected.marginals[0, :-1].unsqueeze(-1).clamp(min=1e-300)
    assert near(both, expected.marginals[0, 0, 1] * (through[0] @ through[1] @ through[2])[1, 1])


@pytest.mark.parametrize("impossible", [False, True])
def test_samples_of_the_chain_have_its_frequencies(chain, impossible):
    initial, moves, _ = chain("prior", impossible=impossible)
    drawn = hmm.sample_chain(initial, moves, steps=4, batch=COUNT, generator=stream("tests", "drawn"))
    states, pairs = joint(drawn)
    now = initial.exp()
    for t in range(3):
        assert near(states[t], now)
        assert near(pairs[t], now.unsqueeze(-1) * moves[t].exp())
        now = now @ moves[t].exp()
    again = hmm.sample_chain(initial, moves, steps=4, batch=COUNT, generator=stream("tests", "drawn"))
    assert torch.equal(drawn, again)


def test_samples_past_the_length_repeat_the_last_state(chain):
    initial, moves, likelihood = chain("lengths")
    many, lengths = likelihood.expand(50, -1, -1), torch.tensor([2] * 25 + [4] * 25)
    drawn = hmm.sample_posterior(initial, moves, many, lengths=lengths, generator=stream("tests", "lengths"))
    assert (drawn[:25, 2:] == drawn[:25, 1:2]).all()


def test_forecasts_are_powers_of_the_transition_and_end_at_the_long_run(chain):
    initial, moves, _ = chain("forecast")
    transition, now = moves[0].exp(), initial.exp()
    ahead = hmm.forecast(now.expand(4, 2), transition, steps=3)
    assert ahead.shape == (4, 3, 2)
    for h in range(3):
        torch.testing.assert_close(ahead[2, h], now @ torch.linalg.matrix_power(transition, h + 1))
    varying = hmm.forecast(now, moves.exp(), steps=3)
    torch.testing.assert_close(varying[-1], now @ moves[0].exp() @ moves[1].exp() @ moves[2].exp())
    long_run = hmm.stationary(transition)
    torch.testing.assert_close(long_run @ transition, long_run)
    torch.testing.assert_close(hmm.forecast(now, transition, steps=200)[-1], long_run)
    with pytest.raises(InputError, match="steps=0"):
        hmm.forecast(now, transition, steps=0)


def test_the_long_run_is_found_where_the_transitions_are(chain):
    """Whatever the device that others are made on."""
    transition = chain("forecast")[1][0].exp()
    expected = hmm.stationary(transition)
    with torch.device("meta"):
        assert torch.equal(hmm.stationary(transition), expected)


def test_durations_and_survival_are_those_of_simulated_stays():
    stay = torch.tensor([0.9, 0.5, 1.0], dtype=torch.float64)
    transition = torch.diag(stay)
    transition[:2, 2] = 1 - stay[:2]
    assert hmm.durations(transition).tolist() == pytest.approx([10, 2, math.inf])
    assert hmm.survival(transition, steps=3).tolist() == pytest.approx([0.729, 0.125, 1])
    starts = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).log()
    paths = hmm.sample_chain(starts, transition.log(), steps=150, batch=4000, generator=stream("tests", "stays"))
    stays = (paths == 0).sum(-1).double()
    assert stays.mean().item() == pytest.approx(10, abs=4 * math.sqrt(90 / 4000))
    assert (stays > 3).double().mean().item() == pytest.approx(0.729, abs=0.03)


def test_nothing_touches_the_global_random_state(chain):
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    hmm.sample_posterior(*chain("global"), generator=stream("tests", "global"))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()
