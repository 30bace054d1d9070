"""The smoothed CVaR of training: value, gradient and curvature against definitions and finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.risk import cvar, hinge, smoothed_cvar, soft_step, tail_edge
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=60)


def normals(*shape, purpose="losses"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def smoothed(losses, *, level=0.9, smoothing=0.1):
    """Smoothed CVaR of each row, over all losses: no use is made of the tail alone."""
    rows, episodes = losses.shape
    edge = tail_edge(losses, level=level, smoothing=smoothing)
    group = torch.arange(rows).repeat_interleave(episodes)
    risks, weights = smoothed_cvar(losses.flatten(), group, edge, level=level, episodes=episodes)
    return risks, weights.view(rows, episodes)


def definition(losses, *, level, width):
    """min over tau of tau + mean hinge(L - tau) / (1 - level), by golden section."""
    objective = lambda tau: tau + hinge(losses - tau, width).mean() / (1 - level)  # noqa: E731
    low, high = losses.min() - width, losses.max() + width
    for _ in range(200):
        left, right = high - 0.618033988749895 * (high - low), low + 0.618033988749895 * (high - low)
        low, high = (low, right) if objective(left) < objective(right) else (left, high)
    return objective((low + high) / 2)


@LAW
@given(seed=st.integers(0, 999), level=st.floats(0.2, 0.98), smoothing=st.floats(0.02, 1.0))
def test_smoothed_cvar_is_the_minimum_over_tau(seed, level, smoothing):
    losses = normals(1, 64, purpose=seed)
    risks, weights = smoothed(losses, level=level, smoothing=smoothing)
    expected = definition(losses[0], level=level, width=smoothing * losses.std())
    assert risks.item() == pytest.approx(expected.item(), abs=1e-10)
    assert weights.sum().item() == pytest.approx(1, abs=1e-10)
    assert (weights >= 0).all()


def test_smoothed_cvar_tends_to_the_exact_one():
    losses = normals(3, 100)
    exact = cvar(losses, level=0.93)
    gaps = [(smoothed(losses, level=0.93, smoothing=h)[0] - exact).abs().max().item() for h in (0.5, 0.1, 0.01, 1e-4)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-4
    assert (smoothed(losses, level=0.93)[0] >= exact - 1e-12).all()


def test_soft_step_is_the_derivative_of_hinge():
    x = torch.linspace(-0.3, 0.3, 61, dtype=torch.float64).requires_grad_()
    width = torch.tensor(0.2, dtype=torch.float64)
    (slope,) = torch.autograd.grad(hinge(x, width).sum(), x)
    torch.testing.assert_close(slope, soft_step(x, width), atol=1e-12, rtol=0)
    assert hinge(x, width)[0] == 0
    assert hinge(x, width)[-1] == x[-1]


def test_the_first_derivative_is_the_weights():
    losses = normals(2, 60).requires_grad_()
    risks, weights = smoothed(losses)
    (slopes,) = torch.autograd.grad(risks.sum(), losses)
    torch.testing.assert_close(slopes, weights.detach(), atol=1e-12, rtol=0)


def model(parameters, inputs):
    """Losses that bend in their parameters, so that both parts of the second derivative matter."""
    return (inputs @ parameters).sin() + 0.3 * (inputs @ parameters.flip(0)).square()


def fixed_width_risk(parameters, inputs, width, *, level=0.9):
    losses = model(parameters, inputs).unsqueeze(0)
    with torch.no_grad():
        low, high = losses.min() - width, losses.max() + width
        for _ in range(80):
            middle = (low + high) / 2
            above = soft_step(losses - middle, width).mean() > 1 - level
            low, high = (middle, high) if above else (low, middle)
    edge = ((low + high).view(1, 1) / 2, width.view(1, 1))
    group = torch.zeros(losses.shape[1], dtype=torch.int64)
    return smoothed_cvar(losses[0], group, edge, level=level, episodes=losses.shape[1])[0].sum()


def test_second_derivatives_are_those_of_finite_differences():
    """The boundary moves with the parameters; sorting would lose that, half smoothing would get it wrong."""
    inputs, parameters = normals(400, 3), normals(3, purpose="parameters")
    width = 0.3 * model(parameters, inputs).std()

    def gradient(at, *, graph=False):
        at = at if at.requires_grad else at.clone().requires_grad_()
        return torch.autograd.grad(fixed_width_risk(at, inputs, width), at, create_graph=graph)[0]

    at = parameters.clone().requires_grad_()
    hessian = torch.stack([torch.autograd.grad(one, at, retain_graph=True)[0] for one in gradient(at, graph=True)])
    # Short steps: the curvature itself jumps where a loss enters the boundary.
    ways = 1e-7 * torch.eye(3)
    differences = [(gradient(parameters + way) - gradient(parameters - way)) / 2e-7 for way in ways]
    torch.testing.assert_close(hessian, torch.stack(differences), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(hessian, hessian.T)

    values = lambda at: fixed_width_risk(at, inputs, width)  # noqa: E731
    slopes = [(values(parameters + 10 * way) - values(parameters - 10 * way)) / 2e-6 for way in ways]
    torch.testing.assert_close(gradient(parameters), torch.stack(slopes), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize(("level", "smoothing"), [(0.95, 0.1), (0.9, 0.5), (0.5, 0.02)])
def test_the_tail_alone_gives_value_gradient_and_curvature_of_all_losses(level, smoothing):
    inputs = normals(3, 500, 4)
    at = normals(4, purpose="parameters").requires_grad_()
    losses = model(at, inputs)
    edge = tail_edge(losses.detach(), level=level, smoothing=smoothing)
    group, member = (losses.detach() > edge[0] - edge[1]).nonzero(as_tuple=True)
    assert len(group) < losses.numel() * 0.8
    tail, weights = smoothed_cvar(model(at, inputs[group, member]), group, edge, level=level, episodes=500)
    everything, _ = smoothed(losses, level=level, smoothing=smoothing)
    assert torch.allclose(weights.new_zeros(3).index_add(0, group, weights), weights.new_ones(3), atol=1e-12)
    for one, other in zip(tail, everything, strict=True):
        assert one.item() == pytest.approx(other.item(), abs=1e-12)
        gradients = [torch.autograd.grad(risk, at, create_graph=True)[0] for risk in (one, other)]
        torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)
        curvatures = [torch.autograd.grad(g.square().sum(), at, retain_graph=True)[0] for g in gradients]
        torch.testing.assert_close(*curvatures, atol=1e-10, rtol=1e-10)


def test_groups_do_not_know_each_other():
    losses = normals(3, 80)
    alone = torch.cat([smoothed(row.unsqueeze(0))[0] for row in losses])
    torch.testing.assert_close(smoothed(losses)[0], alone, atol=1e-12, rtol=0)


def test_equal_losses_have_that_risk():
    risks, weights = smoothed(torch.full((1, 40), 0.25, dtype=torch.float64))
    assert risks.item() == pytest.approx(0.25)
    assert weights.sum().item() == pytest.approx(1)


def test_single_precision_agrees_with_double():
    losses = 0.02 * normals(4, 512)
    single, weights = smoothed(losses.float(), level=0.95)
    assert torch.allclose(single.double(), smoothed(losses, level=0.95)[0], rtol=1e-5)
    assert torch.allclose(weights.sum(1), torch.ones(4), atol=1e-4)


def test_the_edge_refuses_a_level_that_is_no_fraction():
    with pytest.raises(InputError, match=r"tail_edge: level=95 .* 0.95"):
        tail_edge(normals(1, 5), level=95, smoothing=0.1)
