import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError, build
from praesidium.data.volatility import BANDS
from praesidium.experiments.study import compose
from praesidium.markets.market import Market
from praesidium.markets.switching import Switching
from praesidium.training.reproducibility import stream

DAY = 1 / 252
USUAL = Switching()
RING = Switching(
    volatilities=(0.4, 0.1, 0.2, 0.3),  # in no order
    durations=(3, 10, 5, 1),
    moves=((0, 1, 0, 0), (0.25, 0, 0.75, 0), (0, 0, 0, 1), (0.5, 0.5, 0, 0)),
)
EITHER = pytest.mark.parametrize("market", [USUAL, RING], ids=["usual", "ring"])


def draw(market, *, seed=0, paths=2000, steps=60, dt=DAY, left=((0.0,),), dtype=torch.float64):
    years = torch.as_tensor(left, dtype=dtype) * dt
    generator = stream("switching", seed)
    return market.sample_marked(paths=paths, steps=steps, left=years, dt=dt, generator=generator, dtype=dtype)


def stays(regime):
    """State and length of the stays that begin and end within the paths."""
    for path in regime.T:
        ends = path.diff().nonzero().squeeze(-1) + 1
        yield from zip(path[ends[:-1]].tolist(), ends.diff().tolist(), strict=True)


def z_score(samples, expected):
    samples = torch.as_tensor(samples, dtype=torch.float64)
    return abs(samples.mean().item() - expected) / (samples.std().item() / math.sqrt(len(samples)))


@EITHER
def test_each_time_has_the_stationary_shares(market):
    regime = draw(market, paths=20_000).regime

    chain = market.transition()
    np.testing.assert_allclose(market.stationary @ chain, market.stationary, atol=1e-14)
    for time, (state, share) in product((0, 1, 17, 60), enumerate(market.stationary)):
        assert z_score(regime[time] == state, share) < 3.5, (time, state)  # the worst of 16


def test_shares_of_equal_moves_go_by_durations():
    np.testing.assert_allclose(USUAL.stationary, np.array([120, 60, 20]) / 200)


@pytest.mark.parametrize("dt", [DAY, DAY / 2])
def test_stays_last_as_long_and_lead_where_they_should(dt):
    steps = 6000
    regime = draw(RING, paths=40, steps=steps, dt=dt).regime
    lengths = [[] for _ in RING.durations]
    for state, length in stays(regime):
        lengths[state].append(length * dt * 252)

    for state, duration in enumerate(RING.durations):
        if duration == 252 * dt:
            assert set(lengths[state]) == {1.0}
        else:
            assert z_score(lengths[state], duration) < 3
    pairs = torch.stack([regime[:-1].flatten(), regime[1:].flatten()])
    for state, row in enumerate(RING.moves):
        after = pairs[1, (pairs[0] == state) & (pairs[1] != state)]
        for other, probability in enumerate(row):
            went = (after == other).double()
            if probability in (0, 1):
                assert (went == probability).all()
            else:
                assert z_score(went, probability) < 3


@EITHER
def test_transitions_of_a_period_are_those_of_the_matrix(market):
    regime = draw(market, paths=40_000, steps=3).regime

    chain = market.transition()
    np.testing.assert_allclose(chain.sum(1), 1)
    for state, row in enumerate(chain):
        after = regime[3][regime[2] == state]
        for other, probability in enumerate(row):
            if 0 < probability < 1:
                assert z_score(after == other, probability) < 3.5, (state, other)  # the worst of 20
            else:
                assert ((after == other) == probability).all()


@EITHER
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_state_explains_the_variance(market, dtype):
    generator = stream("switching", 0)
    spot, variance = market.sample(paths=2000, steps=60, dt=DAY, generator=generator, dtype=dtype)
    result = draw(market, dtype=dtype)

    assert torch.equal(spot, result.spot)
    assert spot.dtype == variance.dtype == result.expected.dtype == dtype
    assert result.regime.dtype == torch.int64
    assert torch.equal(
        variance, torch.tensor(market.volatilities, dtype=torch.float64)[result.regime].square().to(dtype)
    )


