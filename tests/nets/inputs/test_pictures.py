"""Frames one by one, as a network of single images is shown them."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import Shown
from striate.errors import DataError
from striate.media import Frames
from striate.nets.inputs.pictures import Pictures, expected, normalised
from striate.nets.preprocessing import Preprocessing

FORM = Preprocessing((8, 12))


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return Shown("a", str(tmp_path / "a.png"))


def test_an_image_is_one_item_whatever_the_frame_rule(picture):
    wanted = np.asarray(Image.open(picture.file).resize((12, 8), Image.Resampling.BILINEAR))
    for frames in (Frames(), Frames.parse({"rate": 5}), Frames.parse(1)):
        found = Pictures(FORM, frames).read(picture)
        assert found.shape == (1, 8, 12, 3)
        np.testing.assert_array_equal(found[0], wanted)


def test_normalisation_is_that_of_torchvision(picture):
    from striate.nets.repair import repair

    repair()
    from torchvision.transforms.v2.functional import normalize, to_dtype, to_image

    shows = Pictures(FORM)
    items = torch.from_numpy(shows.read(picture))
    image = to_dtype(to_image(items[0].numpy()), torch.float32, scale=True)
    wanted = normalize(image, list(FORM.mean), list(FORM.std))
    torch.testing.assert_close(shows(items)[0], torch.Tensor(wanted), rtol=1e-5, atol=2e-6)
    assert shows(items).is_contiguous(memory_format=torch.channels_last)


def test_clips_are_normalised_as_their_frames_are():
    clip = torch.randint(0, 255, (2, 4, 8, 12, 3), dtype=torch.uint8)
    apart = torch.stack([normalised(c, FORM) for c in clip])
    torch.testing.assert_close(normalised(clip, FORM), apart)


def test_blank_identity_and_expected_items():
    assert Pictures(FORM).blank().shape == (1, 8, 12, 3)
    one, two = Pictures(FORM, Frames.parse(4)), Pictures(FORM, Frames.parse(5))
    assert one.identity() != two.identity()
    film, image = Shown("a", "a.mp4"), Shown("b", "b.png")
    assert (one.count(film), two.count(film), two.count(image), one.cost) == (4, 5, 1, 1)
    assert expected(Frames.parse({"times": [0.1, 0.2]})) == 2
    assert expected(Frames.parse({"rate": 4})) == 16


def test_a_stimulus_needs_a_file():
    with pytest.raises(DataError, match="no image or film file for stimulus 'x'"):
        Pictures(FORM).read(Shown("x", ""))
