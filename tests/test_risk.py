"""Risk functionals and path statistics against their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.risk import (
    cvar,
    cvar_standard_error,
    max_drawdown,
    sortino,
)
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=60)
LOSSES = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=60).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
LEVELS = st.floats(0.01, 0.99)


def normals(*shape, purpose="losses"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def minimized(losses, level):
    """min over tau of tau + E[(L - tau)_+] / (1 - level): piecewise linear, so that a loss is among the minimizers."""
    tau = losses.unsqueeze(-1)
    return (losses + (losses - tau).clamp(min=0).mean(-1) / (1 - level)).amin()


@LAW
@given(losses=LOSSES, level=LEVELS)
def test_cvar_is_the_minimum_of_rockafellar_and_uryasev(losses, level):
    assert cvar(losses, level=level).item() == pytest.approx(minimized(losses, level).item(), abs=1e-12)


@pytest.mark.parametrize(("count", "level"), [(256, 0.95), (100, 0.95), (10, 0.95), (1, 0.5), (7, 0.01), (20, 0.9)])
def test_cvar_counts_the_boundary_loss_by_its_share(count, level):
    losses = normals(count)
    falling, mass = sorted(losses.tolist(), reverse=True), (1 - level) * count
    whole = math.floor(mass + 1e-9)
    total = sum(falling[:whole]) + ((mass - whole) * falling[whole] if whole < count else 0)
    assert cvar(losses, level=level).item() == pytest.approx(total / mass, abs=1e-12)


def test_a_tail_of_whole_episodes_is_their_mean():
    """1 - 0.95 is a little above 0.05; the sixth loss must not get a speck of weight for it."""
    losses = torch.cat([torch.full((95,), -1e9, dtype=torch.float64), torch.arange(5.0, dtype=torch.float64)])
    assert cvar(losses, level=0.95).item() == pytest.approx(2, rel=1e-12)


@LAW
@given(losses=LOSSES, level=LEVELS, cash=st.floats(-5, 5), factor=st.floats(0.01, 100))
def test_cvar_moves_with_cash_and_scales_with_size(losses, level, cash, factor):
    risk = cvar(losses, level=level).item()
    assert cvar(losses + cash, level=level).item() == pytest.approx(risk + cash, abs=1e-11)
    assert cvar(losses * factor, level=level).item() == pytest.approx(risk * factor, rel=1e-11, abs=1e-11)


@LAW
@given(losses=LOSSES, levels=st.tuples(LEVELS, LEVELS).map(sorted))
def test_cvar_rises_with_the_level_between_value_at_risk_and_maximum(losses, levels):
    low, high = (cvar(losses, level=level).item() for level in levels)
    assert low <= high + 1e-12
    quantile = np.quantile(losses.numpy(), levels[0], method="inverted_cdf")
    assert max(quantile, losses.mean()) - 1e-12 <= low
    assert high <= losses.max().item() + 1e-12


@LAW
@given(one=LOSSES, level=LEVELS, seed=st.integers(0, 99))
def test_cvar_is_subadditive_and_monotone(one, level, seed):
    other = normals(len(one), purpose=seed)
    assert cvar(one + other, level=level) <= cvar(one, level=level) + cvar(other, level=level) + 1e-11
    assert cvar(one, level=level) <= cvar(one + other.abs(), level=level) + 1e-12


def test_cvar_of_a_batch_is_that_of_each_element_and_of_the_order_of_losses_knows_nothing():
    losses = normals(2, 3, 50)
    risks = cvar(losses, level=0.9)
    assert risks.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert torch.equal(risks[place], cvar(losses[place].flip(0), level=0.9))


def test_the_gradient_of_cvar_is_its_weights():
    losses = normals(256).requires_grad_()
    risk = cvar(losses, level=0.95)
    (weights,) = torch.autograd.grad(risk, losses)
    assert (weights >= 0).all()
    assert weights.sum().item() == pytest.approx(1)
    assert (weights * losses).sum().item() == pytest.approx(risk.item())
    assert weights.max().item() == pytest.approx(1 / 12.8)
    assert (weights > 0).sum() == 13


def test_a_loss_that_is_not_a_number_is_not_hidden():
    assert cvar(torch.tensor([0.0, math.nan, 1.0]), level=0.5).isnan()


@pytest.mark.parametrize(
    ("level", "hint"), [(95, "did you mean 0.95?"), (99.5, "did you mean 0.995?"), (1, "say level=0.95"), (0, "0.95")]
)
@pytest.mark.parametrize("measure", [cvar, cvar_standard_error])
def test_a_level_that_is_no_fraction_is_refused(level, hint, measure):
    with pytest.raises(InputError) as caught:
        measure(torch.ones(3), level=level)
    assert f"{measure.__name__}: level={level:g}" in str(caught.value)
    assert hint in str(caught.value)


def test_no_losses_are_refused():
    with pytest.raises(InputError, match="at least one episode"):
        cvar(torch.ones(0), level=0.95)


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_the_standard_error_is_the_spread_over_samples(law):
    samples = normals(3000, 1000, purpose=law)
    if law == "lognormal":
        samples = (samples / 2).exp()
    risks = cvar(samples, level=0.9)
    errors = cvar_standard_error(samples[:200], level=0.9)
    assert errors.mean().item() == pytest.approx(risks.std().item(), rel=0.06)


def test_the_standard_error_is_that_of_a_bootstrap():
    losses = normals(2000)
    picks = torch.randint(2000, (1500, 2000), generator=stream("tests", "bootstrap"))
    spread = cvar(losses[picks], level=0.95).std().item()
    assert cvar_standard_error(losses, level=0.95).item() == pytest.approx(spread, rel=0.08)


# ---- statistics of a path -------------------------------------------------------------------------------------------


@LAW
@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=12), shift=st.floats(-3, 3))
def test_drawdown_is_the_worst_fall_between_two_times(values, shift):
    worst = max(values[i] - values[j] for j in range(len(values)) for i in range(j + 1))
    path = torch.tensor(values, dtype=torch.float64)
    assert max_drawdown(path).item() == pytest.approx(worst)
    assert max_drawdown(path + shift).item() == pytest.approx(worst, abs=1e-12)


def test_drawdown_goes_along_time():
    path = normals(9, 4)
    assert torch.equal(max_drawdown(path), torch.stack([max_drawdown(one) for one in path.unbind(1)]))


def test_sortino_sees_losses_alone():
    profits = torch.tensor([3.0, -1.0, 2.0, -2.0], dtype=torch.float64)
    assert sortino(profits).item() == pytest.approx(0.5 / math.sqrt((1 + 4) / 4))
    assert sortino(7 * profits).item() == pytest.approx(sortino(profits).item())
    assert sortino(profits.clamp(min=0)).item() == math.inf
