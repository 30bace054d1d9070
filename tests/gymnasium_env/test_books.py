"""The environments keep the books of the rollout: same paths, same positions, same profits and costs."""

import gymnasium
import numpy as np
import pytest
import torch

import praesidium.gymnasium  # noqa: F401
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import compose
from praesidium.hedging.episode import settle
from praesidium.hedging.rollout import rollout
from praesidium.policies.encoders import Joint
from praesidium.policies.greeks import Delta
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Residual
from praesidium.policies.policy import Sizes
from praesidium.policies.whalley_wilmott import WhalleyWilmott
from praesidium.training.reproducibility import stream

ID, SEED, PATHS, HORIZON = "praesidium/Hedging-v0", 7, 256, 15
SHORT = (f"data.horizon={HORIZON}", "data.train=[low,medium_15_20]")
FRICTIONS = (
    "data.environments.medium.frictions={quadratic: 0.01, impact: 0.02, resilience: 0.3, fixed: 0.0001, "
    "by_day: [1.0, 1.5, 2.0], widening: 1.0, margin: 0.0001, crisis_volatility: 0.15, unwind: true}"
)
OPTION = "instruments=[{kind: listed_option, days: 6, right: put, moneyness: 0.98}]"
LIMITS = "limits={position: [-0.1, 0.6], trade: 0.2}"
CASES = {
    "plain": (),
    "frictions": (FRICTIONS,),
    "option": (OPTION,),
    "limits": (LIMITS,),
    "everything": (FRICTIONS, OPTION, LIMITS, "data.rate=0.05", "data.dividend=0.02"),
}


class Reference:
    """The study by itself, with the paths that the environment deals first."""

    def __init__(self, case):
        self.overrides = (*SHORT, *CASES[case])
        study = compose(("data=synthetic_heston", *self.overrides))
        preparation = Preparation(
            study.data, study.liability, study.state, instruments=study.instruments, limits=study.limits
        )
        ((_, self.paths),) = preparation.draw(("medium",), PATHS, "gymnasium", SEED, 0)
        self.builder, self.limits = preparation.builder, study.limits
        charged = study.data.settings_by_environment["medium"]
        self.rate, self.frictions = charged.cost_rate, charged.frictions
        self.instruments = 1 + len(study.instruments)

    def rule(self, name):
        if name != "network":
            return {"delta": Delta(), "whalley_wilmott": WhalleyWilmott(risk_aversion=20.0)}[name]
        sizes = Sizes(phi=4, context=5, environments=2, instruments=self.instruments)
        rule = Neural(encoder=Joint(), output=Residual()).build(sizes, seed=5)
        generator = stream("tests", "away from the start")
        with torch.no_grad():
            for parameter in rule.parameters():
                parameter.add_(0.08 * torch.randn(parameter.shape, generator=generator))
        return rule

    def rollout(self, rule):
        return rollout(rule, self.paths, self.builder, self.rate, frictions=self.frictions)

    def settle(self, positions):
        return settle(
            positions,
            self.paths,
            self.builder.liability,
            self.rate,
            instruments=self.builder.instruments,
            frictions=self.frictions,
        )

    def state(self):
        return self.builder.build(self.paths, self.rate, frictions=self.frictions)

    def many(self, **settings):
        return gymnasium.make_vec(ID, num_envs=PATHS, overrides=self.overrides, **settings)

    def one(self, **settings):
        return gymnasium.make(ID, overrides=self.overrides, **settings)


@pytest.fixture(scope="module", params=CASES)
def reference(request):
    return Reference(request.param)


def as_actions(positions):
    positions = positions.unsqueeze(-1) if positions.ndim == 2 else positions
    return positions.float().numpy()


def played(env, actions):
    """Rewards, costs and profits so far of many paths."""
    env.reset(seed=SEED)
    rewards, costs, totals = [], [], []
    for day, action in enumerate(actions):
        _, reward, terminated, truncated, info = env.step(action)
        assert terminated.all() == terminated.any() == (day == len(actions) - 1)
        assert not truncated.any()
        rewards.append(reward)
        costs.append(info["cost"])
        totals.append(info["pnl"])
    return (torch.tensor(np.array(one)) for one in (rewards, costs, totals))


