"""The probability that a regime changes, against enumeration, simulated chains and the future."""

import itertools
import math

import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes.change import RegimeChangeDetector
from praesidium.regimes.hmm import sample_chain
from praesidium.training.reproducibility import stream

A = torch.tensor([[0.95, 0.04, 0.01], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]], dtype=torch.float64)
START = torch.full((3,), 1 / 3, dtype=torch.float64).log()


def hot(states):
    return torch.nn.functional.one_hot(states, 3).double()


def beliefs(batch, time, purpose="beliefs"):
    return torch.randn(batch, time, 3, dtype=torch.float64, generator=stream("tests", purpose)).softmax(-1)


@pytest.fixture(scope="module")
def fitted(clockwork):
    states = clockwork(24, 150)
    return RegimeChangeDetector(3, hidden_dim=16, horizon=3).fit(hot(states), states)


def test_untrained_it_is_the_share_of_paths_that_leave():
    detector, belief = RegimeChangeDetector(3, horizon=4, transition=A), beliefs(2, 3)
    stays = torch.zeros(2, 3, dtype=torch.float64)
    for first, *path in itertools.product(range(3), repeat=5):
        if set(path) == {first}:
            steps = zip([first, *path], path, strict=False)
            stays += belief[..., first] * math.prod(float(A[i, j]) for i, j in steps)
    torch.testing.assert_close(detector.probabilities(belief), 1 - stays)
    assert torch.equal(detector(belief), detector.probabilities(belief)[:, -1:])


def test_a_chain_that_never_moves_never_changes():
    """However unsure the regime is."""
    detector = RegimeChangeDetector(3, transition=torch.eye(3))
    assert torch.equal(detector(torch.full((2, 5, 3), 1 / 3)), torch.zeros(2, 1, dtype=torch.float64))


def test_it_learns_that_old_regimes_end(fitted):
    assert fitted.beats_baseline_
    assert fitted.scores_.gain > 0.1
    assert "beats 1 - sum_k p_k A_kk^3 by +0." in fitted.summary()
    young, old = torch.tensor([0] * 8 + [1] * 2), torch.tensor([0] * 2 + [1] * 8)
    change = fitted(hot(torch.stack([young, old])))
    assert change[0] < 0.1
    assert change[1] > 0.4


def test_on_a_markov_chain_it_says_that_there_is_nothing_to_learn():
    states = sample_chain(START, A.log(), steps=150, batch=24, generator=stream("tests", "markov"))
    detector = RegimeChangeDetector(3, horizon=3).fit(hot(states), states)
    assert not detector.beats_baseline_
    assert "does not beat" in detector.summary()
    free = (beliefs(2, 9) * (1 - detector.transition.diagonal() ** 3)).sum(-1)
    assert torch.equal(detector.probabilities(beliefs(2, 9)), free)


def test_without_labels_the_most_probable_regimes_serve(clockwork):
    states = clockwork(4, 100)
    soft = 0.8 * hot(states) + 0.2 / 3
    with_labels = RegimeChangeDetector(3).fit(soft, states, max_steps=10)
    assert torch.equal(with_labels(soft), RegimeChangeDetector(3).fit(soft, max_steps=10)(soft))


def test_the_future_cannot_move_the_past(fitted):
    now = beliefs(2, 30)
    later = torch.cat([now[:, :20], beliefs(2, 10, "another future")], dim=1)
    before, after = fitted.probabilities(now), fitted.probabilities(later)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20:], after[:, 20:])


def test_padding_counts_for_nothing(fitted, clockwork):
    belief, lengths = beliefs(2, 30), torch.tensor([30, 17])
    padded = belief.clone()
    padded[1, 17:] = 7.0
    torch.testing.assert_close(fitted(padded, lengths=lengths)[1], fitted(belief[1:, :17])[0])
    states = clockwork(4, 100)
    cut, short = torch.full((4,), 60), RegimeChangeDetector(3, horizon=2)
    whole = short.fit(hot(states)[:, :60], states[:, :60], max_steps=20).state_dict()
    states[:, 60:] = 1
    again = RegimeChangeDetector(3, horizon=2).fit(hot(states), states, lengths=cut, max_steps=20).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(value, again[name])


def test_the_same_seed_gives_the_same_detector_and_leaves_global_randomness_alone(clockwork):
    state = torch.random.get_rng_state()
    states = clockwork(4, 100)
    one, same, other = (RegimeChangeDetector(3, random_state=seed) for seed in (0, 0, 1))
    assert torch.equal(one.tilt.weight, same.tilt.weight)
    assert not torch.equal(one.tilt.weight, other.tilt.weight)
    one.fit(hot(states), max_steps=20)
    first = one(hot(states)).clone()
    assert torch.equal(first, one.fit(hot(states), max_steps=20)(hot(states)))  # a second fit starts anew
    assert torch.equal(state, torch.random.get_rng_state())


def test_weights_are_all_there_is_to_it(fitted):
    loaded = RegimeChangeDetector(3, hidden_dim=16, horizon=3)
    loaded.load_state_dict(fitted.state_dict())
    assert torch.equal(loaded(beliefs(2, 30)), fitted(beliefs(2, 30)))


def test_wrong_layouts_and_labels_are_named():
    with pytest.raises(InputError, match=r"\(4, 3, 60\); wanted are \(batch, time, regimes=3\).*transpose\(1, 2\)"):
        RegimeChangeDetector(3)(beliefs(4, 60).transpose(1, 2))
    with pytest.raises(InputError, match="regimes are 0 to 2, and -1 is unknown"):
        RegimeChangeDetector(3).fit(beliefs(1, 200), torch.full((1, 200), 3))
    with pytest.raises(InputError, match="horizon=0"):
        RegimeChangeDetector(3, horizon=0)
    with pytest.raises(InputError, match="rows of transition do not sum to one"):
        RegimeChangeDetector(3, transition=A.log())
    with pytest.raises(InputError, match="60 periods ahead do not fit into sequences of 60"):
        RegimeChangeDetector(3, horizon=60).fit(beliefs(2, 60))
