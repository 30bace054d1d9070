"""Looks of methods and files of figures."""

import pandas as pd
import pytest

from praesidium.component import InputError
from praesidium.reporting.plots.canvas import GRAY, check, looks, panels, save, title


def test_methods_look_different_and_erm_is_gray_wherever_it_stands():
    names = [f"method_{number}" for number in range(20)]
    shown = looks([*names, "erm", *names])

    assert list(shown) == [*names, "erm"]
    assert len(set(shown.values())) == 21
    assert [name for name, look in shown.items() if look.color == GRAY] == ["erm"]


def test_panels_fill_rows_and_leave_no_empty_frame():
    figure, axes = panels(5, columns=3)

    assert len(axes) == 5
    assert figure.axes == axes


def test_a_long_title_is_wrapped_to_the_figure():
    figure, _ = panels(1)
    title(figure, "a title that is far too long for a figure of a single panel, and says so")

    box = figure.get_suptitle()
    assert max(map(len, box.splitlines())) < 45


def test_every_format_is_written_beside_the_first(tmp_path):
    figure, _ = panels(1)
    path = save(figure, tmp_path / "deep" / "empty.png", ("png", "pdf"))

    assert path == tmp_path / "deep" / "empty.png"
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert sorted(one.name for one in path.parent.iterdir()) == ["empty.pdf", "empty.png"]


@pytest.mark.parametrize("formats", [("png", "bmp"), ()])
def test_other_formats_are_refused_before_anything_is_written(tmp_path, formats):
    figure, _ = panels(1)
    with pytest.raises(InputError, match="cannot be written"):
        save(figure, tmp_path / "empty.png", formats)

    assert not list(tmp_path.iterdir())


def test_a_frame_must_have_its_columns_and_one_data_set():
    frame = pd.DataFrame({"dataset": ["a", "b"], "method": ["erm", "erm"]}, index=[3, 3])

    with pytest.raises(InputError, match="no column seed, step"):
        check(frame, ("method", "seed", "step"), "caller")
    with pytest.raises(InputError, match="mixes 2 data sets"):
        check(frame, ("method",), "caller")
    assert list(check(frame.assign(dataset="a"), ("method",), "caller").index) == [0, 1]
