"""Hedgers of prices: what they see, in which units they answer, and what they refuse."""

import numpy as np
import pytest
import torch

from praesidium.component import InputError, check_whole
from praesidium.policies import (
    DynamicDeltaHedger,
    LSTMDeltaHedger,
    RegimeDeltaHedger,
    TransactionCostAwareHedger,
    TransitionAwareHedger,
)
from praesidium.policies.hedger import Known, trailing_mean
from praesidium.training.reproducibility import stream

K, N, B, T = 3, 4, 5, 30
HEDGERS = (RegimeDeltaHedger, DynamicDeltaHedger, LSTMDeltaHedger, TransactionCostAwareHedger, TransitionAwareHedger)
each = pytest.mark.parametrize("kind", HEDGERS)
generator = stream("tests", "hedgers")
REGIMES = torch.rand(B, T, K, generator=generator)
REGIMES = REGIMES / REGIMES.sum(-1, keepdim=True)
CHAIN = torch.tensor([[0.90, 0.08, 0.02], [0.05, 0.90, 0.05], [0.01, 0.19, 0.80]])
PRICES = 100 * (0.01 * torch.randn(B, T, N, generator=generator)).cumsum(1).exp()
SPOT, POSITIONS = PRICES[:, -1], torch.randn(B, N, generator=generator)
STRIKES = SPOT * torch.tensor([0.9, 1.0, 1.05, 1.2])
CALM, WILD = torch.eye(K)[[0] * B], torch.eye(K)[[2] * B]


def answer(hedger, regimes=REGIMES, prices=PRICES):
    """A call with everything in its place, whatever the kind: the first number of what it returns."""
    spot, held = prices[:, -1], POSITIONS[: len(prices)]
    if isinstance(hedger, LSTMDeltaHedger):
        return hedger(regimes, prices)
    if isinstance(hedger, TransitionAwareHedger):
        return hedger(regimes, CHAIN, prices)
    if isinstance(hedger, TransactionCostAwareHedger):
        return hedger(regimes, held, held + 0.5, spot)[0]
    return hedger(regimes, spot, held)[0]


@each
def test_it_answers_by_asset_and_depends_on_the_regime(kind, untied):
    hedger = untied(kind(K, N, hidden_dim=16))
    now = answer(hedger)
    assert now.shape == (B, N)
    other = torch.cat([REGIMES[:, :-1], REGIMES[:, -1:].flip(-1)], dim=1)
    assert (answer(hedger, other) - now).abs().max() > 1e-3


