"""Bounds against the enumeration of all sequences of regimes."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.regimes.elbo import POSTERIORS, structured
from praesidium.regimes.hmm import log_normalizer
from praesidium.regimes.prior import Chain
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=12)
SEEDS = st.integers(0, 999)
K = 3


def normals(*shape, purpose):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", "elbo", purpose))


def problem(seed, batch=2, times=4, varying=True):
    """A chain, an encoder's evidence and log-likelihoods."""
    shape = (batch, times - 1, K, K) if varying else (K, K)
    chain = Chain(
        normals(K, purpose=f"{seed} initial").log_softmax(-1), normals(*shape, purpose=f"{seed} moves").log_softmax(-1)
    )
    evidence, emission = (2 * normals(batch, times, K, purpose=f"{seed} {name}") for name in ("evidence", "emission"))
    return chain, evidence, emission


def along_paths(values, times):
    """Sum of one number a time and regime along every path."""
    return torch.stack([sum(values[t, k] for t, k in enumerate(path)) for path in product(range(K), repeat=times)])


def log_prior(chain, row, times):
    """Log-probability of every path under the chain of one sequence."""
    moves = chain.log_transition
    moves = moves[row] if moves.ndim == 4 else moves.expand(times - 1, K, K)
    paths = product(range(K), repeat=times)
    steps = (
        chain.log_initial[path[0]] + sum(moves[t, path[t], path[t + 1]] for t in range(times - 1)) for path in paths
    )
    return torch.stack(list(steps))


def log_q(posterior, chain, evidence, row, times):
    """Log-probability of every path under the approximate posterior."""
    if posterior is structured:
        return (log_prior(chain, row, times) + along_paths(evidence[row], times)).log_softmax(0)
    return along_paths(evidence[row].log_softmax(-1), times)


@LAW
@given(seed=SEEDS, varying=st.booleans())
@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_both_terms_are_those_of_the_enumeration(posterior, seed, varying):
    chain, evidence, emission = problem(seed, varying=varying)
    lengths = torch.tensor([4, 2])
    bound = posterior(chain, evidence, emission, lengths=lengths)
    for row, times in enumerate(lengths.tolist()):
        prior, likelihood = log_prior(chain, row, times), along_paths(emission[row], times)
        log_probability = log_q(posterior, chain, evidence, row, times)
        q = log_probability.exp()
        assert q.sum().item() == pytest.approx(1)
        assert bound.reconstruction[row].item() == pytest.approx((q * likelihood).sum().item(), abs=1e-10)
        assert bound.divergence[row].item() == pytest.approx((q * (log_probability - prior)).sum().item(), abs=1e-10)


@LAW
@given(seed=SEEDS)
@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_it_is_a_lower_bound_and_its_divergence_is_none_below_zero(posterior, seed):
    chain, evidence, emission = problem(seed, times=12)
    lengths = torch.tensor([12, 7])
    bound = posterior(chain, evidence, emission, lengths=lengths)
    assert (bound.elbo() <= log_normalizer(*chain, emission, lengths=lengths) + 1e-10).all()
    assert (bound.divergence >= -1e-10).all()


@LAW
@given(seed=SEEDS, shift=st.floats(-5, 5))
def test_with_the_log_likelihood_as_evidence_it_is_exact(seed, shift):
    """Also with an amount added that is the same for all regimes."""
    chain, _, emission = problem(seed, times=30)
    lengths = torch.tensor([30, 19])
    added = shift * normals(2, 30, 1, purpose=seed)
    bound = structured(chain, emission + added, emission, lengths=lengths)
    exact = log_normalizer(*chain, emission, lengths=lengths)
    torch.testing.assert_close(bound.elbo(), exact, atol=1e-10, rtol=0)


@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_its_gradients_are_those_of_finite_differences(posterior):
    chain, evidence, emission = problem(1)
    lengths = torch.tensor([4, 3])

    def elbo(initial, moves, evidence, emission):
        chain = Chain(initial.log_softmax(-1), moves.log_softmax(-1))
        return posterior(chain, evidence, emission, lengths=lengths).elbo(beta=0.7)

    arguments = [one.clone().requires_grad_() for one in (*chain, evidence, emission)]
    assert torch.autograd.gradcheck(elbo, arguments)


@pytest.mark.parametrize("padding", [1e6, torch.nan])
@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_padding_counts_for_nothing(posterior, padding):
    chain, evidence, emission = problem(2, times=6)
    lengths = torch.tensor([6, 2])
    found = []
    for value in (0.0, padding):
        padded = [one.clone() for one in (evidence, emission)]
        for one in padded:
            one[1, 2:] = value
            one.requires_grad_()
        elbo = posterior(chain, *padded, lengths=lengths).elbo()
        elbo.sum().backward()
        found.append((elbo.detach(), *(one.grad for one in padded)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_one_observation_is_enough(posterior):
    chain, evidence, emission = problem(3, times=1)
    bound = posterior(chain, evidence, emission, lengths=torch.ones(2, dtype=torch.int64))
    q = (evidence[:, 0] + (chain.log_initial if posterior is structured else 0)).softmax(-1)
    torch.testing.assert_close(bound.reconstruction, (q * emission[:, 0]).sum(-1))
    torch.testing.assert_close(bound.divergence, (q * (q.log() - chain.log_initial)).sum(-1))


@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_true_regimes_beat_one_regime_for_everything(posterior, beta):
    """With one term averaged and the other summed over times, the constant posterior would win, and be learned."""
    times = 200
    states = (torch.arange(times) // 40) % 2 * 2
    level = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)
    x = level[states] + normals(1, times, purpose="noise")
    sticky = torch.full((K, K), 0.02, dtype=torch.float64) + 0.94 * torch.eye(K)
    chain = Chain(torch.full((K,), 1 / K, dtype=torch.float64).log(), sticky.log())
    lengths = torch.tensor([times])
    known = 9 * torch.nn.functional.one_hot(states, K).double().unsqueeze(0)
    constant = torch.zeros_like(known)
    constant[..., 0] = 9
    true_law = -0.5 * (x.unsqueeze(-1) - level).square()
    one_law = (-0.5 * ((x - x.mean()).square() / x.var() + x.var().log())).unsqueeze(-1).expand(1, times, K)
    still = Chain(chain.log_initial, (0.9999 * torch.eye(K) + 1e-4 / K).double().log())
    true = posterior(chain, known, true_law, lengths=lengths).elbo(beta=beta)
    collapsed = posterior(still, constant, one_law, lengths=lengths).elbo(beta=beta)
    assert true > collapsed + 20
    assert true / times > collapsed / times + 0.1
