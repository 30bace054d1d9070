"""Measures of disagreement: the identities that tie them together, and their behavior at the edges."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.objectives import alignment
from praesidium.objectives.alignment import mean_cosine, normalized_variance, soft_norm
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=60)


def cosine_penalty(gradients, floor):
    return 1 - mean_cosine(gradients, floor)


def mean_square(gradients, floor):
    """It has no floor."""
    return alignment.mean_square(gradients)


MEASURES = pytest.mark.parametrize("measure", [cosine_penalty, normalized_variance, mean_square])


def rows(seed, environments=4, parameters=6, scale=1.0):
    return scale * torch.randn(environments, parameters, dtype=torch.float64, generator=stream("tests", seed))


def no_floor(gradients):
    return torch.zeros(len(gradients), dtype=torch.float64)


GRADIENTS = st.builds(
    rows, st.integers(0, 999), st.integers(2, 6), st.integers(1, 9), st.sampled_from([1e-6, 1.0, 1e3])
)


def variance(gradients):
    return (gradients - gradients.mean(0)).square().sum(-1).mean().item()


@LAW
@given(gradients=GRADIENTS)
def test_the_variance_of_directions_is_one_minus_their_mean_cosine(gradients):
    """Var[unit rows] = 1 - |mean unit row|^2 = (E - 1) / E (1 - mean cosine)."""
    count, unit = len(gradients), gradients / gradients.norm(dim=-1, keepdim=True)
    pairs = [unit[i] @ unit[j] for i in range(count) for j in range(i)]
    assert mean_cosine(gradients, no_floor(gradients)).item() == pytest.approx(torch.stack(pairs).mean().item())
    value = normalized_variance(gradients, no_floor(gradients)).item()
    assert value == pytest.approx(variance(unit))
    assert value == pytest.approx(1 - unit.mean(0).square().sum().item())
    cosine = cosine_penalty(gradients, no_floor(gradients)).item()
    assert value == pytest.approx((count - 1) / count * cosine, abs=1e-12)


@LAW
@given(gradients=GRADIENTS)
def test_the_mean_square_is_variance_plus_the_square_of_the_mean(gradients):
    value = mean_square(gradients, no_floor(gradients)).item()
    assert value == pytest.approx(variance(gradients) + gradients.mean(0).square().sum().item())


@LAW
@given(gradients=GRADIENTS)
def test_the_relative_variance_is_a_cosine_weighted_by_norms(gradients):
    """Var[g] / mean |g|^2 = 1 - |mean g|^2 / mean |g|^2, in [0, 1]."""
    square = mean_square(gradients, no_floor(gradients)).item()
    relative = variance(gradients) / square
    assert relative == pytest.approx(1 - gradients.mean(0).square().sum().item() / square)
    assert -1e-12 <= relative <= 1 + 1e-12


@LAW
@given(gradients=GRADIENTS, floor=st.floats(0.01, 10))
def test_measures_keep_their_bounds(gradients, floor):
    floors = torch.full((len(gradients),), floor, dtype=torch.float64)
    assert -1e-9 <= cosine_penalty(gradients, floors).item() <= 1 + 1 / (len(gradients) - 1) + 1e-9
    assert -1e-9 <= normalized_variance(gradients, floors).item() <= 1 + 1e-9
    assert soft_norm(gradients, floors).min().item() >= floor


@LAW
@given(gradients=GRADIENTS, factor=st.floats(1e-3, 1e3))
def test_directions_have_no_size(gradients, factor):
    floor = no_floor(gradients)
    for measure in (cosine_penalty, normalized_variance):
        assert measure(factor * gradients, floor).item() == pytest.approx(measure(gradients, floor).item(), abs=1e-9)
    assert mean_square(factor * gradients, floor).item() == pytest.approx(
        factor**2 * mean_square(gradients, floor).item()
    )


@MEASURES
def test_the_order_of_environments_does_not_matter(measure):
    gradients, floor = rows(1), torch.rand(4, dtype=torch.float64, generator=stream("tests", "floor"))
    order = torch.tensor([2, 0, 3, 1])
    assert measure(gradients[order], floor[order]).item() == pytest.approx(measure(gradients, floor).item(), rel=1e-12)


@pytest.mark.parametrize("measure", [soft_norm, mean_cosine, cosine_penalty, normalized_variance, mean_square])
@pytest.mark.parametrize("environments", [1, 4])
def test_each_of_many_matrices_is_measured_by_itself(measure, environments):
    every = torch.stack([rows(seed, environments, scale=10.0**seed) for seed in range(3)])
    floors = torch.rand(3, environments, dtype=torch.float64, generator=stream("tests", "floors"))
    alone = [measure(gradients, floor) for gradients, floor in zip(every, floors, strict=True)]
    torch.testing.assert_close(measure(every, floors), torch.stack(alone), rtol=1e-12, atol=1e-15)


def test_equal_rows_agree_and_opposite_rows_do_not():
    same, floor = rows(2)[:1].expand(3, -1), torch.zeros(3, dtype=torch.float64)
    assert cosine_penalty(same, floor).item() == pytest.approx(0, abs=1e-12)
    assert normalized_variance(same, floor).item() == pytest.approx(0, abs=1e-12)
    opposite = torch.cat([same[:1], -3 * same[:1]])
    assert cosine_penalty(opposite, floor[:2]).item() == pytest.approx(2)
    assert normalized_variance(opposite, floor[:2]).item() == pytest.approx(1)


def test_two_environments_oppose_each_other_wherever_their_mean_risk_is_least():
    """Mean of two quadratics: at its minimum the two gradients cancel, whatever the environments have in common."""
    centers, weights = rows("centers", 2, 5), torch.tensor([1.0, 7.0], dtype=torch.float64)
    best = (weights @ centers) / weights.sum()
    gradients = weights.unsqueeze(-1) * (best - centers)
    assert mean_cosine(gradients, no_floor(gradients)).item() == pytest.approx(-1, abs=1e-12)
    moved = gradients.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cosine_penalty(moved, no_floor(gradients)), moved)
    assert slope.abs().max() < 1e-12  # and from there the cosine pulls nowhere


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_normalized_variance_never_inflates_a_gradient(floor):
    """Its slope along each row is never negative: a step down it cannot make that row longer."""
    for seed in range(20):
        gradients = rows(seed, scale=10.0 ** (seed % 5 - 2)).requires_grad_()
        floors = torch.full((4,), floor, dtype=torch.float64)
        (slope,) = torch.autograd.grad(normalized_variance(gradients, floors), gradients)
        radial = (slope * gradients).sum(-1)
        total = radial.sum().item()
        assert total == pytest.approx(2 * normalized_variance(gradients, floors).item())
        assert total >= 0


@MEASURES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_gradients_are_harmless(measure, dtype):
    floor = torch.full((3,), torch.finfo(dtype).tiny ** 0.5, dtype=dtype)
    for zeros in (torch.zeros(3, 4, dtype=dtype), rows(5, 3, 4).to(dtype) * torch.tensor([[0.0], [1.0], [1.0]])):
        gradients = zeros.to(dtype).clone().requires_grad_()
        value = measure(gradients, floor)
        (slope,) = torch.autograd.grad(value, gradients)
        assert value.isfinite()
        assert slope.isfinite().all()


@pytest.mark.parametrize("measure", [mean_cosine, normalized_variance])
def test_one_environment_has_nobody_to_disagree_with(measure):
    gradients = rows(6, 1).requires_grad_()
    value = measure(gradients, no_floor(gradients))
    torch.autograd.grad(value, gradients)
    assert value.item() == 0


@MEASURES
def test_slopes_are_those_of_finite_differences(measure):
    """Of ``normalized_variance`` with the norms held fixed, as it says."""
    gradients, floor = rows(7, 3, 4), torch.full((3,), 0.3, dtype=torch.float64)
    norms = soft_norm(gradients, floor)
    value = measure
    if measure is normalized_variance:

        def value(moved, _):
            unit = moved / norms
            return (unit - unit.mean(0)).square().sum(-1).mean()

    moved = gradients.clone().requires_grad_()
    (slope,) = torch.autograd.grad(measure(moved, floor), moved)
    for place in ((0, 0), (1, 2), (2, 3)):
        step = torch.zeros_like(gradients)
        step[place] = 1e-6
        difference = (value(gradients + step, floor) - value(gradients - step, floor)) / 2e-6
        assert slope[place].item() == pytest.approx(difference.item(), abs=1e-8)
