"""The laws that HIRM adds to the contracts: what it penalizes, how much of it, and what it says in the log."""

import math
from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.objectives.hirm import HIRM

each_form = pytest.mark.parametrize("form", get_args(HIRM.model_fields["form"].annotation))


def guarded(objective, situation, levels, ramp=1.0):
    """Weight of the penalty after each of a sequence of mean risks."""
    memory, one = {}, situation(environments=3)
    terms = [objective(torch.full((3,), level, dtype=torch.float64), one, ramp, memory) for level in levels]
    return [step.log["penalty_weight"].item() for step in terms]


@settings(deadline=None, derandomize=True, max_examples=20)
@given(rise=st.floats(0.0, 0.0499))
def test_the_guard_sleeps_within_the_slack(situation, rise):
    weights = guarded(HIRM(form="cos", penalty=0.1, slack=0.05), situation, [1.0] * 3 + [1.0 + rise] * 9)
    assert weights == pytest.approx([0.1] * 12, abs=1e-15)


def test_the_guard_lowers_the_weight_beyond_the_slack_and_gives_it_back(situation):
    objective = HIRM(form="cos", penalty=0.1, slack=0.05)
    weights = guarded(objective, situation, [1.0] * 5 + [1.5] * 60 + [1.0] * 250)
    assert weights[4] == 0.1
    assert all(after < before for before, after in pairwise(weights[8:20]))
    assert weights[64] < 1e-4
    assert weights[-1] == 0.1


def test_the_guard_has_a_floor(situation):
    weights = guarded(HIRM(form="cos", penalty=0.1), situation, [1.0] + [100.0] * 50)
    assert weights[-1] == pytest.approx(0.1 * math.exp(-7))


def test_the_guard_looks_at_the_warm_up_too(situation):
    objective, memory, one = HIRM(form="cos", penalty=0.1, memory=0.0), {}, situation(environments=3)
    objective(torch.full((3,), 1.0, dtype=torch.float64), one, 0.0, memory)
    terms = objective(torch.full((3,), 2.0, dtype=torch.float64), one, 1.0, memory)
    assert terms.log["penalty_weight"].item() == pytest.approx(0.1 * math.exp(1 - 2 / 1.05))


@each_form
@pytest.mark.parametrize("guard", [None, False, True])
def test_the_cosine_has_a_guard_by_default_and_any_form_on_request(situation, form, guard):
    weights = guarded(HIRM(form=form, penalty=0.1, guard=guard), situation, [1.0, 9.0, 9.0])
    watched = form == "cos" if guard is None else guard
    assert (weights == [0.1, 0.1, 0.1]) == (not watched)


@each_form
def test_the_floor_is_a_share_of_the_norms_at_the_end_of_the_warm_up(situation, form):
    """Later gradients that fall below it are noise, and pull no more than noise may."""
    objective, memory, one = HIRM(form=form, floor=0.05, noise_floor=False), {}, situation(environments=3)
    objective(one.risks, one, 0.0, memory)
    assert "norms" not in memory
    first = one.gradients.norm(dim=-1).tolist()
    for ramp in (0.1, 1.0):
        objective(one.risks, one, ramp, memory)
        one = one.changed(halves=one.parts["halves"] * 1e-4)
    assert memory["norms"].tolist() == pytest.approx(first)
    terms = objective(one.risks, one, 1.0, memory)
    assert one.derivatives(terms.penalty)["halves"].abs().max() < 1e-3


@each_form
def test_the_log_says_what_was_penalized(situation, form):
    one = situation()
    terms = HIRM(form=form, penalty=0.3)(one.risks, one, 0.5, {})
    assert terms.log["head_norms"].tolist() == pytest.approx(one.gradients.norm(dim=-1).tolist())
    assert terms.penalty.item() == pytest.approx(0.5 * 0.3 * terms.log["misalignment"].item())


@each_form
def test_without_weight_it_is_erm(situation, form):
    one = situation()
    assert HIRM(form=form, penalty=0)(one.risks, one, 1.0, {}).loss.item() == one.risks.mean().item()
