import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.pricing import arbitrage
from praesidium.pricing.arbitrage import butterfly, calendar, clean, from_quotes, strikes
from praesidium.pricing.black_scholes import price
from praesidium.pricing.surface import Surface
from praesidium.pricing.svi import STEEPEST, Slice

law = settings(deadline=None, derandomize=True, max_examples=25)
VOGT = Slice(tau=1.0, a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153)
SOUND = Surface(
    (
        Slice(tau=0.1, a=0.001, b=0.03, rho=-0.5, m=0.01, sigma=0.08),
        Slice(tau=0.4, a=0.008, b=0.07, rho=-0.4, m=0.02, sigma=0.15),
        Slice(tau=1.0, a=0.02, b=0.12, rho=-0.6, m=0.05, sigma=0.25),
    )
)
FIRST, MIDDLE, LAST = SOUND.slices
LOW = ((0.6, 0.004), (0.8, 0.002))  # years, and the total variance that is lacking


def made(tau, least, b, rho, m, sigma):
    """A slice from its smallest total variance."""
    return Slice(tau, least - b * sigma * math.sqrt(1 - rho**2), b, rho, m, sigma)


def smiles(tau):
    bounds = ((0.001, 0.06), (0.02, 0.4), (-0.9, 0.9), (-0.2, 0.2), (0.03, 0.5))
    return st.builds(made, st.just(tau), *(st.floats(*ends) for ends in bounds))


def dense(*slices):
    """Ten times as many strikes, four times as far, and as many again near the money."""
    edge = strikes(slices)[-1]
    return np.sort(np.concatenate([np.linspace(-4 * edge, 4 * edge, 32001), np.linspace(-0.5, 0.5, 8001)]))


# ---- what is found -------------------------------------------------------------------------------------------------


def test_strikes_reach_four_deviations_of_the_widest_slice():
    wide = Slice(tau=1.0, a=0.25, b=0.0, rho=0.0, m=0.0, sigma=0.1)
    assert strikes([FIRST, wide])[[0, -1]].tolist() == [-2.0, 2.0]
    assert strikes([FIRST])[[0, -1]].tolist() == [-1.5, 1.5]
    assert len(strikes([wide], points=11, reach=8.0)) == 11
    assert strikes([wide], points=11, reach=8.0)[-1] == 4.0


def test_the_published_example_has_a_butterfly():
    assert butterfly(VOGT, strikes([VOGT])) == pytest.approx(VOGT.durrleman(dense(VOGT)).min(), abs=1e-8)
    assert butterfly(VOGT, strikes([VOGT])) < -0.03


@law
@given(one=smiles(0.5))
def test_no_strike_is_below_the_least_g(one):
    least = butterfly(one, strikes([one]))
    g = one.durrleman(dense(one))
    assert least <= g.min() + 1e-7
    limit = min(0.25 - slope**2 / 16 for slope in one.wings)
    assert least <= limit
    assert least >= min(g.min(), limit) - 1e-3 * (1 + abs(g.min()))


def test_a_butterfly_between_two_checked_strikes_is_found():
    one = Slice(tau=0.1, a=0.002, b=0.2, rho=0.0, m=0.0013, sigma=2e-4)
    narrow = one.m + np.linspace(-0.05, 0.05, 400_001)
    coarse = np.array([-1.0, 1.0])
    assert one.durrleman(coarse).min() > 0 > one.durrleman(narrow).min()
    assert butterfly(one, coarse) == pytest.approx(one.durrleman(narrow).min(), rel=1e-4)


def test_a_wing_steeper_than_lee_allows_is_found():
    """g tends to 1/4 - slope^2 / 16, whose sign is that of 2 - slope."""
    for b, steep in ((1.3, False), (1.35, True)):
        one = Slice(tau=1.0, a=4.0, b=b, rho=0.5, m=0.0, sigma=0.1)
        assert (max(one.wings) > STEEPEST) == steep
        assert (butterfly(one, np.linspace(-0.1, 0.1, 5)) < 0) == steep


