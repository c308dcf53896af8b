"""What the 2021 challenge is sent, read again without striate; and what is wrong with others."""

import io
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from striate.cli import app
from striate.data import has_truth
from striate.datasets.algonauts2021 import Algonauts2021
from striate.datasets.algonauts2021.tree import PEOPLE, ROIS, SUBJECTS
from striate.errors import DataError, FileError, StriateError
from striate.files import write_pickle
from striate.machine import Machine, using

CLIPS = (24, 7)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("2021")
    with using(Machine(store=folder / "store", quiet=True, threads=1)):
        Algonauts2021.twin(folder / "twin", media=False, clips=CLIPS)
        yield folder / "twin"


@pytest.fixture(scope="module")
def predicted(place):
    """What a run might say: hidden rows only, in another order, targets in another order."""
    rng = np.random.default_rng(0)
    found = {}
    for track in ROIS:
        found[track] = {}
        for subject, block in Algonauts2021(place, track=track).responses().items():
            rows = rng.permutation(np.flatnonzero(~has_truth(block)))
            rows = block.isel(row=rows, repeat=0, target=rng.permutation(block.shape[1]))
            values = rng.standard_normal(rows.shape).astype(np.float32)
            found[track][subject] = rows.copy(data=values).drop_vars(["x", "y", "z", "ceiling"])
    return found


def raw(file):
    """The standard library and NumPy alone; the files are this test's own."""
    with file.open("rb") as stream:
        return pickle.load(stream, encoding="latin1")


