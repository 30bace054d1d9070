"""Random search: the same budget and the same common draws for every method, and a choice that reads back."""

import pytest
import yaml

from praesidium.component import InputError
from praesidium.experiments.methods import BENCHMARK, overrides_of
from praesidium.experiments.study import compose
from praesidium.experiments.tuning import COMMON, WIDTHS, read_tuned, search_cells

LEARNED = [name for name in BENCHMARK if compose(overrides_of(name)).policy.kind == "neural"]
TRIALS = 4


@pytest.fixture(scope="module")
def trials():
    """Changes of each trial, by method and folder."""
    found = {}
    for folder, changes, method in search_cells(LEARNED, trials=TRIALS):
        found.setdefault(method, {})[folder.as_posix()] = dict(one.split("=") for one in changes)
    return found


def test_every_method_has_the_same_number_of_trials(trials):
    folders = [f"trial_{number:02d}" for number in range(TRIALS)]
    assert list(trials) == LEARNED
    assert all(list(own) == folders for own in trials.values())


def test_the_first_trial_is_the_method_as_it_stands(trials):
    assert all(own["trial_00"] == {} for own in trials.values())
    assert all(changes for own in trials.values() for folder, changes in own.items() if folder != "trial_00")


def test_what_all_methods_have_is_drawn_alike_for_all(trials):
    common = {*COMMON, "policy.encoder.width"}
    for number in range(1, TRIALS):
        draws = [{key: own[f"trial_{number:02d}"][key] for key in common} for own in trials.values()]
        assert all(one == draws[0] for one in draws)
        for key, (low, high) in COMMON.items():
            assert 0.999 * 10**low <= float(draws[0][key]) <= 1.001 * 10**high
        assert int(draws[0]["policy.encoder.width"]) in WIDTHS
    assert len({trials["erm"][f"trial_{number:02d}"]["train.learning_rate"] for number in range(1, TRIALS)}) == 3


def test_a_weight_is_drawn_where_the_objective_has_one(trials):
    own = {method: {key for one in trials[method].values() for key in one if "objective" in key} for method in LEARNED}
    assert own["erm"] == own["erm_residual"] == own["erm_reg"] == set()
    assert own["vrex"] == {"objective.beta"}
    assert own["groupdro"] == {"objective.eta"}
    assert all(own[name] == {"objective.penalty"} for name in ("irmv1", "irm_head", "hirm"))
    weights = [trials[name]["trial_01"]["objective.penalty"] for name in ("irmv1", "irm_head", "hirm")]
    assert len(set(weights)) == 3


def test_every_draw_can_be_set(trials):
    for method, own in trials.items():
        study = compose([*overrides_of(method), *(f"{key}={value}" for key, value in own["trial_01"].items())])
        assert study.train.learning_rate == float(own["trial_01"]["train.learning_rate"])


def test_a_rule_has_nothing_to_draw():
    assert [changes for _, changes, _ in search_cells(["delta"], trials=2)] == [[], []]


def test_draws_do_not_depend_on_what_else_is_searched():
    alone, more = (list(search_cells(names, trials=2)) for names in (["hirm"], ["erm", "hirm"]))
    assert more[2:] == alone


def test_a_grid_takes_the_place_of_random_draws():
    """The method as it stands comes first here too, for all others are written down as what they change of it."""
    found = [changes for _, changes, _ in search_cells(["hirm"], trials=9, grid="objective.penalty=0.01, 0.1,1")]
    assert found == [[], ["objective.penalty=0.01"], ["objective.penalty=0.1"], ["objective.penalty=1"]]


@pytest.mark.parametrize("grid", ["objective.penalty", "=1,2", "objective.penalty=", "nonsense"])
def test_a_grid_of_another_form_is_refused(grid):
    with pytest.raises(InputError, match=r"grid: '.*' is not key=value,value"):
        list(search_cells(["hirm"], trials=2, grid=grid))


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="methods: 'hrim' is unknown"):
        list(search_cells(["hrim"], trials=2))


def test_a_choice_reads_back(tmp_path):
    chosen = {"erm": [], "hirm": ["objective.penalty=0.3", "train.learning_rate=0.01"]}
    path = tmp_path / "tuned.yaml"
    path.write_text(yaml.safe_dump({"methods": chosen}))
    assert read_tuned(path) == chosen


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "- a",
        "methods:",
        "methods: [erm]",
        "methods: {erm: objective.beta=1}",
        "methods: {erm: [3]}",
        "methods: {erm: [beta]}",
        "methods: {erm: }",
        "{",
        b"\xff\xfe\xff",
    ],
)
def test_any_other_file_is_refused(text, tmp_path):
    path = tmp_path / "tuned.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"tuned: .*tuned\.yaml.*give a tuned\.yaml of praesidium tune"):
        read_tuned(path)
