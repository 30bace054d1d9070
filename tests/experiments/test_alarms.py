"""Alarms: each sounds on a training that earns it, and on no other."""

import json

import pytest

from praesidium.experiments.alarms import alarms

APART, ALIKE = {"calm": 0.02, "wild": 0.05}, {"calm": 0.02, "wild": 0.0215}
SOUND = {"ramp": 1.0, "head_norms": [1.0, 0.8, 1.1], "collapsed": 0.0, "noise_to_signal": [0.1, 0.2, 0.1]}


@pytest.fixture
def heard(tmp_path):
    """The alarms of a training that logged these steps: pairs of how many and what differs from a sound one."""

    def raised(*steps, references=APART):
        rows = [SOUND | changes for count, changes in steps for _ in range(count)]
        log = tmp_path / "metrics.jsonl"
        log.write_text("".join(json.dumps({"step": step, **row}) + "\n" for step, row in enumerate(rows, 1)))
        return alarms(log, references)

    return raised


def test_a_sound_training_is_quiet(heard):
    assert heard((20, {})) == []
    assert heard() == []  # as one of no steps is


@pytest.mark.parametrize(
    ("references", "sounds"),
    [
        (ALIKE, True),
        (APART, False),
        ({"calm": 1.0, "wild": 1.09}, True),
        ({"calm": 1.0, "wild": 1.11}, False),
        ({"calm": 1.0, "middle": 1.05, "wild": 1.11}, False),
        ({"alone": 1.0}, False),
    ],
)
def test_environments_of_one_risk_are_pseudo_invariance(heard, references, sounds):
    found = heard((20, {}), references=references)
    assert [one.split(":")[0] for one in found] == (["pseudo-invariance"] if sounds else [])


def test_pseudo_invariance_names_the_factor(heard):
    (alarm,) = heard((20, {}), references={"wild": 0.0215, "calm": 0.02})
    assert "by a factor of 1.07 only" in alarm


@pytest.mark.parametrize(("collapsed", "sounds"), [(0, False), (2, False), (3, True), (20, True)])
def test_gradients_that_shrink_to_nothing_are_a_collapse(heard, collapsed, sounds):
    """Of twenty steps, more than a tenth."""
    found = heard((20 - collapsed, {}), (collapsed, {"collapsed": 1.0}))
    assert len(found) == sounds
    if found:
        assert found[0].startswith(f"gradient collapse: in {collapsed * 5}% of the penalized steps")


@pytest.mark.parametrize(("noisy", "sounds"), [(0, False), (17, False), (19, True), (20, True)])
def test_gradients_that_are_hardly_ever_more_than_noise_raise_an_alarm(heard, noisy, sounds):
    found = heard((20 - noisy, {}), (noisy, {"noise_to_signal": [0.2, 0.6, 3.0]}))
    assert len(found) == sounds
    if found:
        assert found[0].startswith(f"noise: in {noisy * 5}% of the penalized steps")


def test_one_noisy_environment_is_not_enough(heard):
    assert heard((20, {"noise_to_signal": [0.2, 0.4, 50.0]})) == []


@pytest.mark.parametrize("ramp", [0.0, 0.5])
def test_steps_before_the_full_penalty_do_not_count(heard, ramp):
    bad = {"collapsed": 1.0, "noise_to_signal": [9.0, 9.0, 9.0]}
    assert heard((500, bad | {"ramp": ramp}), (20, {})) == []
    assert len(heard((500, {"ramp": ramp}), (20, bad))) == 2


def test_a_training_that_asks_for_no_head_gradients_can_only_be_pseudo_invariant(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "ramp": 1.0, "risks": [1.0, 2.0]}\n' * 5)
    assert alarms(log, APART) == []
    assert len(alarms(log, ALIKE)) == 1


def test_what_an_objective_does_not_log_raises_no_alarm(tmp_path):
    """Sizes alone, as of the objectives that penalize them."""
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "ramp": 1.0, "head_norms": [1e-9, 1e-9]}\n' * 5)
    assert alarms(log, APART) == []


def test_all_that_is_wrong_is_said_with_its_mend(heard):
    bad = {"collapsed": 1.0, "noise_to_signal": [9.0, 9.0, 9.0]}
    found = heard((20, bad), references=ALIKE)
    assert [one.split(":")[0] for one in found] == ["pseudo-invariance", "gradient collapse", "noise"]
    for alarm, mend in zip(found, ("group by", "lower objective.penalty", "raise train.episodes"), strict=True):
        assert mend in alarm
