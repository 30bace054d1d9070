"""What alignment can and cannot say: identities between the objectives, and the ways in which they mislead, on toys."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from praesidium.objectives.alignment import mean_cosine, mean_square, normalized_variance, unit_cosine, variance
from praesidium.objectives.groupdro import GroupDRO
from praesidium.objectives.hirm import HIRM
from praesidium.objectives.iga_head import IGAHead
from praesidium.objectives.irm_head import IRMHead
from praesidium.objectives.vrex import VREx
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=30)
SEEDS, COUNTS = st.integers(0, 999), st.integers(2, 6)
two_environments = pytest.mark.filterwarnings("ignore:hirm. with two training environments")


def normals(*shape, purpose="pitfalls"):
    return torch.randn(shape, dtype=torch.float64, generator=stream("tests", purpose, *shape))


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


def penalty(objective, one, memory=None):
    return objective(one.risks, one, 1.0, {} if memory is None else memory).penalty.item()


def halved(gradients):
    """As both halves of a batch."""
    return torch.stack([gradients, gradients])


@dataclass(frozen=True)
class Quadratics:
    """Environments with the risks (psi - c)' A (psi - c) / 2, each with its own c and A."""

    centers: Tensor
    curvatures: Tensor
    situation: Any

    def at(self, psi):
        away = psi - self.centers
        gradients = torch.einsum("eij,ej->ei", self.curvatures, away)
        one = self.situation(environments=len(away))
        return one.changed(risks=(away * gradients).sum(-1) / 2, halves=halved(gradients))

    def best(self, weights):
        """Where the weighted risk is least."""
        total = torch.einsum("e,eij->ij", weights, self.curvatures)
        return torch.linalg.solve(total, torch.einsum("e,eij,ej->i", weights, self.curvatures, self.centers))

    def slope(self, objective, psi, part="loss"):
        """Derivative in psi, through the risks and through their gradients."""
        one = self.at(psi)
        slopes = one.derivatives(getattr(objective(one.risks, one, 1.0, {}), part))
        through_gradients = torch.einsum("ei,eij->j", slopes["halves"].sum(0), self.curvatures)
        return slopes["risks"] @ one.gradients.detach() + through_gradients

    def descend(self, objective, psi):
        for _ in range(120):
            psi = psi - 0.1 * self.slope(objective, psi)
        return psi


@pytest.fixture
def quadratics(situation):
    """Draws any number of them, in three dimensions."""

    def draw(environments):
        roots = normals(environments, 3, 3, purpose="curvatures")
        curvatures = roots @ roots.mT + 0.1 * torch.eye(3, dtype=torch.float64)
        return Quadratics(normals(environments, 3, purpose="centers"), curvatures, situation)

    return draw


@pytest.fixture
def opposed(situation):
    """Two of the same shape, a step to either side: their head need only move sideways for gradients to agree."""
    return Quadratics(column([1, 0], [-1, 0]), torch.eye(2, dtype=torch.float64).expand(2, 2, 2), situation)


# ---- identities -----------------------------------------------------------------------------------------------------


@LAW
@given(seed=SEEDS, environments=COUNTS)
@two_environments
def test_the_forms_of_hirm_on_directions_differ_by_a_factor_alone(situation, seed, environments):
    """Var[unit] = 1 - |mean unit|^2 = (E - 1) / E (1 - mean cosine)."""
    one = situation(seed, environments)
    by_variance, by_cosine = (penalty(HIRM(form=form, penalty=1.0, floor=0.0), one) for form in ("nvar", "cos"))
    unit = one.gradients.detach() / one.gradients.detach().norm(dim=-1, keepdim=True)
    assert by_variance == pytest.approx(1 - unit.mean(0).square().sum().item(), abs=1e-12)
    assert by_variance == pytest.approx((environments - 1) / environments * by_cosine, abs=1e-12)


@LAW
@given(seed=SEEDS, environments=COUNTS, factor=st.floats(0.01, 10))
def test_the_anchored_variance_is_irm_head(situation, seed, environments, factor):
    """Var[g] + |mean g|^2 = mean |g|^2, over the mean square of the gradients at the end of the warm-up."""
    one, memory = situation(seed, environments), {}
    anchored, start = HIRM(form="var", penalty=1.0, anchor=1.0), mean_square(one.gradients).item()
    assert penalty(anchored, one, memory) == pytest.approx(1)
    later = situation(seed + 1, environments)
    later = later.changed(halves=factor * later.parts["halves"])
    size, spread = (penalty(member(penalty=1.0), later) for member in (IRMHead, IGAHead))
    assert size == pytest.approx(spread + later.gradients.mean(0).square().sum().item())
    assert penalty(anchored, later, memory) == pytest.approx(size / start)
    assert penalty(HIRM(form="var", penalty=1.0), later, {"norms": memory["norms"]}) == pytest.approx(spread / start)


def test_the_normalized_variance_counts_directions_whatever_their_norms():
    """Var[g] / mean |g|^2 weighs them by their norms: both are in [0, 1], equal where the norms are."""
    opposite, alike = column([1, 0], [-9, 0]), column([3, 0], [0, 3])
    none = torch.zeros(2, dtype=torch.float64)
    assert normalized_variance(opposite, none).item() == pytest.approx(1)
    assert (variance(opposite) / mean_square(opposite)).item() == pytest.approx(1 - 16 / 41)
    for measured in (normalized_variance(alike, none), variance(alike) / mean_square(alike)):
        assert measured.item() == pytest.approx(0.5)


