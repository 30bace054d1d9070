"""The soft band: a cut with round corners, whose width can be learned."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import softplus

from praesidium.policies.encoders import Joint
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Sizes
from praesidium.policies.soft_band import SoftBand, soft_clip

SIZES = Sizes(phi=4, context=5, environments=2, regimes=3)
DISTANCES, WIDTHS = st.floats(-3, 3), st.floats(0, 2)
law = settings(deadline=None, derandomize=True, max_examples=60)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


@law
@given(x=DISTANCES, width=WIDTHS, softness=st.floats(1e-3, 0.3))
def test_it_is_odd_within_the_width_and_never_moves_farther_than_its_argument(x, width, softness):
    clipped = soft_clip(number(x), number(width), softness=softness)
    assert clipped.item() == pytest.approx(-soft_clip(number(-x), number(width), softness=softness).item(), abs=1e-12)
    assert clipped.abs() <= min(width, abs(x)) + 1e-12
    assert clipped.item() * x >= -1e-12


@law
@given(x=DISTANCES, width=WIDTHS, softness=st.floats(1e-3, 0.3))
def test_it_is_the_cut_but_for_the_corners(x, width, softness):
    cut = max(-width, min(width, x))
    assert soft_clip(number(x), number(width), softness=softness).item() == pytest.approx(cut, abs=0.7 * softness)


def test_without_a_width_all_is_traded_and_with_a_great_one_nothing():
    x = torch.linspace(-1, 1, 21, dtype=torch.float64)
    assert soft_clip(x, torch.zeros_like(x), softness=0.1).abs().max() < 1e-15
    torch.testing.assert_close(soft_clip(x, torch.full_like(x, 9), softness=0.1), x, atol=1e-15, rtol=0)


def test_both_derivatives_are_exact_to_second_order():
    x = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64).requires_grad_()
    width = torch.full_like(x, 0.2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: soft_clip(a, b, softness=0.05), (x, width))
    assert torch.autograd.gradgradcheck(lambda a, b: soft_clip(a, b, softness=0.05), (x, width))


@law
@given(x=DISTANCES.filter(lambda x: abs(x) > 1e-3), share=st.floats(0.1, 1.5))
def test_the_width_has_a_slope_inside_the_band_and_outside(x, share):
    """A mask that trades or rests has none anywhere."""
    width = number(share * abs(x)).requires_grad_()
    softness = 0.1 * abs(x)
    (slope,) = torch.autograd.grad(soft_clip(number(x), width, softness=softness), width)
    assert slope.item() * x > 0


def test_a_network_that_says_nothing_follows_a_narrow_band_around_delta(builder, wild):
    rule = Neural(encoder=Joint(), output=SoftBand()).build(SIZES, seed=1).double()
    state = builder.build(wild, 1e-3)
    for one in rule.head.parameters():
        one.data.zero_()
    positions = rule.positions(state)
    assert ((positions - state.delta).abs() <= softplus(number(-3.0)) + 1e-12).all()
    assert (positions.diff(dim=0).abs() < 1e-4).double().mean() > 0.2


def test_every_output_of_the_head_moves_the_positions(builder, wild):
    """Target and width both; of a band without a slope in its width, the second would stay."""
    rule = Neural(encoder=Joint(), output=SoftBand()).build(SIZES, seed=1).double()
    rule.positions(builder.build(wild, 1e-3)).square().sum().backward()
    assert (rule.head.layer.weight.grad.abs().amax(0) > 1e-3).all()
