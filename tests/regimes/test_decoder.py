"""Laws of observations given their regimes, against SciPy, by simulation, and where the reference bled or died."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from praesidium.component import InputError
from praesidium.regimes.decoder import BOUND, Decoder
from praesidium.regimes.emissions import Emission, Gaussian, Law, Student
from praesidium.training.reproducibility import stream

KINDS = sorted(Emission.registry)
LAW = Law(
    torch.tensor([[0.1, -0.2, 0.0], [0.5, 0.3, -1.0]], dtype=torch.float64),
    torch.tensor([[-1.0, 0.2, 0.7], [1.5, -0.5, 0.1]], dtype=torch.float64),
    torch.tensor([4.0, 9.0], dtype=torch.float64),
)
LAWS = {"gaussian": LAW._replace(dof=torch.full((2,), math.inf, dtype=torch.float64)), "student": LAW}


def normals(*shape, purpose="decoder"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def decoder(kind="gaussian", **settings):
    made = Decoder(2, 4, 8, 3, emission=kind, **settings)
    made.standardizer.fit(2 + 3 * normals(1, 3, 50), torch.ones(1, 50, dtype=torch.bool))
    made.set(LAWS[kind])
    return made


def density(kind, regime, place):
    """Of some of the channels, by SciPy."""
    mean, scale = (one[regime, place].numpy() for one in (LAW.mean, LAW.log_scale.exp()))
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
    for one, other in zip(decoder(kind).law(), LAWS[kind], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments_of_the_law(kind):
    made, states = Emission.registry[kind](), torch.arange(2).repeat_interleave(60_000).unsqueeze(0)
    x = made.draw(states, LAWS[kind], stream("tests", "draws")).view(2, 60_000, 3)
    torch.testing.assert_close(x.mean(1), LAW.mean, atol=0.04, rtol=0)
    torch.testing.assert_close(x.var(1), made.variance(LAWS[kind]), atol=0, rtol=0.15)


def test_heavy_tails_hit_all_channels_at_once():
    states = torch.zeros(1, 40_000, dtype=torch.int64)
    squares = (Student().draw(states, LAW, stream("tests", "tails"))[0] - LAW.mean[0]).square().log()
    assert np.corrcoef(squares[:, 0], squares[:, 1])[0, 1] > 0.05
    calm = (Gaussian().draw(states, LAWS["gaussian"], stream("tests", "tails"))[0] - LAW.mean[0]).square().log()
    assert abs(np.corrcoef(calm[:, 0], calm[:, 1])[0, 1]) < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_variance_of_a_mixture_are_those_of_its_draws(kind):
    made, share = decoder(kind), 0.3
    mean, log_variance = made(torch.tensor([[[share], [1 - share]]]))
    states = (torch.arange(200_000) >= share * 200_000).long().unsqueeze(0)
    x = made.emission.draw(states, LAWS[kind], stream("tests", "mixture"))[0]
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
    law = made.law()
    (gradient,) = torch.autograd.grad(law.log_scale.sum(), made.last.bias)
    relative = law.log_scale - 2 * made.standardizer.deviation.log()
    assert (relative.abs() <= BOUND).all()
    assert (gradient[3:6] > 1e-7).all()


def test_a_constant_feature_is_no_trouble():
    made = Decoder(2, 4, 8, 1)
    x = torch.full((1, 1, 9), 0.25, dtype=torch.float64)
    made.standardizer.fit(x, torch.ones(1, 9, dtype=torch.bool))
    assert made.log_prob(x).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_m_step_never_loses_likelihood(kind):
    """EM's law, with weights of any kind and values that are missing."""
    emission, x = Emission.registry[kind](), 2 * normals(80, 3)
    x[normals(80, 3, purpose="missing") > 1] = torch.nan
    weight = normals(80, 2, purpose="weights").softmax(-1)
    law, before = LAWS[kind], -math.inf
    for _ in range(8):
        score = (weight * emission.log_density(x, law)).sum().item()
        assert score >= before - 1e-9
        law, before = emission.maximize(x, weight, law), score


def test_the_normal_m_step_is_the_weighted_mean_and_variance():
    x, weight = normals(80, 3), normals(80, 2, purpose="weights").softmax(-1)
    law = Gaussian().maximize(x, weight, LAW)
    rows, weights = x.numpy(), weight.numpy()
    for regime in range(2):
        mean = np.average(rows, axis=0, weights=weights[:, regime])
        variance = np.average((rows - mean) ** 2, axis=0, weights=weights[:, regime])
        np.testing.assert_allclose(law.mean[regime].numpy(), mean)
        np.testing.assert_allclose(law.log_scale[regime].exp().numpy(), variance)


def test_degrees_of_freedom_are_found():
    states = torch.zeros(1, 8_000, dtype=torch.int64)
    x = Student().draw(states, LAW, stream("tests", "dof"))[0]
    law = LAW._replace(dof=torch.tensor([60.0, 60.0], dtype=torch.float64))
    weight = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(len(x), 2)
    for _ in range(12):
        law = Student().maximize(x, weight, law)
    assert law.dof[0] == 4
    torch.testing.assert_close(law.log_scale[0], LAW.log_scale[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_regimes_can_be_renamed(kind):
    made, order = decoder(kind), torch.tensor([1, 0])
    before = made.law()
    made.permute(order)
    for one, other in zip(made.law(), before, strict=True):
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
