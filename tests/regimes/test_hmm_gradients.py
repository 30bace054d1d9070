"""Derivatives of exact inference: against finite differences, and as the posterior that they are."""

import pytest
import torch

from praesidium.regimes import hmm
from praesidium.training.reproducibility import stream

BATCH, TIMES, STATES = 2, 4, 2


def leaves(kind, *, impossible=False, initial_by_sequence=False):
    """Logits of the first state and of the moves, and log-likelihoods; all differentiable."""
    generator = stream("tests", "gradients", kind)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    lead = {"same": (), "by time": (TIMES - 1,), "by sequence": (BATCH, TIMES - 1)}[kind]
    initial = normal(*((BATCH,) if initial_by_sequence else ()), STATES)
    mask = torch.zeros(STATES, STATES, dtype=torch.float64)
    if impossible:
        mask[1, 0] = -torch.inf
    return (initial, normal(*lead, STATES, STATES), normal(BATCH, TIMES, STATES)), mask


def arguments(mask, initial, moves, likelihood):
    return initial.log_softmax(-1), (moves + mask).log_softmax(-1), likelihood


@pytest.mark.parametrize(
    ("kind", "branch"),
    [
        ("same", "many states"),
        ("by time", "impossible"),
        ("by sequence", "few states"),
        ("by sequence", "many states"),
        ("by sequence", "impossible"),
    ],
)
def test_first_and_second_derivatives_of_the_likelihood(kind, branch, monkeypatch):
    if branch == "many states":  # from one on, for a test
        monkeypatch.setattr("praesidium.regimes.messages.HANDFUL", 0)
    by_sequence = kind == "by sequence"
    given, mask = leaves(kind, impossible=branch == "impossible", initial_by_sequence=by_sequence)
    lengths = torch.tensor([TIMES, 2]) if by_sequence else None

    def total(*values):
        return hmm.log_normalizer(*arguments(mask, *values), lengths=lengths)

    assert torch.autograd.gradcheck(total, given)
    assert torch.autograd.gradgradcheck(total, given)


@pytest.mark.parametrize("impossible", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        hmm.filtered,
        hmm.predictive,
        lambda *given: hmm.smoothed(*given).marginals,
        lambda *given: hmm.smoothed(*given).log_normalizer,
        lambda *given: hmm.viterbi(*given).log_probability,
    ],
    ids=["filtered", "predictive", "marginals", "log_normalizer", "best path"],
)
def test_derivatives_of_what_follows_from_it(function, impossible):
    given, mask = leaves("by time", impossible=impossible)
    assert torch.autograd.gradcheck(lambda *values: function(*arguments(mask, *values)), given)


@pytest.mark.parametrize("impossible", [False, True])
def test_derivatives_of_the_likelihood_are_the_posterior(impossible):
    values, mask = leaves("by sequence", impossible=impossible, initial_by_sequence=True)
    initial, moves, likelihood = (one.detach() for one in arguments(mask, *values))
    given = [one.requires_grad_() for one in (initial, moves, likelihood)]
    total = hmm.log_normalizer(*given)
    first, pairs, marginals = torch.autograd.grad(total.sum(), given)
    found = hmm.smoothed(*given)
    torch.testing.assert_close(first, found.marginals[:, 0])
    torch.testing.assert_close(pairs, found.pairs)
    torch.testing.assert_close(marginals, found.marginals)


def test_each_sequence_has_its_own_derivative():
    values, mask = leaves("same")
    weights = torch.tensor([2.0, -0.5], dtype=torch.float64)
    for whole, *parts in zip(
        torch.autograd.grad((hmm.log_normalizer(*arguments(mask, *values)) * weights).sum(), values),
        *(torch.autograd.grad(hmm.log_normalizer(*arguments(mask, *values))[b], values) for b in range(BATCH)),
        strict=True,
    ):
        torch.testing.assert_close(whole, 2.0 * parts[0] - 0.5 * parts[1])


def test_an_impossible_move_has_no_derivative():
    values, mask = leaves("same", impossible=True)
    slopes = torch.autograd.grad(hmm.log_normalizer(*arguments(mask, *values)).sum(), values)
    assert all(one.isfinite().all() for one in slopes)
    assert slopes[1][1, 0] == 0


@pytest.mark.parametrize("level", [1000.0, -1000.0])
def test_derivatives_stay_finite_where_likelihoods_are_extreme(level):
    (initial, moves, likelihood), mask = leaves("same")
    sure = likelihood + level * torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]], dtype=torch.float64)
    slopes = torch.autograd.grad(hmm.log_normalizer(*arguments(mask, initial, moves, sure)).sum(), (initial, moves))
    assert all(one.isfinite().all() for one in slopes)
