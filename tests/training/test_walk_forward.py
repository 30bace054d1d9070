"""Walk-forward training: which times a model has seen, and which it predicts."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from praesidium.component import InputError
from praesidium.portfolio import BayesianPortfolioOptimizer, EnsemblePortfolioOptimizer
from praesidium.training import WalkForwardTrainer
from praesidium.training.reproducibility import stream

SMALL = {"train_window": 20, "test_window": 5, "retrain_freq": 5, "epochs": 3, "lr": 0.05}


def squared(outputs, targets):
    return (outputs - targets).square().mean()


def line():
    model = nn.Linear(3, 2, dtype=torch.float64)
    for one in model.parameters():
        one.data.uniform_(-1, 1, generator=stream("tests", "walk", "line"))
    return model


def drawn(times=60):
    g = stream("tests", "walk", "data")
    return tuple(torch.randn(times, size, dtype=torch.float64, generator=g) for size in (3, 2))


def numbers(model):
    return torch.cat([one.detach().flatten() for one in model.parameters()])


class Spy(nn.Module):
    """Remembers which times it was shown, in training and in tests; time is the first feature."""

    def __init__(self):
        super().__init__()
        self.level, self.seen = nn.Parameter(torch.zeros(())), []

    def forward(self, x):
        self.seen.append((self.training, x[0, :, 0].long().tolist()))
        return x + self.level


def walked(times=60, n_periods=None, **settings):
    """Results, and for each training the times that were shown."""
    spy, clock = Spy(), torch.arange(times, dtype=torch.float32).unsqueeze(1)
    results = WalkForwardTrainer(spy, squared, **{**SMALL, "epochs": 1, **settings}).run(clock, n_periods)
    return results, [shown for training, shown in spy.seen if training]


def test_windows_roll_and_never_overlap():
    results, trained = walked(times=48, purge=2)
    assert [(one.train_start, one.train_stop, one.test_start, one.test_stop) for one in results] == [
        (start, start + 20, start + 22, start + 27) for start in (0, 5, 10, 15, 20)
    ]
    assert trained == [list(range(start, start + 20)) for start in (0, 5, 10, 15, 20)]
    assert results.times.tolist() == list(range(22, 47))
    torch.testing.assert_close(results.predictions[:, 0].round(), results.times.float())


@pytest.mark.parametrize("embargo", [0, 1, 4])
@pytest.mark.parametrize("purge", [0, 1, 3])
@pytest.mark.parametrize("retrain_freq", [5, 11])
def test_gaps_are_kept_and_all_windows_that_fit_are_used(purge, embargo, retrain_freq):
    results, trained = walked(times=83, purge=purge, embargo=embargo, retrain_freq=retrain_freq)
    last = None
    for one in results:
        assert one.test_stop - one.test_start == 5
        assert one.train_stop - one.train_start == 20
        assert one.train_stop + purge <= one.test_start
        if last is not None:
            assert one.test_start == last.test_stop + embargo
        last = one
    assert results[0].test_start == 20 + purge
    assert last.test_stop <= 83 < last.test_stop + embargo + 5
    assert [shown[0] for shown in trained] == sorted({one.train_start for one in results})
    assert results.times.tolist() == [time for one in results for time in range(one.test_start, one.test_stop)]


def test_a_model_is_kept_until_it_is_old():
    results, trained = walked(times=80, purge=0, retrain_freq=11)
    assert [one.test_start - 20 for one in results] == list(range(0, 60, 5))
    assert [shown[0] for shown in trained] == [0, 15, 30, 45]  # the first windows 11 or more times later
    assert [one.train_start for one in results] == [0, 0, 0, 15, 15, 15, 30, 30, 30, 45, 45, 45]


@pytest.mark.parametrize("restart", ["warm", "cold"])
def test_the_future_cannot_move_the_past(restart):
    inputs, targets = drawn()
    changed = inputs.clone(), targets.clone()
    cut = 38
    for one in changed:
        one[cut:] += torch.randn(one[cut:].shape, dtype=one.dtype, generator=stream("tests", "walk", "future"))
    before, after = (
        WalkForwardTrainer(line(), squared, **SMALL, restart=restart).run(data) for data in ((inputs, targets), changed)
    )
    early = before.times < cut
    assert 0 < early.sum() < len(early)
    assert torch.equal(before.predictions[early], after.predictions[early])
    assert not torch.equal(before.predictions[~early], after.predictions[~early])


@pytest.mark.parametrize("purge", [0, 3])
def test_targets_of_the_gap_are_not_trained_on(purge):
    inputs, targets = drawn(30)
    changed = targets.clone()
    changed[20 : 20 + purge + 5] += 1
    results = [
        WalkForwardTrainer(line(), squared, **SMALL, purge=purge).run((inputs, one), n_periods=1)
        for one in (targets, changed)
    ]
    assert torch.equal(results[0].predictions, results[1].predictions)


@pytest.mark.parametrize("restart", ["warm", "cold"])
def test_predictions_are_those_of_the_same_training_by_hand(restart):
    inputs, targets = drawn()
    results = WalkForwardTrainer(line(), squared, **SMALL, purge=1, restart=restart).run((inputs, targets))
    model, outputs = line(), []
    for start in range(0, 35, 5):
        if restart == "cold":
            model = line()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        x, y = inputs[start : start + 20], targets[start : start + 20]
        for _ in range(3):
            optimizer.zero_grad()
            squared(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        assert results[start // 5].train_loss == pytest.approx(squared(model(x), y).item())
        outputs.append(model(inputs[start + 21 : start + 26]).detach())
        assert results[start // 5].test_loss == pytest.approx(
            squared(outputs[-1], targets[start + 21 : start + 26]).item()
        )
    assert len(results) == len(outputs)
    torch.testing.assert_close(results.predictions, torch.cat(outputs))


@pytest.mark.parametrize("restart", ["warm", "cold"])
def test_every_run_begins_with_the_initial_parameters(restart):
    model, data = line(), drawn()
    trainer = WalkForwardTrainer(model, squared, **SMALL, restart=restart)
    first = trainer.run(data)
    assert not torch.equal(numbers(model), numbers(line()))
    assert torch.equal(first.predictions, trainer.run(data).predictions)


def test_every_run_draws_the_same_and_leaves_global_random_numbers_alone():
    """Of models that draw in training: by dropout, and by counters of their own."""
    g = stream("tests", "walk", "regimes")
    regimes, returns = torch.rand(40, 3, generator=g).softmax(-1), 0.01 * torch.randn(40, 3, generator=g)
    ensemble, bayesian = EnsemblePortfolioOptimizer(3, 3, 2, 4, heads=2), BayesianPortfolioOptimizer(3, 3, 4)
    for model in (nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), ensemble, bayesian):
        trainer = WalkForwardTrainer(model, getattr(model, "loss", squared), **{**SMALL, "epochs": 1})
        before = torch.get_rng_state()
        first, again = (trainer.run((regimes, returns)).predictions for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(first, again)


def test_a_cold_start_restores_the_initial_parameters_exactly():
    started = []

    class Watched(nn.Linear):
        def forward(self, x):
            if self.training and len(started) % 3 == 0:
                started.append(numbers(self))
            elif self.training:
                started.append(None)
            return super().forward(x)

    model = Watched(3, 2, dtype=torch.float64)
    model.load_state_dict(line().state_dict())
    WalkForwardTrainer(model, squared, **SMALL, restart="cold").run(drawn())
    assert len(started) == 7 * 3
    assert all(torch.equal(one, numbers(line())) for one in started[::3])


def test_arrays_frames_and_tensors_are_the_same_data():
    inputs, targets = drawn()
    forms = [(inputs, targets), [inputs.numpy(), targets.numpy()], (pd.DataFrame(inputs), pd.DataFrame(targets))]
    results = [WalkForwardTrainer(line(), squared, **SMALL).run(data, n_periods=2) for data in forms]
    assert all(torch.equal(one.predictions, results[0].predictions) for one in results)


def test_data_can_be_a_batch_and_models_can_look_back():
    class Sum(nn.Module):
        """Running sum of what it is shown."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, x):
            return x.cumsum(1) * self.scale

    inputs, _ = drawn()
    batch = inputs.unsqueeze(0)
    settings = {**SMALL, "lr": 0.0, "purge": 0, "time_axis": 1}
    short = WalkForwardTrainer(Sum(), squared, **settings).run(batch)
    long = WalkForwardTrainer(Sum(), squared, **settings, context=60).run(batch)
    assert short.predictions.shape == (1, 40, 3)
    torch.testing.assert_close(short.predictions[0, :5], inputs[20:25].cumsum(0))
    torch.testing.assert_close(long.predictions[0], inputs.cumsum(0)[20:])
    alone = WalkForwardTrainer(Sum(), squared, **{**settings, "time_axis": 0}).run(inputs)
    assert torch.equal(alone.predictions, short.predictions[0])


