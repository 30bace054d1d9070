"""The law that each objective on risks adds: against closed forms, brute force and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import gaussian_kde

from praesidium.objectives.delta_shrink import DeltaShrink
from praesidium.objectives.env_cvar import EnvironmentCVaR
from praesidium.objectives.eqrm import EQRM
from praesidium.objectives.groupdro import GroupDRO
from praesidium.objectives.irmv1 import IRMv1
from praesidium.objectives.vrex import VREx

LAW = settings(deadline=None, derandomize=True, max_examples=50)
SEEDS = st.integers(0, 999)


def on(objective, risks, situation, ramp=1.0, memory=None):
    """Terms on these risks alone, and the slopes of the loss in them."""
    leaf = torch.as_tensor(risks, dtype=torch.float64).detach().clone().requires_grad_()
    terms = objective(leaf, situation(), ramp, {} if memory is None else memory)
    (slopes,) = torch.autograd.grad(terms.loss, leaf)
    return terms, slopes.numpy()


def differences(function, risks, step):
    """Central differences in each of the risks."""
    moves = step * np.eye(len(risks))
    return np.array([(function(risks + move) - function(risks - move)) / (2 * step) for move in moves])


# ---- V-REx ----------------------------------------------------------------------------------------------------------


@LAW
@given(beta=st.floats(0, 100), ramp=st.floats(0, 1), seed=SEEDS)
def test_the_weights_of_vrex_are_the_slopes_of_its_loss(situation, beta, ramp, seed):
    risks = situation(seed).risks.detach()
    terms, slopes = on(VREx(beta=beta), risks, situation, ramp)
    assert terms.log["weights"].tolist() == pytest.approx(slopes.tolist(), abs=1e-12)
    assert terms.log["weights"].sum().item() == pytest.approx(1)
    assert terms.penalty.item() == pytest.approx(ramp * beta * np.var(risks.numpy()))


def test_vrex_turns_against_a_calm_environment(situation):
    turning = 1 / (2 * 0.8)
    below, above = (on(VREx(beta=beta), [0.2, 1.0, 1.8], situation)[1][0] for beta in (turning * 0.99, turning * 1.01))
    assert below > 0 > above


# ---- GroupDRO -------------------------------------------------------------------------------------------------------


def test_the_weights_of_groupdro_go_to_the_worst(situation):
    risks, memory, shares = torch.tensor([1.0, 1.5, 1.2], dtype=torch.float64), {}, []
    for step in range(1, 41):
        terms, slopes = on(GroupDRO(eta=0.5), risks, situation, memory=memory)
        expected = torch.softmax(0.5 * step * risks, 0)
        assert terms.log["weights"].tolist() == pytest.approx(expected.tolist())
        assert slopes.tolist() == pytest.approx(expected.tolist())
        assert terms.loss.item() == pytest.approx((expected * risks).sum().item())
        shares.append(terms.log["weights"][1].item())
    assert shares == sorted(shares)
    assert terms.loss.item() == pytest.approx(risks.max().item(), rel=1e-2)


def test_a_weight_of_groupdro_that_vanished_stays_finite(situation):
    memory = {}
    for _ in range(50):
        terms, _ = on(GroupDRO(eta=10.0), [0.0, 100.0], situation, memory=memory)
    assert terms.log["weights"].tolist() == [0.0, 1.0]
    assert terms.loss.item() == 100.0


@pytest.mark.parametrize("objective", [GroupDRO(hard=True), EnvironmentCVaR(share=0.2)])
def test_the_worst_environment_is_all_there_is(situation, objective):
    """And equal ones share its weight; nothing is carried over."""
    memory = {}
    for risks, weights in (([1.0, 3.0, 2.0], [0, 1, 0]), ([4.0, 4.0, 1.0], [0.5, 0.5, 0])):
        terms, slopes = on(objective, risks, situation, memory=memory)
        assert terms.loss.item() == max(risks)
        assert slopes.tolist() == terms.log["weights"].tolist() == weights
        assert on(objective, risks, situation, 0.25)[0].loss.item() == pytest.approx(
            0.75 * np.mean(risks) + 0.25 * max(risks)
        )
    assert memory == {}


# ---- CVaR over environments -----------------------------------------------------------------------------------------


def rockafellar_uryasev(risks, share):
    """min_tau tau + mean (R - tau)_+ / share: piecewise linear, so that one of the risks is its minimizer."""
    return min(tau + np.maximum(risks - tau, 0).mean() / share for tau in risks)


@LAW
@given(seed=SEEDS, environments=st.integers(2, 7), share=st.floats(0.01, 1))
def test_the_cvar_over_environments_is_the_least_of_rockafellar_and_uryasev(situation, seed, environments, share):
    risks = situation(seed, environments).risks.detach().numpy()
    terms, slopes = on(EnvironmentCVaR(share=share), risks, situation)
    assert terms.loss.item() == pytest.approx(rockafellar_uryasev(risks, share))
    expected = differences(lambda moved: rockafellar_uryasev(moved, share), risks, 1e-7)
    assert slopes.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert slopes.sum() == pytest.approx(1)


def test_all_of_the_environments_are_erm(situation):
    terms, slopes = on(EnvironmentCVaR(share=1.0), [3.0, 1.0, 2.0, 2.0], situation)
    assert terms.loss.item() == 2.0
    assert slopes.tolist() == [0.25] * 4


# ---- EQRM -----------------------------------------------------------------------------------------------------------


def kernel_quantile(risks, level):
    density = gaussian_kde(risks, bw_method=1.06 * len(risks) ** -0.2)  # times the sd with E - 1
    return brentq(lambda point: density.integrate_box_1d(-np.inf, point) - level, -50, 50, xtol=1e-14, rtol=1e-14)


@LAW
@given(seed=SEEDS, environments=st.integers(2, 8), level=st.floats(0.02, 0.98))
def test_the_quantile_of_eqrm_is_that_of_a_kernel_density(situation, seed, environments, level):
    """In value, and in what it is differentiated by: the bandwidth moves too."""
    risks = situation(seed, environments).risks.detach().numpy()
    terms, slopes = on(EQRM(level=level), risks, situation)
    assert terms.loss.item() == pytest.approx(kernel_quantile(risks, level), abs=1e-10)
    expected = differences(lambda moved: kernel_quantile(moved, level), risks, 1e-5)
    assert slopes.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert slopes.sum() == pytest.approx(1)


@LAW
@given(seed=SEEDS, shift=st.floats(-10, 10), factor=st.floats(1e-6, 1e6))
def test_the_quantile_of_eqrm_moves_with_the_risks(situation, seed, shift, factor):
    risks = situation(seed).risks.detach()
    one, other = (on(EQRM(), values, situation)[0].loss.item() for values in (risks, shift + factor * risks))
    assert other == pytest.approx(shift + factor * one, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1.1, -3.7e-3, 1e6])
def test_the_quantile_of_equal_risks_is_their_value(situation, dtype, value):
    """Also of risks that differ in the last digit: the weights stay sane."""
    equal = torch.full((3,), value, dtype=dtype, requires_grad=True)
    terms = EQRM()(equal, situation(), 1.0, {})
    assert terms.loss.item() == pytest.approx(equal[0].item(), rel=1e-15, abs=1e-18)
    assert torch.autograd.grad(terms.loss, equal)[0].tolist() == pytest.approx([1 / 3] * 3)
    near = torch.nextafter(equal.detach(), torch.tensor([9e9, -9e9, 9e9], dtype=dtype)).requires_grad_()
    (slopes,) = torch.autograd.grad(EQRM()(near, situation(), 1.0, {}).loss, near)
    assert slopes.sum().item() == pytest.approx(1, abs=1e-5)
    assert slopes.abs().max().item() < 2


# ---- IRMv1 and shrinkage --------------------------------------------------------------------------------------------


def test_irmv1_penalizes_the_mean_square_of_the_slopes(situation):
    given = situation()
    terms = IRMv1(penalty=3.0)(given.risks, given, 0.5, {})
    assert terms.penalty.item() == pytest.approx(1.5 * np.mean(given.scale().detach().numpy() ** 2))
    assert terms.log["slopes"].tolist() == given.scale().tolist()


def test_shrinkage_penalizes_the_mean_distance_from_delta(situation):
    given = situation()
    terms = DeltaShrink(penalty=3.0)(given.risks, given, 0.5, {})
    assert terms.penalty.item() == pytest.approx(1.5 * np.mean(given.residual().detach().numpy()))
    assert terms.log["residuals"].tolist() == given.residual().tolist()


def test_shrinkage_needs_no_second_environment(situation):
    given = situation(environments=1)
    terms = DeltaShrink(penalty=3.0)(given.risks, given, 1.0, {})
    assert terms.penalty.item() == pytest.approx(3 * given.residual().item())
