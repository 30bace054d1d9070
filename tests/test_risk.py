"""Risk functionals against their definitions, and the smoothed CVaR to second order."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.risk import (
    cvar,
    cvar_standard_error,
    hinge,
    max_drawdown,
    smoothed_cvar,
    soft_step,
    sortino,
    tail_edge,
)
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=60)
LOSSES = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=60).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
LEVELS = st.floats(0.01, 0.99)


def normals(*shape, purpose="losses"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def minimized(losses, level):
    """min over tau of tau + E[(L - tau)_+] / (1 - level): piecewise linear, so that a loss is among the minimizers."""
    tau = losses.unsqueeze(-1)
    return (losses + (losses - tau).clamp(min=0).mean(-1) / (1 - level)).amin()


@LAW
@given(losses=LOSSES, level=LEVELS)
def test_cvar_is_the_minimum_of_rockafellar_and_uryasev(losses, level):
    assert cvar(losses, level=level).item() == pytest.approx(minimized(losses, level).item(), abs=1e-12)


@pytest.mark.parametrize(("count", "level"), [(256, 0.95), (100, 0.95), (10, 0.95), (1, 0.5), (7, 0.01), (20, 0.9)])
def test_cvar_counts_the_boundary_loss_by_its_share(count, level):
    losses = normals(count)
    falling, mass = sorted(losses.tolist(), reverse=True), (1 - level) * count
    whole = math.floor(mass + 1e-9)
    total = sum(falling[:whole]) + ((mass - whole) * falling[whole] if whole < count else 0)
    assert cvar(losses, level=level).item() == pytest.approx(total / mass, abs=1e-12)


def test_a_tail_of_whole_episodes_is_their_mean():
    """1 - 0.95 is a little above 0.05; the sixth loss must not get a speck of weight for it."""
    losses = torch.cat([torch.full((95,), -1e9, dtype=torch.float64), torch.arange(5.0, dtype=torch.float64)])
    assert cvar(losses, level=0.95).item() == pytest.approx(2, rel=1e-12)


@LAW
@given(losses=LOSSES, level=LEVELS, cash=st.floats(-5, 5), factor=st.floats(0.01, 100))
def test_cvar_moves_with_cash_and_scales_with_size(losses, level, cash, factor):
    risk = cvar(losses, level=level).item()
    assert cvar(losses + cash, level=level).item() == pytest.approx(risk + cash, abs=1e-11)
    assert cvar(losses * factor, level=level).item() == pytest.approx(risk * factor, rel=1e-11, abs=1e-11)


@LAW
@given(losses=LOSSES, levels=st.tuples(LEVELS, LEVELS).map(sorted))
def test_cvar_rises_with_the_level_between_value_at_risk_and_maximum(losses, levels):
    low, high = (cvar(losses, level=level).item() for level in levels)
    assert low <= high + 1e-12
    quantile = np.quantile(losses.numpy(), levels[0], method="inverted_cdf")
    assert max(quantile, losses.mean()) - 1e-12 <= low
    assert high <= losses.max().item() + 1e-12


@LAW
@given(one=LOSSES, level=LEVELS, seed=st.integers(0, 99))
def test_cvar_is_subadditive_and_monotone(one, level, seed):
    other = normals(len(one), purpose=seed)
    assert cvar(one + other, level=level) <= cvar(one, level=level) + cvar(other, level=level) + 1e-11
    assert cvar(one, level=level) <= cvar(one + other.abs(), level=level) + 1e-12


def test_cvar_of_a_batch_is_that_of_each_element_and_of_the_order_of_losses_knows_nothing():
    losses = normals(2, 3, 50)
    risks = cvar(losses, level=0.9)
    assert risks.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert torch.equal(risks[place], cvar(losses[place].flip(0), level=0.9))


def test_the_gradient_of_cvar_is_its_weights():
    losses = normals(256).requires_grad_()
    risk = cvar(losses, level=0.95)
    (weights,) = torch.autograd.grad(risk, losses)
    assert (weights >= 0).all()
    assert weights.sum().item() == pytest.approx(1)
    assert (weights * losses).sum().item() == pytest.approx(risk.item())
    assert weights.max().item() == pytest.approx(1 / 12.8)
    assert (weights > 0).sum() == 13


def test_a_loss_that_is_not_a_number_is_not_hidden():
    assert cvar(torch.tensor([0.0, math.nan, 1.0]), level=0.5).isnan()


@pytest.mark.parametrize(
    ("level", "hint"), [(95, "did you mean 0.95?"), (99.5, "did you mean 0.995?"), (1, "say level=0.95"), (0, "0.95")]
)
@pytest.mark.parametrize("measure", [cvar, cvar_standard_error])
def test_a_level_that_is_no_fraction_is_refused(level, hint, measure):
    with pytest.raises(InputError) as caught:
        measure(torch.ones(3), level=level)
    assert f"{measure.__name__}: level={level:g}" in str(caught.value)
    assert hint in str(caught.value)


def test_no_losses_are_refused():
    with pytest.raises(InputError, match="at least one episode"):
        cvar(torch.ones(0), level=0.95)


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_the_standard_error_is_the_spread_over_samples(law):
    samples = normals(3000, 1000, purpose=law)
    if law == "lognormal":
        samples = (samples / 2).exp()
    risks = cvar(samples, level=0.9)
    errors = cvar_standard_error(samples[:200], level=0.9)
    assert errors.mean().item() == pytest.approx(risks.std().item(), rel=0.06)


def test_the_standard_error_is_that_of_a_bootstrap():
    losses = normals(2000)
    picks = torch.randint(2000, (1500, 2000), generator=stream("tests", "bootstrap"))
    spread = cvar(losses[picks], level=0.95).std().item()
    assert cvar_standard_error(losses, level=0.95).item() == pytest.approx(spread, rel=0.08)


# ---- smoothed CVaR --------------------------------------------------------------------------------------------------


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


# ---- statistics of a path -------------------------------------------------------------------------------------------


@LAW
@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=12), shift=st.floats(-3, 3))
def test_drawdown_is_the_worst_fall_between_two_times(values, shift):
    worst = max(values[i] - values[j] for j in range(len(values)) for i in range(j + 1))
    path = torch.tensor(values, dtype=torch.float64)
    assert max_drawdown(path).item() == pytest.approx(worst)
    assert max_drawdown(path + shift).item() == pytest.approx(worst, abs=1e-12)


def test_drawdown_goes_along_time():
    path = normals(9, 4)
    assert torch.equal(max_drawdown(path), torch.stack([max_drawdown(one) for one in path.unbind(1)]))


def test_sortino_sees_losses_alone():
    profits = torch.tensor([3.0, -1.0, 2.0, -2.0], dtype=torch.float64)
    assert sortino(profits).item() == pytest.approx(0.5 / math.sqrt((1 + 4) / 4))
    assert sortino(7 * profits).item() == pytest.approx(sortino(profits).item())
    assert sortino(profits.clamp(min=0)).item() == math.inf