def test_a_small_variance_says_nothing_about_directions():
    gradients = 1e-6 * column([1, 0], [-1, 0])
    assert variance(gradients).item() == pytest.approx(1e-12)
    assert unit_cosine(gradients).item() == pytest.approx(-1)


# ---- optima ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1)])
@two_environments
def test_at_an_optimum_of_two_environments_the_cosine_is_minus_one_and_pulls_nowhere(quadratics, weights):
    """Also at one of GroupDRO, where they have other weights. The normalized variance does pull."""
    both = quadratics(2)
    psi = both.best(column(*weights))
    assert unit_cosine(both.at(psi).gradients).item() == pytest.approx(-1, abs=1e-12)
    pulls = [both.slope(HIRM(form=form, floor=0.0, penalty=1.0), psi, "penalty") for form in ("cos", "nvar")]
    assert pulls[0].abs().max() < 1e-12
    assert pulls[1].abs().max() > 0.1


@pytest.mark.parametrize("environments", range(2, 7))
def test_at_an_optimum_gradients_oppose_each_other_by_algebra(quadratics, environments):
    """They sum to zero: their mean inner product is -mean |g|^2 / (E - 1), whatever the environments share."""
    every = quadratics(environments)
    gradients = every.at(every.best(torch.full((environments,), 1.0, dtype=torch.float64))).gradients.detach()
    products = gradients @ gradients.T
    others = (products.sum() - products.trace()) / (environments * (environments - 1))
    assert others.item() == pytest.approx(-mean_square(gradients).item() / (environments - 1))


# ---- gaming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.1, 0.2, 0.5, 1.0, 4.0])
@two_environments
def test_the_cosine_is_bought_by_leaving_both_optima_together(opposed, weight):
    """Going y sideways costs y^2 / 2 and makes the cosine (y^2 - 1) / (y^2 + 1): nothing is bought up to a weight of
    1/4, and beyond it the mean risk is the root of the weight. Smaller gradients are not to be had that way."""
    members = HIRM(form="cos", penalty=weight, floor=0.0), IRMHead(penalty=weight)
    aligned, flat = (opposed.at(opposed.descend(member, column(0.0, 0.1))) for member in members)
    risk = max(0.5, math.sqrt(weight))
    assert aligned.risks.tolist() == pytest.approx([risk, risk], rel=1e-3)
    assert unit_cosine(aligned.gradients).item() == pytest.approx(1 - 1 / risk, abs=1e-3)
    assert flat.risks.tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(("weight", "leaves"), [(0.2, False), (0.4, False), (0.6, True), (2.0, True)])
def test_the_normalized_variance_is_bought_beyond_the_optimum_of_one_environment(opposed, weight, leaves):
    """Near the common optimum its slope is -2 x times the weight: up to 1/2 the risk holds against it."""
    one = opposed.at(opposed.descend(HIRM(form="nvar", penalty=weight), column(0.1, 0.0)))
    if leaves:
        assert one.risks.mean().item() > 0.9
    else:
        assert one.risks.tolist() == pytest.approx([0.5, 0.5], abs=1e-2)


@two_environments
def test_without_a_floor_a_gradient_that_vanishes_decides_the_cosine(opposed):
    """A hair beyond the optimum of one environment all is well, a hair before it nothing is."""
    for side, cosine in ((1e-9, 1), (-1e-9, -1)):
        one = opposed.at(column(1 + side, 0.0))
        assert unit_cosine(one.gradients).item() == pytest.approx(cosine)
        floored = HIRM(form="cos", penalty=1.0)
        assert penalty(floored, one, {"norms": column(1.0, 1.0)}) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-4, 1e-6])
def test_the_pull_of_the_cosine_grows_as_gradients_vanish_and_a_floor_bounds_it(size):
    def pull(scale, floor):
        gradients = (scale * normals(3, 5)).requires_grad_()
        value = 1 - mean_cosine(gradients, torch.full((3,), floor, dtype=torch.float64))
        return torch.autograd.grad(value, gradients)[0].norm().item()

    assert pull(size, 0.0) == pytest.approx(pull(1.0, 0.0) / size)
    assert pull(size, 0.05) < 2 / 0.05
    assert pull(1e-6, 0.05) < 1e-2 < 1e5 < pull(1e-6, 0.0)


# ---- weights of environments ----------------------------------------------------------------------------------------


@LAW
@given(seed=SEEDS, environments=COUNTS, beta=st.floats(0.1, 20))
def test_vrex_raises_the_risk_of_environments_that_are_much_calmer_than_the_mean(situation, seed, environments, beta):
    one = situation(seed, environments)
    risks = one.risks.detach()
    slopes = one.derivatives(VREx(beta=beta)(one.risks, one, 1.0, {}).loss)["risks"]
    assert ((slopes < 0) == (risks < risks.mean() - 1 / (2 * beta))).all()


def test_groupdro_hardly_moves_on_risks_in_units_of_the_spot(situation):
    """The weights of two environments part as exp(eta x steps x the difference of their risks)."""
    calm, wild, reference, steps = 0.014, 0.063, 0.02, 100
    for unit, parted in ((1.0, 1.05), (reference, 11.6)):
        risks, memory = column(calm, wild) / unit, {}
        for _ in range(steps):
            weights = GroupDRO(eta=0.01)(risks, situation(environments=2), 1.0, memory).log["weights"]
        assert (weights[1] / weights[0]).item() == pytest.approx(parted, rel=1e-2)
