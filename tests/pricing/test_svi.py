import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.pricing.black_scholes import price
from praesidium.pricing.svi import STEEPEST, Slice, fit

law = settings(deadline=None, derandomize=True, max_examples=50)
K = np.linspace(-0.7, 0.6, 13)


def made(least, b, rho, m, sigma, tau=0.5):
    """A slice from its smallest total variance."""
    return Slice(tau, least - b * sigma * math.sqrt(1 - rho**2), b, rho, m, sigma)


slices = st.builds(
    made,
    least=st.floats(1e-3, 0.1),
    b=st.floats(0.01, 0.9),
    rho=st.floats(-0.98, 0.98),
    m=st.floats(-0.4, 0.4),
    sigma=st.floats(math.log(0.03), math.log(0.8)).map(math.exp),
)


# ---- the formula ---------------------------------------------------------------------------------------------------


def test_total_variance_by_hand():
    one = Slice(tau=0.25, a=0.01, b=0.2, rho=-0.5, m=0.1, sigma=0.3)
    assert one.total_variance(0.5) == pytest.approx(0.01 + 0.2 * (-0.5 * 0.4 + 0.5), rel=1e-15)
    assert one.volatility(0.5) == pytest.approx(math.sqrt(0.07 / 0.25), rel=1e-15)


@law
@given(one=slices)
def test_the_least_total_variance_and_the_wings(one):
    vertex = one.m - one.rho * one.sigma / math.sqrt(1 - one.rho**2)
    assert one.total_variance(vertex) == pytest.approx(one.least, rel=1e-9, abs=1e-14)
    around = vertex + one.sigma * np.linspace(-9, 9, 101)
    assert (one.total_variance(around) >= one.least - 1e-14).all()
    left, right = one.wings
    assert one.total_variance(-1e6) / 1e6 == pytest.approx(left, abs=1e-5)
    assert one.total_variance(1e6) / 1e6 == pytest.approx(right, abs=1e-5)


@law
@given(one=slices, by=st.floats(0, 0.1))
def test_raising_adds_everywhere(one, by):
    np.testing.assert_allclose(one.raised(by).total_variance(K), one.total_variance(K) + by, rtol=0, atol=1e-15)


@pytest.mark.parametrize("function", ["total_variance", "volatility", "durrleman"])
def test_floats_arrays_and_tensors_give_the_same(function):
    one = made(0.02, 0.2, -0.4, 0.05, 0.15)
    array, tensor = getattr(one, function)(K), getattr(one, function)(torch.from_numpy(K))
    np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-14)
    assert [getattr(one, function)(k) for k in K.tolist()] == pytest.approx(array.tolist(), rel=1e-14)
    single = getattr(one, function)(torch.from_numpy(K).float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), array, rtol=1e-4)


# ---- Durrleman's function ------------------------------------------------------------------------------------------


def density(one, k, step=1e-3):
    """Breeden and Litzenberger: the second difference of calls in the strike, of fourth order; the forward is 1."""
    strike = torch.from_numpy(np.exp(k))
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    total = torch.zeros_like(strike)
    for move, weight in weights.items():
        at = strike + move * step * strike
        total += weight * price(torch.ones_like(at), at, one.tau, one.volatility(at.log()))
    return (total / (12 * (step * strike) ** 2)).numpy()


def from_durrleman(one, k):
    """g n(d2) / (K sqrt(w)), the density of the price at the strike K = e^k."""
    width = np.sqrt(one.total_variance(k))
    below = -k / width - width / 2
    return one.durrleman(k) * np.exp(-(below**2) / 2) / np.sqrt(2 * np.pi) / (width * np.exp(k))


VOGT = Slice(tau=1.0, a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)


@law
@given(one=slices)
def test_durrleman_is_the_density_of_prices(one):
    smooth = made(one.least, one.b, one.rho, one.m, max(one.sigma, 0.1))
    k = math.sqrt(smooth.total_variance(0.0)) * np.linspace(-2.5, 2.5, 41)
    exact, differences = from_durrleman(smooth, k), density(smooth, k)
    np.testing.assert_allclose(differences, exact, rtol=0, atol=1e-4 * np.abs(exact).max())


def test_the_published_example_has_a_negative_density():
    k = np.linspace(-1.5, 1.5, 301)
    g, differences = VOGT.durrleman(k), density(VOGT, k)
    seen = np.abs(differences) > 1e-6
    assert (np.sign(g) == np.sign(differences))[seen].all()
    assert (differences[seen] < 0).any()
    assert g.min() == pytest.approx(-0.0329, abs=1e-4)
    assert k[g < 0].min() == pytest.approx(0.61, abs=0.06)
    assert k[g < 0].max() == pytest.approx(1.15, abs=0.25)


def test_black_and_scholes_have_g_equal_to_one():
    flat = Slice(tau=2.0, a=0.08, b=0.0, rho=0.0, m=0.0, sigma=0.1)
    assert (flat.durrleman(K) == 1).all()
    assert flat.volatility(0.3) == pytest.approx(0.2)