@pytest.mark.parametrize("track", ["mini", "full"])
def test_written_as_the_challenge_wants_it(place, predicted, tmp_path, track):
    dataset = Algonauts2021(place, track=track)
    path = dataset.write_submission(predicted[track], tmp_path)
    assert path == tmp_path / f"{track}_track.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{track}_track.pkl"]
        content = pickle.load(io.BytesIO(archive.read(f"{track}_track.pkl")))
    assert type(content) is dict
    assert list(content) == list(ROIS[track])
    hidden = [f"{k:04d}" for k in range(25, 32)]
    blocks = {s: b.load() for s, b in dataset.responses().items()}
    for roi, people in content.items():
        assert type(people) is dict
        assert list(people) == list(SUBJECTS)
        for subject, values in people.items():
            told = raw(place / PEOPLE / f"{track}_track" / subject / f"{roi}.pkl")["train"]
            assert values.shape == (7, told.shape[2])
            assert values.dtype == np.float32
            # A column is the voxel whose series stands in that column of the challenge's file.
            block = blocks[subject]
            measured = block.values[:24].transpose(0, 2, 1)
            for k in (0, told.shape[2] // 2, told.shape[2] - 1):
                (same,) = np.flatnonzero((measured == told[:, :, [k]]).all(axis=(0, 1)))
                target = block.target.values[same]
                wanted = predicted[track][subject].sel(target=target, row=hidden).values
                np.testing.assert_array_equal(values[:, k], wanted)
    dataset.check_submission(path)
    dataset.check_submission(tmp_path / f"{track}_track.pkl")
    Algonauts2021(place, track="mini").check_submission(path)


def test_what_is_not_predicted_is_not_sent(place, predicted, tmp_path):
    dataset = Algonauts2021(place)
    whole = predicted["mini"]
    gap = whole["sub03"].copy(data=whole["sub03"].values.copy())
    gap.values[2, :5] = np.nan
    with pytest.raises(DataError, match=r"5 of \d+ responses of sub03 to hidden clips"):
        dataset.write_submission({**whole, "sub03": gap}, tmp_path / "out")
    some = {s: b for s, b in whole.items() if s != "sub09"}
    with pytest.raises(DataError, match="responses of sub09"):
        dataset.write_submission(some, tmp_path / "out")
    with pytest.raises(DataError, match="all ten subjects and all regions"):
        Algonauts2021(place, subjects=("sub01",)).write_submission(whole, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def sent(place, predicted, tmp_path_factory):
    """The .zip of predictions that the challenge would accept."""
    return Algonauts2021(place).write_submission(predicted["mini"], tmp_path_factory.mktemp("sent"))


def less(content, roi, subject, change):
    people = {r: dict(p) for r, p in content.items()}
    people[roi][subject] = change(people[roi][subject])
    return people


WRONG = {
    "no region V2": lambda c: {r: p for r, p in c.items() if r != "V2"},
    "unknown regions: WB": lambda c: {**c, "WB": c["V1"]},
    "lacks subjects of FFA: sub04": lambda c: {
        **c, "FFA": {s: v for s, v in c["FFA"].items() if s != "sub04"}
    },
    "EBA of sub02 has shape": lambda c: less(c, "EBA", "sub02", lambda v: v[:, 1:]),
    "LOC of sub10 has shape .* swap": lambda c: less(c, "LOC", "sub10", lambda v: v.T.copy()),
    "V1 of sub01 has shape": lambda c: less(c, "V1", "sub01", lambda v: v[:-1]),
    "V3 of sub05 has 2 values that are not finite": lambda c: less(
        c, "V3", "sub05", lambda v: np.where(np.arange(v.size).reshape(v.shape) < 2, np.nan, v)
    ),
    "PPA of sub06 holds int64": lambda c: less(
        c, "PPA", "sub06", lambda v: (10 * v).astype(np.int64)
    ),
    "STS of sub07 is list": lambda c: less(c, "STS", "sub07", lambda v: v.tolist()),
    "V4 of sub08 never varies": lambda c: less(c, "V4", "sub08", np.zeros_like),
    "must hold a dict": lambda c: [c],
    "FFA is list": lambda c: {**c, "FFA": [1.0]},
}  # fmt: skip


@pytest.mark.parametrize("told", WRONG)
def test_the_first_wrong_thing_is_named(place, sent, tmp_path, told):
    dataset = Algonauts2021(place)
    content = WRONG[told](raw(sent.with_suffix(".pkl")))
    write_pickle(tmp_path / "mini_track.pkl", content)
    said = "lacks regions: V2" if told == "no region V2" else told
    with pytest.raises(DataError, match=said):
        dataset.check_submission(tmp_path / "mini_track.pkl")


def test_wrong_archives_are_named(place, sent, tmp_path):
    dataset = Algonauts2021(place)
    path = tmp_path / "mini_track.zip"
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.write(sent.with_suffix(".pkl"), "mini_track.pkl")
    with pytest.raises(FileError, match=r"must be called mini_track\.zip"):
        dataset.check_submission(tmp_path / "other.zip")
    for members in (["a/mini_track.pkl"], ["mini_track.pkl", "notes.txt"], []):
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, b"x")
        with pytest.raises(FileError, match=r"must hold mini_track\.pkl only"):
            dataset.check_submission(path)
    path.write_bytes(sent.read_bytes()[:-9])
    with pytest.raises(FileError):
        dataset.check_submission(path)
    with pytest.raises(FileError):
        dataset.check_submission(tmp_path / "none" / "mini_track.zip")


class Canary:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_hostile_submission_runs_nothing(place, tmp_path):
    path = tmp_path / "mini_track.pkl"
    path.write_bytes(pickle.dumps({"LOC": Canary(tmp_path / "canary")}))
    with pytest.raises(StriateError, match=r"mini_track\.pkl"):
        Algonauts2021(place).check_submission(path)
    assert not (tmp_path / "canary").exists()


def test_without_responses_the_form_is_checked(sent, tmp_path):
    blind = Algonauts2021(tmp_path)
    with pytest.raises(DataError, match=r"has shape \(7, \d+\), but must have \(102, voxels\)"):
        blind.check_submission(sent)
    rng = np.random.default_rng(0)
    whole = {r: {s: rng.standard_normal((102, 3)) for s in SUBJECTS} for r in ROIS["mini"]}
    write_pickle(tmp_path / "mini_track.pkl", whole)
    blind.check_submission(tmp_path / "mini_track.pkl")


def test_all_subjects_of_the_copy_are_checked_whatever_is_in_use(place, sent, tmp_path):
    content = less(raw(sent.with_suffix(".pkl")), "EBA", "sub02", lambda v: v[:, 1:])
    write_pickle(tmp_path / "mini_track.pkl", content)
    for few in (Algonauts2021(place, subjects=("sub01",)), Algonauts2021(place, rois=("V1",))):
        few.check_submission(sent)
        assert few.submission_warnings(sent) == []
        with pytest.raises(DataError, match="EBA of sub02 has shape"):
            few.check_submission(tmp_path / "mini_track.pkl")


def test_arrays_whose_width_the_copy_does_not_tell_are_named(place, sent, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(place, copy)
    (copy / PEOPLE / "mini_track" / "sub03" / "FFA.pkl").unlink()
    (line,) = Algonauts2021(copy).submission_warnings(sent)
    assert "the responses of FFA of sub03" in line and "unchecked" in line
    words = ["check-submission", str(sent), "algonauts2021", f"path={copy}"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "fits this copy" in done.output and "beware: this copy lacks" in done.output
    (line,) = Algonauts2021(tmp_path).submission_warnings(sent)
    assert "responses of the mini track" in line


def test_an_earlier_submission_stays_until_the_next_is_whole(
    place, predicted, sent, tmp_path, monkeypatch
):
    for suffix in (".pkl", ".zip"):
        shutil.copy(sent.with_suffix(suffix), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_):
        raise OSError("no space left on device")

    other = {s: -b for s, b in predicted["mini"].items()}
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "write", full)
        with pytest.raises(FileError, match="no space left"):
            Algonauts2021(place).write_submission(other, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    Algonauts2021(place).write_submission(other, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(before)
    assert (tmp_path / "mini_track.zip").read_bytes() != before["mini_track.zip"]
