import os
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.datasets import made_up
from striate.datasets.algonauts2023 import Algonauts2023
from striate.datasets.algonauts2023.files import COUNTS, fmri_file, image_folder
from striate.datasets.algonauts2023.masks import FSAVERAGE, class_file, mask_file
from striate.errors import FileError
from striate.scores import pearson
from striate.solvers.ridge import ridge_cv


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin") / "tree"
    return place, Algonauts2023.twin(place)


@pytest.fixture(scope="module")
def seen(twin):
    """Features, by kind and image."""
    place, _ = twin
    ids = pd.read_csv(place / "ids.csv")["id"].tolist()
    return {
        n: pd.DataFrame(np.load(place / f"features_{n}.npy"), index=ids) for n in ("early", "late")
    }


def found_by_ridge(x, y, fold):
    """Correlations out of fold, by a ridge whose penalty is chosen inside of the training rows.

    Means of folds are taken out: those of the training rows lean away from those of the others.
    """
    predicted, measured = np.empty(y.shape), np.empty(y.shape)
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        inner = np.arange(train.sum()) % 4
        fit = ridge_cv(x[train], y[train], (0.1, 1.0, 10.0, 100.0, 1e4), inner)
        values = x[test] @ np.asarray(fit.coef)
        predicted[test] = values - values.mean(axis=0)
        measured[test] = y[test] - y[test].mean(axis=0)
    return pearson(measured, predicted)


def test_a_ridge_finds_the_known_scores_and_nothing_else(twin, seen):
    place, truth = twin
    rng, ours, chance, checked = np.random.default_rng(0), Algonauts2023(place), [], 0
    for subject, block in ours.responses().items():
        known = block[np.isfinite(block.values).all(axis=1)]
        y = known.values.astype(float)
        assert len(y) >= 300
        x = {n: f.loc[known.stimulus.values].to_numpy(float) for n, f in seen.items()}
        fold = rng.permutation(len(y)) % 10
        own = {n: found_by_ridge(v, y, fold) for n, v in x.items()}
        # Each vertex is linear in one kind: those in front in `early`, the others in `late`.
        early = own["early"] > own["late"]
        silent = known.ceiling.values == 0
        front = np.any([membership_of(known, r) for r in ("V1v", "V1d", "V2v", "hV4")], axis=0)
        behind = np.any([membership_of(known, r) for r in ("EBA", "PPA", "lateral")], axis=0)
        assert early[front & ~silent].all() and not early[behind & ~silent].any()
        found = np.where(early, own["early"], own["late"])
        found[silent] = own["early"][silent]
        for line in truth[truth["subject"] == subject].itertuples():
            inside = membership_of(known, line.roi)
            assert found[inside].mean() == pytest.approx(line.score, abs=0.02), line
            assert known.ceiling.values[inside].mean() == pytest.approx(line.ceiling, abs=1e-5)
            checked += 1
        both = np.concatenate(list(x.values()), axis=1)
        half = len(y) // 2
        for _ in range(6):
            mixed = both[rng.permutation(len(y))]
            weights = np.linalg.lstsq(mixed[:half], y[:half], rcond=None)[0]
            chance.append(pearson(y[half:], mixed[half:] @ weights).mean())
    assert checked > 80 and abs(np.mean(chance)) < 0.02


def membership_of(block, roi):
    return block[f"roi:{roi}"].values.astype(bool)


def test_images_show_the_features(twin, seen):
    place, _ = twin
    files = sorted(image_folder(place / "subj06", "training").iterdir())
    found = []
    for file in files:
        image = Image.open(BytesIO(file.read_bytes()))
        assert image.size == (425, 425) and image.mode == "RGB"
        grey = np.asarray(image.convert("L").resize((85, 85), Image.Resampling.BOX)) / 255
        found.append(made_up.late(grey))
    want = seen["late"].loc[["nsd" + f.name[-9:-4] for f in files]].to_numpy()
    r = pearson(want.astype(float), np.stack(found))
    assert r.min() > 0.999


def test_the_layout(twin):
    place, truth = twin
    size = sum(f.stat().st_size for f in place.rglob("*") if f.is_file())
    assert size < 40e6
    widths = set()
    for subject in ("subj01", "subj02", "subj06"):
        for side in ("lh", "rh"):
            mask = np.load(mask_file(place / subject, side))
            values = np.load(fmri_file(place / subject, side), mmap_mode="r")
            assert mask.shape == (FSAVERAGE,) and mask.sum() == values.shape[1]
            assert values.dtype == np.float32
            whole = np.load(class_file(place / subject, side, "prf-visualrois", "fsaverage"))
            own = np.load(class_file(place / subject, side, "prf-visualrois"))
            np.testing.assert_array_equal(whole[mask == 1], own)
            widths.add(values.shape[1])
            percent = np.load(place / "noise_ceilings" / subject / f"{side}.npy")
            assert percent.max() > 50 and (percent == 0).sum() == percent.size // 61
    assert len(widths) == 4
    numbers = [
        int(f.name[-9:-4]) for f in sorted(image_folder(place / "subj01", "training").iterdir())
    ]
    assert max(numbers) > 60_000 and numbers != sorted(numbers)
    assert truth["ceiling"].between(0.4, 0.95).all() and len(truth) > 80
    with pytest.raises(FileError, match="not empty"):
        Algonauts2023.twin(place)


def test_trials_give_the_ceiling_of_the_formula(tmp_path):
    """Images seen once, twice and three times in 20, 30 and 50 %: ratio 1 has .6593407."""
    Algonauts2023.twin(tmp_path / "x", natural=False, subjects=("subj06",))
    ceilings = np.load(tmp_path / "x/subj06/test_split/noise_ceiling/lh_noise_ceiling.npy")
    left = 1 / 0.6593407 - 1
    want = [0, *(s**2 / (s**2 + left) for s in (0.8, 1.2, 1.8, 2.6))]
    np.testing.assert_allclose(np.unique(ceilings), want, atol=1e-6)


def test_the_same_seed_writes_the_same(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        Algonauts2023.twin(tmp_path / name, seed=seed, natural=False, subjects=("subj06",))
    a, b, c = (
        {
            f.relative_to(tmp_path / n).as_posix(): f.read_bytes()
            for f in (tmp_path / n).rglob("*.*")
            if f.is_file()
        }
        for n in "abc"
    )
    assert a == b and a != c


def resident():
    """Bytes of this process that lie in memory now, where the system tells."""
    if not Path("/proc/self/statm").is_file():
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_full_size_takes_no_place(tmp_path):
    from striate.datasets.algonauts2023 import twin

    truth = twin.write(tmp_path / "x", "full", subjects=("subj08",), values=())
    assert truth.empty
    place = tmp_path / "x" / "subj08"
    for side, vertices in zip(("lh", "rh"), COUNTS["subj08"][2:], strict=True):
        path = fmri_file(place, side)
        assert np.load(path, mmap_mode="r").shape == (8779, vertices)
        assert path.stat().st_blocks * 512 < 1e6 < path.stat().st_size
    before, began = resident(), time.process_time()
    block = Algonauts2023(tmp_path / "x").responses()["subj08"]
    assert time.process_time() - began < 2 and resident() - before < 200e6
    assert block.shape == (8779 + 395, 18981 + 20530)
    with pytest.raises(FileError, match="unknown subject 'subj09'"):
        Algonauts2023.twin(tmp_path / "y", subjects=("subj09",))
