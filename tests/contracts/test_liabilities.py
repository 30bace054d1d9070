"""Every claim, by its registry: what the rest of the library relies on."""

from dataclasses import replace

import pytest
import torch

from praesidium.component import build
from praesidium.experiments.composition import options
from praesidium.experiments.study import compose, register_members
from praesidium.hedging.conditions import Conditions
from praesidium.hedging.episode import settle
from praesidium.hedging.liabilities.barrier import Barrier
from praesidium.hedging.liabilities.forward_start import ForwardStart
from praesidium.hedging.liabilities.lookback import Lookback
from praesidium.hedging.liability import Liability
from praesidium.hedging.rollout import Scene
from praesidium.hedging.state_builder import StateSettings
from praesidium.markets.correlated import CorrelatedBrownian
from praesidium.training.reproducibility import stream

register_members()
VARIANTS = [
    *(kind(right="put") for kind in Liability.registry.values() if "right" in kind.model_fields),
    Lookback(style="floating"),
    Barrier(knock="in"),
    Barrier(barrier=1.05, direction="up", knock="in", right="put"),
    Barrier(barrier=1.15, direction="up"),
    ForwardStart(start=0),
]
CLAIMS = [*(kind() for kind in Liability.registry.values()), *VARIANTS]
# What the stated approximations may add to an error of chance, in units of the spot.
APPROXIMATION = {"asian": 3e-5, "barrier": 1e-4, "basket": 5e-5, "lookback": 2.5e-4}

every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda one: f"{one.kind}-{one.fingerprint()[:3]}")
CARRY = (0.04, 0.01)


@pytest.fixture(scope="module")
def paths():
    """Few paths of two assets whose option volatilities move, with interest and dividends."""
    drawn = CorrelatedBrownian().simulate(
        paths=12, horizon=60, lookback=20, generator=stream("contract", "claims"), dtype=torch.float64
    )
    noise = torch.randn(drawn.implied.shape, dtype=torch.float64, generator=stream("contract", "marks"))
    return replace(drawn, implied=drawn.implied * (0.1 * noise).exp()).carried(*CARRY)


@pytest.fixture(scope="module")
def many():
    return CorrelatedBrownian(sampling="antithetic").simulate(
        paths=100_000, horizon=60, lookback=1, generator=stream("contract", "many")
    )


def rewritten(paths, time):
    """Another future from a day on."""
    first, noise = paths.lookback + time + 1, stream("contract", "future")
    factor = (0.2 * torch.randn(paths.spot.shape, dtype=torch.float64, generator=noise)).exp()
    factor[:first] = 1
    later = factor[paths.lookback :]
    return replace(
        paths,
        spot=paths.spot * factor,
        implied=paths.implied * later,
        others=paths.others * factor,
        others_implied=paths.others_implied * later,
    )


def moved(at: Conditions, step: float) -> Conditions:
    return replace(at, spot=at.spot + step)


@every_claim
@pytest.mark.parametrize("time", [0, 45])
def test_the_future_moves_nothing(claim, paths, time):
    known = slice(0, time + 1)
    before, after = (claim.conditions(one) for one in (paths, rewritten(paths, time)))
    assert not torch.equal(before.spot, after.spot)

    def same(one, other):
        torch.testing.assert_close(one[known], other[known], atol=0, rtol=0, equal_nan=True)

    if before.summary is not None:
        same(before.summary, after.summary)
    same(claim.value(before), claim.value(after))
    for one, other in zip(claim.greeks(before), claim.greeks(after), strict=True):
        if one is not None:
            first, second = (x if x.ndim == 2 else x[0] for x in (one, other))
            same(first, second)
    same(claim.log_moneyness(before.spot), claim.log_moneyness(after.spot))


@every_claim
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_value_ends_in_the_payoff(claim, paths, dtype):
    exact = paths.to(dtype=dtype)
    at = claim.conditions(exact).at(-1)
    payoff = claim.payoff(exact)
    assert payoff.dtype == claim.value(at).dtype == dtype
    torch.testing.assert_close(claim.value(at), payoff, atol=2e-6 if dtype == torch.float32 else 1e-13, rtol=0)
    torch.testing.assert_close(claim.marks(exact)[-1], payoff * exact.discount[-1], atol=0, rtol=0)
    torch.testing.assert_close(claim.owed(exact), claim.marks(exact)[-1] - claim.marks(exact)[0])


