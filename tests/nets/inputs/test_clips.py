"""Clips for networks with time in them."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import Shown
from striate.media import Frames
from striate.nets.inputs.clips import Clips
from striate.nets.inputs.pictures import Pictures
from striate.nets.preprocessing import Preprocessing

FORM = Preprocessing((8, 12))


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(10, 20, 3)).save(tmp_path / "a.png")
    return Shown("a", str(tmp_path / "a.png"))


def test_a_picture_stands_still(picture):
    clip = Clips(FORM, Frames(4)).read(picture)
    assert clip.shape == (1, 4, 8, 12, 3)
    assert (clip[0] == clip[0, :1]).all()


@pytest.mark.parametrize("order", ["channels", "frames"])
def test_axes_are_in_the_order_that_the_network_wants(picture, order):
    shows = Clips(FORM, Frames(4), order)
    items = torch.from_numpy(shows.read(picture))
    found = shows(items)
    frame = Pictures(FORM)(items[:, 0])
    at = (2, 1)[order == "frames"]
    assert found.shape[at] == 4
    torch.testing.assert_close(found.select(at, 3), frame)
    assert shows.blank().shape == items.shape
    assert shows.cost == 4 and shows.count(picture) == 1


def test_the_order_is_in_the_identity():
    assert Clips(FORM, Frames(4)).identity() != Clips(FORM, Frames(4), "frames").identity()
