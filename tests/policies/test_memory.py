"""The memory is an LSTM, of the past alone, for one network or many."""

import torch

from praesidium.policies.memory import KEPT, Memory
from praesidium.training.parameters import Parameters
from praesidium.training.reproducibility import stream

X = torch.randn(12, 5, 3, dtype=torch.float64, generator=stream("tests", "memory"))


def memory(seed=0):
    return Memory(3, 4, stream("tests", "init", seed)).double()


def test_it_is_the_lstm_of_torch_whose_forget_bias_is_one_higher():
    ours = memory()
    with torch.random.fork_rng(devices=[]):
        theirs = torch.nn.LSTM(3, 4).double()
    order = torch.cat([torch.arange(4, 8), torch.arange(4), torch.arange(12, 16), torch.arange(8, 12)])  # i f g o
    state = {
        "weight_ih_l0": ours.entering.weight.T[order],
        "weight_hh_l0": ours.recurrent.weight.T[order],
        "bias_ih_l0": ours.entering.bias[order] + KEPT * (torch.arange(16) // 4 == 1),
        "bias_hh_l0": ours.recurrent.bias[order],
    }
    theirs.load_state_dict(state)
    torch.testing.assert_close(ours(X), theirs(X)[0], atol=1e-13, rtol=0)


def test_it_remembers_the_past_and_knows_nothing_of_the_future():
    network, later, earlier = memory(), X.clone(), X.clone()
    later[7:] += 1
    earlier[0] += 1
    before = network(X)
    assert torch.equal(network(later)[:7], before[:7])
    assert not torch.equal(network(earlier)[-1], before[-1])


def test_stacked_replicas_remember_as_each_alone():
    network = memory()
    parameters = Parameters(network)
    rows = torch.stack([parameters.read(memory(seed)) for seed in range(3)])
    together = parameters.bind(rows)(torch.stack([X, X + 1, X - 1], dim=1))
    for number, (row, x) in enumerate(zip(rows, (X, X + 1, X - 1), strict=True)):
        torch.testing.assert_close(together[:, number], parameters.bind(row)(x), atol=1e-13, rtol=0)
