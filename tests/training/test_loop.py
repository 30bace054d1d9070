"""The loop: one optimizer step a step, the best parameters at the end, and no trace of having been killed."""

import json
from contextlib import nullcontext
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.objectives.objective import Objective
from praesidium.training import checkpoints
from praesidium.training.adam import Adam
from praesidium.training.batching import BalancedBatches
from praesidium.training.checkpoints import recover
from praesidium.training.replicas import Course
from praesidium.training.reproducibility import stream
from praesidium.training.schedule import cosine, ramp

KINDS = pytest.mark.parametrize("kind", sorted(Objective.registry))


@pytest.fixture(scope="module")
def solo(train, recipe):
    """A training on its own."""

    def trained(folder, kind="erm", changes=None, log=None, seed=0, dtype=torch.float64, **task):
        options = {"log": log, "seed": seed, "dtype": dtype}
        return train([(folder, Objective.registry[kind](), recipe(**changes or {}), options)], **task)[0]

    return trained


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_erm_is_adam_on_the_mean_risk(dtype, decay, tmp_path, solo, draw_line, least_squares):
    """Written out by hand: every step of the loop is one step of Adam on one batch."""
    line, task = draw_line(dtype=dtype), least_squares()
    optimizer = torch.optim.AdamW(line.parameters(), weight_decay=decay)
    batches, norms = BalancedBatches(64, 8, 3, stream("tests", "batches", 0)), []
    for step in range(40):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * cosine(step, 40)
        values = torch.nn.utils.parameters_to_vector(line.parameters()).unsqueeze(0)
        optimizer.zero_grad()
        task.measure(values, [batches.draw()], [0]).risks.mean().backward()
        norms.append(torch.nn.utils.clip_grad_norm_(line.parameters(), 0.7).item())
        optimizer.step()
    trained = solo(tmp_path, changes={"clip": 0.7, "weight_decay": decay}, dtype=dtype, validations=range(8, 0, -1))
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    torch.testing.assert_close(trained.line.weight, line.weight, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(trained.line.bias, line.bias, rtol=tolerance, atol=tolerance)
    assert [row["gradient_norm"] for row in trained.rows] == pytest.approx(norms, rel=tolerance)
    assert min(norms) < 0.7 < max(norms)  # both sides of the clip
    assert trained.outcome.best_step == trained.outcome.optimizer_steps == 40
    assert trained.outcome.best_risk == 1


@KINDS
def test_the_optimizer_steps_once_a_step(kind, tmp_path, solo, monkeypatch):
    steps, real = [], Adam.step
    monkeypatch.setattr(Adam, "step", lambda self, *args: steps.append(1) or real(self, *args))
    trained = solo(tmp_path, kind)
    assert len(steps) == len(trained.rows) == trained.outcome.optimizer_steps == 40


def test_the_log_tells_of_every_step(tmp_path, solo):
    rows = solo(tmp_path, "hirm").rows
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert [row["ramp"] for row in rows] == [ramp(step, 40, warmup=0.2, rise=0.2) for step in range(40)]
    assert [row["step"] for row in rows if "validation_risk" in row] == list(range(5, 41, 5))
    assert all(len(row["risks"]) == len(row["head_norms"]) == 3 for row in rows[8:])
    assert all(len(row["risks"]) == 3 and row["penalty"] == 0 and "head_norms" not in row for row in rows[:8])
    numbers = ("risk", "penalty", "gradient_norm", "cosine", "penalty_weight")
    assert all(isinstance(row[name], float) for row in rows[8:] for name in numbers)
    json.dumps(rows, allow_nan=False)


@pytest.fixture
def kill(solo, dying, moves_until, monkeypatch):
    """Runs a training that dies at a place of the loop; gives the rows that it logged."""

    def killed(folder, kind, place):
        rows, task = [], {"early": {"dies_at": 3}, "risks": {"dies_at": 33}}.get(place, {})
        log = dying(rows.append, 30) if place == "log" else rows.append
        with monkeypatch.context() as patch, moves_until(5) if place == "move" else nullcontext():
            if place == "best":
                patch.setattr(checkpoints.BestCheckpoints, "offer", dying(checkpoints.BestCheckpoints.offer, 2))
            if place == "last":
                patch.setattr(Course, "keep", dying(Course.keep, 5))
            with pytest.raises(KeyboardInterrupt):
                solo(folder, kind, log=log, **task)
        return rows

    return killed


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        *((kind, "risks") for kind in sorted(Objective.registry)),
        *product(("groupdro", "hirm", "pcgrad"), ("early", "log", "best", "last", "move")),
    ],
)
def test_a_training_that_was_killed_ends_with_the_same_numbers(kind, place, tmp_path, solo, kill):
    whole = solo(tmp_path / "whole", kind)
    before = kill(tmp_path / "killed", kind, place)
    resumed_at = recover([tmp_path / "killed"])[0]
    assert resumed_at == {"early": 0, "risks": 30, "log": 25, "best": 20, "last": 20, "move": 20}[place]
    again = solo(tmp_path / "killed", kind)
    assert before[:resumed_at] + again.rows == whole.rows
    assert again.outcome == whole.outcome
    assert all(map(torch.equal, again.line.parameters(), whole.line.parameters()))
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "killed")]
    assert files[0] == files[1]


