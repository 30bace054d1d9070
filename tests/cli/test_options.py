"""Presets of options: what is typed goes before the file, the file before the defaults."""

from pathlib import Path

import pytest
import yaml

from praesidium.cli.options import folder_of, preset_by
from praesidium.experiments.composition import options
from praesidium.experiments.grid import parse_names, parse_seeds
from praesidium.experiments.methods import NAMED, overrides_of
from praesidium.experiments.study import compose
from praesidium.experiments.tuning import read_tuned

CONFIGS = Path(__file__).parents[2] / "configs" / "experiments"
GIVEN = {"preset": None, "datasets": None, "methods": None, "seeds": None, "out": None}


@pytest.fixture
def config(tmp_path):
    def written(**settings):
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return written


def test_without_a_file_options_are_as_given():
    assert preset_by(None, **GIVEN) == {**GIVEN, "overrides": []}
    assert preset_by(None, **{**GIVEN, "seeds": "3", "overrides": ["a=1"]}) == {
        **GIVEN,
        "seeds": "3",
        "overrides": ["a=1"],
    }


def test_what_is_typed_goes_before_the_file(config):
    path = config(seeds=[0, 1, 2], datasets=["a", "b"], preset="paper", out="there")
    told = preset_by(path, **{**GIVEN, "seeds": "7"})
    assert told == {**GIVEN, "seeds": "7", "datasets": "a,b", "preset": "paper", "out": "there", "overrides": []}


def test_overrides_of_the_file_come_first_so_that_typed_ones_win(config):
    told = preset_by(config(overrides=["train.steps=3", "train.keep=1"]), **GIVEN, overrides=["train.steps=9"])
    assert told["overrides"] == ["train.steps=3", "train.keep=1", "train.steps=9"]
    assert compose(told["overrides"]).train.steps == 9


def test_what_is_left_empty_is_not_set(config):
    assert preset_by(config(seeds=None, overrides=None), **GIVEN) == {**GIVEN, "overrides": []}


@pytest.mark.parametrize("name", ["phase8", "baseline_benchmark"])
def test_what_is_shipped_can_be_run(name):
    path = CONFIGS / f"{name}.yaml"
    told = preset_by(path, **GIVEN)
    assert set(parse_names(told["datasets"], "datasets")) <= set(options("data"))
    assert set(parse_names(told["methods"] or "hirm", "methods")) <= set(NAMED)
    assert parse_seeds(told["seeds"])
    assert compose([f"study={told['preset']}", *told["overrides"]])


def test_the_shipped_choice_can_be_set():
    chosen = read_tuned(CONFIGS / "tuned.yaml")
    assert chosen
    for method, changes in chosen.items():
        assert compose([*overrides_of(method), *changes])


def test_a_folder_may_be_named_in_either_way():
    assert folder_of(Path("a"), None) == folder_of(None, Path("a")) == Path("a")
    assert folder_of(None, None) == Path("results/quick")
