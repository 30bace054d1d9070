"""Parameters as rows: in and out of a module without a trace, and many replicas as one."""

import pytest
import torch
from torch import nn

from praesidium.policies.layers import Body, Dense
from praesidium.training.parameters import Parameters
from praesidium.training.reproducibility import stream


class Network(nn.Module):
    """Dense layers in a row, the last one with a single output; some of them in a list."""

    def __init__(self, seed):
        super().__init__()
        generator = stream("tests", "network", seed)
        self.first = Dense(3, 5, generator)
        self.rest = nn.ModuleList(Dense(5, 5, generator) for _ in range(2))
        self.last = Dense(5, 1, generator)

    def forward(self, x):
        hidden = self.first(x).tanh()
        for layer in self.rest:
            hidden = layer(hidden).tanh()
        return self.last(hidden)


NETWORKS = [Network(seed).double() for seed in range(4)]
PARAMETERS = Parameters(NETWORKS[0])
ROWS = torch.stack([PARAMETERS.read(one) for one in NETWORKS])
SHAPES = pytest.mark.parametrize("before", [(), (7,), (2, 3)], ids=["no times", "times", "environments and times"])


def inputs(*shape):
    return torch.randn(*shape, 3, dtype=torch.float64, generator=stream("tests", "inputs"))


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_what_is_read_has_the_names_of_the_module():
    for network, row in zip(NETWORKS, ROWS, strict=True):
        named, state = PARAMETERS.names(row), network.state_dict()
        assert list(named) == list(state)
        assert all(torch.equal(named[name], state[name]) for name in state)
        other = Network(9).double()
        other.load_state_dict(named)
        assert torch.equal(PARAMETERS.read(other), row)


def test_what_is_read_is_a_copy_without_a_graph():
    network = Network(0)
    row = PARAMETERS.read(network)
    assert not row.requires_grad
    row.zero_()
    assert network.first.weight.abs().sum() > 0


@SHAPES
def test_a_bound_row_is_the_module_it_was_read_from(before):
    x = inputs(*before, 6)
    for network, row in zip(NETWORKS, ROWS, strict=True):
        assert torch.equal(PARAMETERS.bind(row)(x), network(x))


@SHAPES
def test_bound_replicas_are_each_as_if_alone(before):
    x = inputs(*before, len(NETWORKS), 6)
    together = PARAMETERS.bind(ROWS)(x)
    assert together.shape == (*before, len(NETWORKS), 6, 1)
    for replica, network in enumerate(NETWORKS):
        close(together[..., replica, :, :], network(x[..., replica, :, :]))


def test_a_single_replica_may_keep_its_axis():
    x = inputs(7, 1, 6)
    close(PARAMETERS.bind(ROWS[:1])(x), NETWORKS[0](x))


def test_parameters_of_a_body_that_knows_its_inventory_are_bound_too():
    bodies = [Body(3, 4, 2, seed=seed, name="body").double() for seed in range(3)]
    parameters = Parameters(bodies[0])
    x, held = inputs(5, 3, 6), inputs(5, 3, 6)[..., 0]
    body = parameters.bind(torch.stack([parameters.read(one) for one in bodies]))
    together = body.advance(body.prepare(x), held)
    for replica, one in enumerate(bodies):
        close(together[:, replica], one.advance(one.prepare(x[:, replica]), held[:, replica]))


def test_gradients_reach_the_rows_and_each_its_own():
    x, weights = inputs(7, len(NETWORKS), 6), inputs(7, len(NETWORKS), 6)[..., :1]
    values = ROWS.clone().requires_grad_()
    loss = (PARAMETERS.bind(values)(x) * weights).sum((0, 2, 3))
    (gradient,) = torch.autograd.grad(loss.sum(), values, retain_graph=True)
    for replica, network in enumerate(NETWORKS):
        alone = (network(x[:, replica]) * weights[:, replica]).sum()
        expected = torch.autograd.grad(alone, list(network.parameters()))
        close(gradient[replica], torch.cat([one.flatten() for one in expected]))
        (own,) = torch.autograd.grad(loss[replica], values, retain_graph=True)
        others = [row for row in range(len(NETWORKS)) if row != replica]
        assert not own[others].any()


def test_second_derivatives_reach_the_rows():
    x, row = inputs(4), ROWS[0].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda values: PARAMETERS.bind(values)(x).sum(), (row,))


def test_the_module_is_left_as_it_is():
    network = Network(0)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    parameters = Parameters(network)
    bound = parameters.bind(torch.zeros(2, len(ROWS[0])).requires_grad_())
    assert bound is not network
    assert bound.first.weight.shape == (2, 3, 5)
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert all(isinstance(one, nn.Parameter) and one.requires_grad for one in network.parameters())


def test_what_is_bound_holds_until_the_next_call():
    x = inputs(6)
    first, second = (PARAMETERS.bind(row)(x) for row in ROWS[:2])
    assert torch.equal(first, NETWORKS[0](x))
    assert torch.equal(second, NETWORKS[1](x))
    assert PARAMETERS.bind(ROWS[0]) is PARAMETERS.bind(ROWS[1])