def same_books(env, actions, episode):
    rewards, costs, totals = played(env, actions)
    assert torch.allclose(rewards, episode.daily, rtol=0, atol=1e-9)
    assert torch.allclose(costs, episode.costs, rtol=0, atol=1e-9)
    assert torch.allclose(rewards.sum(0), episode.pnl, rtol=0, atol=1e-9)
    assert torch.allclose(totals, episode.daily.cumsum(0), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["delta", "whalley_wilmott", "network"])
def test_rewards_are_the_daily_profits_of_the_rollout(reference, name):
    episode = reference.rollout(reference.rule(name))
    assert episode.positions.abs().max() <= 2  # the default bounds do not bind
    same_books(reference.many(), as_actions(episode.positions), episode)


def test_one_path_at_a_time_has_the_books_of_the_first_paths(reference):
    episode, env = reference.rollout(reference.rule("network")), reference.one()
    for path in range(3):
        env.reset(seed=SEED if path == 0 else None)
        for day, action in enumerate(as_actions(episode.positions)[:, path]):
            _, reward, terminated, _, info = env.step(action)
            assert terminated == (day == HORIZON - 1)
            assert reward == pytest.approx(episode.daily[day, path].item(), abs=1e-9)
            assert info["cost"] == pytest.approx(episode.costs[day, path].item(), abs=1e-9)
        assert info["pnl"] == pytest.approx(episode.pnl[path].item(), abs=1e-9)


def reached(reference, actions, trading):
    """Positions by brute force, day by day."""
    limits, state = reference.limits, reference.state()
    low, high = (-2.0, 2.0) if limits is None else limits.position
    most = high - low if limits is None else min(limits.trade, high - low)
    held, positions = torch.zeros_like(actions[0]), []
    for day, action in enumerate(actions):
        if state.kept is not None:
            held = held * state.kept[day]
        wanted = (held + action.clamp(-most, most) if trading else action).clamp(low, high)
        held = wanted if limits is None else torch.clamp(wanted, held - most, held + most)
        positions.append(held)
    positions = torch.stack(positions)
    return positions if state.prices is not None else positions.squeeze(-1)


@pytest.mark.parametrize("action", ["position", "trade"])
def test_orders_beyond_the_bounds_are_the_nearest_within(reference, action):
    shape = (HORIZON, PATHS, reference.instruments)
    actions = 1.5 * torch.randn(shape, generator=stream("tests", "wild orders"))
    actions[4] = 0.0  # some do not trade and pay no fee
    episode = reference.settle(reached(reference, actions, action == "trade"))
    env = reference.many(action=action)
    same_books(env, actions.numpy(), episode)


def test_a_network_that_sees_nothing_but_observations_decides_as_in_the_rollout(reference):
    rule, state, env = reference.rule("network"), reference.state(), reference.many()
    expected = rule.positions(state).detach()
    (mean, deviation), width = state.inventory, state.features.shape[-1]
    observed, _ = env.reset(seed=SEED)
    for day in range(HORIZON):
        seen = torch.tensor(observed)
        held = seen[:, width:] * deviation + mean
        held = held.squeeze(-1) if state.prices is None else held
        today = state.days(slice(day, day + 1)).seeing(seen[None, :, :width])
        position = rule.decide(today, held.unsqueeze(0)).positions[0].detach()
        assert torch.allclose(position, expected[day], rtol=0, atol=1e-5)
        observed, *_ = env.step(as_actions(position.unsqueeze(0))[0])


def test_the_spot_and_delta_are_told(reference):
    env, state = reference.many(), reference.state()
    _, told = env.reset(seed=SEED)
    actions = np.zeros(env.action_space.shape, dtype=np.float32)
    for day in range(HORIZON):
        assert np.array_equal(told["spot"], reference.paths.episode[day].double().numpy())
        assert np.array_equal(told["delta"], state.delta[day].double().numpy())
        *_, told = env.step(actions)
    assert np.array_equal(told["spot"], reference.paths.episode[-1].double().numpy())
    assert np.isnan(told["delta"]).all()
