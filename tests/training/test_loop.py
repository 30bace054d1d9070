"""The loop: one optimizer step a step, the best parameters at the end, and no trace of having been killed."""

import json

import pytest
import torch

from praesidium.objectives.objective import Objective
from praesidium.training import checkpoints, loop
from praesidium.training.batching import BalancedBatches
from praesidium.training.loop import fit, resumable_step
from praesidium.training.recipe import Recipe
from praesidium.training.reproducibility import stream
from praesidium.training.schedule import cosine, ramp

RECIPE = Recipe(steps=40, episodes=8, pool=64, learning_rate=0.05, validate_every=5, keep=2, warmup=0.2, rise=0.2)
POOLS = torch.randn(3, 64, 4, generator=stream("tests", "pools"))
GOALS = torch.randn(3, 1, generator=stream("tests", "goals"))


class Killed(Exception):
    pass


class Slopes:
    """Sensitivities of a least squares problem in all of its parameters."""

    def __init__(self, risks, parameters):
        self.risks, self.parameters = risks, parameters

    def head(self):
        rows = [torch.autograd.grad(risk, self.parameters, create_graph=True) for risk in self.risks]
        return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])

    def scale(self):
        return self.risks * 2


class LeastSquares:
    """Three environments that disagree about the best line."""

    def __init__(self, module, dies_at=None, validations=None, spoils=None):
        self.module, self.dies_at, self.spoils, self.calls = module, dies_at, spoils, 0
        self.validations = iter(validations) if validations else None

    def risks(self, batch):
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
        errors = torch.stack([self.module(POOLS[e, run]).squeeze(-1) - GOALS[e] for e, run in enumerate(batch)])
        risks = errors.square().mean(1)
        if self.spoils:
            risks = self.spoils(risks, self.calls)
        return risks, Slopes(risks, list(self.module.parameters()))

    @torch.no_grad()
    def validate(self):
        if self.validations:
            return next(self.validations)
        return (self.module(POOLS.flatten(0, 1)) - GOALS.repeat_interleave(64, 0)).square().mean().item()


def module():
    line = torch.nn.Linear(4, 1)
    for one in line.parameters():
        one.data.uniform_(-1, 1, generator=stream("tests", "line"))
    return line


def train(folder, kind="erm", recipe=RECIPE, log=None, seed=0, **task):
    line, rows = module(), []
    batches = BalancedBatches(recipe.pool, recipe.episodes, 3, stream("tests", "batches", seed))
    objective = Objective.registry[kind]()
    fitted = fit(line, LeastSquares(line, **task), objective, recipe, batches, folder=folder, log=log or rows.append)
    return line, rows, fitted


def test_erm_is_adam_on_the_mean_risk(tmp_path):
    """Written out by hand: every step of the loop is one step of Adam on one batch."""
    line = module()
    optimizer = torch.optim.AdamW(line.parameters(), weight_decay=0.0)
    batches = BalancedBatches(64, 8, 3, stream("tests", "batches", 0))
    for step in range(40):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * cosine(step, 40)
        risks, _ = LeastSquares(line).risks(batches.draw())
        optimizer.zero_grad()
        risks.mean().backward()
        torch.nn.utils.clip_grad_norm_(line.parameters(), 1.0)
        optimizer.step()
    trained, rows, fitted = train(tmp_path, validations=range(8, 0, -1))
    assert torch.equal(trained.weight, line.weight)
    assert fitted.best_step == fitted.optimizer_steps == 40
    assert fitted.best_risk == 1
    assert len(rows) == 40


@pytest.mark.parametrize("kind", sorted(Objective.registry))
def test_the_optimizer_steps_once_a_step(kind, tmp_path, monkeypatch):
    steps, real = [], torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *args: steps.append(1) or real(self, *args))
    _, rows, fitted = train(tmp_path, kind)
    assert len(steps) == len(rows) == fitted.optimizer_steps == 40


def test_the_log_tells_of_every_step(tmp_path):
    _, rows, _ = train(tmp_path, "hirm")
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert [row["ramp"] for row in rows] == [ramp(step, 40, warmup=0.2, rise=0.2) for step in range(40)]
    assert [row["step"] for row in rows if "validation_risk" in row] == list(range(5, 41, 5))
    assert all(len(row["risks"]) == 3 for row in rows)
    assert all(row["penalty"] == 0 for row in rows[:8])
    assert all("head_norms" in row for row in rows[8:])
    json.dumps(rows, allow_nan=False)


