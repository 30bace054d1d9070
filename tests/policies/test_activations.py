"""Activations: torch's own in value and in every derivative, and free to overwrite where none is taken."""

import pytest
import torch
from torch.nn import functional

from praesidium.policies.activations import ACTIVATIONS
from praesidium.training.reproducibility import stream

X = 3 * torch.randn(40, dtype=torch.float64, generator=stream("tests", "activations"))
OWN = {"silu": functional.silu, "relu": functional.relu, "gelu": functional.gelu, "tanh": torch.tanh}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_values_and_derivatives_are_those_of_torch(name):
    found = []
    for function in (ACTIVATIONS[name], OWN[name]):
        x = X.clone().requires_grad_()
        y = function(x)
        (first,) = torch.autograd.grad((y * X).sum(), x, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), x)[0] if name != "relu" else first
        found.append((y, first, second))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=1e-12)


def test_both_derivatives_of_silu_are_those_of_finite_differences():
    x = X.clone().requires_grad_()
    assert torch.autograd.gradcheck(ACTIVATIONS["silu"], x)
    assert torch.autograd.gradgradcheck(ACTIVATIONS["silu"], x)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_without_gradients_values_are_the_same(name):
    with torch.no_grad():
        torch.testing.assert_close(ACTIVATIONS[name](X.clone()), OWN[name](X), atol=0, rtol=1e-12)