@law
@given(earlier=smiles(0.5), later=smiles(1.0))
def test_no_strike_is_below_the_least_excess(earlier, later):
    k = dense(earlier, later)
    excess = ((later.total_variance(k) - earlier.total_variance(k)) / np.sqrt(1 + k**2)).min()
    found = calendar(earlier, later, strikes([earlier, later]))
    slopes = [far - near for near, far in zip(earlier.wings, later.wings, strict=True)]
    assert found <= min(excess, *slopes) + 1e-9
    # In between the last strike and the limit it may be less than at both, but not by much.
    assert found >= min(excess, *slopes) - 0.01
    if min(slopes) > excess + 0.05:
        assert found == pytest.approx(excess, abs=1e-6)


def test_wings_that_cross_beyond_all_strikes_are_found():
    earlier = Slice(tau=0.5, a=0.02, b=0.1, rho=0.0, m=0.0, sigma=0.1)
    later = Slice(tau=1.0, a=5e3, b=0.0999, rho=0.0, m=0.0, sigma=0.1)
    assert (later.total_variance(dense(earlier)) > earlier.total_variance(dense(earlier))).all()
    assert calendar(earlier, later, strikes([earlier])) == pytest.approx(-1e-4)


def test_a_crossing_between_two_checked_strikes_is_found():
    later = Slice(tau=1.0, a=0.02, b=0.4, rho=0.0, m=0.0002, sigma=1e-4)
    earlier = Slice(tau=0.5, a=0.0201, b=0.0, rho=0.0, m=0.0, sigma=0.1)
    coarse = np.array([-1.0, 0.1, 1.0])
    assert calendar(earlier, later, coarse) == pytest.approx(later.least - earlier.least, rel=1e-6)
    assert later.least < earlier.least


# ---- what is mended ------------------------------------------------------------------------------------------------


def test_what_is_sound_is_left_alone():
    cleaned, reports = clean(SOUND)
    assert all(new is old for new, old in zip(cleaned.slices, SOUND.slices, strict=True))
    assert cleaned == SOUND
    for one in reports:
        assert (one.moved, one.largest_move, one.rms_move, one.how) == (0, 0.0, 0.0, "unchanged")
        assert (one.g_before, one.crossing_before) == (one.g_after, one.crossing_after)
        assert one.g_before > 0
    assert reports[0].crossing_before is None
    assert min(one.crossing_before for one in reports[1:]) > 0


def published(v, psi, p, c, least):
    """A slice of one year by variance and slope at the money, slopes of the wings, and least variance.

    Gatheral and Jacquier 2014, lemma 3.2.
    """
    root = math.sqrt(v)
    b = root / 2 * (c + p)
    rho = 1 - p * root / b
    beta = rho - 2 * psi * root / b
    alpha = math.copysign(math.sqrt(1 / beta**2 - 1), beta)
    edge = math.sqrt(1 - rho**2)
    m = (v - least) / (b * (-rho + math.copysign(math.sqrt(1 + alpha**2), alpha) - alpha * edge))
    return Slice(1.0, least - b * alpha * m * edge, b, rho, m, alpha * m)


def test_the_published_example_moves_less_than_its_published_mend():
    """Their search holds three of five numbers fixed: section 5.1, example 5.1."""
    jump_wings = (0.01742625, -0.1752111, 0.6997381)
    original = published(*jump_wings, 1.316798, 0.0116249)
    assert (original.a, original.b, original.rho) == pytest.approx((VOGT.a, VOGT.b, VOGT.rho), abs=1e-4)
    theirs = published(*jump_wings, 0.8564763, 0.0116249)
    assert butterfly(theirs, strikes([theirs])) > -1e-4

    at = np.linspace(-1.0, 1.0, 21)
    cleaned, (report,) = clean(Surface((VOGT,)), [at])
    (ours,) = cleaned.slices
    assert ours.durrleman(dense(VOGT)).min() >= 0
    apart = [((one.total_variance(at) - VOGT.total_variance(at)) ** 2).sum() for one in (ours, theirs)]
    assert apart[0] < apart[1]
    assert report.how == "refitted"
    assert report.g_before == pytest.approx(-0.0329, abs=1e-4)
    assert 0 <= report.g_after < 1e-3  # no further than it must
    assert report.moved == report.quotes == 21


