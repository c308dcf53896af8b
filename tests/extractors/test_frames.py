"""Decoded frames as a space: Pillow's own bytes, in any process, within a bounded memory."""

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.media.made_films import film, number

from striate.data import Features, Stimuli
from striate.errors import DataError, FileError, RecipeError
from striate.extractors.frames import Frames
from striate.interfaces import Extractor
from striate.machine import Machine, using
from striate.media import Frames as FrameRule
from striate.media import digests, read_frames
from striate.registry import identity, key_of

SIZES = [(60, 80), (80, 60), (48, 48), (100, 30)]


class Reads:
    """What a training loop's workers do: one stimulus by its index."""

    def __init__(self, space, ids):
        self.space, self.ids = space, ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return self.space.read([self.ids[index]])[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for k, (height, width) in enumerate(SIZES):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"im{k}.png")
    film(place / "film.mp4", 20, 10, (64, 48))
    film(place / "brief.mp4", 5, 10, (64, 48))
    return place


@pytest.fixture
def stimuli(folder):
    return Stimuli.from_files(sorted(folder.glob("*.png")))


def opened(extractor, stimuli):
    return extractor.open_spaces("frames", stimuli)["frames"]


@pytest.mark.parametrize("name", ["BILINEAR", "BICUBIC", "BOX", "LANCZOS"])
def test_an_image_is_what_pillow_makes_of_it(stimuli, name):
    found = opened(Frames((32, 48), interpolation=name.lower()), stimuli).read(stimuli.ids)
    assert found.shape == (4, 32, 48, 3) and found.dtype == np.uint8
    for row, file in zip(found, stimuli.table["file"], strict=True):
        expected = Image.open(file).resize((48, 32), Image.Resampling[name])
        np.testing.assert_array_equal(row, np.asarray(expected))


def test_the_shorter_edge_and_the_centre(stimuli):
    found = opened(Frames(40, crop=32), stimuli).read(["im0", "im1"])
    wide = Image.open(stimuli.table.file["im0"]).resize((53, 40), Image.Resampling.BILINEAR)
    tall = Image.open(stimuli.table.file["im1"]).resize((40, 53), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found[0], np.asarray(wide)[4:36, 10:42])
    np.testing.assert_array_equal(found[1], np.asarray(tall)[10:42, 4:36])


