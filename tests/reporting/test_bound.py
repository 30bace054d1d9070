"""The bound on the gap: quantile regression beside brute force, verdicts on panels whose law is known."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from praesidium.component import InputError
from praesidium.reporting import bound
from praesidium.reporting.bound import (
    Frontier,
    Panel,
    gradient_version,
    monotonicity,
    pinball,
    quantile_regression,
)
from praesidium.training.reproducibility import stream

METHODS = ("erm", "hirm", "vrex")


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    monkeypatch.setattr(bound, "DRAWS", 300)


def panel(*, isi=0.0, shift=0.0, seeds=16, noise=0.1, constant=0.2, method_effect=0.0, rng=0):
    """Three methods by two strengths by seeds, on eight severities: gap = constant + isi u + shift d + noise."""
    draw = np.random.default_rng(rng)
    cells = [
        (f"{method}/{strength}/{seed}", method, seed, severity)
        for method in METHODS
        for strength in range(2)
        for seed in range(seeds)
        for severity in range(8)
    ]
    run, method, seed, severity = (np.array(column) for column in zip(*cells, strict=True))
    _, code = np.unique(run, return_inverse=True)
    instability = draw.uniform(size=code.max() + 1)[code]
    mismatch = severity / 4.0
    gap = constant + isi * instability + shift * mismatch + noise * draw.exponential(size=len(cells))
    gap = gap + method_effect * (method == "hirm")
    return Panel(gap=gap, instability=instability, mismatch=mismatch, run=run, method=method, seed=seed)


def generator(word="bound"):
    return stream("tests", word)


# ---- quantile regression -------------------------------------------------------------------------------------------


def best_by_force(response, regressors, level):
    """Some optimum passes through as many cells as it has coefficients that are not held at zero."""
    cells, columns = regressors.shape
    design = np.column_stack([regressors, np.ones(cells)])
    best = np.inf
    for used in itertools.chain.from_iterable(itertools.combinations(range(columns), k) for k in range(columns + 1)):
        chosen = [*used, columns]
        for through in itertools.combinations(range(cells), len(chosen)):
            square = design[np.ix_(through, chosen)]
            if abs(np.linalg.det(square)) < 1e-9:
                continue
            coefficients = np.zeros(columns + 1)
            coefficients[chosen] = np.linalg.solve(square, response[list(through)])
            if (coefficients[:-1] >= 0).all():
                best = min(best, pinball(response - design @ coefficients, level=level).mean())
    return best


@given(seed=st.integers(0, 2**31), level=st.sampled_from([0.5, 0.75, 0.95]), unit=st.sampled_from([1e-4, 1.0, 1e3]))
@settings(max_examples=25, deadline=None)
def test_the_linear_program_finds_what_brute_force_finds(seed, level, unit):
    draw = np.random.default_rng(seed)
    response, regressors = unit * draw.normal(size=8), draw.uniform(size=(8, 2)) * [1.0, 30.0]
    coefficients = quantile_regression(response, regressors, level=level)
    assert (coefficients[:-1] >= 0).all()
    loss = pinball(response - regressors @ coefficients[:-1] - coefficients[-1], level=level).mean()
    assert loss == pytest.approx(best_by_force(response, regressors, level), rel=1e-6)


def test_without_regressors_it_is_the_sample_quantile():
    response = np.random.default_rng(0).normal(size=101)
    (constant,) = quantile_regression(response, np.empty((101, 0)), level=0.95)
    assert constant == pytest.approx(np.quantile(response, 0.95, method="inverted_cdf"))


def test_a_falling_relation_gets_no_slope():
    regressors = np.linspace(0, 1, 50)[:, None]
    slope, constant = quantile_regression(1 - regressors[:, 0], regressors, level=0.9)
    assert slope == 0
    assert constant == pytest.approx(0.9, abs=0.03)


def test_an_exact_relation_is_recovered():
    draw = np.random.default_rng(1)
    regressors = draw.uniform(size=(60, 2))
    response = regressors @ [0.02, 0.05] - 0.01
    assert quantile_regression(response, regressors, level=0.95) == pytest.approx([0.02, 0.05, -0.01], abs=1e-9)


def test_pinball_weighs_the_two_sides():
    assert pinball(np.array([2.0, 0.0, -2.0]), level=0.95).tolist() == pytest.approx([1.9, 0.0, 0.1])


# ---- the frontier --------------------------------------------------------------------------------------------------


def test_where_isi_matters_the_frontier_says_so():
    frontier = Frontier.fit(panel(isi=0.5, shift=0.3, noise=0.03), generator=generator())
    # The 95 % quantile of the exponential noise is 0.03 log 20 above the constant.
    assert frontier.full.k1 == pytest.approx(0.5, abs=0.08)
    assert frontier.full.k2 == pytest.approx(0.3, abs=0.03)
    assert frontier.full.c == pytest.approx(0.2 + 0.03 * np.log(20), abs=0.05)
    assert frontier.full.violations == pytest.approx(0.05, abs=0.04)
    assert frontier.isi_has_content
    assert frontier.isi_gain.low > 0
    assert frontier.isi_gain.value == pytest.approx(frontier.without_isi.pinball - frontier.full.pinball)
    assert frontier.without_mismatch.pinball > frontier.full.pinball
    assert frontier.without_isi.k1 == 0
    assert frontier.without_mismatch.k2 == 0
    assert frontier.full.tightness > frontier.without_isi.tightness
    assert frontier.seeds == (8, 8)


@pytest.mark.parametrize("rng", range(5))
def test_where_isi_does_not_matter_it_has_no_content(rng):
    frontier = Frontier.fit(panel(shift=0.3, rng=rng), generator=generator())
    assert frontier.isi_gain.low <= 0
    assert not frontier.isi_has_content


@pytest.mark.parametrize("rng", range(3))
def test_where_a_high_isi_does_harm_the_gain_is_none_and_not_rounding(rng):
    frontier = Frontier.fit(panel(isi=-0.5, shift=0.3, constant=1.0, rng=rng), generator=generator())
    assert frontier.full.k1 == 0
    assert asdict(frontier.isi_gain) == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert not frontier.isi_has_content


def test_halves_share_no_seed_and_are_judged_by_hand():
    whole = panel(isi=0.5, shift=0.3)
    frontier = Frontier.fit(whole, generator=generator())
    full = frontier.full
    residuals = whole.gap - full.k1 * whole.instability - full.k2 * whole.mismatch - full.c
    # Which seeds were held out shows in the loss: one half alone has it.
    by_seed = np.bincount(whole.seed, pinball(residuals, level=0.95)) / np.bincount(whole.seed)
    halves = np.array(list(itertools.combinations(range(16), 8)))
    (match,) = np.flatnonzero(np.isclose(by_seed[halves].mean(1), full.pinball, rtol=1e-12, atol=0))
    held = np.isin(whole.seed, halves[match])
    assert full.violations == (residuals[held] > 0).mean()
    assert full.tightness == pytest.approx((whole.gap / (whole.gap - residuals))[held].mean())
    regressors = np.column_stack([whole.instability, whole.mismatch])[~held]
    expected = quantile_regression(whole.gap[~held], regressors, level=0.95)
    assert [full.k1, full.k2, full.c] == pytest.approx(list(expected))


def test_a_bound_below_zero_has_no_tightness():
    frontier = Frontier.fit(panel(isi=0.5, constant=-5.0), generator=generator())
    assert frontier.full.tightness is None


def test_results_are_plain_and_repeat():
    whole = panel(isi=0.5, shift=0.3)
    pairs = np.random.default_rng(0).uniform(size=(3, 40))
    for made in (
        lambda: Frontier.fit(whole, generator=generator()),
        lambda: monotonicity(whole, generator=generator()),
        lambda: gradient_version(*pairs, np.arange(40) % 8, generator=generator()),
    ):
        first = json.dumps(asdict(made()), allow_nan=False)
        np.random.seed(3)
        assert json.dumps(asdict(made()), allow_nan=False) == first


def test_too_few_seeds_are_refused():
    with pytest.raises(InputError, match="the panel has 3 seeds"):
        Frontier.fit(panel(seeds=3), generator=generator())


# ---- rank tests ----------------------------------------------------------------------------------------------------


def test_both_slopes_are_found_and_methods_do_not_stand_in_for_them():
    found = monotonicity(panel(isi=0.5, shift=0.3, method_effect=3.0), generator=generator())
    assert found.both_positive
    none = monotonicity(panel(shift=0.3), generator=generator())
    assert none.instability.low < 0 < none.instability.high
    assert none.mismatch.low > 0
    assert not none.both_positive
    assert not monotonicity(panel(isi=0.5), generator=generator()).both_positive
    assert monotonicity(panel(isi=-0.5, shift=0.3), generator=generator()).instability.high < 0


def test_slopes_are_those_of_least_squares_with_dummies():
    whole = panel(isi=0.5, shift=0.3, method_effect=0.4, seeds=5)
    dummies = np.stack([whole.method == name for name in METHODS], axis=1)
    design = np.column_stack([stats.rankdata(whole.instability), stats.rankdata(whole.mismatch), dummies])
    expected = np.linalg.lstsq(design, stats.rankdata(whole.gap))[0][:2]
    found = monotonicity(whole, generator=generator())
    assert [found.instability.value, found.mismatch.value] == pytest.approx(list(expected))


def test_a_regressor_that_is_the_method_is_refused():
    whole = panel(shift=0.3)
    code = np.unique(whole.method, return_inverse=True)[1].astype(float)
    fixed = Panel(**(vars(whole) | {"instability": code}))
    with pytest.raises(InputError, match="does not vary by itself"):
        monotonicity(fixed, generator=generator())


def test_the_gradient_version_is_spearman_s():
    draw = np.random.default_rng(0)
    seed = np.repeat(np.arange(12), 10)
    norm, cosine = draw.uniform(size=(2, 120))
    risk = norm**3 + 0.05 * draw.normal(size=120)
    found = gradient_version(risk, norm, cosine, seed, generator=generator())
    assert found.norm.value == pytest.approx(stats.spearmanr(risk, norm).statistic)
    assert found.cosine.value == pytest.approx(stats.spearmanr(risk, cosine).statistic)
    assert found.norm.positive
    assert not found.cosine.positive
    assert found.norm.low < found.norm.value < found.norm.high
    with pytest.raises(InputError, match="does not vary"):
        gradient_version(risk, norm, np.ones(120), seed, generator=generator())


def test_intervals_cover_clusters_rather_than_cells():
    """Copies of a seed's cells add nothing: the interval is that of one cell a seed."""
    draw = np.random.default_rng(4)
    risk, norm, cosine = draw.normal(size=(3, 40))
    once = gradient_version(risk, norm, cosine, np.arange(40), generator=generator())
    copies = gradient_version(*(np.repeat(x, 9) for x in (risk, norm, cosine, np.arange(40))), generator=generator())
    assert [copies.norm.low, copies.norm.high] == pytest.approx([once.norm.low, once.norm.high])
    # Under independence the interval of a Spearman correlation has half width 1.96 / sqrt(n - 1).
    assert (once.norm.high - once.norm.low) / 2 == pytest.approx(1.96 / 39**0.5, rel=0.25)


def test_resamples_that_do_not_vary_must_be_few():
    risk, seed = np.array([1.0, 2.0]), np.array([0, 1])
    with pytest.raises(InputError, match="of the resamples do not vary"):
        gradient_version(risk, risk, risk, seed, generator=generator())


# ---- the panel -----------------------------------------------------------------------------------------------------


def test_a_panel_that_cannot_be_one_is_refused():
    whole = vars(panel(seeds=4))
    gap = whole["gap"].copy()
    gap[5] = np.inf
    with pytest.raises(InputError, match="1 of gap are not finite"):
        Panel(**(whole | {"gap": gap}))
    for name in ("method", "seed"):
        labels = whole[name].copy()
        labels[0] = labels[-1]
        with pytest.raises(InputError, match=f"more than one {name}"):
            Panel(**(whole | {name: labels}))
    with pytest.raises(InputError, match="gap is empty"):
        Panel(**{name: column[:0] for name, column in whole.items()})
