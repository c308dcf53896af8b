import shutil

import numpy as np
import pytest

from striate.datasets.algonauts2023 import Algonauts2023, files
from striate.datasets.algonauts2023.files import fmri_file, image_folder
from striate.datasets.algonauts2023.masks import class_file, mapping_file, mask_file
from striate.errors import FileError


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "tree"
    Algonauts2023.twin(place, natural=False, subjects=("subj06",))
    return place


def found(tree, kind, **fields):
    return [f for f in Algonauts2023(tree, **fields).inspect() if f.kind == kind]


def test_a_sound_copy(tree):
    told = list(Algonauts2023(tree).inspect())
    assert {f.kind for f in told} == {"there"}
    text = "\n".join(map(str, told))
    assert "300 images, 425 × 425 pixels (the release has 9082)" in text
    assert "lh_training_fmri.npy: 300 images × 380 vertices, float32" in text
    assert "6 of 6 classes of rh" in text and "2 noise ceilings, in fractions" in text
    assert "in percent" in str(found(tree, "there", noise_ceilings=tree / "noise_ceilings")[-1])


SPACES = ("challenge", "fsaverage")


class Canary:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def npy(path, change):
    np.save(path, change(np.load(path)))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def image(place, number):
    return next(image_folder(place, "training").glob(f"train-{number:04d}_*"))


def relabelled(place):
    path = class_file(place, "lh", "streams")
    npy(path, lambda v: np.where(v == 3, 9, v))
    class_file(place, "lh", "streams", "fsaverage").unlink()


def doubled(place):
    path = image(place, 12)
    path.with_name(path.name.replace("0012", "0301")).write_bytes(path.read_bytes())


