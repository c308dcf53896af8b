"""A function of the user's as an extractor: what it is given, what it returns, what its key is."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.media.made_films import FIRST, STEP, film

from striate.data import Stimuli
from striate.errors import DataError, FileError, RecipeError
from striate.extractors.function import Function
from striate.machine import Machine, using
from striate.media import digests
from striate.registry import build, identity, key_of
from striate.store import stored_spaces
from striate.testing import check_extractor

MINE = """
import numpy as np

CONSTANT = 3

def means(frames, scale=1.0):
    assert frames.dtype == np.uint8 and frames.ndim == 4
    return scale * frames.mean((1, 2))

def named(frames):
    return {"mean": frames.mean((1, 2, 3)), "corner": frames[:, :2, :2]}

def told(shown, scale=1):
    return np.array([len(shown.text or ""), shown.duration or 0]) * scale

def few(frames):
    return frames[:1].mean((1, 2))

def scalar(frames):
    return 1.0

def words(frames):
    return ["none"] * len(frames)

class Callable:
    def __call__(self, frames):
        return frames

instance = Callable()
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return f"{tmp_path / 'mine.py'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("function")
    for k in range(3):
        noise = np.random.default_rng(k).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"im{k}.png")
    film(place / "film.mp4", 8, 8, (48, 48), options={"crf": "1"})
    return place


@pytest.fixture
def stimuli(folder):
    return Stimuli.from_files(sorted(folder.glob("im*.png")))


def gathered(extractor, stimuli, batch=2):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


def pictures_of(stimuli, size):
    return [
        np.asarray(Image.open(f).resize((size, size), Image.Resampling.BILINEAR))
        for f in stimuli.table["file"]
    ]


def test_it_is_given_pictures(mine, stimuli):
    found = gathered(Function(f"{mine}:means", size=32, options={"scale": 2.0}), stimuli)
    assert list(found) == [""] and found[""].dtype == np.float32
    expected = [2 * p.mean((0, 1)) for p in pictures_of(stimuli, 32)]
    np.testing.assert_allclose(found[""], expected, rtol=1e-6)


def test_it_may_return_several_arrays(mine, stimuli):
    named = Function(f"{mine}:named", returns=("mean", "corner"), size=32)
    found = gathered(named, stimuli)
    assert named.names() == ("mean", "corner")
    pictures = pictures_of(stimuli, 32)
    np.testing.assert_allclose(found["mean"], [p.mean() for p in pictures], rtol=1e-6)
    np.testing.assert_array_equal(found["corner"], [p[:2, :2] for p in pictures])


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_frames_of_a_film_are_pooled(mine, folder, batch):
    stimuli = Stimuli.from_files([folder / "film.mp4", folder / "im0.png"])
    means = Function(f"{mine}:means", size=48, frames=8)
    greys = FIRST + STEP * np.arange(8)
    kept = gathered(dataclasses.replace(means, time="keep"), stimuli.select(["film"]), batch)[""]
    assert kept.shape == (1, 8, 3)
    np.testing.assert_allclose(kept[0].mean(1), greys, atol=1)
    film_, image = gathered(means, stimuli, batch)[""]
    np.testing.assert_allclose(film_, kept[0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(image, pictures_of(stimuli.select(["im0"]), 48)[0].mean((0, 1)))
    most = gathered(dataclasses.replace(means, time="max"), stimuli, batch)[""]
    np.testing.assert_allclose(most[0], kept[0].max(0))


def said(texts, seconds=2.0):
    return Stimuli(pd.DataFrame({"text": texts, "duration": seconds}, index=["a", "b", "c"]))


def test_it_is_given_stimuli(mine):
    told = Function(f"{mine}:told", "stimulus", options={"scale": 3})
    found = gathered(told, said(["one", "", "three"]))
    np.testing.assert_array_equal(found[""], [[9, 6], [0, 6], [15, 6]])
    check_extractor(told, said(["one", "", "three"]))


def test_rows_of_stimuli_follow_their_text(mine, tmp_path):
    told = Function(f"{mine}:told", "stimulus")
    key = key_of(identity(told))
    for texts in (["one", "two", "three"], ["one", "four", "three"]):
        stimuli = said(texts)
        (space,) = stored_spaces(tmp_path / "store", "told", told, key, stimuli).values()
        assert space.read(stimuli.ids)[:, 0].tolist() == [len(t) for t in texts]
    assert told.content(said(["one", "two", "one"]))[0] == told.content(said(["one"] * 3))[2]
    assert told.content(said(["one"] * 3)) != told.content(said(["one"] * 3, 1.0))


def test_rows_of_pictures_follow_their_files(mine, stimuli):
    means = Function(f"{mine}:means")
    assert means.content(digests(stimuli)) == digests(stimuli).table["digest"].tolist()


@pytest.mark.parametrize("name", ["means", "named"])
def test_the_contract(mine, stimuli, name):
    returns = ("mean", "corner") if name == "named" else ("",)
    check_extractor(Function(f"{mine}:{name}", returns=returns, size=24), stimuli)


def test_the_key_follows_the_text_of_the_file(mine, tmp_path):
    means = Function(f"{mine}:means")
    before = key_of(means.identity())
    assert str(tmp_path) not in json.dumps(means.identity())
    (tmp_path / "mine.py").write_text(MINE.replace("CONSTANT = 3", "CONSTANT = 4"))
    edited = key_of(means.identity())
    assert edited != before
    (tmp_path / "mine.py").write_text(MINE)
    assert key_of(means.identity()) == before
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "mine.py").write_text(MINE)
    moved = Function(f"{tmp_path / 'moved' / 'mine.py'}:means")
    assert key_of(moved.identity()) == before


def test_an_edited_function_is_the_one_that_is_called(mine, tmp_path, stimuli):
    means = Function(f"{mine}:means", size=16)
    before = gathered(means, stimuli)[""]
    (tmp_path / "mine.py").write_text(MINE.replace("return scale *", "return 10 + scale *"))
    np.testing.assert_allclose(gathered(means, stimuli)[""], 10 + before, rtol=1e-6)


CHANGES = {
    "call": ":named",
    "given": "stimulus",
    "returns": ("a", "b"),
    "size": 32,
    "crop": 16,
    "interpolation": "bicubic",
    "frames": 3,
    "time": "max",
    "options": {"scale": 2},
    "dtype": "float16",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Function)])
