"""States: standardized by training statistics alone, blind to the future, the same after a restart."""

import json
from dataclasses import fields

import pytest
import torch

from praesidium.component import InputError, build
from praesidium.hedging.features import FEATURES
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.regime_view import RegimeView
from praesidium.hedging.state import State
from praesidium.hedging.state_builder import StateBuilder, StateSettings
from praesidium.hedging.volatility import GreekVolatility, Quoted

BY_TIME = ("spot", "delta", "gamma", "phi", "context")


def same(one, other):
    pairs = [(getattr(one, entry.name), getattr(other, entry.name)) for entry in fields(State)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def close(one, other):
    """Equal up to rounding, which depends on how many paths fit a vector register."""
    pairs = [(getattr(one, entry.name), getattr(other, entry.name)) for entry in fields(State)]
    return all(torch.allclose(a, b, rtol=0, atol=1e-11) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("kind", sorted(GreekVolatility.registry))
def test_the_future_cannot_move_a_state(kind, calm, wild, rewrite):
    names = tuple(sorted(FEATURES))
    settings = StateSettings(
        phi=names, context=names, volatility=GreekVolatility.registry[kind](), regimes=RegimeView(n_regimes=2, paths=8)
    )
    builder = settings.fit([calm, wild], EuropeanCall())
    before, after = (builder.build(paths, 1e-3) for paths in (wild, rewrite(wild, 30)))
    for name in (*BY_TIME, "regimes"):
        assert torch.equal(getattr(before, name)[:31], getattr(after, name)[:31])
    assert not torch.equal(before.context[31:], after.context[31:])


def test_a_state_knows_nothing_of_the_option_market(builder, wild, rewrite):
    other = rewrite(wild, -1)
    quoted = type(wild)(wild.spot, other.implied, wild.dt, wild.lookback)
    assert not torch.equal(other.implied, wild.implied)
    assert same(builder.build(wild, 1e-3), builder.build(quoted, 1e-3))


def test_training_features_have_mean_zero_and_deviation_one(calm, wild):
    builder = StateSettings(clip=1e6).fit([calm, wild], EuropeanCall())
    for part in ("phi", "context"):
        features = torch.cat([getattr(builder.build(paths, 0.0), part) for paths in (calm, wild)], dim=1).flatten(0, 1)
        torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(features.std(0), torch.ones(features.shape[1]).double(), atol=1e-3, rtol=0)
    mean, deviation = builder.build(calm, 0.0).inventory
    deltas = torch.cat([builder.build(paths, 0.0).delta for paths in (calm, wild)], dim=1)
    assert mean == pytest.approx(deltas.mean().item())
    assert deviation == pytest.approx(deltas.std().item(), rel=1e-3)


def test_a_state_does_not_depend_on_what_else_is_evaluated(builder, calm, wild, unseen):
    """Statistics come from training: a path's state is the same among calm paths, among wild ones, and alone."""
    alone = builder.build(unseen.take(slice(0, 1)), 1e-3)
    among = builder.build(unseen, 1e-3)
    assert close(alone, among.take(slice(0, 1)))
    again = StateSettings().fit([calm, wild], EuropeanCall())
    again.build(unseen, 1e-3)
    assert again == builder


def test_features_are_clipped(builder, unseen):
    state = builder.build(unseen, 1e-3)
    assert state.context.abs().max() == 8.0
    assert state.phi.abs().max() <= 8.0
    assert 0 < builder.clipped_share(unseen) < 1
    cut = (state.context.abs() == 8.0).double().mean().item()
    assert builder.clipped_share(unseen) == pytest.approx(cut)


def test_a_restored_builder_makes_the_same_states(builder, unseen):
    learned = json.loads(json.dumps(builder.learned()))
    restored = StateBuilder.restore(builder.settings, builder.liability, learned)
    assert restored == builder
    assert same(restored.build(unseen, 1e-3, 1), builder.build(unseen, 1e-3, 1))


@pytest.mark.parametrize("chosen", [slice(3, 9), torch.tensor([5, 5, 0])])
def test_the_state_of_chosen_paths_is_the_chosen_state(builder, wild, chosen):
    assert close(builder.build(wild, 1e-3, 1).take(chosen), builder.build(wild.take(chosen), 1e-3, 1))


def test_days_are_a_part_of_time(builder, wild):
    state = builder.build(wild, 1e-3)
    days = state.days(slice(10, 13))
    for name in (*BY_TIME, "tau"):
        assert torch.equal(getattr(days, name), getattr(state, name)[10:13])
    assert torch.equal(days.cost_rate, state.cost_rate)


def test_what_the_trader_knows_about_costs_and_time(builder, wild):
    state = builder.build(wild, 3e-3, 1)
    assert (state.cost_rate == 3e-3).all()
    assert state.tau[0].item() == pytest.approx(60 / 252)
    assert state.tau[-1].item() == pytest.approx(1 / 252)
    assert (state.environment == 1).all()
    assert builder.build(wild, 3e-3).environment is None


@pytest.mark.parametrize("horizon", [5, 20, 21, 22])
def test_short_episodes_have_finite_states(horizon, wild):
    short = type(wild)(wild.spot[: 21 + horizon], wild.implied[: horizon + 1], wild.dt, wild.lookback)
    state = StateSettings().fit([short], EuropeanCall()).build(short, 1e-3)
    assert all(getattr(state, name).isfinite().all() for name in BY_TIME)


def test_unknown_features_are_refused():
    with pytest.raises(InputError, match="'momentum' is unknown; did you mean 'momentum_20'"):
        build(StateSettings, {"context": ["momentum"]})
    with pytest.raises(InputError, match="at least one feature"):
        build(StateSettings, {"phi": []})


def test_without_a_model_there_are_no_greeks(calm, wild):
    settings = StateSettings(phi=("log_moneyness", "volatility"), context=(), volatility=Quoted(), greeks=False)
    state = settings.fit([calm, wild], EuropeanCall()).build(wild, 1e-3)
    assert not state.delta.any()
    assert not state.gamma.any()
    assert state.features.shape == (wild.horizon, wild.count, 2)
    assert state.context.shape[-1] == 0


def test_greeks_among_the_features_need_a_model():
    with pytest.raises(ValueError, match="delta, gamma_scaled need greeks=true"):
        StateSettings(greeks=False)


def test_quoted_volatility_is_what_the_option_is_marked_at(wild):
    assert torch.equal(Quoted().estimate(wild, {}), wild.implied[:-1])
