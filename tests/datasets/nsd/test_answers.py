import gzip
import shutil

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.stats import zscore

from striate.datasets.algonauts2023 import Algonauts2023
from striate.datasets.nsd import Nsd
from striate.datasets.nsd.answers import algonauts2023_answers
from striate.datasets.nsd.twin import write
from striate.errors import DataError, FileError

BETAS = "nsddata_betas/ppdata/subj01/fsaverage/betas_fithrf_GLMdenoise_RR"
FSAVERAGE, SESSIONS, TRIALS = 163842, 6, 24


def mgh(path):
    """An MGH file read by its layout: (place, frame)."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".mgz" else content
    width, height, depth, frames, kind = np.frombuffer(content, ">i4", 5, 4)
    assert (height, depth) == (1, 1)
    values = np.frombuffer(content, {1: ">i4", 3: ">f4"}[kind], width * frames, 284)
    return values.reshape(frames, width).T


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Twins of both, of one person: the challenge's made here from NSD's by its own recipe."""
    root = tmp_path_factory.mktemp("pair")
    write(
        root / "nsd",
        media=False,
        spaces=("fsaverage",),
        vertices=FSAVERAGE,
        sessions=(SESSIONS,),
        trials=TRIALS,
        shared=20,
        own=60,
        targets=8,
    )
    design = loadmat(root / "nsd/nsddata/experiments/nsd/nsd_expdesign.mat")
    shown = (design["subjectim"][0][design["masterordering"][0].astype(int) - 1] - 1).astype(int)
    session = np.repeat(np.arange(SESSIONS), TRIALS)
    late = session >= SESSIONS - 3
    rng = np.random.default_rng(1)
    training = rng.permutation(np.unique(shown[~late]))
    test = rng.permutation(np.setdiff1d(shown[late], shown[~late]))
    assert len(training) > 40 and len(test) > 8
    answers = {}
    for side in ("lh", "rh"):
        label = root / f"nsd/nsddata/freesurfer/fsaverage/label/{side}.nsdgeneral.mgz"
        inside = np.flatnonzero(mgh(label)[:, 0])
        place = np.sort(rng.choice(inside, 17, replace=False))
        mask = np.zeros(FSAVERAGE, dtype=int)
        mask[place] = 1
        z = []
        for k in range(SESSIONS):
            file = root / "nsd" / BETAS / f"{side}.betas_session{k + 1:02d}.mgh"
            z.append(zscore(mgh(file)[place].T.astype(float), axis=0))
        z = np.concatenate(z)
        subject = root / "challenge/subj01"
        for kind, ids, used in (("training", training, ~late), ("test", test, late)):
            mean = [z[(shown == p) & used].mean(axis=0) for p in ids]
            answers[kind, side] = np.float32(mean)
            images = subject / f"{kind}_split/{kind}_images"
            images.mkdir(parents=True, exist_ok=True)
            for k, p in enumerate(ids):
                short = "train" if kind == "training" else "test"
                (images / f"{short}-{k + 1:04d}_nsd-{p:05d}.png").write_bytes(b"")
        (subject / "training_split/training_fmri").mkdir(exist_ok=True)
        np.save(
            subject / f"training_split/training_fmri/{side}_training_fmri.npy",
            answers["training", side],
        )
        (subject / "roi_masks").mkdir(exist_ok=True)
        np.save(subject / f"roi_masks/{side}.all-vertices_fsaverage_space.npy", mask)
    return root, answers


@pytest.mark.parametrize("side", ["lh", "rh"])
def test_training_responses_are_reproduced_and_so_are_the_answers(pair, side):
    root, answers = pair
    # The configuration of the data set does not matter.
    ours = Nsd(root / "nsd", space="func1mm", sessions=(2,), mask="none", zscore="none")
    released = np.load(
        root / f"challenge/subj01/training_split/training_fmri/{side}_training_fmri.npy"
    )
    for part in ("training", "test"):
        found = algonauts2023_answers(ours, root / "challenge", "subj01", side, part)
        assert found.dtype == np.float32 and found.shape == answers[part, side].shape
        np.testing.assert_allclose(found, answers[part, side], atol=1e-5)
    found = algonauts2023_answers(ours, root / "challenge", "subj01", side, "training")
    np.testing.assert_allclose(found, released, atol=1e-5)
    assert np.corrcoef(found.ravel(), answers["training", side][:, ::-1].ravel())[0, 1] < 0.9