def test_gains_are_normal_in_the_state_at_the_beginning_of_the_period():
    market = Switching(volatilities=(0.1, 0.5), drifts=(3.0, -2.0), durations=(3, 3))
    result = draw(market, paths=2000, steps=20)
    z = {}
    for state in (0, 1):
        gains = result.spot.log().diff(dim=0)[result.regime[:-1] == state]
        z[state] = (gains - market.drifts[state] * DAY) / (market.volatilities[state] * math.sqrt(DAY))
        assert z_score(z[state], 0) < 3
        assert z_score(z[state] ** 2, 1) < 3
        assert z_score(z[state] ** 4, 3) < 3
    plain = draw(market.model_copy(update={"drifts": None}), paths=2000, steps=20)
    assert torch.equal(plain.regime, result.regime)
    v = torch.tensor([0.01, 0.25], dtype=torch.float64)[plain.regime[:-1]]
    drift = torch.tensor([3.0, -2.0], dtype=torch.float64)[plain.regime[:-1]] * DAY
    torch.testing.assert_close(plain.spot.log().diff(dim=0) + v * DAY / 2, result.spot.log().diff(dim=0) - drift)


@EITHER
@pytest.mark.parametrize("days", [1, 2, 4])
def test_expected_variance_by_all_the_ways_the_chain_can_go(market, days):
    chain, states = market.transition(), range(len(market.volatilities))
    squares = np.square(market.volatilities)
    exact = np.zeros(len(states))
    for way in product(states, repeat=days):
        exact[way[0]] += math.prod(chain[pair] for pair in pairwise(way)) * squares[list(way)].mean()

    ours = market.expected_variance(torch.tensor(squares), days / 252)
    np.testing.assert_allclose(ours.numpy(), exact, rtol=1e-12)


@EITHER
def test_marks_are_what_the_paths_average_to(market):
    days, lookback, paths = 25, 5, 20_000
    left = [[*range(days, -1, -1)], [*range(days - 8, -1, -1), *[0] * 8]]
    result = draw(market, steps=lookback + days, paths=paths, left=left)
    v = torch.tensor(market.volatilities, dtype=torch.float64).square()[result.regime]

    for curve, periods in enumerate(left):
        for day in (0, 7, 14):
            begin = lookback + day
            surprise = v[begin : begin + periods[day]].mean(0) - result.expected[curve, day]
            for state in range(len(market.volatilities)):
                assert z_score(surprise[result.regime[begin] == state], 0) < 3.5  # the worst of 42
    assert torch.equal(result.expected[:, -1], v[-1].expand(2, -1))
    torch.testing.assert_close(
        result.expected[0, 0], market.expected_variance(v[lookback], days / 252), rtol=1e-12, atol=0
    )


def test_marks_go_by_the_chain_at_their_own_step():
    """Half the step, half the probability to leave: the mean over two periods from state 0 of two."""
    market = Switching(volatilities=(0.1, 0.3), durations=(4, 2))
    result = draw(market, steps=4, left=[[2.0]], dt=DAY / 2)
    leave = torch.tensor([1 / 8, 1 / 4], dtype=torch.float64)
    own, other = torch.tensor([0.01, 0.09], dtype=torch.float64), torch.tensor([0.09, 0.01], dtype=torch.float64)

    mean = (own + (1 - leave) * own + leave * other) / 2
    torch.testing.assert_close(result.expected[0, 0], mean[result.regime[-1]])


@settings(max_examples=30, deadline=None)
@given(first=st.floats(0, 40), second=st.floats(0, 40))
def test_expected_variance_is_continuous_and_stays_between_the_states(first, second):
    squares = torch.tensor(RING.volatilities, dtype=torch.float64).square()
    years = torch.tensor([[first], [second]], dtype=torch.float64) / 252
    mean = RING.expected_variance(squares.expand(2, -1), years)

    assert ((mean >= squares.min() - 1e-12) & (mean <= squares.max() + 1e-12)).all()
    nearby = RING.expected_variance(squares.expand(2, -1), years + 1e-10)
    torch.testing.assert_close(mean, nearby, atol=1e-7, rtol=0)
    if second > first:  # no period can add less than the smallest variance
        assert (mean[1] * second >= mean[0] * first + (second - first) * squares.min() - 1e-9).all()


