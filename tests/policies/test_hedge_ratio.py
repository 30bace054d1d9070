"""The ratio of least variance: of the mixture, with the sign that lowers variance."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.policies import minimum_variance_hedge_ratio
from praesidium.training.reproducibility import stream

T, N = 4000, 2
generator = stream("tests", "ratio")
STATES = torch.randint(3, (T,), generator=generator)
BETA = torch.tensor([[0.5, 1.0], [1.0, 1.5], [2.0, 0.2]], dtype=torch.float64)
MEANS = torch.tensor([[0.0, 1.0], [3.0, -1.0], [-4.0, 2.0]], dtype=torch.float64)
FUTURES = MEANS[STATES] + 2 * torch.randn(T, N, dtype=torch.float64, generator=generator)
SPOT = BETA[STATES] * FUTURES + torch.randn(T, N, dtype=torch.float64, generator=generator)
KNOWN = torch.nn.functional.one_hot(STATES, 3).double()
UNSURE = 0.8 * KNOWN + 0.2 / 3


def closed_form(spot, futures):
    """-Cov / Var by column."""
    spot, futures = spot - spot.mean(0), futures - futures.mean(0)
    return -(spot * futures).mean(0) / futures.square().mean(0)


def test_variance_falls_to_the_closed_form_and_does_not_rise():
    """A ratio of the other sign doubles the position instead of hedging it."""
    spot, futures = SPOT[:, :1], FUTURES[:, :1]
    ratio = minimum_variance_hedge_ratio(spot, futures, UNSURE, belief=UNSURE.mean(0))
    naked, hedged, wrong = ((spot + h * futures).var(correction=0) for h in (0 * ratio, ratio, -ratio))
    correlation = torch.corrcoef(torch.cat([spot, futures], dim=1).T)[0, 1]
    assert hedged.item() == pytest.approx(((1 - correlation**2) * naked).item(), rel=1e-12)
    assert hedged < naked < wrong


@pytest.mark.parametrize("regimes", [KNOWN, UNSURE], ids=["known", "unsure"])
def test_mixed_by_how_often_they_were_the_regimes_make_up_the_window(regimes):
    """The law of total covariance, exactly: what regimes differ in mean belongs to it."""
    ratio = minimum_variance_hedge_ratio(SPOT, FUTURES, regimes, belief=regimes.mean(0))
    torch.testing.assert_close(ratio, closed_form(SPOT, FUTURES), rtol=1e-10, atol=0)
    within = sum((regimes[:, k].mean() * closed_form(SPOT[k == STATES], FUTURES[k == STATES])) for k in range(3))
    assert (ratio - within).abs().max() > 0.1  # a mixture of ratios is not the ratio of the mixture


@pytest.mark.parametrize("regime", [0, 1, 2])
def test_a_certain_regime_has_its_own_ratio(regime):
    ratio = minimum_variance_hedge_ratio(SPOT, FUTURES, KNOWN, belief=torch.eye(3, dtype=torch.float64)[regime])
    torch.testing.assert_close(ratio, closed_form(SPOT[regime == STATES], FUTURES[regime == STATES]))
    assert (ratio + BETA[regime]).abs().max() < 0.06


def test_any_mixture_is_hedged_as_draws_from_it_are():
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    drawn = weights.multinomial(200_000, replacement=True, generator=stream("tests", "mixture"))
    members = [(k == STATES).nonzero().squeeze(1) for k in range(3)]
    rows = torch.cat([one[torch.arange(int((drawn == k).sum())) % len(one)] for k, one in enumerate(members)])
    ratio = minimum_variance_hedge_ratio(SPOT, FUTURES, KNOWN, belief=weights)
    torch.testing.assert_close(ratio, closed_form(SPOT[rows], FUTURES[rows]), atol=0.02, rtol=0)


def test_a_constant_return_changes_nothing():
    ratio = minimum_variance_hedge_ratio(SPOT, FUTURES, UNSURE)
    torch.testing.assert_close(minimum_variance_hedge_ratio(SPOT + 50, FUTURES - 20, UNSURE), ratio)


def test_the_last_belief_counts_and_batches_are_each_by_itself():
    batch = [torch.stack([one, one.flip(0)]) for one in (SPOT, FUTURES, UNSURE)]
    together = minimum_variance_hedge_ratio(*batch)
    for row, last in zip(together, (UNSURE[-1], UNSURE[0]), strict=True):
        torch.testing.assert_close(row, minimum_variance_hedge_ratio(SPOT, FUTURES, UNSURE, belief=last))


def test_a_regime_that_was_never_seen_is_hedged_as_the_window():
    never = torch.cat([KNOWN, torch.zeros(T, 1, dtype=torch.float64)], dim=1)
    ratio = minimum_variance_hedge_ratio(SPOT, FUTURES, never, belief=torch.eye(4, dtype=torch.float64)[3])
    torch.testing.assert_close(ratio, closed_form(SPOT, FUTURES))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="do not fit"):
        minimum_variance_hedge_ratio(SPOT, FUTURES, UNSURE[:-1].clone())
    with pytest.raises(InputError, match="a future does not move"):
        minimum_variance_hedge_ratio(SPOT, torch.full_like(SPOT, 0.1), UNSURE)
    with pytest.raises(InputError, match="futures_returns holds NaN or infinity, 1 times in asset 1"):
        minimum_variance_hedge_ratio(SPOT, FUTURES.masked_fill(FUTURES[7, 1] == FUTURES, torch.inf), UNSURE)
    with pytest.raises(InputError, match="spot_returns holds NaN or infinity, 4000 times in asset 0"):
        minimum_variance_hedge_ratio(torch.nan * SPOT, FUTURES, UNSURE)
    with pytest.raises(InputError, match="do not sum to one"):
        minimum_variance_hedge_ratio(SPOT, FUTURES, 2 * UNSURE)
