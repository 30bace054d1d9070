"""Exact inference against the sum over all paths."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.regimes import hmm
from praesidium.regimes.messages import HANDFUL
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=15)
MANY = HANDFUL + 1  # states from which on products are matrix products
SIZES = [(1, 1, 2), (1, 2, 3), (2, 3, MANY), (3, 4, 3), (2, 5, 1), (2, 6, 2), (1, 7, 2)]


def chain(*purpose, batch=2, times=5, states=3, driven="", impossible=False, spread=2.0):
    """log_initial, log_transition and log_likelihood; ``driven`` is "", "time" or "batch"."""
    generator = stream("tests", "hmm", *purpose, batch, times, states)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    lead = {"": (), "time": (times - 1,), "batch": (batch, times - 1)}[driven]
    moves = normal(*lead, states, states)
    if impossible:  # one can only stay or go up by one
        allowed = torch.ones(states, states).triu() - torch.ones(states, states).triu(2)
        moves = torch.where(allowed > 0, moves, -torch.inf)
    initial = normal(*((batch,) if driven == "batch" else ()), states)
    return initial.log_softmax(-1), moves.log_softmax(-1), spread * normal(batch, times, states)


def enumerated(log_initial, log_transition, log_likelihood):
    """All paths, and their joint log-probabilities with the observations, for each sequence."""
    batch, times, states = log_likelihood.shape
    initial = log_initial.expand(batch, states)
    moves = log_transition.expand(batch, times - 1, states, states)
    paths = torch.tensor(list(product(range(states), repeat=times)))
    rows = torch.arange(times)
    scores = []
    for b in range(batch):
        score = initial[b, paths[:, 0]] + log_likelihood[b, rows, paths].sum(-1)
        for t in range(times - 1):
            score = score + moves[b, t, paths[:, t], paths[:, t + 1]]
        scores.append(score)
    return paths, torch.stack(scores)


def brute_force(log_initial, log_transition, log_likelihood):
    """log Z, marginals and pairs, straight from their definitions."""
    states, times = log_likelihood.shape[-1], log_likelihood.shape[1]
    paths, scores = enumerated(log_initial, log_transition, log_likelihood)
    weight = scores.softmax(-1)
    visits = torch.nn.functional.one_hot(paths, states).double()
    marginals = torch.einsum("bp,ptk->btk", weight, visits)
    pairs = torch.einsum("bp,pti,ptj->btij", weight, visits[:, :-1], visits[:, 1:])
    return scores.logsumexp(-1), marginals, pairs.view(len(scores), times - 1, states, states)


def cut(arguments, times):
    """The first ``times`` rows of a chain."""
    initial, moves, likelihood = arguments
    return initial, moves if moves.ndim == 2 else moves[..., : times - 1, :, :], likelihood[:, :times]


KINDS = [(driven, impossible) for driven in ("", "time", "batch") for impossible in (False, True)]


@pytest.mark.parametrize(("driven", "impossible"), KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_inference_is_the_sum_over_all_paths(size, driven, impossible):
    batch, times, states = size
    arguments = chain(batch=batch, times=times, states=states, driven=driven, impossible=impossible)
    total, marginals, pairs = brute_force(*arguments)
    found = hmm.smoothed(*arguments)
    torch.testing.assert_close(hmm.log_normalizer(*arguments), total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.log_normalizer, total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.marginals, marginals, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.pairs, pairs, rtol=0, atol=1e-12)

    filtered, scores = hmm.filtered(*arguments), hmm.predictive(*arguments)
    before = torch.zeros(batch, dtype=torch.float64)
    for t in range(1, times + 1):
        part, known, _ = brute_force(*cut(arguments, t))
        torch.testing.assert_close(filtered[:, t - 1], known[:, -1], rtol=0, atol=1e-12)
        torch.testing.assert_close(scores[:, t - 1], part - before, rtol=1e-10, atol=1e-12)
        before = part


@pytest.mark.parametrize(("driven", "impossible"), KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_the_best_path_is_the_best_of_all(size, driven, impossible):
    batch, times, states = size
    arguments = chain("best", batch=batch, times=times, states=states, driven=driven, impossible=impossible)
    paths, scores = enumerated(*arguments)
    best = hmm.viterbi(*arguments)
    assert torch.equal(best.states, paths[scores.argmax(-1)])
    torch.testing.assert_close(best.log_probability, scores.amax(-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("impossible", [False, True])
@pytest.mark.parametrize("driven", ["", "batch"])
def test_sequences_of_different_length_are_as_each_alone(driven, impossible):
    lengths = torch.tensor([6, 1, 4])
    arguments = chain("ragged", batch=3, times=6, driven=driven, impossible=impossible)
    whole = hmm.smoothed(*arguments, lengths=lengths)
    filtered, scores = (one(*arguments, lengths=lengths) for one in (hmm.filtered, hmm.predictive))
    total, best = (one(*arguments, lengths=lengths) for one in (hmm.log_normalizer, hmm.viterbi))
    for b, length in enumerate(lengths.tolist()):
        initial, moves, likelihood = cut(arguments, length)
        alone = (initial[b] if driven else initial, moves[b] if driven else moves, likelihood[b : b + 1])
        one = hmm.smoothed(*alone)
        torch.testing.assert_close(whole.log_normalizer[b], one.log_normalizer[0])
        torch.testing.assert_close(total[b], one.log_normalizer[0])
        torch.testing.assert_close(whole.marginals[b, :length], one.marginals[0])
        torch.testing.assert_close(whole.pairs[b, : length - 1], one.pairs[0])
        torch.testing.assert_close(filtered[b, :length], hmm.filtered(*alone)[0])
        torch.testing.assert_close(scores[b, :length], hmm.predictive(*alone)[0])
        assert torch.equal(best.states[b, :length], hmm.viterbi(*alone).states[0])
        torch.testing.assert_close(best.log_probability[b], hmm.viterbi(*alone).log_probability[0])
        # past the end the last distribution stands, and nothing counts
        torch.testing.assert_close(filtered[b, length:], filtered[b, length - 1].expand(6 - length, -1))
        torch.testing.assert_close(whole.marginals[b, length:], whole.marginals[b, length - 1].expand(6 - length, -1))
        assert (whole.pairs[b, length - 1 :] == 0).all()
        torch.testing.assert_close(scores[b, length:], torch.zeros(6 - length, dtype=torch.float64))


def test_a_row_of_zeros_is_a_row_that_was_not_observed():
    initial, moves, likelihood = chain("missing", batch=1, times=5)
    likelihood[:, 2] = 0
    two_steps = (moves.exp() @ moves.exp()).log()
    short = torch.cat([likelihood[:, :2], likelihood[:, 3:]], dim=1)
    steps = torch.stack([moves, two_steps, moves])
    torch.testing.assert_close(
        hmm.log_normalizer(initial, moves, likelihood), hmm.log_normalizer(initial, steps, short)
    )
    known = hmm.filtered(initial, moves, likelihood)
    torch.testing.assert_close(known[:, 2], known[:, 1] @ moves.exp())
    nothing = torch.zeros(1, 4, 3, dtype=torch.float64)
    ahead = torch.stack([initial.exp() @ torch.linalg.matrix_power(moves.exp(), t) for t in range(4)])
    torch.testing.assert_close(hmm.filtered(initial, moves, nothing)[0], ahead)
    torch.testing.assert_close(hmm.smoothed(initial, moves, nothing).marginals[0], ahead)
    assert hmm.log_normalizer(initial, moves, nothing).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("impossible", [False, True])
@pytest.mark.parametrize("handful", [HANDFUL, 0], ids=["few", "many"])
@pytest.mark.parametrize("level", [1000.0, -1000.0, 1e6])
def test_extreme_likelihoods_neither_overflow_nor_vanish(level, handful, impossible, monkeypatch):
    monkeypatch.setattr("praesidium.regimes.messages.HANDFUL", handful)
    initial, moves, likelihood = chain("extreme", batch=2, times=6, impossible=impossible)
    sure = likelihood + level * torch.nn.functional.one_hot(torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 1, 2]]), 3)
    for given_likelihood in (likelihood + level, sure):
        arguments = (initial, moves, given_likelihood)
        total, marginals, pairs = brute_force(*arguments)
        found = hmm.smoothed(*arguments)
        torch.testing.assert_close(found.log_normalizer, total, rtol=1e-12, atol=0)
        torch.testing.assert_close(hmm.log_normalizer(*arguments), total, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.marginals, marginals, rtol=0, atol=1e-9)
        torch.testing.assert_close(found.pairs, pairs, rtol=0, atol=1e-9)
        known = hmm.filtered(*arguments)
        for t in range(1, 7):
            torch.testing.assert_close(known[:, t - 1], brute_force(*cut(arguments, t))[1][:, -1], rtol=0, atol=1e-9)


def test_evidence_that_contradicts_itself_is_weighed_not_lost():
    """Neighbors that are sure of different states by a thousand nats, in a chain that hardly ever moves."""
    initial = torch.tensor([1.0, 0.0], dtype=torch.float64).log()
    moves = torch.tensor([[1 - 1e-80, 1e-80], [1e-80, 1 - 1e-80]], dtype=torch.float64).log()
    likelihood = torch.tensor([[[-1000.0, 0], [0, -1000], [-1000, 0], [-120, 0], [0, -300]]], dtype=torch.float64)
    total, marginals, _ = brute_force(initial, moves, likelihood)
    found = hmm.smoothed(initial, moves, likelihood)
    torch.testing.assert_close(found.log_normalizer, total, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.marginals, marginals, rtol=0, atol=1e-12)
    paths, scores = enumerated(initial, moves, likelihood)
    assert torch.equal(hmm.viterbi(initial, moves, likelihood).states, paths[scores.argmax(-1)])


@pytest.mark.parametrize("states", [2, MANY])
@pytest.mark.parametrize("least", [-150.0, -20.0])
def test_single_precision_loses_no_chain_that_is_possible(least, states):
    """Evidence that forces moves of hardly any probability, which single precision cannot hold as such."""
    moves = torch.full((states, states), least).fill_diagonal_(0.0)
    likelihood = -500 * (1 - torch.eye(states)).unsqueeze(0)
    single = (torch.zeros(states).log_softmax(-1), moves, likelihood)
    double = tuple(one.double() for one in single)
    expected, found = hmm.smoothed(*double), hmm.smoothed(*single)
    for one in (found.log_normalizer, hmm.log_normalizer(*single), hmm.predictive(*single).sum(-1)):
        torch.testing.assert_close(one.double(), expected.log_normalizer, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.marginals.double(), expected.marginals, rtol=0, atol=1e-6)
    torch.testing.assert_close(hmm.filtered(*single).double(), hmm.filtered(*double), rtol=0, atol=1e-6)


def test_impossible_observations_say_so():
    initial = torch.tensor([1.0, 0.0], dtype=torch.float64).log()
    moves = torch.eye(2, dtype=torch.float64).log()
    likelihood = torch.tensor([[[0.0, 0.0], [-torch.inf, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    assert hmm.log_normalizer(initial, moves, likelihood).item() == -torch.inf
    known = hmm.filtered(initial, moves, likelihood)
    assert known[0, 0].tolist() == [1, 0]
    assert known[0, 1:].isnan().all()


def test_a_long_chain_loses_nothing_to_rounding():
    times = 3000
    arguments = chain("long", batch=1, times=times, states=2)
    initial, moves, likelihood = (one.squeeze(0) if one.ndim == 3 else one for one in arguments)
    known, total, filtered = initial + likelihood[0], 0.0, []
    for t in range(times):
        if t:
            known = (known.unsqueeze(-1) + moves).logsumexp(0) + likelihood[t]
        scale = float(known.logsumexp(0))
        known, total = known - scale, total + scale
        filtered.append(known.exp())
    assert hmm.log_normalizer(*arguments).item() == pytest.approx(total, rel=1e-13)
    torch.testing.assert_close(hmm.filtered(*arguments)[0], torch.stack(filtered), rtol=0, atol=1e-12)
    assert hmm.predictive(*arguments).sum().item() == pytest.approx(total, rel=1e-12)


# ---- laws -----------------------------------------------------------------------------------------------------------


@LAW
@given(seed=st.integers(0, 999), shift=st.floats(-500, 500), row=st.integers(0, 3), impossible=st.booleans())
def test_a_constant_in_a_row_moves_the_likelihood_alone(seed, shift, row, impossible):
    initial, moves, likelihood = chain("shift", seed, times=4, impossible=impossible)
    moved = likelihood.clone()
    moved[:, row] += shift
    torch.testing.assert_close(
        hmm.log_normalizer(initial, moves, moved), hmm.log_normalizer(initial, moves, likelihood) + shift
    )
    for one in (hmm.filtered, lambda *given: hmm.smoothed(*given).marginals):
        torch.testing.assert_close(one(initial, moves, moved), one(initial, moves, likelihood))


@LAW
@given(seed=st.integers(0, 999), order=st.permutations(range(3)), driven=st.sampled_from(["", "time", "batch"]))
def test_names_of_states_do_not_matter(seed, order, driven):
    initial, moves, likelihood = chain("names", seed, times=6, driven=driven)
    renamed = initial[..., order], moves[..., order, :][..., order], likelihood[..., order]
    torch.testing.assert_close(hmm.log_normalizer(*renamed), hmm.log_normalizer(initial, moves, likelihood))
    torch.testing.assert_close(hmm.filtered(*renamed), hmm.filtered(initial, moves, likelihood)[..., order])
    best = hmm.viterbi(initial, moves, likelihood).states
    assert torch.equal(torch.tensor(order)[hmm.viterbi(*renamed).states], best)


@LAW
@given(seed=st.integers(0, 999), times=st.integers(1, 40), spread=st.floats(0, 300), impossible=st.booleans())
def test_probabilities_sum_to_one_and_agree_with_each_other(seed, times, spread, impossible):
    arguments = chain("sums", seed, times=times, spread=spread, impossible=impossible)
    found, known = hmm.smoothed(*arguments), hmm.filtered(*arguments)
    ones = torch.ones(2, times, dtype=torch.float64)
    torch.testing.assert_close(known.sum(-1), ones)
    torch.testing.assert_close(found.marginals.sum(-1), ones)
    torch.testing.assert_close(known[:, -1], found.marginals[:, -1], rtol=0, atol=1e-9)
    torch.testing.assert_close(found.pairs.sum(-1), found.marginals[:, :-1], rtol=0, atol=1e-9)
    torch.testing.assert_close(found.pairs.sum(-2), found.marginals[:, 1:], rtol=0, atol=1e-9)
    torch.testing.assert_close(hmm.predictive(*arguments).sum(-1), found.log_normalizer, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("impossible", [False, True])
@pytest.mark.parametrize(("times", "states"), [(2, 3), (7, 2), (16, 3), (33, 3), (12, MANY)])
def test_later_rows_cannot_move_a_bit(times, states, impossible):
    form = {"times": times, "states": states, "driven": "batch", "impossible": impossible}
    initial, moves, likelihood = chain("future", **form)
    _, other_moves, other = chain("another future", **form, spread=200)
    for t in range(times - 1):
        later = torch.cat([likelihood[:, : t + 1], other[:, t + 1 :]], dim=1)
        later_moves = torch.cat([moves[:, :t], other_moves[:, t:]], dim=1)
        for one in (hmm.filtered, hmm.predictive):
            known, changed = one(initial, moves, likelihood), one(initial, later_moves, later)
            assert torch.equal(known[:, : t + 1], changed[:, : t + 1])


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[0, 3], [1, 6]])
def test_lengths_out_of_bounds_are_refused(lengths):
    with pytest.raises(InputError, match="lengths"):
        hmm.filtered(*chain(), lengths=torch.tensor(lengths))


def test_moves_that_do_not_fit_are_refused():
    initial, moves, likelihood = chain(driven="time")
    with pytest.raises(InputError, match=r"log_transition: \(3, 3, 3\)"):
        hmm.log_normalizer(initial, moves[:-1], likelihood)
