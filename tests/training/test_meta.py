"""Meta-learning: against second derivatives by hand, and for what it is good for."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from praesidium.component import InputError
from praesidium.training import MetaPortfolioOptimizer, sample_tasks
from praesidium.training.reproducibility import stream

RATE = 0.1


class Row(nn.Module):
    """The dot product with one row of numbers."""

    def __init__(self, *start):
        super().__init__()
        self.row = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, x):
        return x @ self.row


def squared(outputs, targets):
    return (outputs - targets).square().mean() / 2


def drawn(name, tasks=3, examples=6, size=3):
    g = stream("tests", "meta", name)
    shapes = [(examples, size), (examples,)]
    return [
        tuple(tuple(torch.randn(*shape, dtype=torch.float64, generator=g) for shape in shapes) for _ in range(2))
        for _ in range(tasks)
    ]


def by_hand(start, tasks, steps):
    """Loss and gradient: theta_n - best = M^n (theta - best) with M = I - rate A; chain rule through M^n."""
    loss, gradient = 0.0, torch.zeros_like(start)
    for (x, y), (xq, yq) in tasks:
        a, b = x.T @ x / len(x), x.T @ y / len(x)
        best = torch.linalg.solve(a, b)
        power = torch.linalg.matrix_power(torch.eye(len(start), dtype=start.dtype) - RATE * a, steps)
        errors = xq @ (best + power @ (start - best)) - yq
        loss += errors.square().mean() / 2 / len(tasks)
        gradient += power.T @ (xq.T @ errors) / len(xq) / len(tasks)
    return loss, gradient


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_the_outer_gradient_goes_through_all_inner_steps(steps):
    model, tasks = Row(0.3, -1.0, 2.0), drawn("closed form")
    meta = MetaPortfolioOptimizer(model, inner_lr=RATE, n_inner_steps=steps)
    loss = meta.meta_loss(tasks, squared)
    (gradient,) = torch.autograd.grad(loss, model.row)
    expected, slope = by_hand(model.row.detach(), tasks, steps)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, slope)


def test_the_outer_step_is_one_of_adam_on_that_gradient():
    model, tasks = Row(0.3, -1.0, 2.0), drawn("closed form")
    start = model.row.detach().clone()
    loss = MetaPortfolioOptimizer(model, RATE, 0.01, 5).meta_update(tasks, squared)
    expected, slope = by_hand(start, tasks, 5)
    assert loss == pytest.approx(float(expected))
    torch.testing.assert_close(model.row.detach(), start - 0.01 * slope.sign())  # the first step of Adam is its rate


def test_more_inner_steps_adapt_further():
    """Every step starts where the last one ended: 1, 5 and 50 steps are points of one descent."""
    (support, _), *_ = drawn("further")
    start = Row(0.3, -1.0, 2.0)
    x, y = support
    a, b = x.T @ x / len(x), x.T @ y / len(x)
    losses = []
    for steps in (1, 5, 50):
        adapted = MetaPortfolioOptimizer(start, inner_lr=RATE, n_inner_steps=steps).adapt(support, squared)
        here = start.row.detach()
        for _ in range(steps):
            here = here - RATE * (a @ here - b)
        torch.testing.assert_close(adapted["row"], here)
        losses.append(float(squared(functional_call(start, adapted, (x,)), y)))
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 3


@pytest.mark.parametrize("grad", [False, True])
def test_adapting_leaves_the_model_alone(grad):
    model, ((support, _), *_) = Row(1.0, 2.0, 3.0), drawn("alone")
    before = model.row.detach().clone()
    with torch.set_grad_enabled(grad):
        adapted = MetaPortfolioOptimizer(model).adapt(support, squared)
    assert torch.equal(model.row, before)
    assert model.row.grad is None
    assert not adapted["row"].requires_grad
    assert not torch.equal(adapted["row"], before)


def test_adapting_leaves_buffers_alone():
    model, ((support, _), *_) = (
        nn.Sequential(nn.BatchNorm1d(3, dtype=torch.float64), Row(1.0, 2.0, 3.0)),
        drawn("alone"),
    )
    before = [one.clone() for one in model.buffers()]
    adapted = MetaPortfolioOptimizer(model).adapt(support, squared)
    assert set(adapted) == {name for name, _ in model.named_parameters()}
    assert all(torch.equal(one, was) for one, was in zip(model.buffers(), before, strict=True))


def test_no_outer_rate_leaves_every_initial_value():
    model = nn.Sequential(nn.Linear(3, 4, dtype=torch.float64), nn.Tanh(), nn.Linear(4, 1, dtype=torch.float64))
    before = [one.detach().clone() for one in model.parameters()]
    tasks = [((x, y[:, None]), (xq, yq[:, None])) for (x, y), (xq, yq) in drawn("no rate")]
    meta = MetaPortfolioOptimizer(model, outer_lr=0)
    losses = [meta.meta_update(tasks, squared) for _ in range(3)]
    assert len(set(losses)) == 1
    assert all(torch.equal(one, was) for one, was in zip(model.parameters(), before, strict=True))


def test_frozen_parameters_are_not_adapted():
    model = Row(1.0, 2.0, 3.0)
    model.register_parameter("scale", nn.Parameter(torch.ones(1), requires_grad=False))
    (support, query), *_ = drawn("frozen")
    meta = MetaPortfolioOptimizer(model)
    assert set(meta.adapt(support, squared)) == {"row"}
    meta.meta_update([(support, query)], squared)
    assert model.scale.item() == 1


def test_meta_training_finds_where_few_steps_lead_far():
    """Tasks share two of three coefficients; from the shared ones, two steps on few examples are enough."""

    def task(g):
        row = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64)
        row[2] = torch.randn((), dtype=torch.float64, generator=g)
        pairs = [torch.randn(8, 3, dtype=torch.float64, generator=g) for _ in range(2)]
        return tuple((x, x @ row) for x in pairs)

    g = stream("tests", "meta", "family")
    unseen = [task(stream("tests", "meta", "unseen")) for _ in range(40)]
    model = Row(0.0, 0.0, 0.0)
    meta = MetaPortfolioOptimizer(model, inner_lr=RATE, outer_lr=0.1, n_inner_steps=2)
    before = float(meta.meta_loss(unseen, squared).detach())
    for _ in range(80):
        meta.meta_update([task(g) for _ in range(4)], squared)
    assert float(meta.meta_loss(unseen, squared).detach()) < 0.15 * before
    torch.testing.assert_close(model.row.detach()[:2], torch.tensor([2.0, -3.0], dtype=torch.float64), atol=0.3, rtol=0)


def test_second_derivatives_pass_through_attention():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, x = Attention(), torch.randn(2, 5, 4)
    meta = MetaPortfolioOptimizer(model, n_inner_steps=1)
    before = meta.meta_update([((x, x), (x.flip(1), x.flip(1)))], squared)
    assert meta.meta_update([((x, x), (x.flip(1), x.flip(1)))], squared) < before


def test_tasks_of_a_data_loader_are_the_past_and_what_follows():
    inputs = torch.arange(60.0).view(3, 10, 2)
    tasks = sample_tasks(DataLoader(TensorDataset(inputs, -inputs), batch_size=2, generator=stream("tests", "loader")))
    assert len(tasks) == 2
    for (x, y), (xq, yq) in tasks:
        assert x.shape[1] == xq.shape[1] == 5
        assert (xq > x).all()
        assert torch.equal(y, -x)
        assert torch.equal(yq, -xq)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: MetaPortfolioOptimizer(Row(1.0), n_inner_steps=0), "n_inner_steps=0 adapts nothing"),
        (lambda: MetaPortfolioOptimizer(Row(1.0), inner_lr=0), "inner_lr=0 adapts nothing"),
        (lambda: MetaPortfolioOptimizer(Row(1.0), outer_lr=-1), "outer_lr=-1 is not a learning rate"),
        (lambda: MetaPortfolioOptimizer(nn.ReLU()), "ReLU has no parameter to train"),
        (lambda: MetaPortfolioOptimizer(Row(1.0)).meta_update([], squared), "tasks is empty"),
        (
            lambda: MetaPortfolioOptimizer(Row(1.0)).meta_update([[[torch.ones(3)]]], squared),
            "tasks[0] is not (support,",
        ),
        (lambda: sample_tasks([(torch.ones(3, 4), torch.ones(3, 5))]), "the same two or more times"),
        (lambda: sample_tasks([], support=1.0), "support=1 is not a share"),
    ],
)
def test_what_cannot_be_used_is_refused(call, sentence):
    with pytest.raises(InputError) as caught:
        call()
    assert sentence in str(caught.value)


def test_an_adaptation_that_runs_away_is_reported():
    (support, query), *_ = drawn("away")
    model = Row(1.0, 2.0, 3.0)
    meta = MetaPortfolioOptimizer(model, inner_lr=1e200, n_inner_steps=3)
    with pytest.raises(FloatingPointError, match="inner step"):
        meta.meta_update([(support, query)], squared)
    assert torch.equal(model.row.detach(), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