def test_the_nearest_slice_above_another_is_that_other():
    """Slices below an earlier one at each strike come to lie on it, also the one that crosses only what was mended."""
    low, less = (Slice(tau, MIDDLE.a - by, MIDDLE.b, MIDDLE.rho, MIDDLE.m, MIDDLE.sigma) for tau, by in LOW)
    cleaned, reports = clean(Surface((MIDDLE, low, less)))
    at = np.linspace(-0.3, 0.3, 31)
    assert cleaned.slices[0] is MIDDLE
    for one in cleaned.slices[1:]:
        np.testing.assert_allclose(one.total_variance(at), MIDDLE.total_variance(at), rtol=5e-3)
    assert min(one.crossing_after for one in reports[1:]) >= 0
    assert reports[1].crossing_before == pytest.approx(-0.004, rel=0.01)
    assert reports[2].crossing_before >= 0


def test_planted_crossings_are_found_and_gone():
    crossed = Slice(0.6, 0.006, 0.05, -0.1, 0.0, 0.15)  # too flat to the left
    planted = Surface((FIRST, MIDDLE, crossed, LAST))
    cleaned, reports = clean(planted)
    assert [one.crossing_before is not None and one.crossing_before < 0 for one in reports] == [
        False,
        False,
        True,
        False,
    ]
    assert all(one.crossing_after >= 0 for one in reports[1:])
    assert cleaned.slices[:2] == planted.slices[:2]
    k = dense(*planted.slices)
    for one, later in pairwise(cleaned.slices):
        assert (later.total_variance(k) >= one.total_variance(k)).all()


def test_reports_tell_what_was_done():
    at = np.linspace(-0.4, 0.3, 9)
    crossed = Slice(0.6, 0.006, 0.05, -0.1, 0.0, 0.15)
    surface = Surface((MIDDLE, crossed))
    cleaned, (kept, moved) = clean(surface, [at, at[2:]])
    shift = np.abs(cleaned.slices[1].volatility(at[2:]) - crossed.volatility(at[2:]))
    assert (kept.tau, moved.tau, kept.quotes, moved.quotes) == (0.4, 0.6, 9, 7)
    assert moved.largest_move == pytest.approx(shift.max(), rel=1e-12)
    assert moved.rms_move == pytest.approx(math.sqrt((shift**2).mean()), rel=1e-12)
    assert moved.moved == (shift > 1e-6).sum() > 0
    k = strikes(surface.slices)
    assert (moved.g_before, moved.g_after) == (butterfly(crossed, k), butterfly(cleaned.slices[1], k))
    assert moved.crossing_after == calendar(*cleaned.slices, k)


TAUS = (0.25, 0.5)


@settings(law, max_examples=3)
@given(first=smiles(TAUS[0]), second=smiles(TAUS[1]))
def test_prices_on_a_cleaned_surface_have_no_arbitrage(first, second):
    """Calls are convex in the strike, at slices and nearer to expiry, and at equal forward moneyness rise with time."""
    cleaned, reports = clean(Surface((first, second)))
    k = torch.from_numpy(np.linspace(-1.5, 1.5, 1501))
    strike = k.exp()
    tau = torch.linspace(0.02, 1.0, 50, dtype=torch.float64).unsqueeze(-1)
    # The wings of a put and of a call keep their digits: of each strike the one out of the money.
    put, call = (
        price(torch.ones(()).double(), strike, tau, cleaned.volatility(k, tau), right=right)
        for right in ("put", "call")
    )
    assert (put.diff(dim=0) >= -1e-14).all()
    assert (call.diff(dim=0) >= -1e-14).all()
    steps = strike.diff()
    for row in (tau <= TAUS[0] + 1e-9).flatten().nonzero().flatten().tolist():
        for right in (put[row], call[row]):
            assert ((right.diff() / steps).diff() >= -1e-10).all()
    last = price(torch.ones(()).double(), strike, TAUS[1], cleaned.volatility(k, torch.tensor(TAUS[1]).double()))
    assert ((last.diff() / steps).diff() >= -1e-10).all()
    k = dense(*cleaned.slices)
    assert min(one.durrleman(k).min() for one in cleaned.slices) >= -1e-9
    assert (cleaned.slices[1].total_variance(k) >= cleaned.slices[0].total_variance(k)).all()
    assert min(one.g_after for one in reports) >= 0


