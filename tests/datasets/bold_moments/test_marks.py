"""Marks tell whether two files say the same of a voxel, to the last bit and in order."""

import numpy as np

from striate.datasets.bold_moments.marks import Marks, marks_of, never_vary
from striate.files import write_pickle


def arrays(seed=0, voxels=6):
    rng = np.random.default_rng(seed)
    return {
        "train": rng.standard_normal((9, 3, voxels)).astype(np.float32),
        "test": rng.standard_normal((7, 10, voxels)).astype(np.float32),
    }


def changed(own, part, change):
    return {**own, part: np.ascontiguousarray(change(own[part]))}


def test_by_responses(tmp_path):
    own = arrays()
    whole = marks_of(own, tmp_path / "none")
    assert whole.among(whole) == (6, 0, 0)
    some = {p: np.ascontiguousarray(v[..., [4, 1]]) for p, v in own.items()}
    assert marks_of(some, tmp_path / "none").among(whole) == (2, 0, 0)
    assert marks_of(arrays(1), tmp_path / "none").among(whole) == (0, 0, 6)
    for turned in (
        changed(own, "train", lambda v: v[::-1]),
        changed(own, "train", lambda v: v[:, ::-1]),
        changed(own, "train", lambda v: np.nextafter(v, np.float32(9))),
        changed(own, "test", lambda v: v[[0, 1, 2, 3, 5, 4, 6]]),
    ):
        assert marks_of(turned, tmp_path / "none").among(whole) == (0, 6, 0)


def test_by_places(tmp_path):
    own = arrays()
    place = tmp_path / "index.pkl"
    write_pickle(place, [np.arange(18).reshape(6, 3)])
    whole = marks_of(own, place)
    assert whole.places[1] == (3, 4, 5)
    turned = {p: np.ascontiguousarray(v[..., ::-1]) for p, v in own.items()}
    assert marks_of(turned, place).among(whole) == (0, 6, 0)
    assert Marks(whole.whole[:2], whole.first[:2], ((3, 4, 5), (9, 9, 9))).among(whole) == (0, 1, 1)
    place.write_bytes(b"")
    assert marks_of(own, place).places == ()


def test_what_never_varies():
    values = arrays()["train"]
    values[:, :, 2] = 0.1
    values[:, :, 3] = 0.1
    values[-1, -1, 3] = 0.2
    assert never_vary(values).tolist() == [False, False, True, False, False, False]