def test_a_finished_training_is_not_repeated(tmp_path, solo):
    first = solo(tmp_path, "groupdro")
    again = solo(tmp_path, "groupdro", dies_at=1)
    assert (again.rows, again.outcome) == ([], first.outcome)
    assert len(first.rows) == 40
    assert torch.equal(first.line.weight, again.line.weight)
    assert recover([tmp_path])[0] == 40


def test_the_best_parameters_with_the_full_penalty_are_those_at_the_end(tmp_path, solo):
    """Warm-up and rise end at step 16: the lower risks of steps 5, 10 and 15 do not count."""
    risks = [0.1, 0.1, 0.1, 0.9, 0.5, 0.3, 0.3, 0.8]
    trained = solo(tmp_path, "vrex", validations=risks)
    assert (trained.outcome.best_step, trained.outcome.best_risk) == (30, 0.3)
    stored, facts = checkpoints.load(tmp_path / "step_000030.safetensors")
    assert facts == {"step": 30, "validation_risk": 0.3}
    assert stored.keys() == {"weight", "bias"}
    assert torch.equal(trained.line.weight, stored["weight"])
    assert torch.equal(trained.line.bias, stored["bias"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "last.safetensors",
        "step_000030.safetensors",
        "step_000035.safetensors",
    ]
    assert [row["validation_risk"] for row in trained.rows if "validation_risk" in row] == risks
    short = solo(tmp_path / "short", "vrex", changes={"steps": 30})
    assert not torch.equal(trained.line.weight, short.line.weight)  # it has a schedule of its own


def test_a_training_shorter_than_its_first_validation_has_a_best(tmp_path, solo):
    trained = solo(tmp_path, changes={"steps": 3, "validate_every": 20})
    assert trained.outcome.best_step == trained.outcome.optimizer_steps == len(trained.rows) == 3
    assert "validation_risk" in trained.rows[-1]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    risks=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=8, max_size=8),
    patience=st.integers(1, 5),
    keep=st.integers(1, 3),
)
def test_patience_ends_a_training_so_many_validations_after_its_best(risks, patience, keep, tmp_path_factory, solo):
    """Only validations with the full penalty count, here those from the fourth on."""
    folder, best, end = tmp_path_factory.mktemp("patience"), 3, 7
    for number in range(3, 8):
        best = number if risks[number] < risks[best] else best
        if number - best >= patience:
            end = number
            break
    changes = {"patience": patience, "keep": keep}
    trained = solo(folder, changes=changes, validations=risks)
    assert len(trained.rows) == trained.outcome.optimizer_steps == 5 * (end + 1)
    assert (trained.outcome.best_step, trained.outcome.best_risk) == (5 * (best + 1), risks[best])
    again = solo(folder, changes=changes, dies_at=1)
    assert (again.rows, again.outcome) == ([], trained.outcome)
    assert torch.equal(again.line.weight, trained.line.weight)


def explode(risks, call):
    return risks * (float("inf") if call == 7 else 1)


def undefined(risks, call):
    return risks * (float("nan") if call == 7 else 1)


def without_slope(risks, call):
    """A finite risk whose derivative is not: the square root at zero."""
    return risks + (0 * risks).sqrt() if call == 7 else risks


@pytest.mark.parametrize(
    ("spoils", "what"), [(explode, "loss is inf"), (undefined, "loss is nan"), (without_slope, "gradient is nan")]
)
def test_a_loss_that_is_no_number_stops_the_training(spoils, what, tmp_path, solo):
    trained = solo(tmp_path, spoils={0: spoils})
    assert isinstance(trained.outcome, FloatingPointError)
    assert str(trained.outcome) == f"the {what} at step 6; lower train.learning_rate"
    assert len(trained.rows) == 6
    assert recover([tmp_path])[0] == 5
    assert solo(tmp_path).outcome.optimizer_steps == 40  # from there it goes on if what was wrong is right


def test_seeds_of_batches_matter(tmp_path, solo):
    one, other = (solo(tmp_path / str(seed), seed=seed).line for seed in (0, 1))
    assert not torch.equal(one.weight, other.weight)