def test_expected_variance_tends_to_the_long_run():
    squares = torch.tensor(USUAL.volatilities, dtype=torch.float64).square()
    long_run = float(USUAL.stationary @ squares.numpy())

    torch.testing.assert_close(USUAL.expected_variance(squares, 0.0), squares)
    torch.testing.assert_close(
        USUAL.expected_variance(squares, 40.0), torch.full_like(squares, long_run), rtol=0.05, atol=0
    )


def test_a_variance_of_no_state_is_refused():
    with pytest.raises(InputError, match=r"variance: some are of no state, which have 0\.01, 0\.0324, 0\.2025"):
        USUAL.expected_variance(torch.tensor([0.01, 0.02]), 0.1)


def test_simulate_hands_on_states_and_marks():
    paths = USUAL.simulate(paths=300, horizon=30, lookback=10, generator=stream("switching", 3))
    volatility = torch.tensor(USUAL.volatilities)[paths.regime]

    assert paths.regime.shape == paths.spot.shape
    torch.testing.assert_close(paths.implied[-1], volatility[-1])
    assert len(paths.implied[0].unique()) == 3
    assert (paths.regime[10:].diff(dim=0) != 0).any()


def test_only_the_generator_is_random():
    state = torch.get_rng_state()
    one, two, other = draw(USUAL, paths=100), draw(USUAL, paths=100), draw(USUAL, paths=100, seed=1)

    assert all(map(torch.equal, one[:3], two[:3]))
    assert not torch.equal(one.regime, other.regime)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_number_of_threads_does_not_matter():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(draw(USUAL, paths=40_001, steps=10, left=[[3, 2]], dtype=torch.float32)[:3])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


def test_a_period_longer_than_a_stay_is_refused():
    with pytest.raises(InputError, match="durations: a mean stay of 1 days is shorter than a period of 2"):
        draw(RING, dt=2 * DAY)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"volatilities": [0.1, 0.2, 0.1]}, r"volatilities: \[0.1, 0.2, 0.1\] are not two or more different"),
        ({"volatilities": [0.1]}, "volatilities"),
        ({"durations": [10, 20]}, "durations: there are 2, but 3 volatilities"),
        ({"durations": [10, 20, 0.5]}, "durations.2: input should be greater than or equal to 1"),
        ({"durations": [10, 20, math.inf]}, "durations.2"),
        ({"drifts": [0.0, 0.1]}, "drifts: there are 2, but 3 volatilities"),
        ({"moves": [[0, 1, 0], [1, 0, 0]]}, "moves: there are 2, but 3 volatilities"),
        ({"moves": [[0, 0.5, 0.4], [1, 0, 0], [0, 1, 0]]}, r"moves: row 0 is \[0.0, 0.5, 0.4\].*sum to 1"),
        ({"moves": [[0, 1, 0], [0.5, 0.5, 0], [0, 1, 0]]}, "moves: row 1 .* 0 for the state itself"),
        ({"moves": [[0, 1], [1, 0], [0, 1]]}, "moves: row 0"),
        ({"moves": [[0, 2, -1], [1, 0, 0], [0, 1, 0]]}, "moves.0.2: input should be greater than or equal to 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, sentence):
    with pytest.raises(InputError, match=sentence) as refusal:
        build(Market, {"kind": "switching", **given})
    assert "\n" not in str(refusal.value)


def test_states_that_fall_apart_are_refused():
    swap = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    with pytest.raises(InputError, match="moves: the states fall apart"):
        build(Market, {**RING.settings(), "moves": swap})


@EITHER
def test_settings_make_the_round_trip(market):
    assert build(Market, market.settings()) == market


def test_realized_volatility_lies_in_the_band_of_the_environment():
    data = compose(["data=markov_switching"]).data

    assert data.train == ("low", "medium_10_15", "medium_15_20", "medium_20_25")
    for name, environment in data.environments.items():
        paths = environment.market.simulate(paths=4096, horizon=60, lookback=20, generator=stream("switching", name))
        volatility = (paths.episode.double().log().diff(dim=0).square().mean(0) * 252).sqrt()
        band, *points = name.split("_")
        bounds = {BANDS[band]: 0.8} | ({tuple(int(one) / 100 for one in points): 0.65} if band == "medium" else {})
        for (low, high), share in bounds.items():
            assert ((volatility >= low) & (volatility < high)).double().mean() >= share, name
        assert (paths.regime[20:].diff(dim=0) != 0).any(0).double().mean() > 0.6, name