def test_targets_of_the_challenge(pair):
    """With its masks and the sessions of its training, rows and targets are the challenge's."""
    root, _ = pair
    place = root / "challenge/subj01/roi_masks"
    for side in ("lh", "rh"):
        np.save(place / f"{side}.floc-places_challenge_space.npy", np.arange(17) % 4)
    ours = Nsd(
        root / "nsd",
        space="fsaverage",
        mask="challenge",
        challenge=root / "challenge",
        sessions=(1, 2, 3),
    )
    block = ours.responses()["subj01"]
    theirs = Algonauts2023(root / "challenge").responses()["subj01"]
    assert list(block.target.values) == list(theirs.target.values)
    for roi in ("OPA", "PPA", "RSC"):
        assert block[f"roi:{roi}"].values.sum() >= 8
        np.testing.assert_array_equal(block[f"roi:{roi}"].values, theirs[f"roi:{roi}"].values)
    mean = np.nanmean(block.values.astype(float), axis=2)
    np.testing.assert_allclose(mean, theirs.sel(row=block.row.values).values, atol=1e-5)
    assert not [f for f in ours.inspect() if f.kind == "wrong"]
    wrong = Nsd(root / "nsd", space="fsaverage", mask="challenge", challenge=root / "nowhere")
    assert "nowhere" in " ".join(f.told for f in wrong.inspect() if f.kind == "wrong")


def test_the_last_sessions_are_enough_for_the_answers(pair, tmp_path):
    root, answers = pair
    few = tmp_path / "nsd"
    (few / BETAS).mkdir(parents=True)
    shutil.copytree(root / "nsd/nsddata/experiments", few / "nsddata/experiments")
    for k in (4, 5, 6):
        name = f"lh.betas_session{k:02d}.mgh"
        (few / BETAS / name).symlink_to(root / "nsd" / BETAS / name)
    ours = Nsd(few)
    found = algonauts2023_answers(ours, root / "challenge", "subj01", "lh")
    np.testing.assert_allclose(found, answers["test", "lh"], atol=1e-5)
    with pytest.raises(FileError, match=r"lacks session 1, 2, 3 of lh"):
        algonauts2023_answers(ours, root / "challenge", "subj01", "lh", "training")
    with pytest.raises(FileError, match=r"no rh\.betas_session"):
        algonauts2023_answers(ours, root / "challenge", "subj01", "rh")
    (few / BETAS / "lh.betas_session06.mgh").unlink()
    (few / BETAS / "lh.betas_session03.mgh").symlink_to(
        root / "nsd" / BETAS / "lh.betas_session03.mgh"
    )
    with pytest.raises(DataError, match=r"was not shown in sessions 3 to 5.*is it the last"):
        algonauts2023_answers(ours, root / "challenge", "subj01", "lh")


def test_images_of_somebody_else_are_told(pair, tmp_path):
    root, _ = pair
    other = tmp_path / "challenge"
    shutil.copytree(root / "challenge", other)
    images = other / "subj01/test_split/test_images"
    first = min(images.iterdir())
    early = min((root / "challenge/subj01/training_split/training_images").iterdir()).name
    first.rename(images / f"test-0001_nsd-{early[-9:]}")
    with pytest.raises(DataError, match=r"not shown in sessions 4 to 6|was shown before session 4"):
        algonauts2023_answers(Nsd(root / "nsd"), other, "subj01", "lh")
    shutil.rmtree(images)
    with pytest.raises(FileError, match="no images in"):
        algonauts2023_answers(Nsd(root / "nsd"), other, "subj01", "lh")
    shutil.rmtree(other / "subj01/roi_masks")
    with pytest.raises(FileError, match=r"lh\.all-vertices"):
        algonauts2023_answers(Nsd(root / "nsd"), other, "subj01", "lh", "training")
