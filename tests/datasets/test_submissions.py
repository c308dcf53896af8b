"""A submission is known by the names inside, and held against the shapes of its challenge."""

import pickle
import zipfile

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from striate.cli import app
from striate.datasets.submissions import (
    PATTERNS,
    RELEASED,
    VOXELS_2021,
    check,
    names_inside,
    recognised,
    unchecked,
)
from striate.errors import DataError, FileError

EARLY = ("V1", "V2", "V3", "V4")


def zipped(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"content")
    return path


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("algonauts2019", ["submit_fmri.mat"]),
        ("algonauts2019", ["deep/submit_meg.mat", "readme.txt"]),
        ("algonauts2021", ["mini_track.pkl"]),
        ("algonauts2021", ["full_track.pkl"]),
        ("algonauts2023", ["algonauts_2023_challenge_submission/subj03/lh_pred_test.npy"]),
        ("algonauts2023", ["subj08/rh_pred_test.npy", "__MACOSX/x"]),
        ("algonauts2025", ["fmri_predictions_friends_s7.npy"]),
        ("algonauts2025", ["fmri_predictions_ood.npy"]),
    ],
)
def test_challenges_are_known_by_names_in_archives_folders_and_files(tmp_path, name, members):
    assert recognised(zipped(tmp_path / "any.zip", *members)) == name
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "any.zip") as archive:
        archive.extractall(folder)
    assert recognised(folder) == name
    if "/" not in members[0]:
        assert recognised(folder / members[0]) == name
    assert sorted(names_inside(tmp_path / "any.zip")) == sorted(members)


def test_what_is_no_submission(tmp_path):
    with pytest.raises(FileError, match=r"no submission .*nowhere\.zip"):
        recognised(tmp_path / "nowhere.zip")
    with pytest.raises(DataError, match=r"notes\.txt.*mini_track\.zip"):
        recognised(zipped(tmp_path / "x.zip", "notes.txt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds nothing"):
        recognised(tmp_path / "empty")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(FileError, match=r"bad\.zip"):
        recognised(tmp_path / "bad.zip")
    with pytest.raises(DataError, match="folder has no submission"):
        check(tmp_path / "bad.zip", "folder")
    with pytest.raises(DataError, match="mine has no submission"):
        check(tmp_path / "bad.zip", "mine", object())


def rdm(images=78, seed=0):
    half = np.triu(np.random.default_rng(seed).random((images, images)), 1)
    return half + half.T


def test_2019_without_a_copy(tmp_path):
    good = {"MEG_RDMs_early": rdm(), "MEG_RDMs_late": rdm(seed=1)}
    savemat(tmp_path / "submit_meg.mat", good)
    check(tmp_path / "submit_meg.mat", recognised(tmp_path / "submit_meg.mat"))
    savemat(tmp_path / "submit_meg.mat", good | {"MEG_RDMs_late": rdm(92)})
    with pytest.raises(DataError, match=r"MEG_RDMs_late.*\(92, 92\).*\(78, 78\)"):
        check(tmp_path / "submit_meg.mat", "algonauts2019")
    for flat in (np.zeros((78, 78)), 1 - np.eye(78)):
        savemat(tmp_path / "submit_meg.mat", good | {"MEG_RDMs_late": flat})
        with pytest.raises(DataError, match=r"MEG_RDMs_late.*never varies"):
            check(tmp_path / "submit_meg.mat", "algonauts2019")


def test_every_challenge_of_the_table_can_be_checked(tmp_path):
    assert set(PATTERNS) == set(RELEASED)
    for name in PATTERNS:
        with pytest.raises(FileError, match="nowhere"):
            check(tmp_path / "nowhere.zip", name)


def mini(voxels=None, **changes):
    """A mini track of made-up sizes, which sum up to `voxels`."""
    rng, regions = np.random.default_rng(0), ("LOC", "FFA", "STS", "EBA", "PPA", *EARLY)
    rest = (VOXELS_2021["mini"] if voxels is None else voxels) - 2 * (90 - 1)
    content = {
        roi: {
            f"sub{k + 1:02d}": rng.standard_normal((102, 2 if k + n else rest), dtype=np.float32)
            for k in range(10)
        }
        for n, roi in enumerate(regions)
    }
    for roi, people in changes.items():
        content[roi].update(people)
    return content


def pickled(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"FFA": {"sub04": np.ones((100, 69))}}, r"FFA of sub04.*\(100, 69\).*\(102, voxels\)"),
        ({"FFA": {"sub04": np.arange(204.0)}}, r"FFA of sub04.*\(204,\).*\(102, voxels\)"),
        ({"V1": {"sub01": np.ones((232, 102))}}, "V1 of sub01.*swap"),
        ({"V2": {"sub01": np.ones((102, 2), int)}}, "V2 of sub01 holds int64.*floating"),
        ({"V4": {"sub11": np.ones((102, 5))}}, "unknown subjects of V4: sub11"),
        ({"V4": {"sub10": np.full((102, 60), np.nan)}}, "V4 of sub10.*not finite"),
        ({"voxels": 29_624}, r"29,624 voxels.*has 29,623.*algonauts2021 path="),
        ({"voxels": 29_622}, r"29,622 voxels.*has 29,623"),
    ],
)
def test_2021_without_a_copy(tmp_path, change, told):
    path = pickled(tmp_path / "mini_track.pkl", mini(**change))
    assert recognised(path) == "algonauts2021"
    if not told:
        check(path, "algonauts2021")
        return
    with pytest.raises(DataError, match=told):
        check(path, "algonauts2021")


