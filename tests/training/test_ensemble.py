"""Members of an ensemble: their initial values, their bootstrap and their mean."""

import numpy as np
import torch
from torch import nn

from praesidium.training.ensemble import BLOCK, Bootstrap, MeanOutput, reseeded
from praesidium.training.reproducibility import stream


def test_output_and_loss_are_means():
    members = [nn.Linear(3, 2) for _ in range(4)]
    losses = [lambda outputs, targets, size=size: size * (outputs - targets).sum() for size in range(4)]
    made, x = MeanOutput(members, losses), torch.ones(5, 3)
    torch.testing.assert_close(made(x), sum(one(x) for one in members) / 4)
    torch.testing.assert_close(made.loss(torch.ones(5, 2), torch.zeros(5, 2)), torch.tensor(10 * 6 / 4))
    assert len(list(made.parameters())) == 8


def test_copies_hold_the_same_numbers_in_another_order():
    given = nn.Linear(4, 3)
    before = given.weight.detach().clone()
    copy = reseeded(given, stream("tests", "ensemble", "copy"))
    assert not torch.equal(copy.weight, before)
    assert torch.equal(copy.weight.flatten().sort().values, before.flatten().sort().values)
    assert torch.equal(copy.bias, given.bias)
    assert torch.equal(given.weight, before)


def test_the_bootstrap_draws_as_many_blocks_as_there_are():
    times = [40, 5 * BLOCK, 2 * BLOCK + 3]
    drawn = torch.stack([Bootstrap(times, stream("tests", "bootstrap", seed)).drawn for seed in range(400)])
    assert drawn.shape[1] == 1 + 5 + 2
    assert (drawn.sum(1) == 8).all()
    np.testing.assert_allclose(drawn.double().mean(0), 1, atol=4 / 400**0.5)
    np.testing.assert_allclose(drawn.double().var(0), 1 - 1 / 8, atol=0.3)


def test_a_piece_counts_as_its_block_whatever_its_length():
    times = [BLOCK, 4 * BLOCK]
    bootstrap = Bootstrap(times, stream("tests", "bootstrap"))
    for length in (1, 30, 4 * BLOCK - 3):
        starts = torch.arange(4 * BLOCK - length + 1)
        counts = bootstrap.counts(torch.ones_like(starts), starts, torch.full_like(starts, length))
        assert counts[0] == bootstrap.drawn[1]
        assert counts[-1] == bootstrap.drawn[4]
        assert (counts.diff() != 0).sum() <= 3
    alone = torch.zeros(1, dtype=torch.int64)
    assert bootstrap.counts(alone, alone, alone + BLOCK) == bootstrap.drawn[0]
