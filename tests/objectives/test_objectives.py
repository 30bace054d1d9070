"""Contracts of every objective, and the law that each one adds."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.objectives.groupdro import GroupDRO
from praesidium.objectives.hirm import HIRM
from praesidium.objectives.irm import IRM
from praesidium.objectives.objective import Objective
from praesidium.objectives.vrex import VREx
from praesidium.training.reproducibility import stream

EVERY = [member() for kind, member in sorted(Objective.registry.items()) if kind != "hirm"] + [
    HIRM(form="cos"),
    HIRM(form="nvar"),
    HIRM(form="irm_head"),
]
each = pytest.mark.parametrize("objective", EVERY, ids=lambda one: getattr(one, "form", one.kind))
each_hirm = pytest.mark.parametrize("form", ["cos", "nvar", "irm_head"])


@dataclass
class Given:
    """Sensitivities that are what they are said to be."""

    gradients: torch.Tensor
    slopes: torch.Tensor
    asked: int = 0

    def head(self):
        self.asked += 1
        return self.gradients

    def scale(self):
        self.asked += 1
        return self.slopes


UNASKED = Given(None, None)


def numbers(*shape, purpose="objective"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose, *shape))


def situation(environments=4, purpose="objective"):
    """Risks of the order of one, and sensitivities."""
    risks = 1 + 0.3 * numbers(environments, purpose=purpose)
    return risks.requires_grad_(), Given(
        numbers(environments, 6, purpose=purpose).requires_grad_(), numbers(environments, purpose=purpose)
    )


@each
def test_environments_have_no_order(objective):
    risks, sensitivities = situation()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Given(sensitivities.gradients[order], sensitivities.slopes[order])
    one, other = {}, {}
    for _ in range(3):
        terms = objective(risks, sensitivities, 0.7, one), objective(risks[order], shuffled, 0.7, other)
        assert terms[0].loss.item() == pytest.approx(terms[1].loss.item(), rel=1e-12)


@each
def test_equal_environments_give_erm_where_that_is_the_law(objective):
    """Not of the objectives that penalize the size of a derivative: they leave its mean square."""
    risks, gradients = torch.full((3,), 1.3, dtype=torch.float64), numbers(1, 6).expand(3, -1)
    slopes = torch.full((3,), -0.4, dtype=torch.float64)
    terms = objective(risks, Given(gradients, slopes), 1.0, {})
    left = 0.0
    if objective.kind == "irm":
        left = objective.penalty * 0.16
    elif objective == HIRM(form="irm_head"):
        left = objective.penalty * gradients[0].square().sum().item()
    elif objective == HIRM(form="cos"):
        left = objective.penalty * (1 - 1 / (1 + objective.floor**2))  # what the floor takes off a cosine of one
    assert terms.risk.item() == pytest.approx(1.3)
    assert terms.penalty.item() == pytest.approx(left, abs=1e-12)


@each
def test_the_warm_up_is_erm_and_asks_for_no_derivative(objective):
    risks, sensitivities = situation()
    terms = objective(risks, sensitivities, 0.0, {})
    assert terms.loss.item() == risks.mean().item()
    assert torch.autograd.grad(terms.loss, risks)[0].tolist() == pytest.approx([0.25] * 4)
    assert sensitivities.asked == 0


@each
def test_the_penalty_grows_along_the_ramp(objective):
    risks, sensitivities = situation()
    excess = [
        objective(risks, sensitivities, ramp, {}).loss.item() - risks.mean().item() for ramp in (0.0, 0.25, 0.5, 1.0)
    ]
    assert excess == pytest.approx([share * excess[-1] for share in (0, 0.25, 0.5, 1)], abs=1e-12)


@each
def test_the_loss_is_the_sum_of_its_terms(objective):
    terms = objective(*situation(), 1.0, {})
    assert terms.loss.item() == terms.risk.item() + terms.penalty.item()
    assert terms.loss.shape == terms.risk.shape == terms.penalty.shape == ()
    assert all(isinstance(one, torch.Tensor) and not one.requires_grad for one in terms.log.values())


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_gradients_are_harmless(objective, dtype):
    risks = torch.ones(3, dtype=dtype, requires_grad=True)
    gradients = torch.zeros(3, 5, dtype=dtype, requires_grad=True)
    memory = {}
    for ramp in (0.0, 0.5, 1.0):
        terms = objective(risks, Given(gradients, torch.zeros(3, dtype=dtype)), ramp, memory)
        slopes = torch.autograd.grad(terms.loss, [risks, gradients], allow_unused=True)
        assert terms.loss.isfinite()
        assert all(slope is None or slope.isfinite().all() for slope in slopes)


@each
def test_one_environment_is_enough_to_run(objective):
    risks, sensitivities = situation(environments=1)
    terms = objective(risks, sensitivities, 1.0, {})
    assert terms.loss.isfinite()
    slopes = torch.autograd.grad(terms.loss, [risks, sensitivities.gradients], allow_unused=True)
    assert slopes[0].isfinite().all()
    assert slopes[1] is None or slopes[1].isfinite().all()


@each
def test_memory_holds_tensors_without_a_graph_and_is_all_that_is_carried(objective):
    memory, copy = {}, {}
    for step in range(4):
        risks, sensitivities = situation(purpose=step)
        ramp = min(1.0, step / 2)
        terms = objective(risks, sensitivities, ramp, memory)
        again = Objective.model_validate(objective.settings())
        assert again(risks, sensitivities, ramp, copy).loss.item() == terms.loss.item()
        assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in memory.values())
        assert len({value.data_ptr() for value in memory.values()}) == len(memory)  # no two share their storage
        copy = {name: value.clone() for name, value in memory.items()}


@each
def test_risks_in_single_precision_give_a_loss_in_single_precision(objective):
    risks, sensitivities = situation()
    single = Given(sensitivities.gradients.float(), sensitivities.slopes.float())
    terms = objective(risks.float(), single, 1.0, {})
    assert terms.loss.dtype == torch.float32
    assert terms.loss.item() == pytest.approx(objective(risks, sensitivities, 1.0, {}).loss.item(), rel=1e-5)


# ---- V-REx ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(beta=st.floats(0, 100), ramp=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_weights_of_vrex_are_the_slopes_of_its_loss(beta, ramp, seed):
    risks, sensitivities = situation(purpose=seed)
    terms = VREx(beta=beta)(risks, sensitivities, ramp, {})
    (slopes,) = torch.autograd.grad(terms.loss, risks)
    assert terms.log["weights"].tolist() == pytest.approx(slopes.tolist(), abs=1e-12)
    assert terms.log["weights"].sum().item() == pytest.approx(1)
    spread = sum((one - risks.mean()) ** 2 for one in risks).item() / 4
    assert terms.penalty.item() == pytest.approx(ramp * beta * spread)


def test_vrex_turns_against_a_calm_environment():
    risks = torch.tensor([0.2, 1.0, 1.8], dtype=torch.float64)
    turning = 1 / (2 * 0.8)
    below, above = (VREx(beta=b)(risks, UNASKED, 1.0, {}).log["weights"][0] for b in (turning * 0.99, turning * 1.01))
    assert below > 0 > above


# ---- GroupDRO -------------------------------------------------------------------------------------------------------


def test_the_weights_of_groupdro_go_to_the_worst():
    risks, memory = torch.tensor([1.0, 1.5, 1.2], dtype=torch.float64), {}
    objective, shares = GroupDRO(eta=0.5), []
    for step in range(1, 41):
        terms = objective(risks, UNASKED, 1.0, memory)
        expected = torch.softmax(0.5 * step * risks, 0)
        assert terms.log["weights"].tolist() == pytest.approx(expected.tolist())
        assert terms.loss.item() == pytest.approx((expected * risks).sum().item())
        shares.append(terms.log["weights"][1].item())
    assert shares == sorted(shares)
    assert shares[-1] > 0.99
    assert terms.loss.item() == pytest.approx(risks.max().item(), rel=1e-2)


def test_a_weight_of_groupdro_that_vanished_stays_finite():
    risks, memory = torch.tensor([0.0, 100.0]), {}
    for _ in range(50):
        terms = GroupDRO(eta=10.0)(risks, UNASKED, 1.0, memory)
    assert terms.log["weights"].tolist() == [0.0, 1.0]
    assert terms.loss.item() == 100.0


# ---- IRM ------------------------------------------------------------------------------------------------------------


def test_irm_penalizes_the_mean_square_of_the_slopes():
    risks, sensitivities = situation()
    terms = IRM(penalty=3.0)(risks, sensitivities, 0.5, {})
    assert terms.penalty.item() == pytest.approx(1.5 * (sensitivities.slopes**2).mean().item())
    assert terms.log["slopes"].tolist() == sensitivities.slopes.tolist()


# ---- HIRM -----------------------------------------------------------------------------------------------------------


def guarded(objective, levels, ramp=1.0):
    """Weight of the penalty after each of a sequence of mean risks."""
    memory, gradients = {}, numbers(3, 6)
    terms = [
        objective(torch.full((3,), level, dtype=torch.float64), Given(gradients, None), ramp, memory)
        for level in levels
    ]
    return [one.log["penalty_weight"].item() for one in terms]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(rise=st.floats(0.0, 0.0499))
def test_the_guard_sleeps_within_the_slack(rise):
    weights = guarded(HIRM(penalty=0.1, slack=0.05), [1.0] * 3 + [1.0 + rise] * 9)
    assert weights == pytest.approx([0.1] * 12, abs=1e-15)


def test_the_guard_lowers_the_weight_beyond_the_slack_and_gives_it_back():
    weights = guarded(HIRM(penalty=0.1, slack=0.05), [1.0] * 5 + [1.5] * 60 + [1.0] * 250)
    assert weights[4] == 0.1
    assert all(after < before for before, after in pairwise(weights[8:20]))
    assert weights[64] < 1e-4
    assert weights[-1] == 0.1


def test_the_guard_has_a_floor():
    weights = guarded(HIRM(penalty=0.1), [1.0] + [100.0] * 50)
    assert weights[-1] == pytest.approx(0.1 * math.exp(-7))


def test_the_guard_looks_at_the_warm_up_too():
    objective, memory = HIRM(penalty=0.1, memory=0.0), {}
    objective(torch.full((3,), 1.0, dtype=torch.float64), UNASKED, 0.0, memory)
    terms = objective(torch.full((3,), 2.0, dtype=torch.float64), Given(numbers(3, 6), None), 1.0, memory)
    assert terms.log["penalty_weight"].item() == pytest.approx(0.1 * math.exp(1 - 2 / 1.05))


@pytest.mark.parametrize("form", ["nvar", "irm_head"])
def test_only_the_cosine_has_a_guard(form):
    assert guarded(HIRM(form=form, penalty=0.1), [1.0, 9.0, 9.0]) == [0.1, 0.1, 0.1]


@each_hirm
def test_the_floor_is_a_share_of_the_norms_at_the_end_of_the_warm_up(form):
    """Later gradients that fall below it count as noise: the cosine of what is left tends to nothing."""
    objective, memory = HIRM(form=form, floor=0.05), {}
    start = numbers(3, 6)
    risks = torch.ones(3, dtype=torch.float64)
    objective(risks, Given(start, None), 0.0, memory)
    assert "norms" not in memory
    objective(risks, Given(start, None), 0.1, memory)
    assert memory["norms"].tolist() == pytest.approx(start.norm(dim=-1).tolist())
    same = start[:1].expand(3, -1) / start[0].norm() * start.norm(dim=-1, keepdim=True)
    strong, weak = (objective(risks, Given(size * same, None), 1.0, memory).log["cosine"].item() for size in (1, 1e-4))
    assert strong == pytest.approx(1 / (1 + 0.05**2))
    assert abs(weak) < 1e-5
    assert memory["norms"].tolist() == pytest.approx(start.norm(dim=-1).tolist())


@each_hirm
def test_the_log_of_hirm_says_what_was_penalized(form):
    risks, sensitivities = situation()
    terms = HIRM(form=form, penalty=0.3)(risks, sensitivities, 0.5, {})
    assert terms.log["head_norms"].tolist() == pytest.approx(sensitivities.gradients.norm(dim=-1).tolist())
    assert terms.penalty.item() == pytest.approx(0.5 * 0.3 * terms.log["misalignment"].item())
    if form == "cos":
        assert terms.log["misalignment"].item() == pytest.approx(1 - terms.log["cosine"].item())


@each_hirm
def test_hirm_without_weight_is_erm(form):
    risks, sensitivities = situation()
    assert HIRM(form=form, penalty=0)(risks, sensitivities, 1.0, {}).loss.item() == risks.mean().item()
