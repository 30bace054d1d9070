"""Random streams: one for each purpose, whatever else is drawn."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.training.reproducibility import stream

WORDS = st.lists(st.one_of(st.integers(0, 10_000), st.text("abcdefghij", min_size=1)), min_size=1, max_size=4)


def numbers(*purpose, count=8):
    return torch.rand(count, dtype=torch.float64, generator=stream(*purpose))


@settings(deadline=None, derandomize=True)
@given(one=WORDS, other=WORDS)
def test_a_stream_depends_on_its_purpose_alone(one, other):
    assert torch.equal(numbers(*one), numbers(*one))
    assert torch.equal(numbers(*one), numbers(*other)) == ([*map(str, one)] == [*map(str, other)])


def test_streams_are_apart_from_each_other_and_from_the_global_one():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = numbers(0, "init", "head")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(numbers(0, "init", "head"), first)


def test_streams_of_neighboring_purposes_are_not_correlated():
    draws = torch.stack([numbers(seed, "training", name, count=4000) for seed in range(5) for name in ("low", "high")])
    assert torch.corrcoef(draws).fill_diagonal_(0).abs().max() < 0.06


def test_first_draws_over_seeds_are_uniform():
    first = torch.stack([numbers(seed, "batches", count=1) for seed in range(3000)]).squeeze(-1)
    counts = torch.histc(first.float(), bins=10, min=0, max=1)
    assert ((counts - 300).abs() < 5 * 300**0.5).all()
