"""Optical flow as an extractor: how far a drifting texture goes, and that a picture does not."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from tests.media.made_films import film

from striate.data import Stimuli
from striate.errors import DataError, FileError, RecipeError
from striate.extractors.flow import Flow
from striate.machine import Machine, using
from striate.registry import key_of

SIZE = 64
SMALL = Flow(size=SIZE, frames=6, cells=8)
RAFT = Flow("raft_small", {"weights": "none", "updates": 1}, size=32, frames=3, cells=2, grid=2)


def gathered(extractor, stimuli, batch=16):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A texture that drifts 2 pixels per frame to the right, one that falls, one that stands."""
    place = tmp_path_factory.mktemp("flow")
    noise = np.random.default_rng(0).standard_normal((2 * SIZE, 2 * SIZE))
    smooth = gaussian_filter(noise, 2.0, mode="wrap")
    texture = 128 + 60 * smooth / smooth.std()
    texture = np.repeat(texture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)

    def right(k):
        return np.ascontiguousarray(texture[:SIZE, 20 - 2 * k : 20 - 2 * k + SIZE])

    def down(k):
        return np.ascontiguousarray(texture[20 - k : 20 - k + SIZE, :SIZE])

    for name, picture in (("right", right), ("down", down)):
        film(place / f"{name}.mp4", 6, 6, (SIZE, SIZE), picture=picture, options={"crf": "1"})
    Image.fromarray(right(0)).save(place / "still.png")
    return place


@pytest.fixture(scope="module")
def stimuli(folder):
    return Stimuli.from_files(folder / n for n in ("down.mp4", "right.mp4", "still.png"))


@pytest.fixture(scope="module")
def found(stimuli):
    return gathered(SMALL, stimuli)


def test_the_field_is_the_drift_in_pixels(found):
    down, right, still = found["field"]
    assert right.shape == (2, 8, 8)
    np.testing.assert_allclose(right[0, 2:6, 2:6], 2, atol=0.1)
    np.testing.assert_allclose(right[1, 2:6, 2:6], 0, atol=0.1)
    np.testing.assert_allclose(down[0, 2:6, 2:6], 0, atol=0.1)
    np.testing.assert_allclose(down[1, 2:6, 2:6], 1, atol=0.1)
    assert not still.any()


def test_the_summary_tells_speed_and_direction(found):
    down, right, still = found["summary"][:, :, 1:3, 1:3]
    np.testing.assert_allclose(right[0], 2, atol=0.1)
    directions = right[1:9].mean((1, 2))
    assert directions.argmax() == 0 and directions[0] > 1.7
    assert directions[2:7].max() < 0.05
    np.testing.assert_allclose(right[1:9].sum(0), right[0], rtol=1e-4)
    np.testing.assert_allclose(right[9:], 0, atol=0.1)  # it neither expands nor turns
    assert down[1:9].mean((1, 2)).argmax() == 2
    assert not still.any()


def test_speeds_are_those_between_the_frames_asked_for(stimuli):
    every_second = gathered(dataclasses.replace(SMALL, frames={"rate": 3}), stimuli)["field"]
    np.testing.assert_allclose(every_second[1, 0, 2:6, 3:6], 4, atol=0.3)


def test_pairs_are_kept_or_pooled(stimuli, found):
    kept = gathered(dataclasses.replace(SMALL, time="keep"), stimuli)
    assert kept["summary"].shape == (3, 5, 11, 4, 4)
    assert kept["field"].shape == (3, 5, 2, 8, 8)
    for space, values in kept.items():
        np.testing.assert_allclose(values.mean(1), found[space], atol=1e-5)
    most = gathered(dataclasses.replace(SMALL, time="max"), stimuli)
    np.testing.assert_allclose(most["field"], kept["field"].max(1), atol=1e-6)


def test_films_of_different_length_can_not_be_kept_by_rate(stimuli):
    keep = dataclasses.replace(SMALL, time="keep", frames={"rate": 6})
    with pytest.raises(DataError, match=r"different shapes.*state a fixed length"):
        gathered(keep, stimuli, batch=64)


def test_raft_sees_the_same_frames(stimuli):
    found = gathered(RAFT, stimuli)
    assert found["field"].shape == (3, 2, 2, 2) and found["summary"].shape == (3, 11, 2, 2)
    assert np.isfinite(found["field"]).all() and found["field"].any()


OTHERS = {
    "method": {"method": "raft_large", "options": {"weights": "none"}},
    "options": {"options": {"window": 3}},
    "size": {"size": 80},
    "frames": {"frames": 5},
    "grid": {"grid": 5},
    "directions": {"directions": 4},
    "cells": {"cells": 4},
    "time": {"time": "max"},
    "dtype": {"dtype": "float16"},
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Flow)])
def test_every_field_is_in_the_key(name):
    other = dataclasses.replace(SMALL, **OTHERS[name])
    assert key_of(other.identity()) != key_of(SMALL.identity())


def test_the_key_of_raft_tells_its_weights_and_no_path(tmp_path, stimuli):
    from safetensors.torch import save_file

    from striate.nets.raft import Raft

    keys, values = set(), []
    file = tmp_path / "raft.safetensors"
    for seed in (1, 2):
        save_file(Raft("raft_small", "none", seed=seed).build().state_dict(), file)
        raft = dataclasses.replace(RAFT, options={"weights": str(file), "updates": 1})
        keys.add(key_of(raft.identity()))
        assert str(tmp_path) not in str(raft.identity())
        values.append(gathered(raft, stimuli.select(["right"]))["field"])
    assert len(keys) == 2
    assert abs(values[0] - values[1]).max() > 1e-3  # the file is read again once it has changed
    seeded = dataclasses.replace(RAFT, options={"weights": "none", "updates": 1, "seed": 2})
    one = gathered(seeded, stimuli.select(["right"]))["field"]
    np.testing.assert_allclose(values[1], one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"method": "raft_smal"}, RecipeError, "did you mean 'raft_small'"),
        ({"options": {"windw": 3}}, RecipeError, "unknown field of flow 'windw'"),
        ({"options": {"window": 0}}, RecipeError, "window 0"),
        ({"grid": 0}, RecipeError, "grid 0 of flow"),
        ({"cells": 65}, RecipeError, r"cells 65 of flow: 1 to size \(64\)"),
        ({"time": "sum"}, RecipeError, "unknown pooling over time"),
        ({"dtype": "float8"}, RecipeError, "unknown dtype"),
        ({"method": "raft_small", "options": {"weights": "no.pth"}}, FileError, r"no\.pth"),
    ],
)
def test_what_cannot_be_is_refused(fields, error, said):
    with pytest.raises(error, match=said):
        dataclasses.replace(SMALL, **fields).identity()