def test_every_field_is_in_the_key(mine, name):
    base = Function(f"{mine}:means")
    change = mine + CHANGES["call"] if name == "call" else CHANGES[name]
    other = dataclasses.replace(base, **{name: change})
    assert key_of(other.identity()) != key_of(base.identity())


def test_a_recipe_names_a_file_beside_it(mine, tmp_path, stimuli):
    line = {"use": "function", "call": "./mine.py:means", "size": 16}
    built = build("extractor", line, tmp_path)
    assert key_of(built.identity()) == key_of(Function(f"{mine}:means", size=16).identity())
    numpy = build("extractor", {"use": "function", "call": "numpy:ascontiguousarray", "size": 8})
    assert gathered(numpy, stimuli)[""].shape == (3, 8, 8, 3)


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("named", {}, r"returned mean, corner for 2 frames, but `returns` names one array"),
        ("named", {"returns": ("mean",)}, "returned mean, corner for 2 frames.*names mean"),
        ("means", {"returns": ("a", "b")}, "for 2 frames, but `returns` names a, b"),
        ("few", {}, r"returned an array of shape \(1, 3\) for 2 frames: its first axis"),
        ("scalar", {}, r"returned an array of shape \(\) for 2 frames"),
        ("words", {}, "returned no numbers for 2 frames"),
    ],
)
def test_what_it_returns_is_checked(mine, stimuli, name, fields, said):
    with pytest.raises(DataError, match=said):
        gathered(Function(f"{mine}:{name}", size=16, **fields), stimuli)


def test_what_is_no_function_is_refused(mine):
    for fields, told in (
        ({"call": f"{mine}:means", "given": "frames"}, "unknown what a function is given"),
        ({"call": f"{mine}:means", "returns": ()}, r"returns \[\]"),
        ({"call": f"{mine}:means", "returns": ("a", "a")}, "name each one once"),
        ({"call": f"{mine}:means", "time": "sum"}, "unknown pooling over time"),
        ({"call": f"{mine}:means", "dtype": "float8"}, "unknown dtype"),
    ):
        with pytest.raises(RecipeError, match=told):
            Function(**fields)
    for call, told in (
        ("instance", "is an instance of Callable: name a function"),
        ("CONSTANT", "is an instance of int: name a function"),
        ("mean", r"unknown function in .*mine\.py 'mean': did you mean 'means'"),
    ):
        with pytest.raises(RecipeError, match=told):
            Function(f"{mine}:{call}").identity()
    with pytest.raises(RecipeError, match=r"unknown function 'means'.*\./file\.py:function"):
        Function("means").identity()
    with pytest.raises(FileError, match=r"gone\.py"):
        Function("./gone.py:means").identity()
