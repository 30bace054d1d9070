import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.markets.paths import Smile
from praesidium.pricing.surface import Surface
from praesidium.pricing.svi import Slice

law = settings(deadline=None, derandomize=True, max_examples=50)
SURFACE = Surface(
    (
        Slice(tau=0.1, a=0.001, b=0.03, rho=-0.5, m=0.01, sigma=0.08),
        Slice(tau=0.4, a=0.008, b=0.07, rho=-0.4, m=0.02, sigma=0.15),
        Slice(tau=1.0, a=0.02, b=0.12, rho=-0.6, m=0.05, sigma=0.25),
    )
)
K = torch.linspace(-0.8, 0.7, 31, dtype=torch.float64)
FIRST, *_, LAST = SURFACE.slices
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def close(found, expected):
    tolerance = 1e-14 if found.dtype == torch.float64 else 2e-6
    torch.testing.assert_close(found, expected.to(found.dtype), rtol=tolerance, atol=tolerance)


@PRECISIONS
@pytest.mark.parametrize("one", SURFACE.slices)
def test_slices_are_hit(one, dtype):
    k, tau = K.to(dtype), torch.tensor(one.tau, dtype=dtype)
    close(SURFACE.total_variance(k, tau), one.total_variance(K))
    close(SURFACE.volatility(k, tau), one.volatility(K))


@law
@given(share=st.floats(0, 1), number=st.sampled_from([0, 1]))
def test_total_variance_is_linear_between_slices(share, number):
    near, far = SURFACE.slices[number : number + 2]
    tau = near.tau + share * (far.tau - near.tau)
    mixed = (1 - share) * near.total_variance(K) + share * far.total_variance(K)
    found = SURFACE.total_variance(K, torch.tensor(tau, dtype=torch.float64))
    torch.testing.assert_close(found, mixed, rtol=1e-12, atol=0)


@PRECISIONS
@law
@given(shorter=st.floats(1e-4, 0.1), longer=st.floats(1.0, 30.0))
def test_volatility_is_flat_outside(shorter, longer, dtype):
    for tau, one in ((shorter, FIRST), (longer, LAST)):
        at = torch.tensor(tau, dtype=dtype)
        close(SURFACE.volatility(K.to(dtype), at), one.volatility(K))
        close(SURFACE.total_variance(K.to(dtype), at), one.volatility(K) ** 2 * tau)


@PRECISIONS
def test_at_expiry_the_volatility_stays_and_the_variance_is_gone(dtype):
    now = torch.zeros((), dtype=dtype)
    close(SURFACE.volatility(K.to(dtype), now), FIRST.volatility(K))
    assert (SURFACE.total_variance(K.to(dtype), now) == 0).all()


def test_one_slice_is_a_surface_of_constant_volatility():
    alone = Surface((FIRST,))
    for tau in (0.01, FIRST.tau, 3.0):
        close(alone.volatility(K, torch.tensor(tau)), FIRST.volatility(K))


SHAPES = [
    ((), (60, 1)),
    ((60, 1), (60, 7)),
    ((60, 7), (60, 1)),
    ((7,), (60, 1)),
    ((60, 7), (60, 7)),
    ((7,), ()),
    ((), ()),
]


@pytest.mark.parametrize(("tau_shape", "k_shape"), SHAPES)
def test_arguments_broadcast(tau_shape, k_shape):
    k = torch.linspace(-0.5, 0.5, math.prod(k_shape), dtype=torch.float64).view(k_shape)
    tau = torch.linspace(0.01, 1.5, math.prod(tau_shape), dtype=torch.float64).view(tau_shape)
    for function in (SURFACE.total_variance, SURFACE.volatility, SURFACE.ratio):
        found = function(k, tau)
        wide, long = torch.broadcast_tensors(k, tau)
        assert found.shape == wide.shape
        one_by_one = [function(x, t) for x, t in zip(wide.flatten(), long.flatten(), strict=True)]
        torch.testing.assert_close(found.flatten(), torch.stack(one_by_one), rtol=1e-15, atol=0)


def test_strided_times_and_other_precisions_of_time():
    tau = torch.linspace(0.01, 1.5, 60)[::2].unsqueeze(-1)
    found = SURFACE.volatility(K, tau)
    assert found.dtype == SURFACE.total_variance(K, tau).dtype == SURFACE.ratio(K, tau).dtype == torch.float64
    assert torch.equal(found, SURFACE.volatility(K, tau.double()))
    single = SURFACE.total_variance(K.float(), tau.double())
    assert single.dtype == SURFACE.ratio(K.float(), tau.double()).dtype == torch.float32


# ---- as a smile ----------------------------------------------------------------------------------------------------


def test_a_surface_is_a_smile():
    assert isinstance(SURFACE, Smile)
    tau = torch.linspace(0.0, 1.5, 40, dtype=torch.float64).unsqueeze(-1)
    assert (SURFACE.ratio(torch.zeros_like(tau), tau) == 1).all()
    expected = SURFACE.volatility(K, tau) / SURFACE.volatility(torch.zeros_like(tau), tau)
    torch.testing.assert_close(SURFACE.ratio(K, tau), expected, rtol=1e-14, atol=0)
    assert (SURFACE.ratio(K[:1], tau) > 1.1).all()


def test_volatility_has_a_gradient_in_both_arguments():
    k = torch.tensor([-0.3, 0.0, 0.4], dtype=torch.float64, requires_grad=True)
    tau = torch.tensor([[0.05], [0.2], [0.7], [2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SURFACE.volatility, (k, tau))
    assert torch.autograd.gradcheck(SURFACE.ratio, (k, tau))


# ---- as data -------------------------------------------------------------------------------------------------------


def test_settings_survive_json():
    text = json.dumps(SURFACE.settings())
    assert Surface.restore(json.loads(text)) == SURFACE
    assert [row["tau"] for row in SURFACE.settings()] == [0.1, 0.4, 1.0]
    drawn = Surface((Slice(*(np.float64(one) for one in (0.5, 0.01, 0.1, -0.3, 0.0, 0.2))),))
    assert Surface.restore(json.loads(json.dumps(drawn.settings()))) == drawn


def test_no_slice_is_no_surface():
    with pytest.raises(InputError, match=r"^surface: there is no slice; give one at least$"):
        Surface(())


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (0, 2, 1)])
def test_maturities_rise(order):
    with pytest.raises(InputError, match=r"^surface: maturities .* and .* are not rising; sort them, each once$"):
        Surface(tuple(SURFACE.slices[number] for number in order))
