"""What regime probabilities are checked for, and the transitions that they imply."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes.belief import check_probabilities, check_transition, estimate_transition
from praesidium.regimes.hmm import filtered, sample_chain
from praesidium.training.reproducibility import stream

A = torch.tensor([[0.95, 0.04, 0.01], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]], dtype=torch.float64)
START = torch.full((3,), 1 / 3, dtype=torch.float64).log()


def test_the_transposed_layout_is_refused_even_where_it_fits():
    square = torch.rand(2, 3, 3, dtype=torch.float64, generator=stream("tests", "layout")).softmax(-1)
    check_probabilities("caller", square, 3)
    with pytest.raises(InputError, match=r"do not sum to one over the last axis.*transpose\(1, 2\)"):
        check_probabilities("caller", square.transpose(1, 2), 3)
    with pytest.raises(InputError, match=r"shape \(2, 3, 9\); wanted are \(batch, time, regimes=3\)"):
        check_probabilities("caller", torch.rand(2, 3, 9, generator=stream("tests", "layout")), 3)


def test_padding_may_hold_anything_and_what_is_valid_may_not():
    sequences = torch.full((2, 4, 2), 0.5, dtype=torch.float64)
    sequences[1, 2:] = torch.nan
    check_probabilities("caller", sequences, 2, torch.tensor([4, 2]))
    with pytest.raises(InputError, match="NaN"):
        check_probabilities("caller", sequences, 2)
    with pytest.raises(InputError, match="not all between 1 and the 4"):
        check_probabilities("caller", sequences, 2, torch.tensor([4, 5]))


@pytest.mark.parametrize("wrong", [A.T, -A, 2 * A, torch.nan * A, A.clone().fill_diagonal_(torch.nan)])
def test_rows_that_are_not_distributions_are_refused(wrong):
    check_transition("caller", A, 3)
    with pytest.raises(InputError, match="rows of transition do not sum to one, or hold NaN"):
        check_transition("caller", wrong, 3)


def test_moves_between_known_regimes_are_counted():
    states = torch.tensor([0, 0, 1, 0, 0, 0, 1, 1, 0])
    hot = torch.nn.functional.one_hot(states, 2).double()
    counts = torch.tensor([[3.0, 2.0], [2.0, 1.0]], dtype=torch.float64) + 1 / 2
    torch.testing.assert_close(estimate_transition(hot[:-1], hot[1:]), counts / counts.sum(-1, keepdim=True))


def test_the_matrix_of_the_filter_is_found_again_in_its_probabilities():
    states = sample_chain(START, A.log(), steps=20_000, batch=1, generator=stream("tests", "belief"))
    noise = torch.randn(1, 20_000, 3, dtype=torch.float64, generator=stream("tests", "belief noise"))
    signs = torch.nn.functional.one_hot(states, 3) + noise
    belief = filtered(START, A.log(), signs)[0]  # log p(x | k) is x_k and a constant
    found = estimate_transition(belief[:-1], belief[1:])
    torch.testing.assert_close(found, A, atol=0.02, rtol=0)
    naive = belief[:-1].T @ belief[1:]
    assert (naive / naive.sum(-1, keepdim=True) - A).abs().max() > 0.1  # products of marginals mix far too much
