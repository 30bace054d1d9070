"""Online learning: the average by its recursion, and that it never shares memory with the live model."""

from itertools import chain

import pytest
import torch
from torch import nn

from praesidium.component import InputError
from praesidium.training import OnlinePortfolioOptimizer
from praesidium.training.reproducibility import stream


def squared(outputs, targets):
    return (outputs - targets).square().mean()


def line():
    model = nn.Linear(3, 2, dtype=torch.float64)
    for one in model.parameters():
        one.data.uniform_(-1, 1, generator=stream("tests", "online", "line"))
    return model


def batch(number):
    g = stream("tests", "online", number)
    return torch.randn(7, 3, dtype=torch.float64, generator=g), torch.randn(7, 2, dtype=torch.float64, generator=g)


def numbers(model):
    return [one.detach().clone() for one in chain(model.parameters(), model.buffers())]


def equal(ones, others):
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def test_the_average_follows_its_recursion_from_the_initial_parameters():
    model = line()
    online = OnlinePortfolioOptimizer(model, lr=0.05, ema_decay=0.8)
    expected = numbers(model)
    for step in range(6):
        online.update(batch(step), squared)
        expected = [0.8 * slow + 0.2 * live for slow, live in zip(expected, numbers(model), strict=True)]
        for slow, wanted in zip(numbers(online.averaged), expected, strict=True):
            torch.testing.assert_close(slow, wanted)
    assert not equal(numbers(online.averaged), numbers(model))


def test_updates_are_steps_of_adam():
    model, other = line(), line()
    online, optimizer = OnlinePortfolioOptimizer(model, lr=0.05), torch.optim.Adam(other.parameters(), lr=0.05)
    for step in range(4):
        x, y = batch(step)
        loss = squared(other(x), y)
        assert online.update((x, y), squared) == pytest.approx(loss.item())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
    assert equal(numbers(model), numbers(other))


def test_the_averaged_parameters_are_inside_and_the_live_ones_come_back():
    model = line()
    online = OnlinePortfolioOptimizer(model, lr=0.05, ema_decay=0.9)
    online.update(batch(0), squared)
    live, slow = numbers(model), numbers(online.averaged)
    assert not equal(live, slow)
    with online.use_ema():
        assert equal(numbers(model), slow)
    assert equal(numbers(model), live)
    assert equal(numbers(online.averaged), slow)


def test_without_a_block_they_stay_until_restored():
    model = line()
    online = OnlinePortfolioOptimizer(model, lr=0.05, ema_decay=0.9)
    online.update(batch(0), squared)
    live, slow = numbers(model), numbers(online.averaged)
    online.use_ema()
    assert equal(numbers(model), slow)
    with pytest.raises(RuntimeError, match="in use; call restore"):
        online.update(batch(1), squared)
    with pytest.raises(RuntimeError, match="in use already"):
        online.use_ema()
    online.restore()
    online.restore()
    assert equal(numbers(model), live)


def test_the_live_ones_come_back_after_an_error():
    model = line()
    online = OnlinePortfolioOptimizer(model, lr=0.05)
    online.update(batch(0), squared)
    live = numbers(model)
    with pytest.raises(KeyError), online.use_ema():
        raise KeyError
    assert equal(numbers(model), live)


def test_learning_goes_on_as_if_the_average_had_never_been_used():
    """The average and the live parameters never share memory, before or after it was in use."""
    used, plain = line(), line()
    pair = [OnlinePortfolioOptimizer(one, lr=0.05, ema_decay=0.7) for one in (used, plain)]
    for step in range(5):
        for online in pair:
            online.update(batch(step), squared)
        with pair[0].use_ema():
            pass
        where = {one.data_ptr() for one in used.parameters()}
        assert where.isdisjoint(one.data_ptr() for one in pair[0].averaged.parameters())
    assert equal(numbers(used), numbers(plain))
    assert equal(numbers(pair[0].averaged), numbers(pair[1].averaged))
    slow = numbers(pair[0].averaged)
    used.weight.data.add_(1)
    assert equal(numbers(pair[0].averaged), slow)


def test_buffers_are_averaged_and_masks_and_counters_are_not():
    model = nn.Sequential(line(), nn.BatchNorm1d(2, dtype=torch.float64))
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    model.register_buffer("places", torch.arange(50))
    online = OnlinePortfolioOptimizer(model, lr=0.05, ema_decay=0.9)
    slow = model[1].running_mean.clone()
    for step in range(3):
        online.update(batch(step), squared)
        slow = 0.9 * slow + 0.1 * model[1].running_mean
    torch.testing.assert_close(online.averaged[1].running_mean, slow)
    assert online.averaged[1].num_batches_tracked == 3
    assert torch.equal(online.averaged.mask, model.mask)
    assert torch.equal(online.averaged.places, torch.arange(50))
    with online.use_ema():
        torch.testing.assert_close(model[1].running_mean, slow)


def test_a_loss_that_is_not_finite_changes_nothing():
    model = line()
    online = OnlinePortfolioOptimizer(model)
    online.update(batch(0), squared)
    live, slow = numbers(model), numbers(online.averaged)
    x, y = batch(1)
    with pytest.raises(FloatingPointError, match=r"OnlinePortfolioOptimizer.update: the loss is nan"):
        online.update((x * torch.nan, y), squared)
    with pytest.raises(FloatingPointError, match="the gradient is"):
        online.update((x, y), lambda outputs, _: (outputs - outputs).square().sum().sqrt())
    assert equal(numbers(model), live)
    assert equal(numbers(online.averaged), slow)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: OnlinePortfolioOptimizer(line(), ema_decay=1), "ema_decay=1 is not in [0, 1)"),
        (lambda: OnlinePortfolioOptimizer(line(), lr=float("nan")), "lr=nan is not a learning rate"),
        (lambda: OnlinePortfolioOptimizer(nn.ReLU()), "ReLU has no parameter to train"),
        (lambda: OnlinePortfolioOptimizer(line()).update(batch(0), torch.sub), "the loss has shape (7, 2)"),
    ],
)
def test_what_cannot_be_used_is_refused(call, sentence):
    with pytest.raises(InputError) as caught:
        call()
    assert sentence in str(caught.value)
