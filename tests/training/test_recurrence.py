"""Recursions all at once: the derivatives of the loop that runs through time step by step."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.training.recurrence import accumulate, adjoint, slopes
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=50)
STEPS, INSTRUMENTS = st.integers(1, 8), st.one_of(st.none(), st.integers(1, 3))
PATHS = st.one_of(st.tuples(st.integers(1, 5)), st.tuples(st.integers(1, 2), st.integers(1, 3)))  # or of replicas
FORMS = pytest.mark.parametrize("instruments", [None, 1, 3], ids=["scalar", "one", "three"])


class Recursion:
    """x_t = sin(M_t x_{t-1} + c_t), on each path by itself; a number, or a vector of several instruments."""

    def __init__(self, steps, paths, instruments):
        self.vector = instruments is not None
        self.shape = (steps, *paths, *((instruments,) if self.vector else ()))
        self.slopes = (*self.shape, instruments) if self.vector else self.shape
        self.mixing, self.level = self.numbers("mixing", slopes=True), self.numbers("level")

    def numbers(self, purpose, *, slopes=False):
        shape = self.slopes if slopes else self.shape
        return torch.randn(shape, dtype=torch.float64, generator=stream("tests", "recursion", purpose))

    def decide(self, before, day=slice(None)):
        mixing = self.mixing[day]
        mixed = (mixing * before.unsqueeze(-2)).sum(-1) if self.vector else mixing * before
        return torch.sin(mixed + self.level[day])

    def roll(self, pushes):
        """The loop, pushed a little at each time."""
        value, values = torch.zeros_like(pushes[0]), []
        for day, push in enumerate(pushes):
            value = self.decide(value, day) + push
            values.append(value)
        return torch.stack(values)

    def before(self):
        values = self.roll(torch.zeros(self.shape, dtype=torch.float64))
        return torch.cat([torch.zeros_like(values[:1]), values[:-1]]).requires_grad_()

    def known(self):
        """Slopes at the values of the loop."""
        before = self.before()
        return slopes(self.decide(before), before, vector=self.vector)

    def jacobian(self, function, at):
        return torch.autograd.functional.jacobian(function, at).reshape(at.numel(), at.numel())


RECURSIONS = st.builds(Recursion, STEPS, PATHS, INSTRUMENTS)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def inner(one, other):
    return (one * other).sum()


@LAW
@given(recursion=RECURSIONS)
def test_slopes_are_the_jacobian_of_each_time_and_path(recursion):
    known = recursion.known()
    assert known.shape == recursion.slopes
    whole = recursion.jacobian(recursion.decide, recursion.before().detach())
    blocks = known.flatten(0, -3) if recursion.vector else known.flatten()[:, None, None]
    close(torch.block_diag(*blocks), whole)


@LAW
@given(recursion=RECURSIONS)
def test_changes_accumulate_as_in_the_loop(recursion):
    changes = recursion.numbers("changes")
    whole = recursion.jacobian(recursion.roll, torch.zeros_like(changes))
    close(accumulate(changes, recursion.known()).flatten(), whole @ changes.flatten())


@LAW
@given(recursion=RECURSIONS)
def test_total_derivatives_are_those_of_the_loop(recursion):
    derivatives, pushes = recursion.numbers("derivatives"), torch.zeros(recursion.shape, dtype=torch.float64)
    pushes.requires_grad_()
    (total,) = torch.autograd.grad(recursion.roll(pushes), pushes, derivatives)
    close(adjoint(derivatives, recursion.known()), total)


@LAW
@given(recursion=RECURSIONS)
def test_the_adjoint_is_the_transpose(recursion):
    changes, derivatives, any_slopes = (
        recursion.numbers(name, slopes=name == "slopes") for name in ("changes", "derivatives", "slopes")
    )
    for each in (recursion.known(), any_slopes):
        forth = inner(accumulate(changes, each), derivatives)
        back = inner(changes, adjoint(derivatives, each))
        size = (accumulate(changes, each) * derivatives).abs().sum()  # large slopes leave large terms that cancel
        assert abs(forth - back) <= 1e-12 * size


@FORMS
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_what_accumulates_can_be_differentiated(steps, instruments):
    recursion = Recursion(steps, (2,), instruments)
    changes, known = recursion.numbers("changes").requires_grad_(), recursion.known().requires_grad_()
    assert torch.autograd.gradcheck(accumulate, (changes, known))


@FORMS
def test_a_gradient_of_what_accumulates_is_that_of_the_loop(instruments):
    recursion = Recursion(6, (3,), instruments)
    changes, known = recursion.numbers("changes").requires_grad_(), recursion.known().requires_grad_()
    moved, loop = torch.zeros_like(changes[0]), []
    for change, slope in zip(changes, known, strict=True):
        moved = change + ((slope * moved.unsqueeze(-2)).sum(-1) if recursion.vector else slope * moved)
        loop.append(moved)
    weights = recursion.numbers("weights")
    one = torch.autograd.grad(inner(accumulate(changes, known), weights), [changes, known])
    other = torch.autograd.grad(inner(torch.stack(loop), weights), [changes, known])
    for mine, theirs in zip(one, other, strict=True):
        close(mine, theirs)


def test_it_refuses_a_second_derivative_rather_than_get_it_wrong():
    changes, known = torch.ones(3, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    (first,) = torch.autograd.grad(accumulate(changes, known).square().sum(), known, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@FORMS
def test_slopes_with_a_graph_can_be_differentiated(instruments):
    recursion = Recursion(3, (2,), instruments)

    def curved(before):
        return slopes(recursion.decide(before), before, vector=recursion.vector, graph=True)

    assert torch.autograd.gradcheck(curved, (recursion.before(),))
    before = recursion.before()
    assert not slopes(recursion.decide(before), before, vector=recursion.vector).requires_grad


@FORMS
def test_a_decision_without_a_past_has_no_slope(instruments):
    recursion = Recursion(4, (3,), instruments)
    before, level = recursion.before(), recursion.numbers("level").requires_grad_()
    known = slopes(level.sin(), before, vector=recursion.vector)
    assert torch.equal(known, torch.zeros(recursion.slopes, dtype=torch.float64))
    changes = recursion.numbers("changes")
    assert torch.equal(accumulate(changes, known), changes)
    assert torch.equal(adjoint(changes, known), changes)