def test_frames_of_a_film_and_of_its_pieces(folder):
    table = {"file": str(folder / "film.mp4"), "onset": [0.0, 0.5, 1.0], "duration": 0.5}
    pieces = digests(Stimuli(pd.DataFrame(table, index=["a", "b", "c"])))
    space = opened(Frames((24, 32), frames=3), pieces)
    found = space.read(["c", "a", "b", "a"])
    assert found.shape == (4, 3, 24, 32, 3)
    for row, shown in zip(found[1:3], pieces.shown()[:2], strict=True):
        for frame, image in zip(row, read_frames(shown, FrameRule(3)), strict=True):
            expected = image.resize((32, 24), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(frame, np.asarray(expected))
    numbers = [[number(Image.fromarray(f)) for f in row] for row in found]
    assert numbers == [[10, 12, 14], [0, 2, 4], [5, 7, 9], [0, 2, 4]]
    (still,) = opened(Frames(16), pieces).read(["b"])
    assert still.shape == (16, 16, 3) and number(Image.fromarray(still)) == 5


def test_a_pass_and_a_view_give_the_same(stimuli):
    extractor = Frames(24)
    with using(Machine(batch=3, threads=2, quiet=True)):
        batches = [b[""] for b in extractor(stimuli)]
        assert [len(b) for b in batches] == [3, 1]
        whole = np.concatenate(batches)
        features = Features(extractor.open_spaces("seen", stimuli), stimuli.ids)
        np.testing.assert_array_equal(features["seen"], whole)
        view = features.rows(["im2", "im0", "im2"])
        np.testing.assert_array_equal(view["seen"], whole[[2, 0, 2]])
        assert features.rows([])["seen"].shape == (0, 24, 24, 3)
        assert view.matrix("seen").shape == (3, 24 * 24 * 3)
    assert isinstance(extractor, Extractor)


def test_what_was_read_may_be_changed(stimuli):
    space = opened(Frames(24), stimuli)
    before = space.read(stimuli.ids)
    kept = before.copy()
    before[:] = 0
    np.testing.assert_array_equal(space.read(stimuli.ids), kept)


@pytest.fixture
def decoded(monkeypatch):
    """Ids of the stimuli that were decoded."""
    seen, read = [], Frames.read

    def counted(self, shown):
        seen.append(shown.id)
        return read(self, shown)

    monkeypatch.setattr(Frames, "read", counted)
    return seen


def test_memory_is_bounded_and_the_latest_stay(tmp_path, decoded):
    for k in range(8):
        Image.new("RGB", (8, 8), (k, k, k)).save(tmp_path / f"im{k}.png")
    stimuli = digests(Stimuli.from_files(sorted(tmp_path.glob("*.png"))))
    space = opened(Frames(256, cache=1), stimuli)  # five stimuli of 192 kB fit
    with using(Machine(threads=1, quiet=True)):
        for stimulus in stimuli.ids:
            space.read([stimulus])
            assert space._cache.bytes <= 1 << 20
        assert space._cache.bytes == 5 * 256 * 256 * 3
        decoded.clear()
        space.read(stimuli.ids[3:])
        assert decoded == []
        space.read(["im0"])
        assert decoded == ["im0"]
        nothing = opened(Frames(256, cache=0), stimuli)
        for _ in range(2):
            nothing.read(["im0"])
        assert decoded == ["im0"] * 3 and nothing._cache.bytes == 0


def test_stimuli_of_one_content_are_decoded_once(folder, decoded):
    file = folder / "im0.png"
    twice = digests(Stimuli.from_files([file, file], ["a", "b"]))
    with using(Machine(threads=1, quiet=True)):
        a, b = opened(Frames(24), twice).read(["a", "b"])
    np.testing.assert_array_equal(a, b)
    assert decoded == ["a"]


def test_a_pickle_carries_no_pixels(stimuli):
    space = opened(Frames(224), stimuli)
    before = space.read(stimuli.ids)
    content = pickle.dumps(space)
    assert len(content) < 10_000 < space._cache.bytes
    again = pickle.loads(content)
    assert again._cache.bytes == 0 and again.key == space.key
    np.testing.assert_array_equal(again.read(stimuli.ids), before)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader_read_the_same_bytes(folder, start):
    from torch.utils.data import DataLoader

    files = [*sorted(folder.glob("im*.png")), folder / "film.mp4"]
    stimuli = digests(Stimuli.from_files(files))
    space = opened(Frames(24), stimuli)
    expected = space.read(stimuli.ids)  # locks and caches of this process are in use
    loader = DataLoader(
        Reads(space, stimuli.ids), batch_size=2, num_workers=2, multiprocessing_context=start
    )
    for _ in range(2 if start == "fork" else 1):
        found = np.concatenate([batch.numpy() for batch in loader])
        np.testing.assert_array_equal(found, expected)


CHANGES = {"size": 32, "crop": 16, "interpolation": "bicubic", "frames": 1}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Frames)])
def test_every_field_but_the_cache_is_in_the_key(name):
    base = Frames(24)
    other = dataclasses.replace(base, **{name: CHANGES.get(name, 7)})
    assert (key_of(identity(other)) != key_of(identity(base))) == (name != "cache")


def test_the_key_of_a_space_is_that_of_its_extractor(stimuli):
    one, other = Frames(24), Frames(24, cache=3)
    assert opened(one, stimuli).key == opened(other, stimuli.select(["im0"])).key
    assert opened(one, stimuli).key != opened(Frames(25), stimuli).key


def test_what_cannot_be_read_is_told(folder, stimuli):
    space = opened(Frames(24), stimuli)
    with pytest.raises(DataError, match="no frames of stimulus im9, im8; name it in the dataset"):
        space.read(["im0", "im9", "im8"])
    lost = opened(Frames(24), Stimuli.from_files([folder / "gone.png", ""], ["gone", "none"]))
    with pytest.raises(FileError, match=r"gone\.png"):
        lost.read(["gone"])
    with pytest.raises(DataError, match="no image or film file for stimulus 'none'"):
        lost.read(["none"])
    films = Stimuli.from_files([folder / "film.mp4", folder / "brief.mp4"])
    with pytest.raises(DataError, match=r"different numbers of frames.*frames = 16"):
        opened(Frames(24, frames={"rate": 10}), films).read(films.ids)
    assert opened(Frames(24, frames=2), films).read(films.ids).shape == (2, 2, 24, 24, 3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size": 0}, "edges are 1 or longer"),
        ({"interpolation": "cubic"}, "unknown interpolation"),
        ({"frames": 0}, "0 must be 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_at_once(fields, said):
    with pytest.raises(RecipeError, match=said):
        Frames(**fields)
