"""Batches: balanced over environments, from everywhere in the pool, and continued after a restart."""

import pytest
import torch

from praesidium.training.batching import BalancedBatches
from praesidium.training.reproducibility import stream


def batches(pool=20, size=6, environments=3, seed=0):
    return BalancedBatches(pool, size, environments, stream("tests", "batches", seed))


def test_every_environment_gives_the_same_number_of_neighbors():
    drawn = batches()
    for _ in range(50):
        runs = drawn.draw()
        assert len(runs) == 3
        assert all(run.stop - run.start == 6 and run.step is None for run in runs)
        assert all(0 <= run.start <= run.stop <= 20 for run in runs)


def test_every_start_comes_up_and_environments_draw_on_their_own():
    drawn = batches()
    starts = torch.tensor([[run.start for run in drawn.draw()] for _ in range(3000)])
    for environment in starts.T:
        counts = environment.bincount(minlength=15)
        assert ((counts - 200).abs() < 5 * 200**0.5).all()
    assert torch.corrcoef(starts.T.double()).triu(1).abs().max() < 0.08


def test_a_batch_may_be_the_whole_pool():
    assert batches(pool=6).draw() == [slice(0, 6)] * 3


def test_a_batch_larger_than_its_pool_is_refused():
    with pytest.raises(ValueError, match=r"a batch of 7 episodes .* larger than its pool, 6"):
        batches(pool=6, size=7)


def test_draws_continue_where_they_were_stopped():
    drawn = batches()
    [drawn.draw() for _ in range(5)]
    state = {name: value.clone() for name, value in drawn.state().items()}
    expected = [drawn.draw() for _ in range(5)]
    other = batches(seed=9)
    other.restore(state)
    assert [other.draw() for _ in range(5)] == expected


def test_only_the_generator_is_random():
    torch.manual_seed(0)
    one = [batches().draw() for _ in range(3)]
    torch.manual_seed(1)
    assert [batches().draw() for _ in range(3)] == one
    assert [batches(seed=1).draw() for _ in range(3)] != one
