"""Checkpoints: what went in comes out, nothing else is believed, and the best are kept."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from praesidium.component import InputError
from praesidium.training.checkpoints import BestCheckpoints, load, move, recover, save, write
from praesidium.training.reproducibility import stream

TENSORS = {
    "a/weight": torch.randn(3, 4, generator=stream("tests", "checkpoint")),
    "double": torch.randn(2, dtype=torch.float64, generator=stream("tests", "checkpoint")),
    "scalar": torch.tensor(0.1),
    "bytes": stream("tests").get_state(),
    "transposed": torch.arange(6).view(2, 3).T,
}
FACTS = {"step": 40, "best": {"20": 0.1 + 0.2}, "name": "naïve"}


def test_tensors_and_facts_make_the_round_trip(tmp_path):
    save(tmp_path / "deep" / "one.safetensors", TENSORS, FACTS)
    tensors, facts = load(tmp_path / "deep" / "one.safetensors")
    assert facts == FACTS
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        assert torch.equal(tensors[name], value)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.safetensors"]


def test_a_file_is_whole_or_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    save(path, TENSORS, {"step": 1})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"a": torch.ones(2)}, {"step": 2})
    assert load(path)[1] == {"step": 1}


def test_what_is_written_counts_once_it_is_moved(tmp_path):
    path = tmp_path / "deep" / "one.safetensors"
    save(path, TENSORS, {"step": 1})
    write(path, {"a": torch.ones(2)}, {"step": 2})
    assert load(path)[1] == {"step": 1}
    move([path])
    assert load(path)[1] == {"step": 2}
    assert [one.name for one in path.parent.iterdir()] == ["one.safetensors"]


def test_a_move_that_was_begun_is_finished(tmp_path):
    """One of four has been moved to step 3: two more follow, the fourth was never written."""
    folders = [tmp_path / name for name in "abcd"]
    lasts = [folder / "last.safetensors" for folder in folders]
    for last in lasts[:2]:
        save(last, TENSORS, {"step": 2})
    for last in lasts[:3]:
        write(last, TENSORS, {"step": 3})
    recover(folders)
    assert [last.is_file() for last in lasts] == [True, True, False, False]
    assert load(lasts[0])[1] == {"step": 2}  # none had been moved
    move(lasts[:1])
    write(lasts[3], TENSORS, {"step": 3})
    lasts[3].with_suffix(".partial").write_bytes(b"cut")
    recover(folders)
    assert [load(last)[1] for last in lasts[:3]] == [{"step": 3}] * 3
    assert not lasts[3].is_file()


def garbage(path):
    path.write_bytes(b"not a checkpoint at all")


def nothing(path):
    path.write_bytes(b"")


def cut(path):
    save(path, TENSORS, FACTS)
    path.write_bytes(path.read_bytes()[:-20])


def pickled(path):
    torch.save(TENSORS, path)


def foreign(path):
    save_file({"a": torch.ones(2)}, path)


def foreign_facts(path):
    save_file({"a": torch.ones(2)}, path, metadata={"facts": "{broken"})


@pytest.mark.parametrize("make", [garbage, nothing, cut, pickled, foreign, foreign_facts])
def test_what_is_no_checkpoint_is_refused(make, tmp_path):
    make(tmp_path / "one.safetensors")
    with pytest.raises(InputError, match=r"one\.safetensors: not a checkpoint of Praesidium"):
        load(tmp_path / "one.safetensors")


def test_a_checkpoint_that_is_not_there_is_said_to_be_so(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(InputError, match="there is no such checkpoint"):
            load(path)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    risks=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=12),
    keep=st.integers(1, 4),
)
def test_the_best_are_kept_the_earlier_of_two_equal_ones(risks, keep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("best")
    best = BestCheckpoints(folder, keep)
    for step, risk in enumerate(risks):
        best.offer(step, risk, {"weight": torch.tensor(float(step))})
    expected = sorted(range(len(risks)), key=lambda step: (risks[step], step))[:keep]
    assert best.best == expected[0]
    assert {path.name for path in folder.iterdir()} == {f"step_{step:06d}.safetensors" for step in expected}
    for step in expected:
        tensors, facts = load(best.path(step))
        assert tensors["weight"].item() == step
        assert facts == {"step": step, "validation_risk": risks[step]}
