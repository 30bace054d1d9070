"""How often to rehedge: the least of costs and risk, which move it the right way."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.state_builder import StateSettings
from praesidium.policies import leland_number, optimal_hedge_frequency
from praesidium.policies.leland import Leland
from praesidium.training.reproducibility import stream

VOLATILITIES = torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64)
SURE = torch.eye(3, dtype=torch.float64)
BOOK = {"dollar_gamma": 4.0, "risk_aversion": 100.0}
law = settings(deadline=None, derandomize=True, max_examples=40)


def chain(stay):
    """Leaves each regime with probability 1 - stay, for either of the others."""
    return stay * SURE + (1 - stay) / 2 * (1 - SURE)


def frequency(belief=SURE[1], stay=0.98, cost=1e-3, volatilities=VOLATILITIES, **other):
    return optimal_hedge_frequency(belief, chain(stay), volatilities, cost_rate=cost, **{**BOOK, **other}).item()


@pytest.mark.parametrize("regime", [0, 1, 2])
def test_in_one_regime_it_is_the_least_of_cost_and_half_the_aversion_times_variance(regime):
    found, sigma = frequency(SURE[regime], stay=1.0), VOLATILITIES[regime]
    gamma, aversion, cost = BOOK["dollar_gamma"], BOOK["risk_aversion"], 1e-3
    dt = torch.logspace(-6, 0, 200_001, dtype=torch.float64)
    paid = gamma * sigma**2 / 2 * leland_number(sigma, cost_rate=cost, interval=1.0) * (1 / 252 / dt) ** 0.5
    left = gamma**2 * sigma**4 * dt / 2
    assert found == pytest.approx(1 / dt[(paid + aversion / 2 * left).argmin()].item(), rel=1e-3)


def test_cost_and_error_are_those_of_a_book_of_constant_gamma():
    """A thousand years of rehedging every two days."""
    sigma, gamma, dt, cost = 0.2, 4.0, 2 / 252, 1e-3
    moves = sigma * dt**0.5 * torch.randn(126_000, dtype=torch.float64, generator=stream("tests", "moves"))
    paid = cost * gamma * moves.abs().mean() / dt
    error = (gamma / 2 * (moves.square() - sigma**2 * dt)).var() / dt
    number = leland_number(torch.tensor(sigma), cost_rate=cost, interval=2.0)
    assert paid.item() == pytest.approx((gamma * sigma**2 / 2 * number).item(), rel=0.01)
    assert error.item() == pytest.approx(gamma**2 * sigma**4 * dt / 2, rel=0.03)


@law
@given(cost=st.floats(1e-5, 1e-2), factor=st.floats(1.1, 50), stay=st.floats(0.5, 1), regime=st.integers(0, 2))
def test_dearer_trades_are_made_less_often_and_volatile_books_more_often(cost, factor, stay, regime):
    now = frequency(SURE[regime], stay, cost)
    assert frequency(SURE[regime], stay, factor * cost) == pytest.approx(now / factor ** (2 / 3))
    assert frequency(SURE[regime], stay, cost, factor * VOLATILITIES) == pytest.approx(now * factor**2)
    assert frequency(SURE[regime], stay, cost, dollar_gamma=4 * factor) == pytest.approx(now * factor ** (2 / 3))


@pytest.mark.parametrize("regime", [0, 2])
def test_the_longer_regimes_last_the_closer_it_is_to_the_optimum_of_the_one_of_now(regime):
    alone = frequency(SURE[regime], stay=1.0)
    distances = [abs(frequency(SURE[regime], stay) - alone) for stay in (0.5, 0.8, 0.95, 0.99, 0.999, 1.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == 0
    assert distances[0] > 10 * distances[-2]


def test_without_persistence_the_regime_of_now_hardly_matters():
    calm, wild = (frequency(SURE[regime], stay=1 / 3, horizon=250) for regime in (0, 2))
    assert calm == pytest.approx(wild, rel=0.02)


def test_ten_times_the_cost_gives_a_longer_interval_in_days():
    intervals = [252 / frequency(cost=cost) for cost in (1e-4, 1e-3, 1e-2)]
    assert intervals == sorted(intervals)
    assert 0.5 < intervals[1] < 20


def test_it_follows_each_belief_and_is_infinite_where_trading_is_free():
    beliefs = torch.stack([SURE, SURE.flip(0)])
    found = optimal_hedge_frequency(beliefs, chain(0.98), VOLATILITIES, cost_rate=1e-3, **BOOK)
    assert found.shape == (2, 3)
    assert torch.equal(found[0], found[1].flip(0))
    assert frequency(cost=0.0) == math.inf


def test_the_number_is_that_of_the_leland_policy(calm):
    state = StateSettings(revalue=True).fit([calm], EuropeanCall()).build(calm, 1e-3)
    claim, volatility = state.valued
    number = leland_number(volatility, cost_rate=1e-3, interval=252 * claim.dt)
    expected = state.greeks(volatility * (1 + number).sqrt()).delta
    torch.testing.assert_close(Leland().positions(state), expected)


def test_what_a_regime_model_gives_fits_whatever_the_precision_of_the_volatilities():
    belief, matrix = (one.numpy() for one in (SURE[1], chain(0.98)))
    whole = torch.tensor([1, 2, 5])
    for volatilities in (whole, whole.float(), whole.numpy()):
        found = optimal_hedge_frequency(belief, matrix, volatilities, cost_rate=1e-3, **BOOK)
        assert found.dtype == torch.float64
        assert found.item() == frequency(volatilities=whole.double())
    single = optimal_hedge_frequency(SURE[1].float(), matrix, VOLATILITIES, cost_rate=1e-3, **BOOK)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(frequency(), rel=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cost": 5.0}, "cost_rate=5 is not a rate"),
        ({"horizon": 0}, "horizon=0 is too few"),
        ({"dollar_gamma": -1.0}, "dollar_gamma=-1 is not above 0"),
        ({"volatilities": 0 * VOLATILITIES}, "not all above 0"),
        ({"volatilities": math.inf * VOLATILITIES}, "not all above 0 and finite"),
        ({"volatilities": VOLATILITIES[0]}, "give one for each regime"),
        ({"stay": math.nan}, "rows of transition do not sum to one, or hold NaN"),
        ({"belief": 2 * SURE[0]}, "do not sum to one"),
    ],
)
def test_numbers_out_of_bounds_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        frequency(**wrong)