def test_results_are_a_list_of_periods_and_a_table():
    results = WalkForwardTrainer(line(), squared, **SMALL).run(drawn(), n_periods=3)
    assert len(results) == 3
    assert results[-1] is list(results)[2]
    assert results[:2] == list(results)[:2]
    table = pd.DataFrame(list(results))
    assert list(table) == ["train_start", "train_stop", "test_start", "test_stop", "train_loss", "test_loss"]
    assert np.isfinite(table.to_numpy()).all()


def test_the_default_windows_are_a_year_and_a_month():
    data = torch.arange(600, dtype=torch.float32).unsqueeze(1)
    results = WalkForwardTrainer(Spy(), squared, train_window=252, test_window=21, retrain_freq=21).run(
        (data, data), n_periods=10
    )
    assert [one.test_start for one in results] == [253 + 21 * number for number in range(10)]


@pytest.mark.parametrize("times", [10, 24, 25])
def test_too_few_times_hold_no_period(times):
    with pytest.raises(
        InputError, match=f"{times} times on axis 0 of the data hold 0 periods \\(the first takes 26 times\\)"
    ):
        walked(times=times, embargo=3)


def test_the_first_period_needs_no_embargo_after_it():
    assert len(walked(times=26, embargo=3)[0]) == 1


@pytest.mark.parametrize(
    ("settings", "data", "sentence"),
    [
        ({"test_window": 0}, None, "test_window=0 is less than 1"),
        ({"purge": -1}, None, "purge=-1 is less than 0"),
        ({"retrain_freq": 3}, None, "say test_window=3 to train as often"),
        ({"lr": -1.0}, None, "lr=-1 is not a learning rate"),
        ({}, (*drawn(), *drawn()), "data has 4 parts"),
        ({}, (drawn()[0], drawn(59)[1]), "do not have the same times on axis 0"),
        ({"time_axis": 1}, None, "do not have the same times on axis 1"),
    ],
)
def test_what_cannot_be_used_is_refused(settings, data, sentence):
    with pytest.raises(InputError) as caught:
        WalkForwardTrainer(line(), squared, **{**SMALL, **settings}).run(data or drawn())
    assert sentence in str(caught.value)


def test_more_periods_than_there_are_is_an_error_that_says_how_many():
    with pytest.raises(
        InputError, match=r"n_periods=50: 60 times on axis 0 of the data hold 7 periods .* ask for 1 to 7"
    ):
        WalkForwardTrainer(line(), squared, **SMALL).run(drawn(), n_periods=50)


def test_a_model_that_drops_times_is_refused():
    class Last(nn.Linear):
        def forward(self, x):
            return super().forward(x)[:, -1:]

    with pytest.raises(InputError, match="with the same times"):
        WalkForwardTrainer(Last(3, 2, dtype=torch.float64), squared, **SMALL).run(drawn())


def test_missing_data_end_the_run_with_the_period():
    inputs, targets = drawn()
    targets[40] = torch.nan
    with pytest.raises(FloatingPointError, match="WalkForwardTrainer: period 4: the loss is nan"):
        WalkForwardTrainer(line(), squared, **SMALL).run((inputs, targets))