BROKEN = {
    "truncated responses": (lambda p: cut(fmri_file(p, "lh")), "wrong", "lh_training_fmri.npy"),
    "empty responses": (
        lambda p: fmri_file(p, "rh").write_bytes(b""), "wrong", "rh_training_fmri.npy"),
    "whole numbers": (
        lambda p: npy(fmri_file(p, "lh"), np.int64), "wrong", "lh_training_fmri.npy"),
    "swapped axes": (
        lambda p: npy(fmri_file(p, "lh"), lambda v: v.T), "wrong", "lh_training_fmri.npy"),
    "a vertex too few": (
        lambda p: npy(fmri_file(p, "rh"), lambda v: v[:, 1:]), "wrong", "rh_training_fmri.npy"),
    "an image too few": (
        lambda p: npy(fmri_file(p, "rh"), lambda v: v[1:]), "wrong", "rh_training_fmri.npy"),
    "nothing but zeros": (
        lambda p: npy(fmri_file(p, "lh"), np.zeros_like), "wrong", "lh_training_fmri.npy"),
    "nothing but one row": (
        lambda p: npy(fmri_file(p, "lh"), lambda v: np.repeat(v[:1], len(v), 0)), "wrong",
        "lh_training_fmri.npy"),
    "NaN": (
        lambda p: npy(fmri_file(p, "rh"), lambda v: np.where(v == v[0, 0], np.nan, v)),
        "wrong", "rh_training_fmri.npy"),
    "no responses of a hemisphere": (
        lambda p: fmri_file(p, "lh").unlink(), "missing", "lh_training_fmri.npy"),
    "no mask": (
        lambda p: mask_file(p, "rh").unlink(), "missing", "rh.all-vertices_fsaverage_space.npy"),
    "short mask": (
        lambda p: npy(mask_file(p, "lh"), lambda v: v[:-1]), "wrong",
        "lh.all-vertices_fsaverage_space.npy"),
    "mask of twos": (
        lambda p: npy(mask_file(p, "lh"), lambda v: 2 * v), "wrong",
        "lh.all-vertices_fsaverage_space.npy"),
    "label out of table": (relabelled, "wrong", "lh.streams_challenge_space.npy"),
    "spaces that disagree": (
        lambda p: npy(class_file(p, "rh", "floc-faces"), lambda v: v[::-1]), "wrong",
        "rh.floc-faces_challenge_space.npy"),
    "damaged labels": (
        lambda p: cut(class_file(p, "rh", "floc-faces", "fsaverage")), "wrong",
        "rh.floc-faces_fsaverage_space.npy"),
    "no class": (
        lambda p: [class_file(p, "rh", "floc-words", s).unlink() for s in SPACES],
        "missing", "rh.floc-words_challenge_space.npy"),
    "hostile names": (
        lambda p: np.save(mapping_file(p, "streams"), np.array(Canary(), dtype=object)), "wrong",
        "mapping_streams.npy"),
    "image missing": (lambda p: image(p, 77).unlink(), "wrong", "training_images"),
    "image twice": (doubled, "wrong", "training_images"),
    "half an image": (lambda p: cut(image(p, 33)), "wrong", "train-0033"),
    "empty image": (lambda p: image(p, 8).write_bytes(b""), "wrong", "train-0008"),
    "no test images": (
        lambda p: shutil.rmtree(image_folder(p, "test")), "missing", "test_images"),
    "ceilings of another subject": (
        lambda p: npy(p / "test_split/noise_ceiling/lh_noise_ceiling.npy", lambda v: v[:-3]),
        "wrong", "lh_noise_ceiling.npy"),
    "ceilings below 0": (
        lambda p: npy(p / "test_split/noise_ceiling/rh_noise_ceiling.npy", lambda v: v - 0.5),
        "wrong", "rh_noise_ceiling.npy"),
    "ceilings in two units": (
        lambda p: npy(p / "test_split/noise_ceiling/rh_noise_ceiling.npy", lambda v: 100 * v),
        "wrong", "rh_noise_ceiling.npy"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_copy_is_told_by_file(tree, what):
    change, kind, file = BROKEN[what]
    change(tree / "subj06")
    told = found(tree, kind)
    assert any(file in f.file or file in f.told for f in told), [str(f) for f in told]
    others = {"wrong", "missing"} - {kind}
    assert not [str(f) for f in found(tree, *others)]
    # It goes on behind the first defect.
    assert found(tree, "there")


def test_several_defects_are_all_told(tree):
    place = tree / "subj06"
    for number in (3, 4, 5, 6):
        image(place, number).write_bytes(b"")
    mask_file(place, "lh").unlink()
    cut(fmri_file(place, "rh"))
    told = "\n".join(map(str, Algonauts2023(tree).inspect()))
    for name in ("train-0003", "4 images cannot be read", "lh.all-vertices", "rh_training_fmri"):
        assert name in told
    told = found(tree, "missing", subjects=("subj01",))
    assert told[0].told == "no such subject in this copy"
    assert found(tree, "missing", noise_ceilings=tree / "nowhere")


def test_an_empty_folder_tells_where_to_get_it(tmp_path):
    with pytest.raises(FileError, match=r"no subj.* of Algonauts 2023 .* get them from"):
        list(Algonauts2023(tmp_path).inspect())
    facts = str(Algonauts2023.facts)
    assert "lh_training_fmri.npy" in facts and "arXiv:2301.03198" in facts


def test_vertices_that_never_vary_are_told(tree):
    def still(values):
        values = values.copy()
        values[:, [3, 7]] = 0.25
        values[:, 9] = 0
        values[1, 9] = 1.0
        return values

    npy(fmri_file(tree / "subj06", "lh"), still)
    text = "\n".join(map(str, found(tree, "there")))
    assert "float32; 2 vertices never vary" in text and text.count("never vary") == 1
    assert not found(tree, "wrong")


def test_counts_other_than_the_release_on_a_copy_of_its_size(tree, monkeypatch):
    """The release is made as small as the copy, but for one count."""
    place = tree / "subj06"
    shapes = [np.load(fmri_file(place, h), mmap_mode="r").shape for h in ("lh", "rh")]
    tests = len(list(image_folder(place, "test").iterdir()))
    right = {"subj06": (shapes[0][0], tests, shapes[0][1], shapes[1][1])}
    monkeypatch.setattr(files, "COUNTS", right)
    assert not found(tree, "wrong") and not found(tree, "missing")
    monkeypatch.setattr(files, "COUNTS", {**right, "subj07": right["subj06"]})
    (line,) = found(tree, "missing")
    assert line.told == "no subj07: no submission without them"
    for where, change, kind, told in (
        (0, 1, "missing", "the last 1 of"),
        (1, 2, "missing", "the last 2 of"),
        (1, -1, "wrong", "(the release has"),
        (2, 1, "wrong", "(the release has"),
        (3, -1, "wrong", "(the release has"),
    ):
        counts = list(right["subj06"])
        counts[where] += change
        monkeypatch.setattr(files, "COUNTS", {"subj06": tuple(counts)})
        (line,) = found(tree, kind)
        assert told in line.told, (where, change)
