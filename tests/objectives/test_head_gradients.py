"""What samples do to head gradients: a hard tail hides their derivatives, shared noise feigns agreement."""

import math
from statistics import NormalDist

import pytest
import torch

from praesidium.objectives.alignment import cross_cosine, unit_cosine, variance
from praesidium.risk import cvar, smoothed_cvar, tail_edge
from praesidium.training.reproducibility import stream


def normals(*shape, purpose):
    return torch.randn(shape, dtype=torch.float64, generator=stream("tests", purpose, *shape))


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


# ---- derivatives in the head ----------------------------------------------------------------------------------------


def test_a_hard_tail_hides_how_the_head_gradient_moves_with_the_head():
    """Losses x psi with normal x of covariance C have the head gradient k C psi / sqrt(psi' C psi).

    Sorting gives that, but no derivative of it: it forgets that episodes enter and leave the tail.
    """
    level, covariance, psi = 0.9, torch.diag(column(4.0, 1.0)), column(0.5, 1.0)
    uniforms = torch.quasirandom.SobolEngine(2).draw(2**16, dtype=torch.float64)[1:]
    inputs = torch.special.ndtri(uniforms) @ covariance.sqrt()
    width = 0.1 * (inputs @ psi).std()

    def hard(losses):
        return cvar(losses, level=level)

    def smooth(losses):
        edge = tail_edge(losses.detach()[None], level=level, smoothing=(width / losses.detach().std()).item())
        group = torch.zeros(len(losses), dtype=torch.long)
        return smoothed_cvar(losses, group, edge, level=level, episodes=len(losses))[0].squeeze()

    def size(risk, psi):
        """|g|^2, and psi."""
        head = psi.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(risk(inputs @ head), head, create_graph=True)
        return gradient.square().sum(), head

    def derivative(risk):
        value, head = size(risk, psi)
        return torch.autograd.grad(value + 0 * head.sum(), head)[0]  # the value may not depend on the head at all

    def differences(risk, step):
        moves = step * torch.eye(2, dtype=torch.float64)
        return torch.stack([(size(risk, psi + way)[0] - size(risk, psi - way)[0]).detach() for way in moves]) / (
            2 * step
        )

    normal = NormalDist()
    k = normal.pdf(normal.inv_cdf(level)) / (1 - level)
    head = psi.clone().requires_grad_()
    exact = k**2 * (head @ covariance @ covariance @ head) / (head @ covariance @ head)
    (expected,) = torch.autograd.grad(exact, head)
    assert expected.abs().min() > 1
    assert derivative(hard).tolist() == [0, 0]
    torch.testing.assert_close(differences(hard, 0.05), expected, rtol=0.05, atol=0)
    torch.testing.assert_close(derivative(smooth), expected, rtol=0.05, atol=0)
    torch.testing.assert_close(derivative(smooth), differences(smooth, 1e-4), rtol=2e-3, atol=0)


# ---- noise ----------------------------------------------------------------------------------------------------------


def test_noise_that_environments_share_looks_like_agreement_but_to_cross_fitting():
    """Under common random numbers the gradients of one batch agree although there is nothing to agree on."""
    repeats, environments, parameters, shared = 400, 4, 40, 0.9
    common = normals(2, repeats, 1, parameters, purpose="common")
    own = normals(2, repeats, environments, parameters, purpose="own")
    halves = math.sqrt(shared) * common + math.sqrt(1 - shared) * own
    floor = torch.full((repeats, environments), math.sqrt(parameters / 2), dtype=torch.float64)  # root of the noise
    assert unit_cosine(halves.mean(0)).mean().item() == pytest.approx(shared, abs=0.01)
    assert cross_cosine(halves, floor).mean().abs().item() < 0.08
    assert unit_cosine(own.mean(0)).mean().abs().item() < 0.01


def test_random_environments_differ_by_noise_alone():
    """Four kinds of episodes: labeled by kind their gradients differ, labeled at random they agree but for the noise
    in the mean of as many."""
    repeats, environments, episodes, parameters = 30, 4, 400, 10
    kinds = normals(parameters, purpose="signal") + normals(environments, parameters, purpose="kinds")
    noise = 2 * normals(repeats, environments * episodes, parameters, purpose="noise")
    population = kinds.repeat_interleave(episodes, 0) + noise
    order = normals(*population.shape[:2], purpose="labels").argsort(-1)
    shuffled = population.gather(1, order.unsqueeze(-1).expand_as(population))
    by_kind, at_random = (
        one.unflatten(1, (environments, 2, -1)).mean(-2).movedim(2, 0) for one in (population, shuffled)
    )
    expected = population.var(1).sum(-1).mean().item() / episodes * (environments - 1) / environments
    assert variance(at_random.mean(0)).mean().item() == pytest.approx(expected, rel=0.1)
    assert variance(by_kind.mean(0)).mean().item() > 50 * expected
    none = torch.zeros(repeats, environments, dtype=torch.float64)
    assert cross_cosine(at_random, none).mean().item() == pytest.approx(1, abs=0.02)
    assert cross_cosine(by_kind, none).mean().item() < 0.7
