import shutil
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from striate.cli import app
from striate.data import label_responses
from striate.datasets.algonauts2023 import Algonauts2023
from striate.datasets.algonauts2023.submission import FOLDER
from striate.errors import DataError, FileError, StriateError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    place = tmp_path_factory.mktemp("tree") / "tree"
    Algonauts2023.twin(place, natural=False, subjects=("subj01", "subj06"))
    return place


def told(stimulus, target):
    """A number that says which image and which vertex it is for."""
    return int(stimulus[3:]) + 1e-3 * int(target[3:6]) + (0.5 if target.startswith("rh") else 0)


@pytest.fixture(scope="module")
def predicted(tree):
    """Predictions in another order of rows and targets, one block per hemisphere."""
    rng, found = np.random.default_rng(0), {}
    for subject, block in Algonauts2023(tree).responses().items():
        for side in ("lh", "rh"):
            ids = rng.permutation(block.stimulus.values)
            targets = rng.permutation(block.target.values[block.hemisphere.values == side])
            values = np.array([[told(i, t) for t in targets] for i in ids])
            found[f"{subject} {side}"] = label_responses(values, ids, targets, subject=subject)
    return found


@pytest.fixture(scope="module")
def written(tree, predicted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "deep" / "er"
    return Algonauts2023(tree).write_submission(predicted, folder)


def test_read_back_with_numpy_and_the_standard_library_alone(tree, written, tmp_path):
    assert written.name == "algonauts_2023_challenge_submission.zip"
    with zipfile.ZipFile(written) as archive:
        assert sorted(archive.namelist()) == [
            f"algonauts_2023_challenge_submission/{s}/{h}_pred_test.npy"
            for s in ("subj01", "subj06")
            for h in ("lh", "rh")
        ]
        archive.extractall(tmp_path)
    root = tmp_path / "algonauts_2023_challenge_submission"
    for subject, tests in (("subj01", 30), ("subj06", 40)):
        shown = sorted(p.name for p in (tree / subject / "test_split/test_images").iterdir())
        assert shown[0].startswith("test-0001_") and len(shown) == tests
        assert [n[-9:-4] for n in shown] != sorted(n[-9:-4] for n in shown)
        for side in ("lh", "rh"):
            file = tree / subject / f"roi_masks/{side}.all-vertices_fsaverage_space.npy"
            where = np.flatnonzero(np.load(file))
            found = np.load(root / subject / f"{side}_pred_test.npy")
            assert found.dtype == np.float32 and found.shape == (tests, len(where))
            assert found.flags["C_CONTIGUOUS"]
            for row in (0, 7, tests - 1):
                for column in (0, 5, len(where) - 1):
                    want = told("nsd" + shown[row][-9:-4], f"{side}.{where[column]:06d}")
                    assert found[row, column] == np.float32(want)
    assert sorted(p.name for p in written.parent.iterdir()) == [root.name, written.name]


def test_what_was_written_is_accepted_and_replaced(tree, predicted, written):
    ours = Algonauts2023(tree)
    ours.check_submission(written)
    ours.check_submission(written.parent / FOLDER)
    ours.check_submission(written.parent)
    before = written.read_bytes()
    assert ours.write_submission(predicted, written.parent) == written
    assert len(written.read_bytes()) == len(before)


def test_a_submission_is_of_the_whole_copy_whatever_is_in_use(tree, predicted, written, tmp_path):
    one = Algonauts2023(tree, ("subj06",), ("rh",))
    one.check_submission(written)
    with pytest.raises(DataError, match=r"every subject, but dataset\.subjects leaves out subj01"):
        one.write_submission(predicted, tmp_path / "o")
    with pytest.raises(DataError, match=r"dataset\.hemispheres leaves out lh of subj01"):
        Algonauts2023(tree, hemispheres=("rh",)).write_submission(predicted, tmp_path / "o")
    assert not (tmp_path / "o").exists()
    both = Algonauts2023(tree, ("subj06", "subj01"), ("rh", "lh"))
    assert both.write_submission(predicted, tmp_path / "p").is_file()
    root = tmp_path / FOLDER
    shutil.copytree(written.parent / FOLDER, root)
    shutil.rmtree(root / "subj01")
    with pytest.raises(DataError, match=r"lacks subj01/lh_pred_test\.npy"):
        one.check_submission(root)


def test_what_a_copy_lacks_of_the_challenge_is_warned_of(tree, written, tmp_path):
    lost, odd = Algonauts2023(tree).submission_warnings()
    assert "lacks subj02, subj03" in lost and "eight subjects" in lost
    assert "4 arrays have other shapes" in odd
    assert "subj01/lh_pred_test.npy (30, 400) for (159, 19004)" in odd
    less = tmp_path / "tree"
    shutil.copytree(tree, less)
    (less / "subj06/training_split/training_fmri/rh_training_fmri.npy").unlink()
    told = "\n".join(Algonauts2023(less).submission_warnings())
    assert "rh_training_fmri.npy: the challenge wants both hemispheres" in told
    done = CliRunner().invoke(app, ["check-submission", str(written), f"path={tree}"])
    assert done.exit_code == 0 and "fits this copy" in done.output
    assert "beware: this copy lacks subj02" in done.output


def test_the_command_warns_when_it_writes(tree, predicted, tmp_path, monkeypatch):
    from types import SimpleNamespace

    text = f'dataset = {{ use = "algonauts2023", path = "{tree}" }}\n'
    text += '[features]\nx = { use = "array", path = "x.npy" }\n'
    text += '[[member]]\nname = "m"\nfeatures = ["x"]\nencoder = "ridge"\n'
    (tmp_path / "recipe.toml").write_text(text)
    monkeypatch.setattr("striate.report.read_run", lambda _: SimpleNamespace(predicted=predicted))
    done = CliRunner().invoke(app, ["submit", str(tmp_path)])
    assert done.exit_code == 0, done.exception
    assert "beware: this copy lacks subj02" in done.output
    assert "arrays have other shapes" in done.output


def test_what_never_varies_is_refused(tree, written, tmp_path):
    root = tmp_path / FOLDER
    shutil.copytree(written.parent / FOLDER, root)
    for value in (0, 0.1):
        shape = np.load(written.parent / FOLDER / "subj06/rh_pred_test.npy").shape
        np.save(root / "subj06/rh_pred_test.npy", np.full(shape, value, np.float32))
        with pytest.raises(DataError, match=r"subj06/rh_pred_test\.npy never varies"):
            Algonauts2023(tree).check_submission(root)


def test_what_is_not_predicted_is_counted_and_nothing_is_written(tree, predicted, tmp_path):
    ours = Algonauts2023(tree)
    with pytest.raises(DataError, match=r"12000 of 30400 .*test images of subj01|of subj01"):
        ours.write_submission({k: b for k, b in predicted.items() if "lh" not in k}, tmp_path / "o")
    block = predicted["subj06 rh"].copy()
    test = Algonauts2023(tree).responses()["subj06"].stimulus.values[-1]
    block[block.stimulus.values == test, 3] = np.nan
    with pytest.raises(DataError, match=r"1 of 29000 predictions for the test images of subj06"):
        ours.write_submission(predicted | {"subj06 rh": block}, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def edited(root, change):
    def save(name, values):
        np.save(root / name, values)

    change(root, save)


WRONG = {
    "lacks subj06/rh_pred_test.npy": lambda r, s: (r / "subj06/rh_pred_test.npy").unlink(),
    "holds notes.txt, which": lambda r, s: (r / "notes.txt").write_text("x"),
    r"subj01/lh_pred_test.npy has shape \(29, 400\)": lambda r, s: s(
        "subj01/lh_pred_test.npy", np.zeros((29, 400), np.float32)
    ),
    r"axes are swapped": lambda r, s: s("subj01/rh_pred_test.npy", np.zeros((360, 30), np.float32)),
    "subj06/lh_pred_test.npy holds float64: cast": lambda r, s: s(
        "subj06/lh_pred_test.npy", np.zeros((40, 380))
    ),
    "subj06/lh_pred_test.npy: 15200 or more predictions are NaN": lambda r, s: s(
        "subj06/lh_pred_test.npy", np.full((40, 380), np.nan, np.float32)
    ),
    r"subj01/lh_pred_test.npy .*(damaged|fewer|holds)": lambda r, s: (
        r / "subj01/lh_pred_test.npy"
    ).write_bytes((r / "subj01/lh_pred_test.npy").read_bytes()[:-4]),
    r"subj01/rh_pred_test.npy .*": lambda r, s: (r / "subj01/rh_pred_test.npy").write_bytes(b""),
}


@pytest.mark.parametrize("said", WRONG)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_the_first_thing_wrong_is_named(tree, written, tmp_path, said, packed):
    root = tmp_path / FOLDER
    shutil.copytree(written.parent / FOLDER, root)
    edited(root, WRONG[said])
    path = root
    if packed:
        path = tmp_path / "mine.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(root.rglob("*.*")):
                archive.write(file, file.relative_to(tmp_path).as_posix())
        said = said.replace("lacks ", f"lacks {FOLDER}/").replace(
            "holds notes", f"holds {FOLDER}/notes"
        )
    with pytest.raises(StriateError, match=said):
        Algonauts2023(tree).check_submission(path)


def test_what_is_no_submission(tree, tmp_path):
    ours = Algonauts2023(tree)
    with pytest.raises(FileError, match="no submission"):
        ours.check_submission(tmp_path / "nowhere.zip")
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(FileError, match=r"no \.zip"):
        ours.check_submission(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("../subj01/lh_pred_test.npy", b"")
    with pytest.raises(StriateError):
        ours.check_submission(tmp_path / "y.zip")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for s in ("subj01", "subj06"):
            for h in ("lh", "rh"):
                archive.writestr(f"{FOLDER}/{s}/{h}_pred_test.npy", bytes(5_000_000))
    with pytest.raises(StriateError, match=r"subj01/lh_pred_test\.npy"):
        ours.check_submission(tmp_path / "z.zip")
    with pytest.raises(DataError, match=r"lacks subj01/lh_pred_test.npy; it holds nothing"):
        (tmp_path / "empty").mkdir()
        ours.check_submission(tmp_path / "empty")
