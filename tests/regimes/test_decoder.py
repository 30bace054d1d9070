"""Laws of observations given their regimes, against SciPy, by simulation, and where the reference bled or died."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from praesidium.component import InputError
from praesidium.regimes.decoder import BOUND, Decoder
from praesidium.regimes.densities import Laws, Tails
from praesidium.training.reproducibility import stream

KINDS = sorted(Tails.registry)
LAW = Laws(
    torch.tensor([[0.1, -0.2, 0.0], [0.5, 0.3, -1.0]], dtype=torch.float64),
    torch.tensor([[-1.0, 0.2, 0.7], [1.5, -0.5, 0.1]], dtype=torch.float64).exp(),
    torch.tensor([4.0, 9.0], dtype=torch.float64),
)
LAWS = {"gaussian": LAW._replace(dof=torch.full((2,), math.inf, dtype=torch.float64)), "student": LAW}


def normals(*shape, purpose="decoder"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def decoder(kind="gaussian", **settings):
    """Of observations in other units than the standardized ones."""
    made = Decoder(2, 4, 8, 3, emission=kind, **settings)
    made.standardizer.fit(2 + 3 * normals(1, 3, 50), torch.ones(1, 50, dtype=torch.bool))
    mean, deviation = made.standardizer.mean, made.standardizer.deviation
    laws = LAWS[kind]
    made.set(laws._replace(mean=(laws.mean - mean) / deviation, scale=laws.scale / deviation.square()))
    return made


def drawn(made, share, count):
    """From a mixture of two regimes."""
    return made.draw((torch.arange(count) >= share * count).long(), stream("tests", "draws"))


def density(kind, regime, place):
    """Of some of the channels, by SciPy."""
    mean, scale = (one[regime, place].numpy() for one in (LAW.mean, LAW.scale))
    if kind == "gaussian":
        return stats.multivariate_normal(mean, np.diag(scale))
    return stats.multivariate_t(mean, np.diag(scale), df=LAW.dof[regime].item())


@pytest.mark.parametrize("kind", KINDS)
def test_densities_are_scipys_and_what_is_missing_is_integrated_out(kind):
    x = normals(1, 3, 6)
    x[0, 1, 2] = x[0, 0, 4] = x[0, 2, 4] = torch.nan
    x[0, :, 5] = torch.nan
    found = decoder(kind).log_prob(x)
    for t in range(5):
        place = ~x[0, :, t].isnan()
        for regime in range(2):
            wanted = density(kind, regime, place).logpdf(x[0, place, t].numpy())
            assert found[0, t, regime].item() == pytest.approx(wanted, abs=2e-5)
    assert (found[0, 5] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_value_leaves_gradients_finite(kind):
    x = normals(1, 3, 6)
    x[0, 1, 2] = torch.nan
    made = decoder(kind)
    made.log_prob(x).sum().backward()
    assert all(one.grad.isfinite().all() for one in made.parameters())
    assert made.embedding.grad.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_set_to_any_law(kind):
    for one, other in zip(decoder(kind).laws(), LAWS[kind], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments_of_the_law(kind):
    made = decoder(kind)
    x = drawn(made, 0.5, 120_000).view(2, 60_000, 3)
    torch.testing.assert_close(x.mean(1), LAW.mean, atol=0.04, rtol=0)
    torch.testing.assert_close(x.var(1), made.variances().detach(), atol=0, rtol=0.15)


def test_heavy_tails_hit_all_channels_at_once():
    for kind, low, high in (("student", 0.05, 1.0), ("gaussian", -0.02, 0.02)):
        squares = (drawn(decoder(kind), 1.0, 40_000) - LAW.mean[0]).square().log()
        assert low < np.corrcoef(squares[:, 0], squares[:, 1])[0, 1] < high


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_variance_of_a_mixture_are_those_of_its_draws(kind):
    made, share = decoder(kind), 0.3
    mean, log_variance = made(torch.tensor([[[share], [1 - share]]]))
    x = drawn(made, share, 200_000)
    torch.testing.assert_close(mean[0, :, 0], x.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(log_variance[0, :, 0].exp(), x.var(0), atol=0, rtol=0.05)


def test_one_time_does_not_bleed_into_another():
    """p(x_t | z_t): neither the mixture nor the likelihood of a time knows its neighbors."""
    made, q, x = decoder(), normals(1, 2, 9).softmax(1), normals(1, 3, 9)
    mean, log_variance = made(q)
    turned, moved = q.clone(), x.clone()
    turned[:, :, 4], moved[:, :, 4] = q[:, :, 4].flip(1), 0.0
    others = [0, 1, 2, 3, 5, 6, 7, 8]
    for one, other in zip((mean, log_variance), made(turned), strict=True):
        assert torch.equal(one[:, :, others], other[:, :, others])
        assert not torch.equal(one[:, :, 4], other[:, :, 4])
    assert torch.equal(made.log_prob(x)[:, others], made.log_prob(moved)[:, others])


@pytest.mark.parametrize("raw", [-1e3, -50.0, 0.0, 50.0, 1e3])
def test_a_variance_at_its_bound_can_still_be_learned(raw):
    made = decoder()
    with torch.no_grad():
        made.last.bias[3:6] = raw
    log_scale = made.laws().scale.log()
    (gradient,) = torch.autograd.grad(log_scale.sum(), made.last.bias)
    relative = log_scale - 2 * made.standardizer.deviation.log()
    assert (relative.abs() <= BOUND).all()
    assert (gradient[3:6] > 1e-7).all()


def test_a_constant_feature_is_no_trouble():
    made = Decoder(2, 4, 8, 1)
    x = torch.full((1, 1, 9), 0.25, dtype=torch.float64)
    made.standardizer.fit(x, torch.ones(1, 9, dtype=torch.bool))
    assert made.log_prob(x).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_regimes_can_be_renamed(kind):
    made, order = decoder(kind), torch.tensor([1, 0])
    before = made.laws()
    made.permute(order)
    for one, other in zip(made.laws(), before, strict=True):
        torch.testing.assert_close(one, other[order])


def test_values_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    one, other = Decoder(2, 4, 8, 3, seed=5), Decoder(2, 4, 8, 3, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.embedding, other.embedding)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="did you mean 'gaussian'"):
        Decoder(2, 4, 8, 3, emission="gausian")
    with pytest.raises(InputError, match="hidden=2"):
        Decoder(3, 4, 2, 3)
