"""Edges as an extractor: at their place, of their orientation, the mean over a film's frames."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from tests.media.made_films import film

from striate.data import Stimuli
from striate.errors import RecipeError
from striate.extractors.edges import Edges
from striate.machine import Machine, using
from striate.registry import key_of

SMALL = Edges(size=64, sigmas=(1.0, 2.0), pool="mean:8")


def gathered(extractor, stimuli, batch=2):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        return np.concatenate([b["edges"] for b in extractor(stimuli)])


@pytest.fixture
def step(tmp_path):
    """Dark on the left, light on the right, the step between columns 43 and 44; and turned."""
    pixels = np.full((64, 64, 3), 40, dtype=np.uint8)
    pixels[:, 44:] = 200
    Image.fromarray(pixels).save(tmp_path / "upright.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "flat.png")
    return Stimuli.from_files([tmp_path / "upright.png", tmp_path / "flat.png"])


def test_a_step_has_its_energy_in_its_own_channel_and_place(step):
    flat, upright = gathered(SMALL, step)  # in natural order
    assert upright.shape == (16, 8, 8)
    np.testing.assert_allclose(flat[4], upright[0].T, atol=1e-4)
    for scale in (upright[:8], upright[8:]):
        middle = scale[:, 4]  # away from the mirrored borders
        assert middle[0].argmax() == 5  # columns 40 to 47
        assert middle.max(axis=1).argmax() == 0
        assert middle[4].max() < 0.1 * middle[0].max()
        assert middle[0, 0] < 0.02 * middle[0, 5]


def test_gradients_and_lines_are_at_the_step(step):
    sobel = gathered(dataclasses.replace(SMALL, kind="sobel"), step)[1]
    canny = gathered(dataclasses.replace(SMALL, kind="canny"), step)[1]
    for found in (sobel, canny):
        assert found.shape == (1, 8, 8)
        assert found[0, 4].argmax() == 5
    # Half of the step in each of the two columns beside it, and one line of 8 pixels of 64.
    assert sobel[0, 4, 5] == pytest.approx(160 / 255 * 0.5 * 2 / 8, rel=1e-4)
    assert canny[0, 4].tolist() == [0, 0, 0, 0, 0, 1 / 8, 0, 0]


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A film of a bar that moves, and its frames as images."""
    from striate.media import Frames, read_frames

    place = tmp_path_factory.mktemp("edges")

    def bar(k):
        pixels = np.zeros((64, 64, 3), dtype=np.uint8)
        pixels[:, 8 + 4 * k : 16 + 4 * k] = 255
        return pixels

    path = film(place / "bar.mp4", 8, 8, (64, 64), picture=bar)
    whole = Stimuli.from_files([path])
    for k, image in enumerate(read_frames(whole.shown()[0], Frames(8))):
        image.save(place / f"frame{k}.png")
    return whole, Stimuli.from_files(sorted(place.glob("*.png")))


@pytest.mark.parametrize("kind", ["oriented", "sobel", "canny"])
def test_a_film_is_pooled_over_the_features_of_its_frames(moving, kind):
    whole, frames = moving
    edges = dataclasses.replace(SMALL, kind=kind, frames=8)
    single = gathered(edges, frames)
    kept = gathered(dataclasses.replace(edges, time="keep"), whole, batch=3)
    np.testing.assert_allclose(kept[0], single, atol=1e-5)
    np.testing.assert_allclose(gathered(edges, whole)[0], single.mean(0), atol=1e-5)
    most = gathered(dataclasses.replace(edges, time="max"), whole)
    np.testing.assert_allclose(most[0], single.max(0), atol=1e-5)


CHANGES = {
    "kind": "sobel",
    "size": 32,
    "sigmas": (1.0,),
    "orientations": 4,
    "length": 3,
    "sigma": 2,
    "low": 0.1,
    "high": 0.2,
    "pool": "max:8",
    "frames": 4,
    "time": "max",
    "dtype": "float16",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Edges)])
def test_every_field_is_in_the_key(name):
    other = dataclasses.replace(SMALL, **{name: CHANGES[name]})
    assert key_of(other.identity()) != key_of(SMALL.identity())


def test_the_same_numbers_written_otherwise_are_the_same():
    one = dataclasses.replace(SMALL, sigmas=(1, 2), length=2, pool={"kind": "mean", "grid": 8})
    assert key_of(one.identity()) == key_of(SMALL.identity())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "cany"}, "unknown kind of edges 'cany': did you mean 'canny'"),
        ({"low": 0.5}, r"low 0\.5, high 0\.15"),
        ({"sigma": 0}, "sigma 0"),
        ({"sigmas": ()}, r"sigmas \[\]"),
        ({"orientations": 0}, "orientations 0"),
        ({"pool": "meen:3"}, "unknown pool"),
        ({"time": "sum"}, "unknown pooling over time"),
        ({"dtype": "float8"}, "unknown dtype"),
    ],
)
def test_what_cannot_be_is_refused_at_once(fields, said):
    with pytest.raises(RecipeError, match=said):
        Edges(**fields)
