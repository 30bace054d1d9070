"""How the past is cut into a part to learn from, one to stop by and one to judge by."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.regimes.held_out import compare, parts_of
from praesidium.training.reproducibility import stream


@settings(deadline=None, derandomize=True, max_examples=30)
@given(batch=st.integers(1, 12), time=st.integers(20, 200), horizon=st.integers(1, 8))
def test_no_outcome_reaches_into_the_next_part(batch, time, horizon):
    usable = torch.rand(batch, time, generator=stream("tests", batch, time)) < 0.9
    if usable.sum() < 100:
        return
    parts = parts_of(usable, horizon, "caller")
    sequence, when = usable.nonzero(as_tuple=True)
    for early, late in ((parts.training, parts.stopping), (parts.stopping, parts.judging)):
        first = late.min()
        same = sequence[early] == sequence[first]
        assert not ((when[early] + horizon > when[first]) & same).any()
        assert early.max() < first
    assert len(parts.judging) >= 0.2 * usable.sum()


def test_too_little_to_learn_from_is_said():
    with pytest.raises(InputError, match=r"99 forecasts .* at least 100"):
        parts_of(torch.ones(1, 99, dtype=torch.bool), 1, "caller")


def test_the_standard_error_grows_where_neighbors_are_alike():
    """Of independent differences it is sd / sqrt(n); of ones that come in runs of 50 about sqrt(50) times as much."""
    draws = torch.randn(20_000, dtype=torch.float64, generator=stream("tests", "errors"))
    alone = compare(-draws, torch.zeros_like(draws))
    runs = compare(-draws[:400].repeat_interleave(50), torch.zeros_like(draws))
    assert alone.standard_error == pytest.approx(20_000**-0.5, rel=0.5)
    assert runs.standard_error == pytest.approx(400**-0.5, rel=0.5)
    assert alone.gain == pytest.approx(float(draws.mean()))
    assert not alone.beats_baseline
    assert compare(-draws - 0.1, torch.zeros_like(draws)).beats_baseline
