"""A made-up tree of the 2019 challenge whose scores are known, in both MATLAB containers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.io import savemat
from scipy.spatial.distance import pdist, squareform
from scipy.stats import norm, rankdata

from striate.datasets import made_up
from striate.datasets.algonauts2019.rdm_files import KEYS, SETS

PIXELS = {"tiny": {"92": 64, "118": 64, "78": 64}, "full": {"92": 175, "118": 300, "78": 175}}
SUBJECTS, SAMPLES = 15, 20
PLANTED = {
    "EVC": ("early", 1.5),
    "IT": ("late", 1.2),
    "early": ("early", 3.0),
    "late": ("late", 2.5),
}
"""Region or window → the features whose distances it shows, and its noise (signal has 1)."""


def write(folder: Path, size: str = "tiny", seed: int = 0) -> pd.DataFrame:
    """Write the twin and return its truth, one line per set and region (or window).

    The RDM of a subject is the model's, its ranks made normal, plus noise of its own (in every
    sample, for MEG). Columns: ``set``, ``roi``, ``score`` (expected Spearman of the right model
    RDM with a subject), ``r2`` (its square: the challenge's score) and ``ceiling`` (the same of
    the mean over subjects and samples). `model_ROI.npy` beside each target file holds the right
    model's RDM; `features_early.npy`, `features_late.npy` and `ids.csv` what it is the Euclidean
    distance of. Sets 92 and 118 are MATLAB v7.3 files, 78 is v5. `tiny` has no MEG for set 118.

    Raises
    ------
    FileError
        When the folder holds something already.

    """
    made_up.new_folder(folder)
    rng = np.random.default_rng(seed)
    truth: list[dict[str, object]] = []
    ids: list[str] = []
    features: dict[str, list[np.ndarray]] = {"early": [], "late": []}
    for name, place in SETS.items():
        found = _images(folder / place / f"{name}images", int(name), PIXELS[size][name], rng)
        ids += [f"set{name}.image_{k + 1:0{len(name)}d}" for k in range(int(name))]
        for kind, values in found.items():
            features[kind].append(values)
        for modality, keys in KEYS.items():
            if modality == "meg" and name == "118" and size == "tiny":
                continue
            rdms = {}
            for region, key in keys.items():
                kind, noise = PLANTED[region]
                distances = pdist(found[kind])
                np.save(folder / place / f"model_{region}.npy", squareform(distances))
                samples = SAMPLES if modality == "meg" else 1
                rdms[key] = _subjects(distances, noise, samples, rng)
                if modality == "fmri":
                    rdms[key] = rdms[key][:, 0]
                truth.append({"set": name, "roi": region, **_expected(noise, samples)})
            _save(folder / place / f"target_{modality}.mat", rdms, v5=name == "78")
    made_up.save_features(folder, ids, {k: np.concatenate(v) for k, v in features.items()})
    known = pd.DataFrame(truth)
    known.to_csv(folder / "truth.csv", index=False)
    return known


def _images(
    folder: Path, count: int, pixels: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Write the images of a set; return their features by kind, in order."""
    folder.mkdir(parents=True)
    early, late = [], []
    for k in range(count):
        content = made_up.encoded(made_up.image(pixels, rng), "jpg")
        (folder / f"image_{k + 1:0{len(str(count))}d}.jpg").write_bytes(content)
        grey = made_up.luminance(content)
        early.append(made_up.early(grey))
        late.append(made_up.late(grey))
    return {
        "early": made_up.standardised(np.stack(early)),
        "late": made_up.standardised(np.stack(late)),
    }


def _subjects(
    distances: Float[np.ndarray, " pair"], noise: float, samples: int, rng: np.random.Generator
) -> Float[np.ndarray, "subject sample image image"]:
    """RDMs, symmetric with zero diagonal; values lie about 1 as those of 1 - correlation do."""
    pairs = len(distances)
    signal = norm.ppf(rankdata(distances) / (pairs + 1))
    every = signal + noise * rng.standard_normal((SUBJECTS, samples, pairs))
    # Few digits, so that the files compress.
    values = np.round(1 + 0.18 * every / np.sqrt(1 + noise**2), 3)
    images = round((1 + np.sqrt(1 + 8 * pairs)) / 2)
    i, j = np.triu_indices(images, 1)
    rdms = np.zeros((SUBJECTS, samples, images, images))
    rdms[..., i, j] = rdms[..., j, i] = values
    return rdms


def _expected(noise: float, samples: int) -> dict[str, float]:
    """Spearman correlations of normal variables: 6/π · asin(r / 2)."""

    def spearman(r: float) -> float:
        return 6 / np.pi * float(np.arcsin(r / 2))

    score = spearman(1 / np.sqrt(1 + noise**2))
    # The mean of all keeps the subject's own noise, 1 / (subjects · samples) of it.
    left = noise**2 / (SUBJECTS * samples)
    ceiling = spearman(float(np.sqrt((1 + left) / (1 + noise**2))))
    return {"score": round(score, 6), "r2": round(score**2, 6), "ceiling": round(ceiling**2, 6)}


def _save(path: Path, rdms: Mapping[str, np.ndarray], v5: bool) -> None:
    if v5:
        savemat(path, dict(rdms), do_compression=True)
        return
    # MATLAB v7.3 stores axes in reverse, behind 512 bytes of its own header.
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, values in rdms.items():
            file.create_dataset(key, data=values.T, compression="gzip", compression_opts=1)
    header = b"MATLAB 7.3 MAT-file".ljust(116) + b" " * 8 + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(header.ljust(512, b"\0"))
