"""Heads are linear; heads of their own are of the trained environments and of no others."""

import pytest
import torch

from praesidium.policies.heads import Head, PerEnvironment, Shared
from praesidium.policies.layers import Dense
from praesidium.training.reproducibility import stream

Z = torch.randn(10, 6, dtype=torch.float64, generator=stream("tests", "head inputs"))


def labels(number):
    return torch.full((10,), number)


@pytest.mark.parametrize("kind", sorted(Head.registry))
@pytest.mark.parametrize("environment", [None, labels(1)])
def test_heads_are_affine(kind, environment):
    head = Head.registry[kind]().build(6, 2, 3, seed=0, gain=1.0).double()
    zero = head(torch.zeros_like(Z), environment)
    assert head(Z, environment).shape == (10, 2)
    torch.testing.assert_close(head(3 * Z, environment) - zero, 3 * (head(Z, environment) - zero), atol=1e-12, rtol=0)


def test_an_unseen_environment_gets_the_mean_of_the_trained_heads():
    head = PerEnvironment().build(6, 2, 3, seed=0, gain=1.0).double()
    each = torch.stack([head(Z, labels(number)) for number in range(3)])
    torch.testing.assert_close(head(Z, None), each.mean(0), atol=1e-15, rtol=0)
    assert not torch.allclose(each[0], each[1])


def test_each_path_goes_through_the_head_of_its_environment():
    head = PerEnvironment().build(6, 2, 3, seed=0, gain=1.0).double()
    mixed = torch.arange(10) % 3
    for path, number in enumerate(mixed.tolist()):
        torch.testing.assert_close(head(Z, mixed)[path], head(Z, labels(number))[path], atol=1e-15, rtol=0)
    head(Z, labels(1)).sum().backward()
    assert [layer.weight.grad.any().item() for layer in head.layers] == [False, True, False]


def test_a_shared_head_has_no_labels():
    head = Shared().build(6, 2, 3, seed=0, gain=1.0).double()
    assert torch.equal(head(Z, None), head(Z, labels(2)))
    assert sum(one.numel() for one in head.parameters()) == 14


@pytest.mark.parametrize("gain", [0.1, 1.0])
def test_first_values_fill_their_interval(gain):
    layer = Dense(64, 500, stream("tests", "dense"), gain=gain)
    for one in (layer.weight, layer.bias):
        assert one.abs().max() <= gain / 8
        assert one.abs().max() > 0.95 * gain / 8


def test_a_dense_layer_is_an_affine_map_of_the_last_axis():
    layer, x = Dense(6, 3, stream("tests", "dense")).double(), Z.view(5, 2, 6)
    torch.testing.assert_close(layer(x), x @ layer.weight + layer.bias, atol=1e-14, rtol=0)
