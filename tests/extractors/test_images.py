"""Gabor pyramids and pixels as extractors."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from striate.data import Stimuli
from striate.errors import DataError, RecipeError
from striate.extractors.gabor import Gabor
from striate.extractors.pixels import Pixels
from striate.machine import Machine, using
from striate.media import list_images


@pytest.fixture
def stimuli(tmp_path):
    x = np.tile(np.arange(64), (64, 1))
    bars = 127.5 + 127.5 * np.cos(2 * np.pi * 8 / 64 * x)
    pictures = {"bars": bars, "floor": bars.T, "grey": np.full((64, 64), 100.0)}
    for name, values in pictures.items():
        Image.fromarray(values.round().astype(np.uint8)).save(tmp_path / f"{name}.png")
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = bars.round()
    Image.fromarray(red).save(tmp_path / "red.png")
    return Stimuli.from_files(list_images(tmp_path))


def gathered(extractor, stimuli):
    with using(Machine(batch=3, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    assert [len(b[extractor.names()[0]]) for b in batches] == [3, 1]
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


def test_gabor_spaces(stimuli):
    gabor = Gabor(64, frequencies=(2, 8, 16))
    found = gathered(gabor, stimuli)
    assert tuple(found) == gabor.names() == ("f2", "f8", "f16")
    assert found["f8"].shape == (4, 8, 8, 8)
    row = dict(zip(stimuli.ids, found["f8"], strict=True))
    assert row["bars"][0, 4, 4] == pytest.approx(0.5, abs=0.01)  # contrast of 0–1 values
    assert row["floor"][4, 4, 4] == pytest.approx(0.5, abs=0.01)
    assert row["bars"][4, 4, 4] < 0.01
    assert abs(row["grey"]).max() < 1e-6
    np.testing.assert_allclose(row["red"], 0.299 * row["bars"], atol=1e-3)


def test_gabor_colours(stimuli):
    found = gathered(Gabor(64, frequencies=(8,), colour="rgb"), stimuli)["f8"]
    row = dict(zip(stimuli.ids, found, strict=True))
    assert row["red"].shape == (3, 8, 8, 8)
    np.testing.assert_allclose(row["red"][0], row["bars"][0], atol=1e-3)
    assert abs(row["red"][1:]).max() < 1e-6


def test_gabor_opponent_colours(stimuli):
    gabor = Gabor(64, frequencies=(8,), colour="opponent", nonlinearity="normalised")
    found = gathered(gabor, stimuli)["f8"]
    row = dict(zip(stimuli.ids, found, strict=True))
    assert row["bars"].shape == (3, 8, 8, 8)
    assert row["bars"][0, 0, 4, 4] > 0.3
    assert abs(row["bars"][1:]).max() < 1e-6  # grey
    assert row["red"][1, 0, 4, 4] > row["red"][2, 0, 4, 4] > 0.2  # red is more than half yellow
    assert abs(row["grey"]).max() < 1e-6


@pytest.mark.parametrize(
    "change",
    [
        {"size": 80},
        {"frequencies": (4.0,)},
        {"orientations": 4},
        {"spacing": 0.5},
        {"sigma": 0.4},
        {"nonlinearity": "energy"},
        {"semisaturation": 0.2},
        {"surround": 0},
        {"colour": "rgb"},
        {"colour": "opponent"},
    ],
)
def test_every_field_of_gabor_is_part_of_its_identity(change):
    assert dataclasses.replace(Gabor(), **change).identity() != Gabor().identity()
    assert Gabor(frequencies=(4,)).identity() == Gabor(frequencies=(4.0,)).identity()


def test_impossible_gabors():
    with pytest.raises(RecipeError, match="frequency 32"):
        Gabor(size=64)
    with pytest.raises(RecipeError, match="name each one once"):
        Gabor(frequencies=(4, 4))
    with pytest.raises(RecipeError, match="unknown colour"):
        Gabor(colour="lab")


def test_pixels(stimuli):
    found = gathered(Pixels(8), stimuli)["pixels"]
    assert found.shape == (4, 3, 8, 8)
    assert found.dtype == np.float32
    grey = gathered(Pixels(8, "grey"), stimuli)["pixels"]
    assert grey.shape == (4, 1, 8, 8)
    place = stimuli.ids.index("grey")
    np.testing.assert_allclose(grey[place], 100 / 255, atol=1e-6)
    values = np.asarray(Image.open(stimuli.table.file["bars"]), dtype=float)
    means = values.reshape(8, 8, 8, 8).mean((1, 3)) / 255
    np.testing.assert_allclose(grey[stimuli.ids.index("bars"), 0], means, atol=1 / 255)
    assert Pixels(8).identity() != Pixels(8, "grey").identity() != Pixels(9, "grey").identity()


def test_pixels_need_a_file_and_a_size(stimuli):
    with pytest.raises(DataError, match="no image or film file for stimulus 'x'"):
        list(Pixels()(Stimuli(stimuli.table.iloc[:1].set_axis(["x"]).assign(file=""))))
    with pytest.raises(RecipeError, match="size 0"):
        Pixels(0)
