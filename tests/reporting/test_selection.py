"""Selection: by validation alone, the earliest that is as good as the best, and only among whole trials."""

import pandas as pd
import pytest
import yaml

from praesidium.component import InputError
from praesidium.experiments.tuning import read_tuned
from praesidium.reporting.selection import select, write_selection

PENALTIES = (1.0, 0.1, 10.0)


@pytest.fixture
def leave_trials(tmp_path, leave_run, risks):
    """Leaves the trials of a method: validation risks by trial and seed, None for a seed that failed."""

    def left(validations, *, method="hirm", learned=True, dataset="toy", crises=None, first=0):
        for number, by_seed in enumerate(validations, start=first):
            settings = {"objective": {"kind": method, "penalty": PENALTIES[number]}, "train": {"steps": 4 + number}}
            for seed, validation in enumerate(by_seed):
                leave_run(
                    method,
                    1000 + seed,
                    risks(0.5 if learned else validation, (crises or [0.05] * 9)[number]),
                    dataset=dataset,
                    folder=tmp_path / f"trial_{number:02d}",
                    done=validation is not None,
                    more={"training/validation_cvar95": validation} if learned else {},
                    **settings,
                )

    return left


def test_the_trial_of_lowest_validation_risk_is_chosen(tmp_path, leave_trials):
    leave_trials([(0.030, 0.031), (0.020, 0.021), (0.025, 0.026)], crises=[0.05, 0.09, 0.04])
    found = select(tmp_path)
    assert found.chosen == {"hirm": ["objective.penalty=0.1", "train.steps=5"]}
    assert found.seeds == 2
    assert found.trials.validation.tolist() == pytest.approx([0.0305, 0.0205, 0.0255])
    assert found.trials.crisis.tolist() == pytest.approx([0.05, 0.09, 0.04])


def test_of_equal_trials_the_first_is_chosen(tmp_path, leave_trials):
    leave_trials([(0.02, 0.03), (0.02, 0.03), (0.02, 0.03)])
    assert select(tmp_path).chosen == {"hirm": []}


def test_a_gain_within_its_paired_error_changes_nothing(tmp_path, leave_trials):
    """Better by 0.001 on average, by 0.01 on one seed and worse on the other: the first trial is as good."""
    leave_trials([(0.030, 0.030), (0.020, 0.038)])
    assert select(tmp_path).chosen == {"hirm": []}


def test_a_small_gain_at_every_seed_counts(tmp_path, leave_trials):
    """Seeds that differ by more than the trials do are no excuse: the comparison is paired."""
    leave_trials([(0.030, 0.050), (0.029, 0.049)])
    assert select(tmp_path).chosen == {"hirm": ["objective.penalty=0.1", "train.steps=5"]}


def test_a_trial_that_lost_a_seed_is_not_chosen(tmp_path, leave_trials):
    leave_trials([(0.030, 0.050), (0.020, None)])
    found = select(tmp_path)
    assert found.trials.seeds.tolist() == [2, 1]
    assert found.chosen == {"hirm": []}


def test_if_the_first_trial_failed_changes_are_still_those_from_it(tmp_path, leave_trials):
    leave_trials([(None, None), (0.020, 0.021)])
    found = select(tmp_path)
    assert found.chosen == {"hirm": ["objective.penalty=0.1", "train.steps=5"]}
    assert found.table().columns[4]._cells == ["failed"]


def test_rules_are_judged_in_the_validation_environment(tmp_path, leave_trials):
    leave_trials([(0.03,), (0.03,)], method="delta", learned=False)
    assert select(tmp_path).trials.validation.tolist() == [0.03, 0.03]


def test_methods_are_chosen_apart_and_read_back(tmp_path, leave_trials):
    leave_trials([(0.03,), (0.02,)])
    leave_trials([(0.03,), (0.04,)], method="erm")
    choice, trials = write_selection(select(tmp_path), tmp_path)
    chosen = {"erm": [], "hirm": ["objective.penalty=0.1", "train.steps=5"]}
    assert read_tuned(choice) == chosen
    assert yaml.safe_load(choice.read_text()) == {"methods": chosen}
    rows = pd.read_csv(trials)
    assert rows.groupby("method").chosen.sum().to_dict() == {"erm": 1, "hirm": 1}
    assert rows.changes.fillna("").tolist() == ["", *["objective.penalty=0.1 train.steps=5"] * 1] * 2


def test_the_table_shows_what_hindsight_would_have_given(tmp_path, leave_trials):
    leave_trials([(0.020, 0.021), (0.030, 0.031)], crises=[0.06, 0.05])
    cells = [column._cells[0] for column in select(tmp_path).table().columns]
    assert cells == ["hirm", "2", "as it stands", "205.0 ±5.0", "205.0", "600.0", "500.0", "+20.0%"]


def test_without_a_finished_trial_it_is_refused(tmp_path, leave_trials):
    with pytest.raises(InputError, match="there is no finished trial here; run praesidium tune"):
        select(tmp_path)
    leave_trials([(None,)])
    with pytest.raises(InputError, match="there is no finished trial here"):
        select(tmp_path)


def test_without_the_first_trial_it_is_refused(tmp_path, leave_trials):
    leave_trials([(0.02,)], first=1)
    with pytest.raises(InputError, match="hirm has trial_01 but not trial_00; run the same praesidium tune again"):
        select(tmp_path)


def test_data_sets_are_not_mixed(tmp_path, leave_trials):
    leave_trials([(0.02,)])
    leave_trials([(0.02,)], dataset="other")
    with pytest.raises(InputError, match="trials on other, toy; give each data set an --out of its own"):
        select(tmp_path)
