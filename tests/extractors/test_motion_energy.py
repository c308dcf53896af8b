"""Motion energy as an extractor: what drifts drives its own direction and speed, a picture none."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from tests.media.made_films import film

from striate.data import Stimuli
from striate.errors import RecipeError
from striate.extractors.motion_energy import MotionEnergy
from striate.machine import Machine, using
from striate.registry import key_of

SIZE, FPS, CYCLES = 48, 12, 4
SMALL = MotionEnergy(SIZE, (4.0,), FPS, 4, (0.0, 2.0, 4.0), window=6, nonlinearity="magnitude")
CHANNELS = {c: k for k, c in enumerate(SMALL.wavelets().channels())}


def gathered(extractor, stimuli, batch=16):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


def grating(direction, hertz):
    """A grating that drifts towards `direction` (degrees, from the right towards the bottom)."""
    y, x = np.mgrid[:SIZE, :SIZE]
    angle = np.deg2rad(direction)
    along = (np.cos(angle) * x + np.sin(angle) * y) * CYCLES / SIZE

    def picture(k):
        wave = 128 + 80 * np.cos(2 * np.pi * (along - hertz * k / FPS))
        return np.repeat(wave.round().astype(np.uint8)[..., None], 3, axis=2)

    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("energy")
    for direction in (0, 90, 180, 270):
        for hertz in (2, 4):
            path, shown = place / f"d{direction}_{hertz}.mp4", grating(direction, hertz)
            film(path, 12, FPS, (SIZE, SIZE), picture=shown, options={"crf": "1"})
    film(place / "short.mp4", 3, FPS, (SIZE, SIZE), picture=grating(0, 2), options={"crf": "1"})
    Image.fromarray(grating(0, 2)(0)).save(place / "still.png")
    return place


@pytest.mark.parametrize("direction", [0, 90, 180, 270])
@pytest.mark.parametrize("hertz", [2, 4])
def test_a_drifting_grating_drives_its_own_channel_most(folder, direction, hertz):
    stimuli = Stimuli.from_files([folder / f"d{direction}_{hertz}.mp4"])
    (row,) = gathered(SMALL, stimuli)["f4"]
    assert len(row) == len(CHANNELS)
    middle = row[:, row.shape[1] // 2, row.shape[2] // 2]
    own = CHANNELS[float(hertz), float(direction)]
    moving = {c: middle[k] for c, k in CHANNELS.items() if c[0] and c[1] is not None}
    assert max(moving, key=moving.get) == (hertz, direction)
    # 80 grey levels of 255, seen through the wavelet that drifts as the grating does.
    assert middle[own] == pytest.approx(80 / 255, rel=0.05)
    opposite = middle[CHANNELS[float(hertz), float((direction + 180) % 360)]]
    across = middle[CHANNELS[float(hertz), float((direction + 90) % 360)]]
    assert opposite < 0.35 * middle[own]
    assert across < 0.05 * middle[own]


def test_a_picture_does_not_move(folder):
    (row,) = gathered(SMALL, Stimuli.from_files([folder / "still.png"]))["f4"]
    for (speed, direction), k in CHANNELS.items():
        if speed:
            assert row[k].max() < 1e-4, (speed, direction)
    middle = row[:, row.shape[1] // 2, row.shape[2] // 2]
    assert middle[CHANNELS[0.0, 0.0]] == pytest.approx(80 / 255, rel=0.05)
    assert middle[CHANNELS[0.0, 90.0]] < 0.01


def test_a_film_shorter_than_the_window_stands_still_at_its_end(folder):
    (row,) = gathered(SMALL, Stimuli.from_files([folder / "short.mp4"]))["f4"]
    (kept,) = gathered(
        dataclasses.replace(SMALL, time="keep"), Stimuli.from_files([folder / "short.mp4"])
    )["f4"]
    assert kept.shape == (1, *row.shape)
    np.testing.assert_allclose(kept[0], row)
    moving = [k for (speed, direction), k in CHANNELS.items() if speed and direction is not None]
    assert row[moving].max() > 0.01  # what little there is to see


def test_windows_are_pooled_or_kept(folder):
    stimuli = Stimuli.from_files([folder / "d0_2.mp4", folder / "d90_2.mp4"])
    kept = gathered(dataclasses.replace(SMALL, time="keep"), stimuli)["f4"]
    assert kept.shape[:3] == (2, 12 - 6 + 1, len(CHANNELS))
    np.testing.assert_allclose(gathered(SMALL, stimuli)["f4"], kept.mean(1), rtol=1e-5)
    most = gathered(dataclasses.replace(SMALL, time="max"), stimuli, batch=1)["f4"]
    np.testing.assert_allclose(most, kept.max(1), rtol=1e-5)


def test_spaces_are_frequencies_and_the_defaults_those_of_the_paper(folder):
    both = dataclasses.replace(SMALL, frequencies=(2, 4.0), size=32)
    stimuli = Stimuli.from_files([folder / "still.png"])
    assert tuple(gathered(both, stimuli)) == both.names() == ("f2", "f4")
    assert MotionEnergy().names() == ("f2", "f4", "f8", "f16", "f32")
    assert len(MotionEnergy().wavelets().channels()) == 8 // 2 + 2 * 8 + 3


CHANGES = {
    "size": 64,
    "frequencies": (3.0,),
    "fps": 15,
    "directions": 8,
    "speeds": (0, 2),
    "window": 7,
    "spacing": 3,
    "sigma": 0.5,
    "duration": 0.25,
    "flicker": False,
    "nonlinearity": "log",
    "time": "max",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(MotionEnergy)])
def test_every_field_is_in_the_key(name):
    other = dataclasses.replace(SMALL, **{name: CHANGES[name]})
    assert key_of(other.identity()) != key_of(SMALL.identity())
    whole = dataclasses.replace(SMALL, frequencies=(4,), fps=12.0, speeds=(0, 2, 4))
    assert key_of(whole.identity()) == key_of(SMALL.identity())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"frequencies": ()}, r"frequencies \[\]"),
        ({"frequencies": (4.0, 4)}, "name each one once"),
        ({"frequencies": (24.0,)}, "24"),
        ({"directions": 3}, "even number"),
        ({"speeds": (6,)}, "6 Hz must lie between"),
        ({"window": 0}, "window 0"),
        ({"time": "sum"}, "unknown pooling over time"),
        ({"nonlinearity": "square"}, "unknown nonlinearity"),
    ],
)
def test_what_cannot_be_is_refused_at_once(fields, said):
    with pytest.raises(RecipeError, match=said):
        dataclasses.replace(SMALL, **fields)