def test_the_full_track_without_a_copy(tmp_path):
    people = {f"sub{k + 1:02d}": np.random.default_rng(k).random((102, 3)) for k in range(10)}
    people["sub10"] = np.random.default_rng(0).random((102, 161_326 - 27), dtype=np.float32)
    check(pickled(tmp_path / "full_track.pkl", {"WB": people}), "algonauts2021")
    people["sub10"] = people["sub10"][:, 1:]
    with pytest.raises(DataError, match=r"161,325 voxels.* has 161,326"):
        check(pickled(tmp_path / "full_track.pkl", {"WB": people}), "algonauts2021")


def test_what_was_not_checked_is_told(tmp_path):
    assert unchecked(tmp_path, "algonauts2019") == unchecked(tmp_path, "algonauts2023") == []
    for name, told in (("algonauts2021", "voxels"), ("algonauts2025", "samples")):
        (line,) = unchecked(tmp_path, name)
        assert told in line and "path=FOLDER" in line
    path = pickled(tmp_path / "mini_track.pkl", mini())
    done = CliRunner().invoke(app, ["check-submission", str(path)])
    assert done.exit_code == 0
    assert "as far as they are known" in done.output and "how many voxels" in done.output


def test_2023_without_a_copy(tmp_path):
    """All eight subjects, 19,004 or fewer vertices on the left, 20,544 or fewer on the right."""
    root = tmp_path / "algonauts_2023_challenge_submission"
    shapes = {}
    for k, rows in enumerate([159, 159, 293, 395, 159, 293, 159, 395], 1):
        odd = {6: (18978, 20220), 8: (18981, 20530)}
        shapes[f"subj{k:02d}"] = (rows, *odd.get(k, (19004, 20544)))
    assert sum(s[1] for s in shapes.values()) == 151_983
    assert sum(s[2] for s in shapes.values()) == 164_014
    for subject, (rows, left, right) in shapes.items():
        (root / subject).mkdir(parents=True)
        for side, vertices in (("lh", left), ("rh", right)):
            place = root / subject / f"{side}_pred_test.npy"
            # Zeros that no disk has to hold.
            array = np.lib.format.open_memmap(place, "w+", np.float32, (rows, vertices))
            array[1, 0] = 1
            array.flush()
    assert recognised(root) == "algonauts2023"
    check(root, "algonauts2023")
    last = root / "subj08" / "rh_pred_test.npy"
    np.lib.format.open_memmap(last, "r+")[1, 0] = 0
    with pytest.raises(DataError, match=r"subj08/rh_pred_test\.npy never varies"):
        check(root, "algonauts2023")
    np.save(root / "subj06" / "lh_pred_test.npy", np.zeros((293, 19004), np.float32))
    with pytest.raises(DataError, match=r"subj06/lh_pred_test\.npy.*\(293, 18978\)"):
        check(root, "algonauts2023")


def test_2025_without_a_copy(tmp_path):
    rng = np.random.default_rng(0)
    films = [f"s07e{k:02d}{half}" for k in range(1, 24) for half in "ab"]
    content = {
        f"sub-0{k}": {f: rng.standard_normal((11, 1000)).astype(np.float32) for f in films}
        for k in (1, 2, 3, 5)
    }
    path = tmp_path / "fmri_predictions_friends_s7.npy"
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    assert recognised(path) == "algonauts2025"
    check(path, "algonauts2025")
    content["sub-03"]["s07e01a"] = content["sub-03"]["s07e01a"][:, :999]
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"sub-03 s07e01a.*\(11, 999\)"):
        check(path, "algonauts2025")
