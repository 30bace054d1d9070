"""Dispersion of outcomes: the range of normals by other integrals, the gap without its bias, worst groups."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from praesidium.component import InputError
from praesidium.diagnostics.gap import (
    bias_corrected_gap,
    expected_range,
    gap_is_resolved,
    invariance_gap,
    normalized_gap,
    worst_group,
    worst_group_cvar,
)
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=60)
RISKS = st.lists(st.floats(-10, 10), min_size=2, max_size=9).map(lambda one: torch.tensor(one, dtype=torch.float64))


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_gap_by_hand():
    assert invariance_gap(vector(0.25, 1.0, 0.5)) == 0.75
    assert normalized_gap(vector(0.25, 1.0, 0.5), normalizer=0.5) == pytest.approx(1.5)
    assert invariance_gap(torch.full((4,), 0.3)) == 0.0
    assert math.isnan(invariance_gap(vector(0.1, math.nan)))


@LAW
@given(risks=RISKS, scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_the_gap_is_the_largest_difference(risks, scale, shift):
    gap = invariance_gap(risks)
    assert gap == (risks[:, None] - risks).abs().max().item()
    assert invariance_gap(risks.flip(0)) == gap
    assert invariance_gap(scale * risks + shift) == pytest.approx(scale * gap, abs=1e-12)


@pytest.mark.parametrize(("count", "table"), [(2, 1.13), (3, 1.69), (4, 2.06), (5, 2.33), (6, 2.53)])
def test_expected_range_agrees_with_the_table(count, table):
    assert expected_range(count) == pytest.approx(table, abs=0.005)


def test_expected_range_has_closed_forms():
    assert expected_range(1) == pytest.approx(0, abs=1e-14)
    assert expected_range(2) == pytest.approx(2 / math.sqrt(math.pi), abs=1e-13)
    assert expected_range(3) == pytest.approx(3 / math.sqrt(math.pi), abs=1e-13)
    assert expected_range(4) == pytest.approx(6 / math.sqrt(math.pi) * (1 - math.acos(1 / 3) / math.pi), abs=1e-13)


@pytest.mark.parametrize("count", [4, 7, 30, 1000])
def test_expected_range_is_twice_the_expected_maximum(count):
    density = lambda x: x * count * stats.norm.pdf(x) * stats.norm.cdf(x) ** (count - 1)  # noqa: E731
    maximum, _ = quad(density, -10, 10, points=[0.0, 3.0], limit=200)
    assert expected_range(count) == pytest.approx(2 * maximum, rel=1e-9)


def test_correction_by_hand():
    risks, errors = vector(1.0, 3.0), vector(0.3, 0.4)  # root mean square 0.25 sqrt(2)
    assert bias_corrected_gap(risks, errors) == pytest.approx(2 - 2 / math.sqrt(math.pi) * 0.25 * math.sqrt(2))
    threshold = 3 * 2 / math.sqrt(math.pi) * 0.25 * math.sqrt(2)
    assert gap_is_resolved(vector(0.0, threshold + 1e-9), errors)
    assert not gap_is_resolved(vector(0.0, threshold - 1e-9), errors)
    assert not gap_is_resolved(risks, vector(0.1, math.nan))
    assert math.isnan(bias_corrected_gap(risks, vector(0.1, math.nan)))
    assert bias_corrected_gap(risks, vector(0.0, 0.0)) == 2.0


@pytest.mark.parametrize("environments", [2, 4, 6])
def test_equal_risks_have_no_gap_on_average(environments):
    draws, se = 1500, 0.1
    noise = torch.randn(draws, environments, dtype=torch.float64, generator=stream("tests", "gap", environments))
    errors = torch.full((environments,), se, dtype=torch.float64)
    gaps = np.array([bias_corrected_gap(2 + se * one, errors) for one in noise])
    assert abs(gaps.mean()) < 4 * gaps.std() / math.sqrt(draws)
    assert np.mean([gap_is_resolved(2 + se * one, errors) for one in noise]) < 0.03


# ---- worst groups --------------------------------------------------------------------------------------------------


def minimized(risks, mass):
    """min over tau of tau + E[(R - tau)_+] / mass: piecewise linear, so that a risk is among the minimizers."""
    return (risks + (risks - risks.unsqueeze(-1)).clamp(min=0).mean(-1) / mass).amin().item()


@LAW
@given(risks=RISKS, mass=st.floats(0.01, 1), more=st.floats(0.01, 1))
def test_worst_group_cvar_is_the_minimum_of_rockafellar_and_uryasev(risks, mass, more):
    worst = worst_group_cvar(risks, tail_mass=mass)
    assert worst == pytest.approx(minimized(risks, mass), abs=1e-7)
    assert worst == pytest.approx(worst_group_cvar(risks.flip(0), tail_mass=mass), abs=1e-12)
    assert risks.mean().item() - 1e-9 <= worst <= worst_group(risks) + 1e-9
    assert (
        worst_group_cvar(risks, tail_mass=max(mass, more)) <= worst_group_cvar(risks, tail_mass=min(mass, more)) + 1e-7
    )


@LAW
@given(risks=RISKS, share=st.floats(0.001, 1))
def test_worst_group_cvar_runs_from_the_maximum_to_the_mean(risks, share):
    assert worst_group_cvar(risks, tail_mass=share / len(risks)) == pytest.approx(risks.max().item(), abs=1e-12)
    assert worst_group_cvar(risks, tail_mass=1.0) == pytest.approx(risks.mean().item(), abs=1e-12)
    assert worst_group_cvar(risks, tail_mass=1 - 1e-12) == pytest.approx(risks.mean().item(), abs=1e-9)


def test_worst_group_by_hand():
    risks = vector(1.0, 4.0, 2.0, 3.0, 5.0)
    assert worst_group(risks) == 5.0
    assert worst_group_cvar(risks) == pytest.approx((5 + 4 + 0.5 * 3) / 2.5)
    assert worst_group_cvar(risks, tail_mass=0.4) == pytest.approx(4.5)
    assert worst_group_cvar(risks, tail_mass=1e-300) == 5.0
    assert worst_group_cvar(vector(2.0)) == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: invariance_gap(vector(1.0)), "environments=1"),
        (lambda: bias_corrected_gap(vector(1.0), vector(0.1)), "environments=1"),
        (lambda: bias_corrected_gap(vector(1.0, 2.0), vector(0.1, -0.1)), "bias_corrected_gap: errors=-0.1"),
        (lambda: gap_is_resolved(vector(1.0, 2.0), vector(0.1, -0.1)), "gap_is_resolved: errors=-0.1"),
        (lambda: normalized_gap(vector(1.0, 2.0), normalizer=0.0), "normalizer=0"),
        (lambda: expected_range(0), "count=0"),
        (lambda: worst_group(vector()), "no risks"),
        (lambda: worst_group_cvar(vector()), "no risks"),
        (lambda: worst_group_cvar(vector(1.0), tail_mass=0.0), "tail_mass=0"),
        (lambda: worst_group_cvar(vector(1.0), tail_mass=50.0), "tail_mass=50"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