@every_claim
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_greeks_are_finite_to_the_end(claim, paths, dtype):
    at = claim.conditions(paths.to(dtype=dtype))
    assert claim.value(at).isfinite().all()
    assert all(one.isfinite().all() for one in claim.greeks(at) if one is not None)
    assert claim.vega(at).isfinite().all()
    assert claim.log_moneyness(at.spot).isfinite().all()
    spot = at.spot.clone().requires_grad_()
    level = at.level.clone().requires_grad_()
    value = claim.value(replace(at, spot=spot, level=level))
    assert all(one.isfinite().all() for one in torch.autograd.grad(value.sum(), (spot, level)))


@every_claim
def test_greeks_are_derivatives_of_the_value(claim, paths):
    at, h = claim.conditions(paths).at(slice(0, 58)), 1e-6
    greeks = claim.greeks(at)
    slope = (claim.value(moved(at, h)) - claim.value(moved(at, -h))) / (2 * h)
    curve = (claim.greeks(moved(at, h)).delta - claim.greeks(moved(at, -h)).delta) / (2 * h)
    torch.testing.assert_close(greeks.delta, slope, atol=2e-7, rtol=1e-6)
    torch.testing.assert_close(greeks.gamma, curve, atol=2e-5, rtol=1e-5)
    up, down = (claim.value(replace(at, level=at.level + step)) for step in (h, -h))
    torch.testing.assert_close(claim.vega(at), (up - down) / (2 * h), atol=2e-7, rtol=1e-5)


@every_claim
def test_the_premium_is_what_the_payoff_costs_on_average(claim, many):
    """With interest and dividends; antithetic pairs are one draw each."""
    owed = claim.owed(many.carried(*CARRY)).double()
    pairs = 0.5 * (owed[:50_000] + owed[50_000:])
    error = pairs.std() / len(pairs) ** 0.5
    assert error > 0
    assert abs(pairs.mean()) < 3 * error + APPROXIMATION.get(claim.kind, 0)


@every_claim
@pytest.mark.parametrize("time", [25, 55])
def test_what_is_remembered_goes_into_the_value(claim, many, time):
    """Given the path so far, value and payoff have the same mean: also among those with a high or a low value now."""
    some = many.take(slice(0, 10_000)).carried(*CARRY)
    marks = claim.value(claim.conditions(some).at(time)) * some.discount[time]
    missed = (claim.payoff(some) * some.discount[-1] - marks).double()
    high = marks >= marks.median()
    for group in (missed[high], missed[~high]):
        if len(group) > 1000:
            error = group.std() / len(group) ** 0.5
            # With five days left a correction for discrete monitoring is at its roughest.
            assert abs(group.mean()) < 3.5 * error + 2 * APPROXIMATION.get(claim.kind, 0) + 1e-6


@every_claim
def test_marks_telescope_to_premium_and_payoff(claim, paths):
    positions = torch.randn(60, paths.count, dtype=torch.float64, generator=stream("contract", "positions"))
    episode = settle(positions, paths, claim, 1e-3)
    spot = paths.episode * paths.discount
    trades = positions.diff(dim=0, prepend=torch.zeros_like(positions[:1])).abs()
    gains = (positions * (spot[1:] * paths.growth - spot[:-1]) - 1e-3 * trades * spot[:-1]).sum(0)
    premium = claim.value(claim.conditions(paths).at(0))
    expected = premium - claim.payoff(paths) * paths.discount[-1] + gains
    torch.testing.assert_close(episode.daily.sum(0), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(episode.pnl, episode.daily.sum(0), atol=1e-12, rtol=0)


@every_claim
def test_a_state_and_a_scene_can_be_made_of_it(claim, paths):
    builder = StateSettings().fit([paths], claim)
    scene = Scene.make(paths, builder, 1e-3)
    assert scene.state.features.isfinite().all()
    delta = scene.state.delta
    torch.testing.assert_close(scene.losses(delta), -settle(delta, paths, claim, 1e-3).pnl, atol=1e-12, rtol=0)


@every_claim
def test_settings_round_trip(claim):
    assert build(Liability, claim.settings()) == claim


@pytest.mark.parametrize("kind", sorted(Liability.registry))
def test_a_study_can_choose_it(kind):
    assert kind in options("liability")
    assert compose([f"liability={kind}", "data=correlated_assets"]).liability == Liability.registry[kind]()
