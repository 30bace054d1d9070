"""Expected time in a regime, against closed forms, enumeration of paths, and runs of known laws."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.regimes.hmm import filtered, sample_chain
from praesidium.regimes.persistence import RegimePersistenceModel, ages_of
from praesidium.training.reproducibility import stream

A = torch.tensor([[0.95, 0.04, 0.01], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]], dtype=torch.float64)
START = torch.full((3,), 1 / 3, dtype=torch.float64).log()


def hot(states, K=3):
    return torch.nn.functional.one_hot(states, K).double()


def beliefs(batch, time, purpose="beliefs"):
    return torch.randn(batch, time, 3, dtype=torch.float64, generator=stream("tests", purpose)).softmax(-1)


@pytest.fixture(scope="module")
def fitted(clockwork):
    return RegimePersistenceModel(3).fit(clockwork(24, 150))


@pytest.fixture
def aged():
    """A model of two regimes whose hazard moves with age, by hand."""
    model = RegimePersistenceModel(2, transition=torch.tensor([[0.8, 0.2], [0.3, 0.7]], dtype=torch.float64))
    model.oldest.fill_(3)
    with torch.no_grad():
        model.tilt.output.normal_(0, 0.5, generator=stream("tests", "aged"))
    return model.requires_grad_(False)


def test_untrained_it_is_in_periods_and_exact():
    """A_kk = 0.993 lasts 143 days, not 1.7."""
    chain = torch.tensor([[0.993, 0.007], [0.05, 0.95]], dtype=torch.float64)
    sure = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.5, 0.5]]], dtype=torch.float64)
    days = RegimePersistenceModel(2)(sure, chain)
    expected = torch.tensor([[1 / 0.007], [20.0], [(1 / 0.007 + 20) / 2]], dtype=torch.float64)
    torch.testing.assert_close(days, expected)
    several = torch.stack([chain, chain, chain.flip(0, 1)])
    torch.testing.assert_close(RegimePersistenceModel(2)(sure, several)[:2], expected[:2])
    torch.testing.assert_close(RegimePersistenceModel(2, transition=chain)(sure), expected)


def test_a_regime_that_is_never_left_lasts_for_ever_and_spoils_nothing_else():
    chain = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    days = RegimePersistenceModel(2)(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64), chain)
    assert days.tolist() == [[math.inf], [2.0]]


def test_expected_time_sums_survival(aged):
    hazard, expected = aged.hazard(aged.transition), aged.expected(aged.transition)
    for regime, age in itertools.product(range(2), range(3)):
        alive, total = 1.0, 0.0
        for later in range(3000):
            total += alive
            alive *= 1 - float(hazard[regime, min(age + later, 2)])
        assert float(expected[regime, age]) == pytest.approx(total, rel=1e-9)


def test_ages_are_those_of_all_paths_of_the_chain(aged):
    """Every path of a hidden Markov model by its posterior weight: the age of its last run is the age."""
    chain, time = aged.transition, 6
    start = torch.tensor([0.4, 0.6], dtype=torch.float64)
    signs = torch.randn(1, time, 2, dtype=torch.float64, generator=stream("tests", "signs"))
    expected, total, mean = aged.expected(chain), 0.0, 0.0
    for path in itertools.product(range(2), repeat=time):
        weight = float(start[path[0]]) * math.prod(float(chain[i, j]) for i, j in itertools.pairwise(path))
        weight *= math.exp(sum(float(signs[0, t, state]) for t, state in enumerate(path)))
        age = len(list(itertools.takewhile(path[-1].__eq__, reversed(path))))
        total += weight
        mean += weight * float(expected[path[-1], min(age, 3) - 1])
    belief = filtered(start.log(), chain.log(), signs)
    assert float(aged(belief)) == pytest.approx(mean / total, rel=1e-12)


def test_a_rising_hazard_is_learned(fitted):
    assert fitted.beats_baseline_
    assert fitted.scores_.gain > 0.1
    assert "beats sum_k p_k / (1 - A_kk) by +0." in fitted.summary()
    truth = [9 - age for age in range(6)]  # mean of 6 .. 12 is 9, and the first end can come at age six
    learned = fitted.expected(fitted.transition)[:, :6].detach()
    torch.testing.assert_close(learned, torch.tensor([truth] * 3, dtype=torch.float64) + 0.0, atol=0.5, rtol=0)
    young, old = torch.tensor([[1] * 9 + [0] * 1]), torch.tensor([[1] * 2 + [0] * 8])
    assert fitted(hot(young)) > fitted(hot(old)) + 3


def test_short_sequences_of_long_runs_do_not_shorten_them():
    """Mean stays of 20, 10 and 10 in sequences of 30: runs that are cut off count by the periods that they lasted."""
    states = sample_chain(START, A.log(), steps=30, batch=2000, generator=stream("tests", "short"))
    model = RegimePersistenceModel(3).fit(states)
    assert not model.beats_baseline_
    assert "does not beat" in model.summary()
    days = model(hot(torch.tensor([[0], [1], [2]]))).squeeze(-1)
    torch.testing.assert_close(days, 1 / (1 - A.diagonal()), rtol=0.08, atol=0)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(labels=st.lists(st.integers(-1, 2), min_size=1, max_size=30))
def test_ages_count_back_to_a_start_that_was_seen(labels):
    ages, seen = ages_of(torch.tensor([labels]))
    for t, label in enumerate(labels):
        run = len(list(itertools.takewhile(lambda other, label=label: other == label, reversed(labels[: t + 1]))))
        known = label >= 0 and run <= t and labels[t - run] >= 0
        assert bool(seen[0, t]) == known
        if known:
            assert int(ages[0, t]) == run


def test_the_future_cannot_move_the_past(fitted):
    now = beliefs(2, 30)
    later = torch.cat([now[:, :20], beliefs(2, 10, "another future")], dim=1)
    before, after = fitted.durations(now), fitted.durations(later)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20:], after[:, 20:])


def test_padding_counts_for_nothing(fitted, clockwork):
    belief, lengths = beliefs(2, 30), torch.tensor([30, 17])
    padded = belief.clone()
    padded[1, 17:] = torch.nan
    torch.testing.assert_close(fitted(padded, lengths=lengths)[1], fitted(belief[1:, :17])[0])
    states = clockwork(4, 100)
    short = states[:, :60]
    states[:, 60:] = 1
    again = RegimePersistenceModel(3).fit(states, lengths=torch.full((4,), 60), max_steps=20).state_dict()
    for name, value in RegimePersistenceModel(3).fit(short, max_steps=20).state_dict().items():
        assert torch.equal(value, again[name])


def test_wrong_layouts_and_labels_are_named():
    with pytest.raises(InputError, match=r"\(4, 3, 60\); wanted are \(batch, time, regimes=3\).*transpose\(1, 2\)"):
        RegimePersistenceModel(3)(beliefs(4, 60).transpose(1, 2), A)
    with pytest.raises(InputError, match=r"transition has shape \(2, 2\); wanted is \(3, 3\)"):
        RegimePersistenceModel(3)(beliefs(4, 60), A[:2, :2])
    with pytest.raises(InputError, match=r"shape \(4, 60, 3, 3\); wanted is one chain.*transition\[:, -1\]"):
        RegimePersistenceModel(3)(beliefs(4, 60), A.expand(4, 60, 3, 3))
    with pytest.raises(InputError, match="one for each of the 4 sequences"):
        RegimePersistenceModel(3)(beliefs(4, 60), A.expand(2, 3, 3))
    with pytest.raises(InputError, match="regimes are 0 to 2"):
        RegimePersistenceModel(3).fit(torch.full((1, 200), 3))
    with pytest.raises(InputError, match="0 forecasts with a known outcome are too few"):
        RegimePersistenceModel(3).fit(torch.zeros(1, 200, dtype=torch.int64))