@each
def test_initial_values_depend_on_the_state_alone_and_leave_global_random_numbers(kind):
    before = torch.get_rng_state()
    one, same, other = (kind(K, N, hidden_dim=8, random_state=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    learned = [name for name in one if name not in {"textbook", "deviation"}]
    assert not any(torch.equal(one[name], other[name]) for name in learned)


@each
def test_the_future_cannot_move_a_ratio(kind, untied):
    hedger = untied(kind(K, N, hidden_dim=8))
    regimes, prices = REGIMES.clone(), PRICES.clone()
    regimes[:, 18:], prices[:, 18:] = regimes[:, 18:].flip(-1), 2 * prices[:, 18:]
    before, after = (hedger.ratios(Known(*known, CHAIN)) for known in ((REGIMES, PRICES), (regimes, prices)))
    assert before.shape == (B, T, N)
    assert torch.equal(before[:, :18], after[:, :18])
    assert not torch.equal(before[:, 18:], after[:, 18:])


@each
def test_every_parameter_of_the_ratio_has_a_gradient(kind, untied):
    hedger = untied(kind(K, N, hidden_dim=8))
    hedger.ratios(Known(REGIMES, PRICES, CHAIN)).square().sum().backward()
    for name, one in hedger.named_parameters():
        assert one.grad is not None, name
        assert one.grad.any(), name


@each
@pytest.mark.parametrize("seed", [0, 1])
def test_what_training_never_moves_is_zero_from_the_start(kind, seed):
    """Else a random number that no data ever correct would be in every hedge."""
    hedger = kind(K, N, hidden_dim=8, random_state=seed)
    hedger.ratios(Known(REGIMES, PRICES, CHAIN)).square().sum().backward()
    for name, one in hedger.named_parameters():
        assert not one[one.grad == 0].any(), name


@each
@pytest.mark.parametrize("units", [10.0, 1e4])
def test_other_units_of_money_change_no_ratio(kind, units, untied):
    hedger = untied(kind(K, N, hidden_dim=8))
    ratios = [hedger.ratios(Known(REGIMES, scale * PRICES, CHAIN)) for scale in (1.0, units)]
    torch.testing.assert_close(ratios[0], ratios[1], atol=1e-4, rtol=0)


@each
@pytest.mark.parametrize("layout", [REGIMES.transpose(1, 2), 2 * REGIMES, REGIMES[..., :2], REGIMES.log()])
def test_regimes_in_another_layout_are_refused_with_the_mend(kind, layout):
    with pytest.raises(InputError, match=r"model\.filter|hold NaN"):
        answer(kind(K, N), layout)


@each
def test_prices_that_do_not_fit_are_refused(kind):
    with pytest.raises(InputError, match="assets last"):
        answer(kind(K, N + 1))
    with pytest.raises(InputError, match="prices are above 0"):
        answer(kind(K, N), prices=-PRICES)


@each
def test_no_times_or_no_sequences_are_refused(kind):
    with pytest.raises(InputError, match="is empty; give at least one sequence with at least one time"):
        answer(kind(K, N), REGIMES[:, :0])
    with pytest.raises(InputError, match="is empty; give at least one sequence with at least one time"):
        answer(kind(K, N), REGIMES[:0], PRICES[:0])


def test_no_prices_are_refused():
    with pytest.raises(InputError, match=r"spot_prices of shape \(5, 0, 4\) is empty"):
        TransitionAwareHedger(K, N)(REGIMES, CHAIN, PRICES[:, :0])


def test_counts_are_whole_numbers_of_any_kind():
    for fine in (3, np.int64(3)):
        check_whole("Hedger", "K", fine, least=2)
    for wrong in (3.0, "3", None, True):
        with pytest.raises(InputError, match=f"Hedger: K={wrong!r} is not a whole number"):
            check_whole("Hedger", "K", wrong, least=2)


@each
@pytest.mark.parametrize("settings", [{"K": 1}, {"n_assets": 0}, {"hidden_dim": 0}, {"cost_rate": -1.0}])
def test_settings_out_of_bounds_are_refused(kind, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        kind(**({"K": K, "n_assets": N} | settings))


# ---- delta and gamma ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RegimeDeltaHedger, DynamicDeltaHedger])
def test_the_hedge_is_money_and_follows_the_price_while_the_ratio_stays(kind, untied):
    hedger = untied(kind(K, N, hidden_dim=8))
    hedge, delta = hedger(CALM, SPOT, POSITIONS, reference=STRIKES)
    torch.testing.assert_close(hedge, delta * POSITIONS * SPOT)
    dearer, same = hedger(CALM, 10 * SPOT, POSITIONS, reference=10 * STRIKES)
    torch.testing.assert_close(dearer, 10 * hedge, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(same, delta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [RegimeDeltaHedger, DynamicDeltaHedger])
def test_the_ratio_depends_on_moneyness_and_can_learn_to_depend_on_the_delta_of_an_option(kind, untied):
    hedger = kind(K, N, hidden_dim=8)
    unit = torch.full_like(SPOT, 0.4)
    _, plain = hedger(CALM, SPOT, POSITIONS)
    _, against = hedger(CALM, SPOT, POSITIONS, reference=STRIKES)
    _, options = hedger(CALM, SPOT, POSITIONS, unit_delta=unit)
    assert (against - plain).abs().max() > 1e-3
    torch.testing.assert_close(options, 0.4 * plain, rtol=1e-6, atol=0)
    options.sum().backward()
    assert (hedger.body.first.weight.grad[K + N : K + 2 * N].abs().amax(1) > 1e-6).all()
    _, options = untied(hedger)(CALM, SPOT, POSITIONS, unit_delta=unit)
    assert (options - 0.4 * hedger(CALM, SPOT, POSITIONS)[1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [RegimeDeltaHedger, DynamicDeltaHedger])
def test_the_last_of_a_sequence_of_regimes_counts(kind, untied):
    hedger = untied(kind(K, N, hidden_dim=8))
    for one, other in zip(hedger(REGIMES, SPOT, POSITIONS), hedger(REGIMES[:, -1], SPOT, POSITIONS), strict=True):
        assert torch.equal(one, other)


def test_a_new_hedger_is_close_to_the_textbook():
    """One future short for each asset held; the delta of an option for an option."""
    _, delta = RegimeDeltaHedger(K, N)(CALM, SPOT, POSITIONS, unit_delta=torch.full_like(SPOT, 0.4))
    assert (delta + 0.4).abs().max() < 0.1


GREEKS = {
    "gamma": torch.full((B, N), 0.02),
    "option_delta": torch.full((B, N), 0.55),
    "option_gamma": torch.full((B, N), 0.03),
}


def test_gamma_is_optional_and_options_take_it_away():
    hedger = DynamicDeltaHedger(K, N)
    plain, _ = hedger(CALM, SPOT, POSITIONS)
    assert plain.isfinite().all()
    hedger.head.weight.data.zero_()
    hedger.head.bias.data.zero_()
    unit = torch.full_like(SPOT, 0.6)
    money, _ = hedger(CALM, SPOT, POSITIONS, unit_delta=unit, **GREEKS)
    options = hedger.options(CALM, SPOT, POSITIONS, unit_delta=unit, **GREEKS)
    torch.testing.assert_close(POSITIONS * GREEKS["gamma"] + options * GREEKS["option_gamma"], torch.zeros(B, N))
    delta = POSITIONS * unit + options * GREEKS["option_delta"] + money / SPOT
    torch.testing.assert_close(delta, torch.zeros(B, N), atol=1e-5, rtol=0)


def test_an_option_without_gamma_is_not_bought():
    greeks = GREEKS | {"option_gamma": torch.zeros(B, N)}
    assert not DynamicDeltaHedger(K, N).options(CALM, SPOT, POSITIONS, **greeks).any()


def test_an_option_with_next_to_no_gamma_is_not_bought_in_masses():
    """Two for a unit of position, and the future hedges the delta of these."""
    hedger = DynamicDeltaHedger(K, N)
    greeks = GREEKS | {"option_gamma": torch.full((B, N), 2e-8)}
    spot = torch.full((B, N), 100.0)
    assert torch.equal(hedger.options(CALM, spot, 100 * POSITIONS, **greeks), -200 * POSITIONS)
    money, ratio = hedger(CALM, spot, 100 * POSITIONS, **greeks)
    torch.testing.assert_close(money, ratio * 100 * POSITIONS * (1 - 2 * 0.55) * spot)


def test_the_share_of_gamma_can_be_learned():
    hedger = DynamicDeltaHedger(K, N)
    options = hedger.options(CALM, SPOT, POSITIONS, **GREEKS)
    torch.testing.assert_close(options, -POSITIONS * GREEKS["gamma"] / GREEKS["option_gamma"], rtol=1e-6, atol=0)
    options.square().sum().backward()
    assert hedger.head.weight.grad[:, N:].any()


def test_half_of_the_greeks_or_gamma_that_is_not_to_be_used_is_refused():
    with pytest.raises(InputError, match="gamma without option_delta, option_gamma; give all three"):
        DynamicDeltaHedger(K, N)(CALM, SPOT, POSITIONS, gamma=GREEKS["gamma"])
    with pytest.raises(InputError, match="say use_gamma=True"):
        DynamicDeltaHedger(K, N, use_gamma=False)(CALM, SPOT, POSITIONS, **GREEKS)


# ---- memory, costs, transitions -------------------------------------------------------------------------------------


def test_a_memory_looks_back(untied):
    hedger = untied(LSTMDeltaHedger(K, N, hidden_dim=8))
    earlier = torch.cat([REGIMES[:, :-3].flip(-1), REGIMES[:, -3:]], dim=1)
    assert (hedger(earlier, PRICES) - hedger(REGIMES, PRICES)).abs().max() > 1e-4
    risen = torch.cat([0.9 * PRICES[:, :-1], PRICES[:, -1:]], dim=1)
    assert (hedger(REGIMES, risen) - hedger(REGIMES, PRICES)).abs().max() > 1e-4


def test_a_square_of_times_and_regimes_is_not_mistaken():
    """The layout is never guessed from sizes: three times of three regimes are (batch, time, regimes)."""
    square = torch.tensor([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.6, 0.2, 0.2]]).expand(B, 3, 3)
    assert LSTMDeltaHedger(K, N)(square, PRICES[:, :3]).shape == (B, N)
    with pytest.raises(InputError, match="do not sum to one over the last axis"):
        LSTMDeltaHedger(K, N)(square.transpose(1, 2), PRICES[:, :3])


def test_usual_sizes_and_the_call_of_the_tutorial():
    hedger = TransitionAwareHedger(K=3, n_assets=10, hidden_dim=64, lookahead=5)
    with torch.no_grad():
        assert hedger(REGIMES, CHAIN, PRICES[:, -1].repeat(1, 3)[:, :10]).shape == (B, 10)


@pytest.mark.parametrize("chain", [CHAIN.expand(B, K, K), CHAIN.expand(B, T, K, K)], ids=["batch", "times"])
def test_a_chain_may_be_one_for_all_or_one_for_each(chain, untied):
    hedger = untied(TransitionAwareHedger(K, N, hidden_dim=8))
    torch.testing.assert_close(hedger(REGIMES, chain, PRICES), hedger(REGIMES, CHAIN, PRICES), atol=1e-6, rtol=0)


def test_the_chain_and_the_moneyness_matter(untied):
    hedger = untied(TransitionAwareHedger(K, N, hidden_dim=8))
    now = hedger(REGIMES, CHAIN, SPOT)
    times = CHAIN.expand(B, T, K, K).clone()
    times[:, :-1] = torch.eye(K)
    torch.testing.assert_close(hedger(REGIMES, times, SPOT), now, atol=1e-6, rtol=0)  # the last counts
    assert (hedger(REGIMES, torch.eye(K), SPOT) - now).abs().max() > 1e-3
    assert (hedger(REGIMES, CHAIN, SPOT, reference=STRIKES) - now).abs().max() > 1e-3


def test_a_chain_that_does_not_fit_is_refused():
    hedger = TransitionAwareHedger(K, N)
    with pytest.raises(InputError, match="or hold NaN"):
        hedger(REGIMES, torch.nan * CHAIN, SPOT)
    with pytest.raises(InputError, match=r"transition_matrix of shape .* is empty"):
        hedger(REGIMES, CHAIN.expand(B, 0, K, K), SPOT)
    with pytest.raises(InputError, match="rows of transition do not sum to one"):
        hedger(REGIMES, CHAIN.T, SPOT)
    with pytest.raises(InputError, match="transition_matrix has shape"):
        hedger(REGIMES, CHAIN.expand(B + 1, K, K), SPOT)


def test_the_trailing_mean_is_that_of_the_last_twenty_prices():
    means = trailing_mean(PRICES)
    for time in (0, 7, 19, 20, 29):
        expected = PRICES[:, max(0, time - 19) : time + 1].log().mean(1).exp()
        torch.testing.assert_close(means[:, time], expected, rtol=1e-5, atol=0)