# ---- the fit -------------------------------------------------------------------------------------------------------


@settings(law, max_examples=15)
@given(one=slices.filter(lambda one: max(one.wings) < STEEPEST))
def test_noiseless_quotes_come_back(one):
    w = one.total_variance(K)
    found = fit(K, w, one.tau)
    np.testing.assert_allclose(found.total_variance(K), w, rtol=0, atol=1e-8)
    assert found.tau == one.tau


def test_the_parameters_come_back_too():
    one = made(0.02, 0.2, -0.4, 0.05, 0.15)
    found = fit(K, one.total_variance(K), one.tau)
    expected = (one.a, one.b, one.rho, one.m, one.sigma)
    assert (found.a, found.b, found.rho, found.m, found.sigma) == pytest.approx(expected, abs=1e-6)


def test_a_noisy_fit_is_a_minimum():
    """No small change of a parameter lowers the weighted squares."""
    one = made(0.02, 0.2, -0.4, 0.05, 0.15)
    noise = 5e-4 * np.sin(17 * np.arange(len(K)) ** 2)
    w, weights = one.total_variance(K) + noise, np.linspace(1, 3, len(K))
    found = fit(K, w, one.tau, weights=weights)

    def squares(candidate):
        return (weights * (candidate.total_variance(K) - w) ** 2).sum()

    values = {name: getattr(found, name) for name in ("a", "b", "rho", "m", "sigma")}
    for name, value in values.items():
        for move in (-1e-4, 1e-4):
            assert squares(Slice(found.tau, **values | {name: value + move})) > squares(found)


def test_weights_decide_between_quotes():
    one = made(0.02, 0.2, -0.4, 0.05, 0.15)
    w, weights = one.total_variance(K), np.ones(len(K))
    w[3], weights[3] = 0.3, 0.0
    found = fit(K, w, one.tau, weights=weights)
    others = np.arange(len(K)) != 3
    np.testing.assert_allclose(found.total_variance(K)[others], w[others], atol=1e-8)
    assert fit(K, w, one.tau).total_variance(K)[3] > found.total_variance(K)[3] + 0.01


def test_wings_are_no_steeper_than_lee_allows():
    found = fit(K, 0.02 + 3 * np.abs(K), 1.0)
    assert max(found.wings) == pytest.approx(STEEPEST, abs=1e-6)
    assert max(found.wings) <= STEEPEST + 1e-12


def test_a_fit_is_nowhere_negative():
    w = np.array([0.05, 0.02, 1e-3, 1e-4, 2e-3, 1e-4, 1e-3, 0.02, 0.05])
    assert fit(np.linspace(-0.4, 0.4, 9), w, 0.1).least >= -1e-12


def test_a_flat_smile_is_fitted_flat():
    found = fit(K, np.full(len(K), 0.04), 1.0)
    np.testing.assert_allclose(found.total_variance(np.linspace(-2, 2, 9)), 0.04, atol=1e-7)


# ---- input ---------------------------------------------------------------------------------------------------------

FINE = {"tau": 1.0, "a": 0.04, "b": 0.1, "rho": 0.0, "m": 0.0, "sigma": 0.1}
BAD = [
    ("tau", 0.0), ("tau", math.inf), ("tau", math.nan), ("a", math.nan), ("a", math.inf), ("b", -0.1), ("b", math.inf),
    ("b", math.nan), ("rho", 1.01), ("rho", -1.01), ("rho", math.nan), ("m", math.inf), ("m", math.nan),
    ("sigma", 0.0), ("sigma", math.inf), ("sigma", math.nan),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_parameter_out_of_bounds_is_named(name, value):
    with pytest.raises(InputError, match=rf"^svi: {name}={value} is not .*; fit the slice to its quotes again$"):
        Slice(**FINE | {name: value})


def test_a_slice_below_zero_is_refused():
    with pytest.raises(InputError, match=r"^svi: total variance falls to -0\.03; raise a until its minimum is"):
        Slice(**FINE | {"a": -0.04})
    assert Slice(**FINE | {"a": -0.01}).least == pytest.approx(0, abs=1e-15)


def test_quotes_that_no_slice_can_take():
    w = np.full(len(K), 0.04)
    with pytest.raises(
        InputError, match=r"^svi: 4 strikes at 0\.5 years, but a slice needs 5; leave the maturity out$"
    ):
        fit(np.repeat(K[:4], 3), np.full(12, 0.04), 0.5)
    for bad in (0.0, -0.01, math.nan, math.inf):
        with pytest.raises(InputError, match=r"^svi: a quote at 0\.5 years is not positive and finite; clean the quo"):
            fit(K, np.where(K[2] == K, bad, w), 0.5)
    with pytest.raises(InputError, match="not positive and finite"):
        fit(np.where(K[2] == K, math.nan, K), w, 0.5)
    for weights in (0 * w, -w, np.where(K[2] == K, math.nan, w)):
        with pytest.raises(InputError, match=r"^svi: weights at 0\.5 years are not finite, at least 0 and above 0 on"):
            fit(K, w, 0.5, weights=weights)
