"""A square that moves evenly is found where it would have been between two frames."""

import numpy as np
import pytest

from striate.data import Shown
from striate.errors import DataError
from striate.media import Frames, read_frames
from striate.media.motion import between_frames

from .made_films import film

TEXTURE = np.random.default_rng(0).integers(60, 255, (24, 24, 3), dtype=np.uint8)


def moving(k):
    """A textured square that goes four pixels to the right with every frame."""
    picture = np.full((64, 128, 3), 20, dtype=np.uint8)
    picture[20:44, 8 + 4 * k : 32 + 4 * k] = TEXTURE
    return picture


def centre(image):
    bright = np.asarray(image.convert("L")).astype(float)
    bright = np.where(bright > 50, bright, 0)
    return (bright.sum(axis=0) * np.arange(bright.shape[1])).sum() / bright.sum()


def test_a_square_between_frames(tmp_path):
    options = {"crf": "2"}
    file = film(tmp_path / "a.mp4", 20, 10, (128, 64), picture=moving, options=options)
    rule = Frames.parse({"rate": 20, "count": 34, "resample": "motion"})
    found = [centre(i) for i in read_frames(Shown("s", file), rule)]
    steps = np.diff(found[2:30])
    assert np.abs(steps - 2).max() < 0.7
    assert found[0] == pytest.approx(centre(read_frames(Shown("s", file), Frames(1))[0]), abs=0.5)


def test_the_number_of_frames_is_the_one_asked_for(tmp_path):
    file = film(tmp_path / "a.mp4", 15, 15, (128, 64), picture=moving)
    for rate, count in ((22, 22), (22, 65), (15, 3), (7.5, 4)):
        rule = Frames.parse({"rate": rate, "count": count, "resample": "motion"})
        found = read_frames(Shown("s", file, 0.0, 1.0), rule)
        assert len(found) == count and {i.size for i in found} == {(128, 64)}
    short = read_frames(Shown("s", file, 0.2, 0.1), rule)
    assert len(short) == 4


def test_nothing_to_interpolate():
    with pytest.raises(DataError, match="no frames"):
        list(between_frames([], 22.0, 3))
