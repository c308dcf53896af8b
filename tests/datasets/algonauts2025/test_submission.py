import shutil
import zipfile

import numpy as np
import pytest

from striate.datasets.algonauts2025 import Algonauts2025
from striate.datasets.algonauts2025 import twin as made
from striate.datasets.algonauts2025.submission import check, file_name
from striate.errors import DataError, FileError, StriateError
from striate.files import read_object_npy, write_object_npy

SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-05")


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A tree without films, its truth."""
    place = tmp_path_factory.mktemp("twin") / "algonauts2025"
    return place, made.write(place, media=False)


def all_predicted(ours, seed=0):
    """Random predictions of every row."""
    rng = np.random.default_rng(seed)
    return {
        s: b.copy(data=rng.standard_normal(b.shape).astype(np.float32))
        for s, b in ours.responses().items()
    }


@pytest.mark.parametrize("test", ["friends-s7", "ood"])
def test_a_submission_is_what_the_challenge_reads(twin, tmp_path, test):
    ours = Algonauts2025(twin[0], test=test)
    predicted = all_predicted(ours)
    # Any order of rows and parcels is brought into that of the challenge.
    turned = {s: b[::-1, np.random.default_rng(1).permutation(1000)] for s, b in predicted.items()}
    path = ours.write_submission(turned, tmp_path / "deep" / "out")
    name = f"fmri_predictions_{test.replace('-', '_')}"
    assert path.name == f"{name}.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{name}.npy"]
        archive.extractall(tmp_path / "in")
    found = np.load(tmp_path / "in" / f"{name}.npy", allow_pickle=True).item()
    assert tuple(found) == SUBJECTS
    for subject, films in found.items():
        odd = "target_samples_number" if subject == "sub-05" else "target_sample_number"
        file = twin[0] / "fmri" / subject / odd / f"{subject}_{test}_fmri_samples.npy"
        lengths = np.load(file, allow_pickle=True).item()
        assert {f: v.shape for f, v in films.items()} == {f: (n, 1000) for f, n in lengths.items()}
        for film, values in films.items():
            assert values.dtype == np.float32 and type(values) is np.ndarray
            run = f"friends_{film}" if test == "friends-s7" else film
            rows = [f"{run}#{k:04d}" for k in range(len(values))]
            np.testing.assert_array_equal(values, predicted[subject].sel(row=rows).values)
    ours.check_submission(path)
    ours.check_submission(path.with_suffix(".npy"))
    content = path.with_suffix(".npy").read_bytes()
    assert b"numpy.core.multiarray" in content and b"_core" not in content
    assert sorted(p.name for p in path.parent.iterdir()) == [f"{name}.npy", f"{name}.zip"]


def test_nothing_is_written_of_what_is_not_predicted(twin, tmp_path):
    ours = Algonauts2025(twin[0])
    predicted = all_predicted(ours)
    at = predicted["sub-02"].row.values.tolist().index("friends_s07e01a#0003")
    predicted["sub-02"][at, :7] = np.nan
    with pytest.raises(DataError, match=r"7 of \d+ values of sub-02 .*friends_s07e01a#0003"):
        ours.write_submission(predicted, tmp_path / "out")
    del predicted["sub-02"]
    with pytest.raises(DataError, match="sub-02"):
        ours.write_submission(predicted, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def changed(change):
    """A good dictionary with something done to it."""

    def make(good):
        whole = {s: {f: v.copy() for f, v in films.items()} for s, films in good.items()}
        return change(whole) or whole

    return make


WRONG = {
    "subjects lacks sub-03": changed(lambda d: d.pop("sub-03") and None),
    "subjects has sub-04": changed(lambda d: d.update({"sub-04": {}})),
    "sub-02 lacks s07e01b": changed(lambda d: d["sub-02"].pop("s07e01b") is None or None),
    "sub-01 has s06e01a": changed(lambda d: d["sub-01"].update(s06e01a=np.zeros((2, 1000), "f4"))),
    r"s07e01a has shape \(1000, \d+\)": changed(
        lambda d: d["sub-01"].update(s07e01a=d["sub-01"]["s07e01a"].T)
    ),
    r"s07e02a has shape \(\d+, 999\)": changed(
        lambda d: d["sub-05"].update(s07e02a=d["sub-05"]["s07e02a"][:, 1:])
    ),
    "s07e01a holds float64": changed(
        lambda d: d["sub-03"].update(s07e01a=d["sub-03"]["s07e01a"].astype("f8"))
    ),
    "sub-01 s07e01b: 1 of": changed(lambda d: d["sub-01"]["s07e01b"].__setitem__((3, 4), np.nan)),
    "sub-01 s07e01b is list": changed(lambda d: d["sub-01"].update(s07e01b=[1.0, 2.0])),
    "must be a dictionary, not list": lambda good: list(good),
    "sub-02 must be a dictionary": changed(lambda d: d.update({"sub-02": 3})),
}


@pytest.fixture(scope="module")
def good(twin, tmp_path_factory):
    ours = Algonauts2025(twin[0])
    folder = tmp_path_factory.mktemp("good")
    path = ours.write_submission(all_predicted(ours), folder)
    return ours, read_object_npy(path.with_suffix(".npy"))


@pytest.mark.parametrize("told", WRONG)
def test_the_first_wrong_thing_of_a_submission_is_named(good, tmp_path, told):
    ours, content = good
    place = tmp_path / "fmri_predictions_friends_s7.npy"
    write_object_npy(place, WRONG[told](content))
    with pytest.raises(DataError, match=told):
        ours.check_submission(place)


def test_archives_that_are_no_submissions(good, tmp_path):
    ours, content = good
    plain = tmp_path / "fmri_predictions_friends_s7.npy"
    write_object_npy(plain, content)
    for members, told in (
        ([], "must hold fmri_predictions_friends_s7.npy or fmri_predictions_ood.npy alone"),
        (["a.npy", "b.npy"], "alone, but holds a.npy, b.npy"),
        (["a.pkl"], "alone"),
        (["out/a.npy"], "folder"),
    ):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for name in members:
                archive.write(plain, name)
        with pytest.raises(DataError, match=told):
            ours.check_submission(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("../a.npy", b"")
    with pytest.raises(FileError, match="outside"):
        ours.check_submission(tmp_path / "y.zip")
    with pytest.raises(FileError, match="no submission"):
        ours.check_submission(tmp_path / "nowhere.zip")
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    with pytest.raises(StriateError, match=r"numbers.npy"):
        ours.check_submission(tmp_path / "numbers.npy")
    (tmp_path / "x.mat").write_bytes(b"x")
    with pytest.raises(FileError, match=r"no .zip and no .npy"):
        ours.check_submission(tmp_path / "x.mat")


def whole(test, samples=12):
    """A submission of every film of the release."""
    films = ("chaplin", "mononoke", "passepartout", "planetearth", "pulpfiction", "wot")
    names = [f"{f}{k}" for f in films for k in (1, 2)]
    if test == "friends-s7":
        names = [f"s07e{e:02d}{half}" for e in range(1, 24) for half in "ab"] + ["s07e23c"]
    values = np.random.default_rng(0).standard_normal((samples, 1000)).astype(np.float32)
    return {s: dict.fromkeys(names, values) for s in SUBJECTS}


ALONE = {
    "sub-05 lacks wot2": ("ood", lambda f: f.pop("wot2")),
    "sub-05 has s07e01a": ("ood", lambda f: f.update(s07e01a=f["wot1"])),
    "sub-05 has s06e01a": ("friends-s7", lambda f: f.update(s06e01a=f["s07e01a"])),
    "sub-05 lacks s07e01a": ("friends-s7", lambda f: f.clear()),
    "sub-05 lacks s07e23c": ("friends-s7", lambda f: f.pop("s07e23c")),
    "sub-05 has s07e16c": ("friends-s7", lambda f: f.update(s07e16c=f["s07e01a"])),
    r"s07e02a has shape \(0, 1000\)": (
        "friends-s7",
        lambda f: f.update(s07e02a=f["s07e01a"][:0]),
    ),
    r"s07e02a has shape \(10, 1000\), but must have \(more than 10, 1000\)": (
        "friends-s7",
        lambda f: f.update(s07e02a=f["s07e01a"][:10]),
    ),
    r"wot1 has shape \(1000,\)": ("ood", lambda f: f.update(wot1=f["wot1"][0])),
    "chaplin1 never varies": ("ood", lambda f: f.update(chaplin1=0 * f["wot1"])),
    "chaplin2 never varies": ("ood", lambda f: f.update(chaplin2=f["wot1"][[3] * 12])),
}


@pytest.mark.parametrize("told", ALONE)
def test_what_is_known_without_a_copy(tmp_path, told):
    test, change = ALONE[told]
    content = whole(test)
    place = tmp_path / f"{file_name(test)}.npy"
    write_object_npy(place, content)
    check(place)
    change(content["sub-05"])
    write_object_npy(place, content)
    with pytest.raises(DataError, match=told):
        check(place)


def test_one_film_is_no_submission(tmp_path):
    place = tmp_path / f"{file_name('friends-s7')}.npy"
    one = np.random.default_rng(0).standard_normal((60, 1000)).astype(np.float32)
    write_object_npy(place, {s: {"s07e01a": one} for s in SUBJECTS})
    with pytest.raises(DataError, match="sub-01 lacks s07e01b"):
        check(place)


def test_a_submission_needs_all_four_subjects(twin, tmp_path):
    ours = Algonauts2025(twin[0])
    predicted = all_predicted(ours)
    one = Algonauts2025(twin[0], subjects=(1,))
    with pytest.raises(DataError, match=r"subjects 1, 2, 3, 5, but dataset.subjects is \[1\]"):
        one.write_submission(predicted, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    turned = Algonauts2025(twin[0], subjects=(5, 3, 2, 1))
    path = turned.write_submission(predicted, tmp_path / "turned")
    assert tuple(read_object_npy(path.with_suffix(".npy"))) == SUBJECTS
    tree = shutil.copytree(twin[0], tmp_path / "tree")
    next(tree.glob("fmri/sub-03/target_sample*/*friends*")).unlink()
    with pytest.raises(FileError, match=r"samples friends-s7 has of sub-03: fetch sub-03/target"):
        Algonauts2025(tree).write_submission(predicted, tmp_path / "out")
    # Its films are still those of the others.
    content = read_object_npy(path.with_suffix(".npy"))
    Algonauts2025(tree).check_submission(path)
    del content["sub-03"]["s07e02a"]
    place = tmp_path / "fmri_predictions_friends_s7.npy"
    write_object_npy(place, content)
    with pytest.raises(DataError, match="sub-03 lacks s07e02a"):
        Algonauts2025(tree).check_submission(place)


@pytest.mark.parametrize("subjects", [(1,), (2,), (1, 2, 3, 5)])
def test_every_subject_of_the_copy_is_checked(good, tmp_path, subjects):
    ours, content = good
    short = {f: v[:3] for f, v in content["sub-02"].items()}
    place = tmp_path / "fmri_predictions_friends_s7.npy"
    write_object_npy(place, {**content, "sub-02": short})
    with pytest.raises(DataError, match=r"sub-02 s07e01a has shape \(3, 1000\)"):
        Algonauts2025(ours.path, subjects=subjects).check_submission(place)


@pytest.mark.parametrize("named", ["friends-s7", "ood"])
@pytest.mark.parametrize("test", ["friends-s7", "ood"])
def test_the_films_of_a_submission_tell_its_test(twin, tmp_path, test, named):
    ours = Algonauts2025(twin[0], test=test)
    path = ours.write_submission(all_predicted(ours), tmp_path)
    Algonauts2025(twin[0], test=named).check_submission(path)
    content = read_object_npy(path.with_suffix(".npy"))
    film = "wot2" if test == "ood" else "s07e02a"
    del content["sub-01"][film]
    write_object_npy(path.with_suffix(".npy"), content)
    with pytest.raises(DataError, match=f"sub-01 lacks {film}"):
        Algonauts2025(twin[0], test=named).check_submission(path.with_suffix(".npy"))
