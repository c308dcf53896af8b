"""Altered copies are found; different pictures are not."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from striate.data import Stimuli
from striate.media import list_images, near_duplicates
from striate.media.duplicates import fingerprints

ALTERATIONS = {
    "dark": lambda i: ImageEnhance.Brightness(i).enhance(0.6),
    "flat": lambda i: ImageEnhance.Contrast(i).enhance(0.5),
    "grey": lambda i: i.convert("L"),
    "hard": lambda i: i.point(lambda v: 255 * (v > 128)),
    "large": lambda i: i.resize((300, 240)),
    "small": lambda i: i.resize((48, 48)),
    "soft": lambda i: i.filter(ImageFilter.GaussianBlur(2)),
}


def scene(seed):
    """A picture with structure at all scales, like a photograph's."""
    rng = np.random.default_rng(seed)
    layers = [rng.normal(size=(k, k, 3)) * 96 / k**0.5 for k in (3, 6, 12, 24, 48)]
    resized = [np.stack([_enlarge(a[..., c]) for c in range(3)], axis=-1) for a in layers]
    return Image.fromarray(np.clip(sum(resized) + 128, 0, 255).astype(np.uint8))


def _enlarge(plane):
    return np.asarray(Image.fromarray(plane.astype(np.float32)).resize((96, 96)))


@pytest.fixture
def scenes(tmp_path):
    for seed in range(6):
        scene(seed).save(tmp_path / f"scene{seed}.png")
    return tmp_path


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_copy_is_the_only_pair(scenes, name):
    ALTERATIONS[name](scene(2)).save(scenes / "copy.jpg", quality=60)
    pairs = near_duplicates(Stimuli.from_files(list_images(scenes)))
    assert [p[:2] for p in pairs] == [("copy", "scene2")]
    assert 0.75 <= pairs[0][2] <= 1


def test_negatives_are_no_copies(scenes):
    ImageOps.invert(scene(2)).save(scenes / "negative.png")
    assert near_duplicates(Stimuli.from_files(list_images(scenes))) == []


def test_blank_images_and_missing_files_pair_with_nothing(tmp_path):
    for name in "ab":
        Image.new("RGB", (20, 20), "white").save(tmp_path / f"{name}.png")
    table = pd.DataFrame(
        {"file": [str(tmp_path / "a.png"), str(tmp_path / "b.png"), ""]}, index=list("abc")
    )
    assert near_duplicates(Stimuli(table)) == []
    assert near_duplicates(Stimuli(table.iloc[:1])) == []


def test_films_and_sounds_are_left_out(scenes):
    files = [*list_images(scenes), str(scenes / "a.mp4"), str(scenes / "b.wav")]
    for name in ("a.mp4", "b.wav"):
        (scenes / name).write_bytes(b"is not opened")
    ALTERATIONS["grey"](scene(2)).save(scenes / "copy.png")
    pairs = near_duplicates(Stimuli.from_files([*files, str(scenes / "copy.png")]))
    assert [p[:2] for p in pairs] == [("copy", "scene2")]


def test_similarity_ignores_brightness_and_contrast():
    rng = np.random.default_rng(0)
    picture = rng.normal(size=(1, 32, 32)) * 40 + 128
    a, b = fingerprints(np.concatenate([picture, picture * 0.5 + 30]))
    assert a @ b > 0.97


def test_pairs_of_the_v4_images(real_data):
    stimuli = Stimuli.from_files(list_images(real_data / "v4/201016"))
    place = {i: k for k, i in enumerate(stimuli.ids)}
    steps = [place[b] - place[a] for a, b, _ in near_duplicates(stimuli)]
    found, other = steps.count(300), len(steps) - steps.count(300)
    assert found >= 0.9 * 300
    assert other <= 1e-4 * (600 * 599 / 2 - 300)


@pytest.mark.parametrize("place", ["v4/201025", "algonauts2019/Training_Data"])
def test_quiet_on_different_pictures(real_data, place):
    assert near_duplicates(Stimuli.from_files(list_images(real_data / place))) == []
