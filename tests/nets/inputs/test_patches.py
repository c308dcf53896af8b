"""Patches of sound, each an item, as VGGish hears them."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from striate.data import Shown
from striate.errors import DataError, RecipeError
from striate.nets.inputs.patches import Patches
from striate.nets.zoo.vggish import patches

RATE = 16000


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    place = tmp_path_factory.mktemp("patches")
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)
    wavfile.write(place / "noise.wav", RATE, (wave * 32767).astype(np.int16))
    Image.new("RGB", (8, 8)).save(place / "still.png")
    return Shown("noise", str(place / "noise.wav"))


def test_patches_are_those_of_the_whole_sound(noise):
    found = Patches().read(noise)
    samples = wavfile.read(noise.file)[1] / 32768
    assert found.shape == (3, 96, 64) and found.dtype == np.float32
    np.testing.assert_allclose(found, patches(torch.tensor(samples)).numpy(), atol=1e-4)
    items = torch.from_numpy(found)
    assert Patches()(items) is items
    assert Patches().blank().shape == (1, 96, 64)
    assert Patches().kind == "sound"


@pytest.mark.parametrize(("seconds", "count"), [(1, 1), (2.0, 2), (0.1, 1), (5, 5)])
def test_sound_is_cut_and_continued_in_silence(noise, seconds, count):
    found = Patches(seconds).read(noise)
    whole = Patches().read(noise)
    assert len(found) == count
    alike = min(int(seconds), 3)
    np.testing.assert_allclose(found[:alike, :90], whole[:alike, :90], atol=1e-3)
    if count > 3:
        silence = np.full((96, 64), np.log(0.01), dtype=np.float32)
        np.testing.assert_allclose(found[-1], silence, atol=1e-5)


def test_a_picture_can_not_be_heard(noise):
    with pytest.raises(DataError, match="neither film nor sound"):
        Patches().read(Shown("still", noise.file.replace("noise.wav", "still.png")))


def test_the_length_is_in_the_identity():
    told = [str(Patches(s).identity()) for s in (None, 1, 2)]
    assert len(set(told)) == 3
    assert str(Patches(1.0).identity()) == told[1]
    with pytest.raises(RecipeError, match="seconds 0 of sound"):
        Patches(0)
