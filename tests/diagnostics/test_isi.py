"""Invariance Spectrum Index: components by hand and by direct formulas, their symmetries, and noise that is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from praesidium.component import InputError
from praesidium.diagnostics.isi import (
    cross_products,
    dispersion,
    global_stability,
    isi,
    mechanistic_stability,
    relative_variance,
    structural_stability,
    trimmed_mean,
)
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=50)
RISKS = st.lists(st.floats(0.01, 10), min_size=2, max_size=8)
SEEDS = st.integers(0, 2**31)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def normals(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", "isi", seed))


def rotation(width, seed=0):
    return torch.linalg.qr(normals(width, width, seed=seed)).Q


# ---- C1 ------------------------------------------------------------------------------------------------------------


def test_global_stability_by_hand():
    risks = vector(1.0, 2.0, 3.0)  # population variance 2/3
    assert global_stability(risks, normalizer=2.0) == pytest.approx(2 / 3, abs=1e-11)
    assert global_stability(risks, normalizer=0.5) == 0.0
    assert relative_variance(risks) == pytest.approx(1 / 6)


def test_equal_risks_are_perfectly_stable():
    assert global_stability(torch.full((4,), 0.25), normalizer=1e-6) == 1.0
    assert relative_variance(torch.full((4,), 0.25)) == 0.0


@LAW
@given(risks=RISKS, scale=st.floats(0.01, 100), shift=st.floats(-5, 5))
def test_the_variance_scales_and_does_not_shift(risks, scale, shift):
    risks = torch.tensor(risks, dtype=torch.float64)
    stable = global_stability(risks, normalizer=3.0)
    assert 0 <= stable <= 1
    assert global_stability(risks.flip(0), normalizer=3.0) == pytest.approx(stable, abs=1e-9)
    assert global_stability(risks + shift, normalizer=3.0) == pytest.approx(stable, abs=1e-9)
    assert global_stability(scale * risks, normalizer=scale**2 * 3) == pytest.approx(stable, abs=1e-6)
    assert relative_variance(scale * risks) == pytest.approx(relative_variance(risks), abs=1e-9)
    relative = global_stability(risks / risks.mean(), normalizer=10.0)
    assert relative == pytest.approx(1 - min(1, relative_variance(risks) / 10), abs=1e-9)


# ---- C2 ------------------------------------------------------------------------------------------------------------


def test_mechanistic_stability_by_hand():
    gradients = torch.stack([vector(2, 0), vector(0, 3), vector(-1, 0)])  # cosines 0, -1, 0
    found = mechanistic_stability(gradients.expand(2, 3, 2), vector(0.4, 0.9, 0.5))
    assert found.raw == pytest.approx(1 / 3)
    assert found.cross_fitted == pytest.approx(1 / 3)
    assert found.nsr.tolist() == pytest.approx([0.1, 0.1, 0.5])


def test_halves_that_differ():
    first, second = torch.stack([vector(2, 1), vector(3, 1)]), torch.stack([vector(1, 1), vector(1, 2)])
    products = cross_products(torch.stack([first, second]))
    assert products.tolist() == [[3.0, 4.0], [4.0, 5.0]]  # (2 + 2 + 3 + 1) / 2 off the diagonal
    found = mechanistic_stability(torch.stack([first, second]), vector(0, 0))
    assert found.cross_fitted == 1.0  # 4 / sqrt(15) is above 1, and clipped
    full = (first + second) / 2
    cosine = torch.nn.functional.cosine_similarity(full[0], full[1], dim=0).item()
    assert found.raw == pytest.approx((1 + cosine) / 2)


def test_at_the_optimum_of_two_environments_gradients_cancel():
    gradient = normals(1, 5)
    found = mechanistic_stability(torch.cat([gradient, -gradient]).expand(2, 2, 5), vector(0, 0))
    assert found.cross_fitted == pytest.approx(0, abs=1e-12)


def test_noise_is_not_reported():
    halves = torch.stack([vector(1, 0), vector(1, 1), vector(0, 2)]).expand(2, 3, 2)
    assert mechanistic_stability(halves, vector(0.5, 1, 2)).cross_fitted is not None
    refused = mechanistic_stability(halves, vector(0.5, 1, 2.01))
    assert refused.cross_fitted is None
    assert refused.raw is not None
    assert mechanistic_stability(halves, vector(0.5, 1, math.nan)).cross_fitted is None


def test_a_squared_norm_that_is_not_positive_is_noise():
    halves = torch.stack([vector(1, 0), vector(0, 1)]).repeat(2, 1, 1)
    halves[1, 0] = vector(-0.5, 0)
    found = mechanistic_stability(halves, vector(0, 0))
    assert found.cross_fitted is None
    assert found.raw == pytest.approx(0.5)


def test_a_gradient_that_vanishes_has_no_direction():
    found = mechanistic_stability(torch.stack([vector(1, 0), vector(0, 0)]).expand(2, 2, 2), vector(0.1, 0.1))
    assert found.raw is None
    assert found.cross_fitted is None
    assert found.nsr[1] == math.inf


@LAW
@given(seed=SEEDS, environments=st.integers(2, 5))
def test_only_directions_between_environments_count(seed, environments):
    signal = normals(environments, 6, seed=seed)
    halves = signal + 0.1 * normals(2, environments, 6, seed=seed + 1)
    noise = torch.full((environments,), 0.01, dtype=torch.float64)
    found = mechanistic_stability(halves, noise)
    order = torch.randperm(environments, generator=stream("tests", "order", seed))
    scale = normals(environments, seed=seed + 2).abs() + 0.1
    changes = [
        (halves[:, order], noise[order]),
        (halves.flip(0), noise),
        (halves @ rotation(6, seed + 3), noise),
        (halves * scale[:, None], noise * scale**2),
    ]
    for other in (mechanistic_stability(*change) for change in changes):
        assert other.raw == pytest.approx(found.raw, abs=1e-9)
        assert other.cross_fitted == pytest.approx(found.cross_fitted, abs=1e-9)


def test_common_noise_passes_for_alignment_within_a_batch_but_not_across_halves():
    trials, parameters = 2000, 16
    shared, own = normals(trials, 2, 1, parameters, seed=1), normals(trials, 2, 3, parameters, seed=2)
    halves = math.sqrt(0.9) * shared + math.sqrt(0.1) * own  # no signal; correlation 0.9 between environments
    noise = torch.full((3,), parameters / 2, dtype=torch.float64)
    found = [mechanistic_stability(one, noise) for one in halves]
    assert np.mean([one.raw for one in found]) > 0.9
    assert np.mean([one.nsr.mean() for one in found]) == pytest.approx(parameters / (parameters - 2), rel=0.05)
    assert np.mean([one.cross_fitted is None for one in found]) > 0.98
    products = torch.stack([cross_products(one) for one in halves])
    error = products.std(0) / math.sqrt(trials)
    assert (products.mean(0).abs() < 4 * error).all()
    full = halves.mean(1)
    assert (full @ full.mT).mean(0)[0, 1] == pytest.approx(0.9 * parameters / 2, rel=0.1)


def test_the_cosine_of_orthogonal_signals_in_common_noise():
    signal, parameters, trials = torch.eye(3, 64, dtype=torch.float64), 64, 400
    spread = math.sqrt(0.2 / parameters)  # noise of a half: trace 0.2, of both: 0.1
    halves = signal + spread * normals(trials, 2, 1, parameters, seed=3)
    found = [mechanistic_stability(one, vector(0.1, 0.1, 0.1)) for one in halves]
    assert np.mean([one.raw for one in found]) == pytest.approx(0.5 + 0.1 / 1.1 / 2, abs=0.005)
    assert np.mean([one.cross_fitted for one in found]) == pytest.approx(0.5, abs=0.006)


# ---- C3 ------------------------------------------------------------------------------------------------------------


def covariance(width, seed=0):
    root = normals(width, width, seed=seed)
    return root @ root.T / width


def test_dispersion_by_hand():
    means = torch.stack([vector(0, 0), vector(2, 0)])  # covariance diag(1, 0)
    assert dispersion(means, torch.eye(2, dtype=torch.float64)) == pytest.approx(0.5)
    assert dispersion(means, 4 * torch.eye(2)) == pytest.approx(0.125)


def test_dispersion_by_its_formula():
    means, pooled = normals(5, 4).numpy(), covariance(4, seed=1).numpy()
    shrunk = 0.999 * pooled + 0.001 * np.trace(pooled) / 4 * np.eye(4)
    expected = np.trace(np.linalg.inv(shrunk) @ np.cov(means.T, bias=True)) / 4
    assert dispersion(torch.tensor(means), torch.tensor(pooled)) == pytest.approx(expected, rel=1e-9)


@LAW
@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_dispersion_knows_no_origin_scale_or_axes(seed, scale):
    means, pooled, turn = normals(4, 3, seed=seed), covariance(3, seed=seed + 1), rotation(3, seed + 2)
    found = dispersion(means, pooled)
    assert found > 0
    assert dispersion(means.flip(0), pooled) == pytest.approx(found, rel=1e-6)
    assert dispersion(means.repeat(2, 1), pooled) == pytest.approx(found, rel=1e-6)
    assert dispersion(means + vector(1, -2, 3), pooled) == pytest.approx(found, rel=1e-6)
    assert dispersion(scale * means, scale**2 * pooled) == pytest.approx(found, rel=1e-6)
    assert dispersion(means @ turn, turn.T @ pooled @ turn) == pytest.approx(found, rel=1e-6)


def test_equal_means_have_no_dispersion():
    assert dispersion(vector(1, 2, 3).expand(4, 3), covariance(3)) == 0.0
    assert structural_stability([0.0, 0.0], normalizer=0.1) == 1.0


def test_an_idle_unit_is_borne_and_an_idle_layer_is_not_measured():
    pooled = torch.diag(vector(1, 1, 0))
    assert dispersion(torch.stack([vector(0, 0, 0), vector(2, 0, 0)]), pooled) == pytest.approx(1 / 3, rel=1e-3)
    assert math.isnan(dispersion(normals(2, 3), torch.zeros(3, 3)))
    assert math.isnan(dispersion(normals(2, 3) * math.inf, pooled))
    with pytest.raises(InputError, match="negative eigenvalue"):
        dispersion(normals(2, 3), -pooled)


def test_structural_stability_is_of_the_mean_over_layers():
    assert structural_stability([0.1, 0.3], normalizer=0.8) == pytest.approx(0.75, abs=1e-11)
    assert structural_stability([0.1, 3.0], normalizer=0.8) == 0.0
    assert math.isnan(structural_stability([0.1, math.nan], normalizer=0.8))


# ---- aggregation ---------------------------------------------------------------------------------------------------


@LAW
@given(values=st.lists(st.floats(-10, 10), min_size=1, max_size=60), share=st.sampled_from([0.0, 0.1, 0.2, 0.4]))
def test_trimmed_mean_is_scipys_from_ten_values_on(values, share):
    expected = stats.trim_mean(values, share) if len(values) >= 10 else np.mean(values)
    assert trimmed_mean(torch.tensor(values, dtype=torch.float64), share) == pytest.approx(expected, abs=1e-12)


def test_trimming_by_hand():
    assert trimmed_mean(vector(*range(8), 1000.0)) == pytest.approx(1028 / 9)
    assert trimmed_mean(vector(-1000.0, *range(1, 9), 1000.0)) == 4.5
    squares = [float(one**2) for one in range(100)]
    kept = np.mean(squares[29:71])
    assert trimmed_mean(vector(*squares), 0.29) == pytest.approx(kept)  # in doubles, 0.29 * 100 falls short of 29
    assert math.isnan(trimmed_mean(vector(*range(20), math.nan)))


def test_isi_by_hand():
    assert isi(1.0, 0.5, 0.0) == pytest.approx(0.5)
    assert isi(1.0, 0.5, 0.0, (0.5, 0.5, 0.0)) == 0.75
    assert isi(1.0, 1.0, 1.0) == 1.0
    assert isi(0.9, None, 0.9) is None
    assert isi(0.9, 0.9, math.nan) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: global_stability(vector(1.0), normalizer=1.0), "environments=1"),
        (lambda: global_stability(vector(1.0, 2.0), normalizer=0.0), "normalizer=0"),
        (lambda: relative_variance(vector(1.0)), "environments=1"),
        (lambda: mechanistic_stability(torch.ones(2, 1, 3), torch.zeros(1)), "environments=1"),
        (lambda: mechanistic_stability(torch.ones(2, 2, 3), torch.tensor([0.0, -1.0])), "noise=-1"),
        (lambda: dispersion(torch.ones(1, 2), torch.eye(2)), "environments=1"),
        (lambda: structural_stability([], normalizer=1.0), "no dispersions"),
        (lambda: structural_stability([1.0], normalizer=math.nan), "normalizer=nan"),
        (lambda: trimmed_mean(vector()), "no values"),
        (lambda: trimmed_mean(vector(1.0), 0.5), "share=0.5"),
        (lambda: isi(1.0, 1.2, 1.0), "component=1.2"),
        (lambda: isi(1.0, 1.0, 1.0, (0.5, 0.5, 0.5)), "weights"),
        (lambda: isi(1.0, 1.0, 1.0, (1.5, -0.5, 0.0)), "weights"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
