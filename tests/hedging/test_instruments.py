"""Several instruments: options keep a maturity of their own, and the books are those of a cash account."""

import math
from dataclasses import replace

import pytest
import torch

from praesidium.component import InputError
from praesidium.data.frictions import Frictions
from praesidium.hedging.asset import Asset
from praesidium.hedging.episode import settle
from praesidium.hedging.instruments import contracts_of
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.listed import Listed
from praesidium.hedging.rollout import Scene, Trial
from praesidium.training.reproducibility import stream

HORIZON, RATE = 30, 2e-3
NEAR, FAR = Listed(right="put", moneyness=0.95, days=12, cost_multiple=20), Listed(days=45, cost_multiple=10)
BOTH = (NEAR, FAR)
EVERYTHING = Frictions(
    quadratic=0.01,
    impact=0.02,
    resilience=0.7,
    fixed=1e-4,
    by_day=(1.0, 1.5, 0.5),
    widening=2.0,
    margin=1e-4,
    crisis_volatility=0.35,
    unwind=True,
)


def black_scholes(right, spot, strike, years, volatility, rate=0.0, dividend=0.0):
    sign = 1 if right == "call" else -1
    width = volatility * math.sqrt(years)
    if width == 0:
        return max(sign * (spot - strike), 0.0)
    forward = spot * math.exp((rate - dividend) * years)
    d1 = math.log(forward / strike) / width + width / 2
    normal = lambda x: 0.5 * math.erfc(-x / math.sqrt(2))  # noqa: E731
    return sign * math.exp(-rate * years) * (forward * normal(sign * d1) - strike * normal(sign * (d1 - width)))


def positions_of(paths, instruments=2):
    shape = (paths.horizon, paths.count, 1 + instruments)
    return torch.randn(shape, dtype=torch.float64, generator=stream("tests", "several positions"))


def test_an_option_of_forty_days_that_hedges_one_of_twenty_is_priced_at_forty_days(wild):
    """Its price does not depend on the length of the simulation."""
    option, level = Listed(days=40), torch.full((21, 8), 0.3, dtype=torch.float64)
    flat = replace(wild.take(slice(0, 8)), spot=torch.ones(41, 8, dtype=torch.float64), implied=level)
    contract = option.contract(flat, level)
    assert contract.price[0, 0].item() == pytest.approx(black_scholes("call", 1, 1, 40 / 252, 0.3), abs=1e-14)
    assert contract.price[19, 0].item() == pytest.approx(black_scholes("call", 1, 1, 21 / 252, 0.3), abs=1e-14)
    assert contract.price[0, 0].item() != pytest.approx(black_scholes("call", 1, 1, 20 / 252, 0.3), rel=0.1)


@pytest.mark.parametrize("world", ["optioned", "carried"])
def test_a_listed_option_is_priced_over_its_own_time_and_rolled_at_expiry(world, request):
    paths = request.getfixturevalue(world)
    (near, _), carry = contracts_of(paths, BOTH), (paths.rate, paths.dividend)
    for path in (0, 7):
        spot, level = paths.episode[:, path].tolist(), paths.listed[0][:, path].tolist()
        for day in range(HORIZON):
            strike = 0.95 * spot[day - day % 12]
            now, after = (
                math.exp(-carry[0] * t / 252)
                * black_scholes("put", spot[t], strike, left / 252, level[t] if left else 0.0, *carry)
                for t, left in ((day, 12 - day % 12), (day + 1, 11 - day % 12))
            )
            assert near.price[day, path].item() == pytest.approx(now, abs=1e-12)
            assert near.gains[day, path].item() == pytest.approx(after - now, abs=1e-12)
    assert near.fresh.tolist() == [day % 12 == 0 for day in range(HORIZON)]


