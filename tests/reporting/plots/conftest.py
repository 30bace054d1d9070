"""What makes a figure: a PNG that is there, whole, and not a blank sheet."""

import struct

import pytest


@pytest.fixture
def drawn():
    """Checks a written figure and gives its width and height in pixels."""

    def measure(path, *, formats=("png",)):
        assert path is not None
        head = path.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        assert path.stat().st_size > 5000
        assert sorted(one.suffix[1:] for one in path.parent.glob(f"{path.stem}.*")) == sorted(formats)
        return struct.unpack(">II", head[16:24])

    return measure
