"""Vector quantization by its equations: nearest codes, straight-through gradients, moving averages, restarts."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from praesidium.component import InputError
from praesidium.regimes.quantizer import Quantizer
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=20)


def normals(*shape, purpose="quantizer"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def everywhere(z):
    return torch.ones(z.shape[:2], dtype=torch.bool)


def started(n_codes=6, dim=2, **settings):
    quantizer = Quantizer(n_codes, dim, seed=0, **settings)
    quantizer.start(normals(400, dim))
    return quantizer


@LAW
@given(seed=st.integers(0, 99), n_codes=st.integers(1, 9))
def test_every_vector_gets_its_nearest_code(seed, n_codes):
    quantizer, z = started(n_codes).eval(), normals(2, 15, 2, purpose=seed)
    found = quantizer(z, everywhere(z))
    distances = (z.unsqueeze(-2) - quantizer.codes).square().sum(-1)
    torch.testing.assert_close((found.values - z).square().sum(-1), distances.amin(-1))
    torch.testing.assert_close(found.values, quantizer.codes[found.indices])
    assert found.commitment.item() == pytest.approx(distances.amin(-1).mean().item())


def test_gradients_go_straight_through_and_commitment_draws_to_the_code():
    quantizer, z = started().eval(), normals(2, 15, 2).requires_grad_()
    weight = normals(2, 15, 2, purpose="weight")
    found = quantizer(z, everywhere(z))
    (straight,) = torch.autograd.grad((found.values * weight).sum(), z, retain_graph=True)
    assert torch.equal(straight, weight)
    (drawn,) = torch.autograd.grad(found.commitment, z)
    torch.testing.assert_close(drawn, 2 * (z - quantizer.codes[found.indices]).detach() / 30)


def test_codes_follow_as_a_moving_average():
    quantizer = started(4, decay=0.9)
    counts, sums = quantizer.counts.clone(), quantizer.sums.clone()
    z = normals(3, 50, 2, purpose="followed")
    nearest = (z.unsqueeze(-2) - quantizer.codes).square().sum(-1).argmin(-1)
    quantizer(z, everywhere(z))
    for code in range(4):
        own = z[nearest == code]
        count, total = 0.9 * counts[code] + 0.1 * len(own), 0.9 * sums[code] + 0.1 * own.sum(0)
        assert quantizer.counts[code].item() == pytest.approx(count.item())
        torch.testing.assert_close(quantizer.codes[code], total / count)


def test_evaluation_moves_nothing():
    quantizer = started().eval()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(normals(2, 9, 2), torch.ones(2, 9, dtype=torch.bool))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_padding_counts_for_nothing(training):
    z = normals(2, 20, 2)
    mask = everywhere(z)
    mask[1, 7:] = False
    found = []
    for padding in (0.0, 1e6, torch.nan):
        quantizer = started().train(training)
        padded = torch.where(mask.unsqueeze(-1), z, padding)
        result = quantizer(padded, mask)
        found.append((*result, quantizer.codes.clone(), quantizer.counts.clone()))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    assert (found[0][0][1, 7:] == 0).all()
    assert (found[0][1][1, 7:] == -1).all()


def test_a_batch_of_padding_alone_is_no_trouble():
    result = started()(normals(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool))
    assert result.commitment == 0


def test_a_dead_code_restarts_at_a_vector_of_the_batch():
    quantizer = started(5)
    quantizer.codes[3] = 1e3
    quantizer.sums[3], quantizer.counts[3] = 0.0, 0.0
    z = normals(1, 60, 2, purpose="revival")
    quantizer(z, everywhere(z))
    assert (z[0] - quantizer.codes[3]).abs().sum(-1).min() < 1e-12
    assert quantizer.counts[3] > 0
    quantizer(z, everywhere(z))
    assert (quantizer.usage(least=3).counts[3]) > 0


def test_it_starts_by_k_means_on_its_first_training_batch():
    centers = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]], dtype=torch.float64)
    z = (centers.unsqueeze(1) + 0.1 * normals(4, 30, 2)).flatten(0, 1).unsqueeze(0)
    quantizer = Quantizer(4, 2, seed=0)
    assert not quantizer.started
    quantizer(z, everywhere(z))
    assert quantizer.started
    assert torch.cdist(centers, quantizer.codes).amin(-1).max() < 0.1


def test_its_k_means_is_as_good_as_scikit_learns():
    points = normals(300, 2) * torch.tensor([1.0, 3.0])
    best = KMeans(8, n_init=1, random_state=0).fit(points.numpy()).inertia_
    ours = []
    for seed in range(5):
        quantizer = Quantizer(8, 2, seed=seed)
        quantizer.start(points)
        ours.append(torch.cdist(points, quantizer.codes).amin(-1).square().sum().item())
    assert sorted(ours)[2] < 1.1 * best


def test_fewer_points_than_codes_is_no_trouble():
    quantizer = Quantizer(8, 2, seed=0)
    quantizer.start(torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64))
    assert quantizer.codes.isfinite().all()
    assert torch.cdist(torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64), quantizer.codes).amin(-1).max() == 0


def test_perplexity_is_the_number_of_codes_in_equal_use():
    quantizer = started(8, 3)
    for used in (1, 2, 8):
        quantizer.seen.zero_()
        quantizer.seen[:used] = 3.0
        usage = quantizer.usage(least=3)
        assert usage.perplexity == pytest.approx(used)
        assert usage.used == used
        assert usage.collapsed == bool(usage.alarm) == (used < 3)
    quantizer.seen.copy_(torch.tensor([0.75, 0.25, 0, 0, 0, 0, 0, 0]))
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert quantizer.usage(least=3).perplexity == pytest.approx(math.exp(entropy))


def test_codes_that_say_the_same_tell_nothing_however_many_are_in_use():
    """Two codes for two alternatives: with log odds of +-a the channel is a binary one, of capacity log 2 - H(p)."""
    quantizer = Quantizer(2, 2, seed=0)
    quantizer.seen.fill_(1.0)
    for odds in (0.01, 1.0, 50.0):
        quantizer.codes.copy_(torch.tensor([[odds, 0.0], [0.0, odds]]))
        p = 1 / (1 + math.exp(-odds))
        lost = -p * math.log(p) - (1 - p) * math.log(max(1 - p, 1e-300))
        usage = quantizer.usage(least=2)
        assert usage.information == pytest.approx(math.log(2) - lost, abs=1e-9)
        assert usage.collapsed == (odds < 0.1)


@pytest.mark.parametrize("calls", [1, 3, 300])
def test_vectors_that_are_all_alike_raise_the_alarm(calls):
    """Restarts of dead codes, which follow at every call, must not make it look as if codes were in use."""
    quantizer = Quantizer(8, 2, seed=0)
    z = torch.zeros(1, 50, 2, dtype=torch.float64)
    for _ in range(calls):
        quantizer(z, everywhere(z))
    usage = quantizer.usage(least=3)
    assert usage.collapsed
    assert "1 of 8 codes" in usage.alarm


def test_seed_and_data_say_everything_and_no_global_randomness_moves():
    state, z = torch.get_rng_state(), normals(2, 200, 2)
    found = []
    for seed in (0, 0, 1):
        quantizer = Quantizer(6, 2, seed=seed)
        for _ in range(3):
            quantizer(z, everywhere(z))
        found.append(pickle.loads(pickle.dumps(quantizer)).codes)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_coordinates_can_be_reordered():
    quantizer, z, order = started(6, 3), normals(1, 9, 3), torch.tensor([2, 0, 1])
    before = quantizer.eval()(z, everywhere(z)).values
    quantizer.permute(order)
    torch.testing.assert_close(quantizer(z[..., order], everywhere(z)).values, before[..., order])


@pytest.mark.parametrize("settings", [{"n_codes": 0}, {"decay": 1.0}, {"decay": -0.1}])
def test_a_codebook_without_codes_or_memory_is_refused(settings):
    with pytest.raises(InputError, match="n_codes"):
        Quantizer(**{"n_codes": 4, "dim": 2, "seed": 0, **settings})