# ---- from quotes ---------------------------------------------------------------------------------------------------


def quotes(surface, k):
    tau = np.repeat([one.tau for one in surface.slices], len(k))
    return tau, np.tile(k, len(surface.slices)), np.concatenate([one.volatility(k) for one in surface.slices])


def test_quotes_of_a_sound_surface_give_it_back():
    k = np.linspace(-0.4, 0.4, 11)
    tau, at, volatility = quotes(SOUND, k)
    order = np.random.default_rng(0).permutation(len(tau))
    fitted, cleaned, reports = from_quotes(tau[order], at[order], volatility[order])
    assert fitted == cleaned
    assert [one.quotes for one in reports] == [11, 11, 11]
    for found, one in zip(cleaned.slices, SOUND.slices, strict=True):
        np.testing.assert_allclose(found.volatility(k), one.volatility(k), atol=1e-7)
        assert found.tau == one.tau

    weights = np.ones(len(tau))
    volatility[15], weights[15] = 0.9, 0.0
    weighed, _, _ = from_quotes(tau[order], at[order], volatility[order], weights=weights[order])
    np.testing.assert_allclose(weighed.slices[1].volatility(k), MIDDLE.volatility(k), atol=1e-7)


# ---- input ---------------------------------------------------------------------------------------------------------


def test_quotes_that_make_no_surface():
    k = np.linspace(-0.4, 0.4, 11)
    tau, at, volatility = quotes(SOUND, k)
    none, first = np.array([]), tau == 0.1
    cases = {
        r"^surface: there are no quotes; a slice needs 5$": (none, none, none),
        r"^surface: arrays of 33, 32, 33 quotes; give one of each a quote$": (tau, at[1:], volatility),
        r"^svi: 4 strikes at 0\.1 years": (tau[7:], at[7:], volatility[7:]),
        r"at 0\.1 years is not positive and finite": (tau, at, np.where(first, math.nan, volatility)),
        r"^surface: a maturity of -0\.1 years is not positive": (np.where(first, -0.1, tau), at, volatility),
        r"^surface: a maturity of nan years is not positive": (np.where(first, math.nan, tau), at, volatility),
    }
    for message, given_quotes in cases.items():
        with pytest.raises(InputError, match=message):
            from_quotes(*given_quotes)
    with pytest.raises(InputError, match=r"^surface: arrays of 33, 33, 33, 3 quotes; give one of each a quote$"):
        from_quotes(tau, at, volatility, weights=np.ones(3))


def test_strikes_of_quotes_go_with_slices():
    at = np.linspace(-0.4, 0.4, 11)
    for bad in ([at], [at, at, at[:0]]):
        with pytest.raises(InputError, match=rf"^surface: quotes has {len(bad)} arrays of strikes for 3 slices; give"):
            clean(SOUND, bad)


def test_a_slice_that_cannot_be_mended_is_named(monkeypatch):
    monkeypatch.setattr(arbitrage, "_holds", lambda *_: False)
    with pytest.raises(InputError, match=r"^surface: the slice at 0\.1 years cannot be freed of arbitrage; leave its"):
        clean(Surface((FIRST,)))
