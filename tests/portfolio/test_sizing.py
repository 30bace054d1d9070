"""Positions shrink with doubt, and what they give up is cash."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.sizing import confidence_based_sizing
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=30)


def beliefs(*shape, seed=0):
    logits = torch.randn(*shape, dtype=torch.float64, generator=stream("tests", "sizing", seed))
    return (3 * logits).softmax(-1)


@LAW
@given(regimes=st.integers(2, 5), seed=st.integers(0, 1000), floor=st.floats(0, 1))
def test_positions_lie_between_the_floor_and_the_whole(regimes, seed, floor):
    weights = beliefs(4, 3, seed=seed + 1)
    sized = confidence_based_sizing(weights, beliefs(4, regimes, seed=seed), floor=floor)
    assert (sized <= weights + 1e-12).all()
    assert (sized >= floor * weights - 1e-12).all()
    ratio = sized / weights
    torch.testing.assert_close(ratio, ratio[:, :1].expand(4, 3))


def test_doubt_goes_to_cash_and_is_not_undone():
    """Scaling and then normalizing left every position as it was, to 6e-8."""
    weights = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4]], dtype=torch.float64)
    probs = torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]], dtype=torch.float64)
    expected = [1, 0, 1 - math.log(2) / math.log(3)]
    assert confidence_based_sizing(weights, probs).sum(-1).tolist() == pytest.approx(expected)
    assert confidence_based_sizing(weights, probs, floor=0.5).sum(-1).tolist() == pytest.approx(
        [0.5 + 0.5 * one for one in expected]
    )


def test_shorts_and_sequences_are_scaled_alike():
    weights, probs = torch.randn(2, 7, 3, generator=stream("tests", "shorts")), beliefs(2, 7, 2).float()
    sized = confidence_based_sizing(weights, probs, floor=0.2)
    torch.testing.assert_close(sized[1, 4], confidence_based_sizing(weights[1, 4], probs[1, 4], floor=0.2))
    changed = probs.clone()
    changed[:, 4:] = 0.5
    assert torch.equal(sized[:, :4], confidence_based_sizing(weights, changed, floor=0.2)[:, :4])


def test_gradients_are_finite_where_a_regime_is_certain():
    probs = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    confidence_based_sizing(torch.ones(2, dtype=torch.float64), probs).sum().backward()
    assert probs.grad.isfinite().all()


def test_what_is_missing_stays_missing():
    probs = torch.tensor([[torch.nan, torch.nan], [0.5, 0.5]])
    sized = confidence_based_sizing(torch.ones(2, 3), probs)
    assert sized[0].isnan().all()
    assert sized[1].tolist() == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("probs", "floor", "message"),
    [
        ([0.5, 0.5], 30, "floor=30 is not a share"),
        ([1.0], 0.0, "two or more"),
        ([2.0, -1.0], 0.0, "not distributions"),
        ([0.5, 0.1], 0.0, "not distributions"),
    ],
)
def test_bad_input_is_refused(probs, floor, message):
    with pytest.raises(InputError, match=message):
        confidence_based_sizing(torch.ones(2), torch.tensor(probs), floor=floor)
