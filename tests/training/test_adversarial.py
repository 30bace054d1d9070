"""The projection onto the simplex, and the adversary that moves probabilities within a ball."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from praesidium.component import InputError
from praesidium.data.chunks import RandomChunkDataset, collate_fn
from praesidium.portfolio import BayesianPortfolioOptimizer, EnsemblePortfolioOptimizer
from praesidium.training import train_advanced_portfolio
from praesidium.training.adversarial import perturb, project_to_simplex, repeatable
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=40)
ROWS = st.integers(1, 6).flatmap(lambda states: arrays(float, (3, states), elements=st.floats(-4, 4)))
EPSILONS = st.floats(1e-3, 1)


def distributions(*shape, name="p", dtype=torch.float64):
    logits = torch.randn(*shape, dtype=dtype, generator=stream("tests", "adversarial", name))
    return (2 * logits).softmax(-1)


@LAW
@given(rows=ROWS)
def test_the_projection_satisfies_the_optimality_conditions(rows):
    """q is nearest to x if and only if x - q is the same number on the support of q and no larger off it."""
    x = torch.from_numpy(rows)
    q = project_to_simplex(x)
    assert (q >= 0).all()
    torch.testing.assert_close(q.sum(-1), torch.ones(3, dtype=torch.float64))
    gap = x - q
    shift = gap.amax(-1, keepdim=True)
    assert ((shift - gap)[q > 1e-9] < 1e-9).all()


@LAW
@given(rows=ROWS)
def test_projecting_twice_or_a_shifted_row_changes_nothing(rows):
    q = project_to_simplex(torch.from_numpy(rows))
    torch.testing.assert_close(project_to_simplex(q), q)
    torch.testing.assert_close(project_to_simplex(torch.from_numpy(rows) + 1e3), q, atol=1e-9, rtol=0)


def test_the_projection_has_the_derivative_of_its_finite_differences():
    x = torch.randn(4, 5, dtype=torch.float64, generator=stream("tests", "projected")).requires_grad_()
    assert (project_to_simplex(x) == 0).any()
    assert torch.autograd.gradcheck(project_to_simplex, (x,))


@LAW
@given(rows=ROWS, epsilon=EPSILONS, steps=st.integers(1, 4), seed=st.integers(0, 9))
def test_the_adversary_stays_on_the_simplex_and_in_the_ball(rows, epsilon, steps, seed):
    p = torch.from_numpy(rows).softmax(-1)
    slope = torch.randn(p.shape, dtype=p.dtype, generator=stream("tests", "slope", seed))

    def loss(q):
        return (slope * q - 3 * q**2 + q.roll(1, -1) * q).sum()

    q = perturb(loss, p, epsilon=epsilon, steps=steps)
    assert (q >= 0).all()
    assert ((q.sum(-1) - 1).abs() < 1e-12).all()
    assert ((q - p).abs().sum(-1) / 2 <= epsilon + 1e-12).all()
    assert loss(q) >= loss(p)
    assert not q.requires_grad


def test_slopes_that_hardly_differ_do_not_overflow():
    p = torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64)
    slope = torch.tensor([[3.0, 3.0, 3.0]], dtype=torch.float64) + torch.tensor([[5e-16, 0, 0]], dtype=torch.float64)
    seen = []

    def loss(q):
        seen.append(q.detach())
        return (slope * q).sum() * 1e300

    perturb(loss, p, epsilon=0.1)
    assert seen[-1][0].tolist() == pytest.approx([0.35, 0.2, 0.45])


@pytest.mark.parametrize("epsilon", [0.03, 0.3, 0.9, 1.0])
def test_a_linear_loss_is_driven_to_the_optimum_of_the_linear_program(epsilon):
    p = distributions(4, 4, name=f"linear {epsilon}")
    slope = torch.tensor([[0, 1, 2, 3], [3, 0, 2, 1], [2, 0, 3, 1], [1, 3, 2, 0]], dtype=torch.float64) / 7
    q = perturb(lambda q: (slope * q).sum(), p, epsilon=epsilon, steps=400)
    best = sum(linear_program(c, row, epsilon) for c, row in zip(slope.numpy(), p.numpy(), strict=True))
    assert float((slope * q).sum()) == pytest.approx(best, abs=1e-9)


def linear_program(slope, p, epsilon):
    """Maximum of slope . (p + gain - loss), with gain and loss of at most epsilon in total."""
    n = len(p)
    one, zero = np.ones(n), np.zeros(n)
    solved = linprog(
        np.r_[-slope, slope],
        A_ub=[np.r_[one, zero]],
        b_ub=[epsilon],
        A_eq=[np.r_[one, -one]],
        b_eq=[0],
        bounds=[(0, None)] * n + [(0, x) for x in p],
    )
    return slope @ p - solved.fun


def test_one_step_moves_all_the_mass_between_two_states():
    p = torch.tensor([[0.7, 0.3], [0.95, 0.05]], dtype=torch.float64)
    q = perturb(lambda q: q[:, 0].sum() * 5, p, epsilon=0.1)
    torch.testing.assert_close(q, torch.tensor([[0.8, 0.2], [1.0, 0.0]], dtype=torch.float64))


def test_a_concave_loss_is_driven_to_its_maximum_on_the_ball():
    p, goal = distributions(2, 3, 4), distributions(2, 3, 4, name="goal")

    def loss(q):
        return -(q - goal).square().sum()

    q = perturb(loss, p, epsilon=1.0, steps=800)
    assert (q - goal).abs().max() < 5e-2
    near = perturb(loss, p, epsilon=0.05, steps=300)
    # No feasible direction of the linearised loss leads up, beyond the length of the last steps.
    slope = 2 * (goal - near)
    best = sum(
        linear_program(c, row, 0.05)
        for c, row in zip(slope.flatten(0, 1).numpy(), p.flatten(0, 1).numpy(), strict=True)
    )
    assert best - float((slope * near).sum()) < 2e-3


def test_no_mass_means_the_same_numbers():
    p = distributions(2, 5, 3)
    assert torch.equal(perturb(lambda q: q.square().sum(), p, epsilon=0.0), p)


def test_rows_that_do_not_matter_are_left_alone():
    p = distributions(2, 5, 3)
    q = perturb(lambda q: q[0, :, 0].sum(), p, epsilon=0.1)
    assert torch.equal(q[1], p[1])
    assert (q[0, :, 0] > p[0, :, 0]).all()


@pytest.mark.parametrize("grad", [False, True])
def test_nothing_of_the_caller_changes(grad):
    layer = torch.nn.Linear(3, 1, dtype=torch.float64)
    layer.weight.grad = torch.full((1, 3), 2.0, dtype=torch.float64)
    p = distributions(4, 3).requires_grad_(grad)
    before = p.detach().clone()
    with torch.no_grad():
        perturb(lambda q: layer(q).square().sum(), p, epsilon=0.1, steps=2)
    assert torch.equal(p, before)
    assert p.requires_grad is grad
    assert p.grad is None
    assert torch.equal(layer.weight.grad, torch.full((1, 3), 2.0, dtype=torch.float64))
    assert layer.bias.grad is None


# ---- models that draw as they are called ---------------------------------------------------------------------------


class Masked(torch.nn.Module):
    """A linear map with dropout, to weights."""

    def __init__(self):
        super().__init__()
        self.row, self.mask = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])), torch.nn.Dropout(0.5)

    def forward(self, regimes):
        return self.mask(regimes * self.row).softmax(-1)

    def loss(self, weights, returns):
        return -1000 * (weights[:, :-1] * returns[:, 1:]).sum(-1).mean()


class Read:
    """A filter that takes observations for logits of the regimes."""

    def filter(self, x, u, lengths):
        return x.mT.softmax(-1)


DRAWING = [
    lambda: EnsemblePortfolioOptimizer(3, 3, 3, 8, heads=2, lookback=5),
    lambda: BayesianPortfolioOptimizer(3, 3, 8, n_observations=10**9),
    Masked,
]


@pytest.mark.parametrize("make", DRAWING)
def test_a_model_that_draws_can_be_held_and_goes_on_as_after_one_call(make):
    p = distributions(6, 4, 3, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        held, plain = make().train(), make().train()
        call = repeatable(held)
        first = call(p)
        assert all(torch.equal(call(p), first) for _ in range(3))
        after = held(p)
        torch.manual_seed(0)
        assert torch.equal(plain(p), first)
        assert torch.equal(plain(p), after)
        assert not torch.equal(first, after)


@pytest.mark.parametrize("make", DRAWING)
def test_the_adversary_is_judged_by_the_network_that_it_attacks(make):
    """Nothing learns here, and the same networks are drawn for each row: twice the plain loss is the least."""
    x, returns = distributions(3, 200, name="x").log().float(), 0.01 * distributions(200, 3, name="returns")
    batch = collate_fn(list(RandomChunkDataset([x], min_len=20, max_len=20, length=16)))
    logged = {}
    for epsilon in (None, 0.0, 0.05):
        rows = []
        settings = {"lr": 0.0, "use_adversarial": epsilon is not None, "epsilon": epsilon or 0.0, "log": rows.append}
        train_advanced_portfolio(make(), Read(), [batch], returns, num_epochs=6, **settings)
        logged[epsilon] = [row["loss"] for row in rows]
    assert logged[0.0] == pytest.approx([2 * one for one in logged[None]], abs=1e-4)
    assert all(worst > 2 * plain + 1e-4 for worst, plain in zip(logged[0.05], logged[None], strict=True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epsilon": 5}, "perturb: epsilon=5 is not in [0, 1]"),
        ({"steps": 0}, "perturb: steps=0 takes no gradient"),
        ({"probabilities": torch.tensor([[2.0, -1.0]])}, "never logits"),
        ({"probabilities": torch.full((1, 2), torch.nan)}, "never logits"),
    ],
)
def test_what_cannot_be_used_is_refused(change, sentence):
    asked = {"probabilities": torch.tensor([[0.5, 0.5]]), "epsilon": 0.1, **change}
    with pytest.raises(InputError) as caught:
        perturb(torch.sum, **asked)
    assert sentence in str(caught.value)
