"""Claims that pay by the last price alone: what they are made of, and the smile."""

from dataclasses import replace

import pytest
import torch

from praesidium.component import InputError, build
from praesidium.hedging.liabilities.call_spread import CallSpread
from praesidium.hedging.liabilities.digital import Digital
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.liabilities.european_put import EuropeanPut
from praesidium.hedging.liabilities.straddle import Straddle
from praesidium.hedging.liability import Liability
from praesidium.pricing import black_scholes, digital

STRIKE = 1.04


class Tilted:
    def ratio(self, moneyness, years):
        return 1 - 0.5 * moneyness


@pytest.fixture(scope="module")
def paths(wild):
    return replace(wild.take(slice(0, 16)), smile=Tilted()).carried(0.05, 0.02)


def all_of(claim, paths):
    at = claim.conditions(paths)
    return torch.stack([claim.value(at), *claim.greeks(at)[:2], claim.vega(at)])


def test_call_less_put_is_a_forward(paths):
    call, put = (all_of(kind(strike=STRIKE), paths) for kind in (EuropeanCall, EuropeanPut))
    at = EuropeanCall().conditions(paths)
    stock, bond = torch.exp(-0.02 * at.tau), torch.exp(-0.05 * at.tau)
    torch.testing.assert_close(call[0] - put[0], at.spot * stock - STRIKE * bond, atol=1e-14, rtol=0)
    torch.testing.assert_close(call[1] - put[1], stock.expand_as(at.spot), atol=1e-14, rtol=0)
    torch.testing.assert_close(call[2:], put[2:], atol=1e-10, rtol=1e-12)


def test_a_straddle_is_a_call_and_a_put(paths):
    call, put, straddle = (all_of(kind(strike=STRIKE), paths) for kind in (EuropeanCall, EuropeanPut, Straddle))
    torch.testing.assert_close(straddle, call + put, atol=1e-14, rtol=0)
    torch.testing.assert_close(
        Straddle(strike=STRIKE).payoff(paths), (paths.episode[-1] - STRIKE).abs(), atol=0, rtol=0
    )


def test_a_spread_is_two_calls_each_at_the_volatility_of_its_strike(paths):
    low, high = (all_of(EuropeanCall(strike=one), paths) for one in (STRIKE, 1.2))
    spread = CallSpread(strike=STRIKE, upper=1.2)
    torch.testing.assert_close(all_of(spread, paths), low - high, atol=1e-13, rtol=1e-12)
    level = paths.implied[0, 0].item()
    flat = black_scholes.price(paths.episode[0, 0], 1.2, 60 / 252, level, rate=0.05, dividend=0.02)
    assert abs(high[0, 0, 0] - flat) > 1e-3
    assert spread.payoff(paths).max().item() == pytest.approx(1.2 - STRIKE, abs=1e-15)


@pytest.mark.parametrize("right", ["call", "put"])
def test_a_digital_pays_its_cash_at_the_volatility_of_its_strike(paths, right):
    claim = Digital(strike=STRIKE, cash=0.3, right=right)
    at = claim.conditions(paths)
    exact = 0.3 * digital.price(at.spot, STRIKE, at.tau, at.volatility(STRIKE), rate=0.05, dividend=0.02, right=right)
    torch.testing.assert_close(claim.value(at), exact, atol=0, rtol=0)
    won = paths.episode[-1] > STRIKE if right == "call" else paths.episode[-1] <= STRIKE
    assert claim.payoff(paths).tolist() == [0.3 if one else 0.0 for one in won.tolist()]
    assert 0 < won.sum() < 16


def test_a_spread_that_grows_nowhere_is_refused():
    with pytest.raises(InputError, match=r"upper: 1 is not above strike 1\.05"):
        build(Liability, {"kind": "call_spread", "strike": 1.05, "upper": 1.0})