@pytest.mark.parametrize("frictions", [Frictions(), EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("world", ["optioned", "carried"])
def test_the_books_are_those_of_a_cash_account(world, frictions, request):
    """A trader with cash that earns interest, shares that pay dividends, and options that are settled at expiry."""
    paths = request.getfixturevalue(world)
    call, held = EuropeanCall(strike=1.02), positions_of(paths)
    episode = settle(held, paths, call, RATE, instruments=BOTH, frictions=frictions)
    near, far = contracts_of(paths, BOTH)
    log_returns = paths.spot.log().diff(dim=0)
    grown = math.exp(paths.rate / 252)
    for path in (0, 11):
        spot = paths.episode[:, path].tolist()
        first = black_scholes(
            "call", 1.0, 1.02, HORIZON / 252, paths.implied[0, path].item(), paths.rate, paths.dividend
        )
        cash, book, displaced = first, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        assert episode.premium[path].item() == pytest.approx(first, abs=1e-12)
        for day in range(HORIZON):
            money = grown**day  # of this day, for one of inception
            prices = [spot[day], *(one.price[day, path].item() * money for one in (near, far))]
            if day:
                cash = cash * grown
                cash += book[0] * spot[day] * (math.exp(paths.dividend / 252) - 1)  # the dividend of the day
            if near.fresh[day] and day:
                strike = 0.95 * spot[day - 12]
                cash += book[1] * max(strike - spot[day], 0.0)
                book[1] = 0.0
            realized = math.sqrt((log_returns[day : day + 20, path].square().mean() * 252).item())
            spread = [1.0, 1.5, 0.5][min(day, 2)] if frictions.by_day else 1.0
            spread *= 1 + frictions.widening * max(0.0, realized / 0.35 - 1)
            if realized > 0.35:
                cash -= frictions.margin * spot[day]
            for one, multiple in enumerate((1, 20, 10)):
                wanted = held[day, path, one].item()
                trade = wanted - book[one]
                cash -= trade * prices[one] + RATE * multiple * spread * prices[one] * abs(trade)
                cash -= frictions.quadratic * prices[one] * trade**2
                cash -= prices[one] * (displaced[one] * trade + frictions.impact * trade**2 / 2)
                displaced[one] = (displaced[one] + frictions.impact * trade) * math.exp(-0.7)
                cash -= frictions.fixed * money
                book[one] = wanted
        cash *= grown
        final = spot[-1] * math.exp(paths.dividend / 252)
        last = [final, *((one.price[-1, path] + one.gains[-1, path]).item() * grown**HORIZON for one in (near, far))]
        wealth = cash + sum(position * price for position, price in zip(book, last, strict=True))
        if frictions.unwind:
            for one, multiple in enumerate((1, 20, 10)):
                wealth -= abs(book[one]) * last[one] * RATE * multiple * spread
                wealth -= frictions.quadratic * last[one] * book[one] ** 2 + frictions.fixed * grown**HORIZON
        wealth -= max(spot[-1] - 1.02, 0.0)
        assert episode.pnl[path].item() == pytest.approx(wealth / grown**HORIZON, abs=1e-11)


@pytest.mark.parametrize("frictions", [Frictions(), EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("world", ["optioned", "carried"])
def test_scene_trial_and_books_agree(world, frictions, trader, request):
    paths = request.getfixturevalue(world)
    held = positions_of(paths)
    episode = settle(held, paths, trader.liability, RATE, instruments=BOTH, frictions=frictions)
    scene = Scene.make(paths, trader, RATE, frictions=frictions)
    torch.testing.assert_close(scene.losses(held), -episode.pnl, atol=1e-12, rtol=0)
    doubled = Scene.join([scene, scene]).replicas(2)
    losses = doubled.losses(torch.stack([held, held], dim=1))
    torch.testing.assert_close(losses, -episode.pnl.expand(2, -1), atol=1e-12, rtol=0)
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(scene.take(chosen).losses(held[:, chosen]), -episode.pnl[chosen], atol=1e-12, rtol=0)

    class Fixed:
        def positions(self, state):
            return held

    (one,) = Trial.make(paths, trader, RATE, frictions=frictions).episodes(Fixed())
    torch.testing.assert_close(one.daily, episode.daily, atol=0, rtol=0)


def test_the_textbook_hedge_of_one_claim_is_delta_in_the_spot(trader, optioned):
    state = trader.build(optioned, RATE)
    assert torch.equal(state.hedge[..., 0], state.delta)
    assert (state.hedge[..., 1:] == 0).all()
    assert torch.equal(state.book(state.gamma)[..., 0], state.gamma)
    assert state.prices.shape == state.hedge.shape
    assert state.hedges.shape == (*state.delta.shape, 2, 3)


@pytest.mark.parametrize("time", [0, 10, 12, 25])
def test_the_future_cannot_move_what_is_known_of_an_option(time, trader, optioned, future):
    before, after = (trader.build(one, RATE, frictions=EVERYTHING) for one in (optioned, future(optioned, time)))
    for name in ("prices", "hedges", "vega", "anchor", "spread", "features"):
        assert torch.equal(getattr(before, name)[: time + 1], getattr(after, name)[: time + 1]), name
    assert not torch.equal(before.prices[time + 1 :], after.prices[time + 1 :])


def test_an_asset_that_the_market_does_not_have_is_refused(optioned):
    with pytest.raises(InputError, match="asset 0 is wanted, but the market has 0 beside the spot"):
        contracts_of(optioned, (Asset(),))
