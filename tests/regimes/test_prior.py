"""Chains of regimes: stationary and driven, with the step from t to t + 1 by the input of t."""

import math

import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes.hmm import log_normalizer
from praesidium.regimes.prior import STAY, Prior
from praesidium.training.reproducibility import stream


def normals(*shape, purpose="prior"):
    return torch.randn(*shape, generator=stream("tests", purpose))


def driven(K=3, u_dim=4, **settings):
    """A chain on which inputs have an influence."""
    prior = Prior(K, u_dim, 16, **settings)
    with torch.no_grad():
        prior.last.weight.copy_(0.5 * normals(*prior.last.weight.shape, purpose="influence"))
    return prior


def test_without_inputs_the_chain_is_always_the_same():
    """The default u_dim=None gives a usable chain, in the layout of the inference."""
    chain = Prior(3)()
    assert chain.log_initial.exp().tolist() == pytest.approx([1 / 3] * 3)
    assert chain.log_transition.shape == (3, 3)
    assert log_normalizer(*chain, torch.zeros(2, 7, 3, dtype=torch.float64)).tolist() == pytest.approx([0, 0])


def test_before_anything_is_learned_regimes_last_and_inputs_do_nothing():
    for prior, u in ((Prior(4), None), (Prior(4, 2), normals(2, 2, 9))):
        transition = prior.moves(u).exp()
        torch.testing.assert_close(transition.sum(-1), torch.ones(transition.shape[:-1], dtype=torch.float64))
        diagonal = transition.diagonal(dim1=-2, dim2=-1)
        assert torch.allclose(diagonal, torch.full_like(diagonal, STAY))


def test_the_step_from_t_uses_the_input_of_t():
    prior, u = driven(), normals(2, 4, 9)
    before = prior(u)
    assert before.log_transition.shape == (2, 8, 3, 3)
    changed = u.clone()
    changed[:, :, 5] += 1.0
    after = prior(changed)
    moved = (after.log_transition != before.log_transition).flatten(2).any(-1).any(0)
    assert moved.nonzero().squeeze(-1).tolist() == [5]
    changed = u.clone()
    changed[:, :, 8] += 1.0
    assert torch.equal(prior(changed).log_transition, before.log_transition)
    assert not torch.equal(prior.moves(changed)[:, 8], prior.moves(u)[:, 8])


def test_as_many_times_as_inputs_are_no_ambiguity():
    """T = U = 4: the layout is (batch, inputs, time), whatever the sizes."""
    prior, u = driven(), normals(1, 4, 4)
    for t in range(4):
        alone = prior.moves(u[:, :, t : t + 1])
        torch.testing.assert_close(prior.moves(u)[:, t], alone[:, 0])
    assert not torch.allclose(prior.moves(u), prior.moves(u.transpose(1, 2)))


def test_another_layout_is_refused():
    with pytest.raises(InputError, match=r"\(batch, 4, time\)"):
        driven()(normals(2, 9, 4))
    with pytest.raises(InputError, match="u_dim=4"):
        driven()()
    with pytest.raises(InputError, match="leave u out"):
        Prior(3)(normals(2, 4, 9))


def test_inputs_of_any_scale_do_not_saturate():
    """A volatility index of 20 or a yield of 0.04 moves rows of A as a standardized input does."""
    u = normals(2, 4, 60).double()
    mask = torch.ones(2, 60, dtype=torch.bool)
    found = []
    for scale, origin in ((1.0, 0.0), (8.0, 20.0), (1e-3, 0.04)):
        prior = driven()
        prior.standardizer.fit(scale * u + origin, mask)
        moves = prior.moves(scale * u + origin)
        (gradient,) = torch.autograd.grad(moves.diagonal(dim1=-2, dim2=-1).sum(), prior.first.weight)
        found.append((moves, gradient))
    for moves, gradient in found[1:]:
        torch.testing.assert_close(moves, found[0][0], atol=1e-4, rtol=0)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-2, rtol=1e-3)
    assert found[0][1].abs().min() > 0


def test_it_can_be_set_to_any_chain():
    initial, transition = torch.tensor([0.2, 0.8]), torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    for prior, u in ((Prior(2), None), (driven(2), normals(1, 4, 3))):
        prior.set(initial, transition)
        chain = prior(u)
        torch.testing.assert_close(chain.log_initial.exp(), initial.double(), atol=1e-6, rtol=0)
        wanted = transition.double().expand_as(chain.log_transition)
        torch.testing.assert_close(chain.log_transition.exp(), wanted, atol=1e-6, rtol=0)


def test_persistence_is_the_log_probability_of_a_stay_in_each_regime():
    prior, mask = Prior(2), torch.ones(1, 5, dtype=torch.bool)
    prior.set(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    assert prior.persistence(prior(), mask).item() == pytest.approx(math.log(0.9) + math.log(0.6), abs=1e-6)


def test_persistence_does_not_see_padding():
    prior, u = driven(), normals(2, 4, 9)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 4:] = False
    whole = prior.persistence(prior(u), mask)
    parts = [
        prior.persistence(prior(one), torch.ones(1, one.shape[-1], dtype=torch.bool)) for one in (u[:1], u[1:, :, :4])
    ]
    assert whole.item() == pytest.approx(((8 * parts[0] + 3 * parts[1]) / 11).item())


@pytest.mark.parametrize("u_dim", [None, 4])
def test_regimes_can_be_renamed(u_dim):
    prior = Prior(3) if u_dim is None else driven()
    u = None if u_dim is None else normals(2, 4, 9)
    prior.set(torch.tensor([0.1, 0.2, 0.7]), torch.tensor([[0.9, 0.06, 0.04], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]))
    if u_dim:
        with torch.no_grad():
            prior.last.weight.copy_(normals(*prior.last.weight.shape, purpose="renamed"))
    before, order = prior(u), torch.tensor([2, 0, 1])
    prior.permute(order)
    after = prior(u)
    torch.testing.assert_close(after.log_initial, before.log_initial[order])
    torch.testing.assert_close(after.log_transition, before.log_transition[..., order, :][..., order])
