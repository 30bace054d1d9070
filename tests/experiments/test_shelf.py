"""The shelf: made once, the same for all, and gone when its grid is."""

import multiprocessing
import time

import pytest
import torch

from praesidium.experiments.shelf import PREFIX, Shelf, shelf_in


def slow(folder, log):
    def make():
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.5)
        return {"x": torch.arange(5.0)}, {"n": 5}

    tensors, facts = Shelf(folder).fetch("numbers", {"a": 1}, make)
    assert tensors["x"].tolist() == [0, 1, 2, 3, 4]
    assert facts == {"n": 5}


def test_who_asks_while_it_is_made_waits_for_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=slow, args=(tmp_path, tmp_path / "log")) for _ in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert [one.exitcode for one in workers] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n"


def test_other_settings_are_other_tensors(tmp_path):
    shelf = Shelf(tmp_path)
    first, _ = shelf.fetch("numbers", {"a": 1}, lambda: ({"x": torch.zeros(2)}, {}))
    second, _ = shelf.fetch("numbers", {"a": 2}, lambda: ({"x": torch.ones(2)}, {}))
    again, _ = shelf.fetch("numbers", {"a": 1}, lambda: pytest.fail("it was there"))
    assert torch.equal(first["x"], again["x"])
    assert not torch.equal(first["x"], second["x"])


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path):
    def fails():
        raise ValueError("no paths")

    with pytest.raises(ValueError, match="no paths"):
        Shelf(tmp_path).fetch("numbers", {}, fails)
    assert not list(tmp_path.glob("*.safetensors"))
    tensors, _ = Shelf(tmp_path).fetch("numbers", {}, lambda: ({"x": torch.ones(1)}, {}))
    assert tensors["x"].item() == 1


def test_without_a_folder_all_is_made_anew():
    made = []
    for _ in range(2):
        Shelf().fetch("numbers", {}, lambda: (made.append(1) or {}, {}))
    assert len(made) == 2


def test_what_was_dropped_stays_with_those_who_have_it(tmp_path):
    shelf = Shelf(tmp_path)
    mine, _ = shelf.fetch("training-1", {}, lambda: ({"x": torch.arange(1000.0)}, {}))
    shelf.fetch("training-11", {}, lambda: ({"x": torch.ones(1)}, {}))
    shelf.drop("training-1")
    assert [path.name.split("-")[1] for path in tmp_path.glob("*.safetensors")] == ["11"]
    assert mine["x"].sum() == 499500


def test_a_shelf_goes_with_its_grid_and_takes_dead_ones_along(tmp_path):
    (tmp_path / f"{PREFIX}dead").mkdir()
    (tmp_path / f"{PREFIX}dead" / "left.safetensors").write_text("")
    with shelf_in(tmp_path) as one:
        assert [path.name for path in tmp_path.glob(f"{PREFIX}*")] == [one.folder.name]
        with shelf_in(tmp_path) as other:
            assert one.folder.is_dir()
            assert other.folder != one.folder
    assert not list(tmp_path.iterdir())
