"""The environments keep the contracts of Gymnasium, and follow from their seed."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import praesidium.gymnasium  # noqa: F401
from praesidium.component import InputError

ID, HORIZON = "praesidium/Hedging-v0", 15
SHORT = (f"data.horizon={HORIZON}", "data.train=[low,medium_15_20]")
OPTION = "instruments=[{kind: listed_option, days: 6}]"
UNIT = "limits={position: [-1, 1]}"


def one(*overrides, **settings):
    return gymnasium.make(ID, overrides=(*SHORT, *overrides), **settings)


def many(count, *overrides, **settings):
    return gymnasium.make_vec(ID, num_envs=count, overrides=(*SHORT, *overrides), **settings)


def episode(env, action=0.5):
    """Observations and rewards up to maturity; the environment has been reset."""
    rows, over = [], False
    while not over:
        actions = np.full(env.action_space.shape, action, dtype=np.float32)
        observed, reward, ended, _, _ = env.step(actions)
        rows.append((observed, reward))
        over = np.all(ended)
    return rows


def equal(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True)
    )


# ---- contracts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(UNIT,), (UNIT, OPTION)])
@pytest.mark.parametrize("action", ["position", "trade"])
def test_gymnasiums_own_check_has_nothing_to_warn_of(overrides, action):
    bounds = "limits={position: [-1, 1], trade: 1}"
    check_env(one(*(bounds if each == UNIT else each for each in overrides), action=action).unwrapped)


def test_without_limits_its_check_recommends_normalized_actions_and_no_more():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*recommend using a symmetric and normalized space.*")
        check_env(one().unwrapped)


def test_registering_does_not_import_torch():
    program = (
        f"import sys, gymnasium; import praesidium.gymnasium; gymnasium.spec({ID!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_prefix_of_the_package_suffices():
    program = f"import gymnasium; gymnasium.envs.registration._find_spec('praesidium.gymnasium:{ID}')"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("action", ["position", "trade"])
def test_observations_stay_in_their_space(action):
    env = many(8, OPTION, action=action)
    env.action_space.seed(3)
    observed, _ = env.reset(seed=3)
    for _ in range(2 * HORIZON):
        assert observed in env.observation_space
        observed, rewards, *_ = env.step(env.action_space.sample())
        assert rewards.dtype == np.float64
        assert rewards.shape == (8,)


def test_the_space_of_actions_is_that_of_the_limits():
    limits = "limits={position: [-0.2, 0.7]}"
    for action, low, high in (("position", -0.2, 0.7), ("trade", -0.9, 0.9)):
        assert one(limits, action=action).action_space == Box(low, high, shape=(1,), dtype=np.float32)
    trades = one("limits={position: [-0.2, 0.7], trade: 0.3}", OPTION, action="trade").action_space
    assert trades == Box(-0.3, 0.3, shape=(2,), dtype=np.float32)
    assert one().action_space == Box(-2.0, 2.0, shape=(1,), dtype=np.float32)


def test_the_step_after_maturity_begins_the_next_episode():
    env = many(4)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=1)
    episode(env)
    observed, rewards, ended, cut, told = env.step(np.full((4, 1), 0.5, dtype=np.float32))
    assert not rewards.any()
    assert not ended.any()
    assert not cut.any()
    assert (told["pnl"] == 0).all()
    again = many(4)
    again.reset(seed=1)
    expected, _ = again.reset()
    assert np.array_equal(observed, expected)
    assert equal(episode(env), episode(again))


def test_statistics_of_episodes_are_their_profits():
    env = RecordEpisodeStatistics(many(4))
    env.reset(seed=1)
    for _ in range(HORIZON):
        *_, told = env.step(np.full((4, 1), 0.5, dtype=np.float32))
    assert np.allclose(told["episode"]["r"], told["pnl"], rtol=0, atol=1e-6)
    assert (told["episode"]["l"] == HORIZON).all()


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_a_seed_fixes_all_episodes_to_come():
    env, other = one(), one()
    env.reset(seed=5)
    first, _, second = episode(env), env.reset(), episode(env)
    assert not equal(first, second)
    other.reset(seed=5)
    assert equal(episode(other), first)
    other.reset()
    assert equal(episode(other), second)
    other.reset(seed=6)
    assert not equal(episode(other), first)
    other.reset(seed=5)
    assert equal(episode(other), first)


def test_without_a_seed_paths_are_new():
    env, other = one(), one()
    env.reset()
    other.reset()
    assert not equal(episode(env), episode(other))


def test_rows_are_the_episodes_of_one_environment_in_their_order():
    rows, env = many(4), one()
    rows.reset(seed=9)
    played = [episode(rows)]
    rows.reset()
    played.append(episode(rows))
    for number in range(8):
        env.reset(seed=9 if number == 0 else None)
        for day, (observed, reward) in enumerate(episode(env)):
            observations, rewards = played[number // 4][day]
            assert np.array_equal(observed, observations[number % 4])
            assert reward == pytest.approx(rewards[number % 4], abs=1e-15)


def test_a_block_that_is_used_up_is_followed_by_another():
    env = many(200)
    first, _ = env.reset(seed=9)
    second, _ = env.reset()
    assert not np.isin(first[:, 4], second[:, 4]).any()


def test_environments_take_turns():
    env = many(5, environment=("medium", "crisis", "low"))
    _, told = env.reset(seed=2)
    assert told["environment"].tolist() == ["medium", "crisis", "low", "medium", "crisis"]
    moved = np.stack([env.step(np.zeros((5, 1), dtype=np.float32))[-1]["spot"] for _ in range(HORIZON)])
    assert np.abs(np.log(moved)).max(0).argmax() in (1, 4)
    _, told = env.reset()
    assert told["environment"].tolist() == ["low", "medium", "crisis", "low", "medium"]
    single = one(environment=("medium", "crisis"))
    names = [single.reset(seed=2 if turn == 0 else None)[1]["environment"] for turn in range(4)]
    assert names == ["medium", "crisis", "medium", "crisis"]


def test_rows_of_several_environments_have_the_books_of_each():
    env = many(4, environment=("medium", "crisis"))
    env.reset(seed=2)
    rows = episode(env)
    for row, name in enumerate(("medium", "crisis")):
        alone = many(2, environment=name)
        alone.reset(seed=2)
        for (observed, rewards), (expected, profits) in zip(rows, episode(alone), strict=True):
            assert np.array_equal(observed[row::2], expected)
            assert np.allclose(rewards[row::2], profits, rtol=0, atol=1e-15)


def test_an_option_of_reset_chooses_the_environment_of_one_episode():
    env = one()
    assert env.reset(seed=2, options={"environment": "crisis"})[1]["environment"] == "crisis"
    assert env.reset()[1]["environment"] == "medium"


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"environment": "mediun"}, "environment: 'mediun' is unknown; did you mean 'medium'"),
        ({"environment": ()}, "environment: .* name at least one"),
        ({"action": "trades"}, "action: 'trades' is unknown; did you mean 'trade'"),
        ({"data": "synthetic"}, "data: 'synthetic' is unknown"),
        ({"overrides": ("limits={position: [1, 2]}",)}, "does not hold 0"),
    ],
)
def test_what_does_not_exist_is_named(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        gymnasium.make(ID, **settings)


def test_at_least_one_row():
    with pytest.raises(InputError, match="num_envs=0"):
        many(0)


def test_an_unknown_option_of_reset_is_named():
    with pytest.raises(InputError, match="options: 'envirnment' is unknown; did you mean 'environment'"):
        one().reset(options={"envirnment": "low"})
    with pytest.raises(InputError, match="environment: 'mediun' is unknown"):
        one().reset(options={"environment": "mediun"})


def test_an_episode_must_have_begun_and_not_be_over():
    env, action = one().unwrapped, np.zeros(1, dtype=np.float32)
    with pytest.raises(InputError, match="no episode has begun"):
        env.step(action)
    env.reset(seed=1)
    episode(env)
    with pytest.raises(InputError, match="was over after 15 days"):
        env.step(action)


@pytest.mark.parametrize("action", [[np.nan], [np.inf], [0.0, 0.0]])
def test_actions_are_finite_and_one_for_each_instrument(action):
    env = one()
    env.reset(seed=1)
    with pytest.raises(InputError, match="not 1 x 1 finite numbers"):
        env.step(np.array(action, dtype=np.float32))