def dying(real, at):
    """A function that does not survive its n-th call."""
    left = iter(range(at - 1))

    def call(*args):
        if next(left, None) is None:
            raise Killed
        return real(*args)

    return call


def killed(folder, kind, place, monkeypatch):
    """A training that dies at a place of the loop; the rows that it logged."""
    rows, task = [], {"early": {"dies_at": 3}, "risks": {"dies_at": 33}}.get(place, {})
    log = dying(rows.append, 30) if place == "log" else rows.append
    with monkeypatch.context() as patch:
        if place == "best":
            patch.setattr(checkpoints.BestCheckpoints, "offer", dying(checkpoints.BestCheckpoints.offer, 2))
        if place == "last":
            patch.setattr(loop, "_save_last", dying(loop._save_last, 5))
        with pytest.raises(Killed):
            train(folder, kind, log=log, **task)
    return rows


@pytest.mark.parametrize("place", ["early", "risks", "log", "best", "last"])
@pytest.mark.parametrize("kind", sorted(Objective.registry))
def test_a_training_that_was_killed_ends_with_the_same_numbers(kind, place, tmp_path, monkeypatch):
    whole, rows, fitted = train(tmp_path / "whole", kind)
    before = killed(tmp_path / "killed", kind, place, monkeypatch)
    resumed_at = resumable_step(tmp_path / "killed")
    assert resumed_at == {"early": 0, "risks": 30, "log": 25, "best": 20, "last": 20}[place]
    again, after, refitted = train(tmp_path / "killed", kind)
    assert before[:resumed_at] + after == rows
    assert refitted == fitted
    assert all(map(torch.equal, again.parameters(), whole.parameters()))
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "killed")]
    assert files[0] == files[1]


def test_a_finished_training_is_not_repeated(tmp_path):
    first, rows, fitted = train(tmp_path, "groupdro")
    again, none, refitted = train(tmp_path, "groupdro", dies_at=1)
    assert (none, refitted) == ([], fitted)
    assert len(rows) == 40
    assert torch.equal(first.weight, again.weight)
    assert resumable_step(tmp_path) == 40


def test_the_best_parameters_with_the_full_penalty_are_those_at_the_end(tmp_path):
    """Warm-up and rise end at step 16: the lower risks of steps 5, 10 and 15 do not count."""
    risks = [0.1, 0.1, 0.1, 0.9, 0.5, 0.3, 0.3, 0.8]
    line, rows, fitted = train(tmp_path, "vrex", validations=risks)
    assert (fitted.best_step, fitted.best_risk) == (30, 0.3)
    stored, facts = checkpoints.load(tmp_path / "step_000030.safetensors")
    assert facts == {"step": 30, "validation_risk": 0.3}
    assert torch.equal(line.weight, stored["weight"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "last.safetensors",
        "step_000030.safetensors",
        "step_000035.safetensors",
    ]
    short = Recipe(**{**RECIPE.settings(), "steps": 30})
    assert [row["validation_risk"] for row in rows if "validation_risk" in row] == risks
    assert not torch.equal(line.weight, train(tmp_path / "short", "vrex", recipe=short)[0].weight)  # its own schedule


def test_a_training_shorter_than_its_first_validation_has_a_best(tmp_path):
    short = Recipe(steps=3, episodes=8, pool=64, validate_every=20)
    _, rows, fitted = train(tmp_path, recipe=short)
    assert fitted.best_step == fitted.optimizer_steps == len(rows) == 3
    assert "validation_risk" in rows[-1]


def explode(risks, call):
    return risks * (float("inf") if call == 7 else 1)


def undefined(risks, call):
    return risks * (float("nan") if call == 7 else 1)


def without_slope(risks, call):
    """A finite risk whose derivative is not: the square root at zero."""
    return risks + (0 * risks).sqrt() if call == 7 else risks


@pytest.mark.parametrize("spoils", [explode, undefined, without_slope])
def test_a_loss_that_is_no_number_stops_the_training(spoils, tmp_path):
    rows = []
    with pytest.raises(FloatingPointError, match=r"at step 6; lower train.learning_rate"):
        train(tmp_path, log=rows.append, spoils=spoils)
    assert len(rows) == 6


def test_seeds_of_batches_matter(tmp_path):
    one, other = (train(tmp_path / str(seed), seed=seed)[0] for seed in (0, 1))
    assert not torch.equal(one.weight, other.weight)
