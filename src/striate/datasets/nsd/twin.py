"""A made-up copy of the Natural Scenes Dataset, in all its containers, whose scores are known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from PIL import Image
from scipy.io import savemat

from striate.datasets import made_up
from striate.datasets.algonauts2023.masks import CLASSES
from striate.datasets.nsd.betas import PER_PERCENT
from striate.datasets.nsd.design import id_of
from striate.errors import FileError
from striate.files.brains import MGH_OFFSET, nibabel
from striate.scores import nsd_noise_ceiling

BETAS = "betas_fithrf_GLMdenoise_RR"
SPACING = 1.8
LARGE = 10_000_000
"""Values of a session from which voxels outside of masks are left unwritten."""
PLANTED = {
    "V1v": ("early", "prf-visualrois", "early", (1.6, 1.3)),
    "FFA-1": ("late", "floc-faces", "ventral", (1.2, 1.4)),
}
"""Region → features it shows, its class, the stream it lies in, and its ncsnr by subject."""


@dataclass(frozen=True)
class Scale:
    """How much of everything there is.

    Parameters
    ----------
    sessions
        Of each subject.
    trials
        Of a session.
    shared, own
        Pictures that all were to see, and of each subject alone.
    pixels, enlarged
        Along an edge of pictures as they are made, and what each of these becomes.
    grid, vertices
        Voxels along i, j, k, and vertices of a hemisphere.
    targets
        Of each region and hemisphere, and as many without any signal.
    packed
        Whether every second subject has volumes in .nii.gz.

    """

    sessions: tuple[int, ...]
    trials: int
    shared: int
    own: int
    pixels: int
    enlarged: int
    grid: tuple[int, int, int]
    vertices: int
    targets: int
    packed: bool


SIZES = {
    "tiny": Scale((6, 5), 300, 352, 448, 48, 1, (14, 16, 12), 642, 12, True),
    "full": Scale(
        (40, 40, 32, 30, 40, 32, 40, 30), 750, 1000, 9000, 85, 5, (81, 104, 83), 163842, 100, False
    ),
}


def write(
    folder: Path,
    size: str = "tiny",
    seed: int = 0,
    *,
    media: bool = True,
    spaces: Sequence[str] = ("func1pt8mm", "fsaverage"),
    **changed: Any,
) -> pd.DataFrame:
    """Write the twin and return its truth: subject, roi, score (Pearson), ceiling.

    Region ``V1v`` is linear in oriented contrast energy (8 features, ``early``), ``FFA-1`` in
    coarse luminance (9 features, ``late``), with noise in each trial; offset and gain change from
    session to session, as they do between scans. The right model reaches `score`, the root of the
    ceiling, on the means over repeats of the shared pictures. `features_early.npy`,
    `features_late.npy` and `ids.csv` hold the features, `captions/` what is said of the pictures.
    The second subject has its volumes in .nii.gz, the others in .hdf5.

    Parameters
    ----------
    folder
        A new folder.
    size
        ``tiny``, or ``full``: the true shapes, of which what is nothing but zeros takes no place
        on disk.
    seed
        Of everything that is drawn.
    media
        Whether there are pictures; without them, features are drawn.
    spaces
        Where responses lie.
    changed
        Fields of `Scale` that differ from those of the size.

    Raises
    ------
    FileError
        When the folder holds something already.

    """
    made_up.new_folder(folder)
    rng, scale = np.random.default_rng(seed), replace(SIZES[size], **changed)
    order, lists, shared = _design(folder, scale, rng)
    features = _pictures(folder, scale, rng, media)
    _described(folder, features["late"], shared, rng)
    truth = []
    for number, sessions in enumerate(scale.sessions):
        subject = f"subj{number + 1:02d}"
        shown = lists[number][order[: sessions * scale.trials]]
        repeats = np.bincount(shown, minlength=lists.max() + 1)
        counts = np.bincount(repeats[shared])[1:]
        for space in spaces:
            for side in ("lh", "rh") if space == "fsaverage" else ("",):
                _subject(folder, subject, number, space, side, shown, features, scale, rng)
        for roi, (*_, ratios) in PLANTED.items():
            ratio = np.array([ratios[number % len(ratios)]])
            ceiling = float(nsd_noise_ceiling(ratio, counts.tolist())[0])
            truth.append((subject, roi, round(ceiling**0.5, 6), round(ceiling, 6)))
    known = pd.DataFrame(truth, columns=["subject", "roi", "score", "ceiling"])
    known.to_csv(folder / "truth.csv", index=False)
    return known


def _design(
    folder: Path, scale: Scale, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " trial"], Int[np.ndarray, "subject picture"], np.ndarray]:
    """Who sees what when, written counting from 1, returned counting from 0."""
    places = scale.shared + scale.own
    trials = max(scale.sessions) * scale.trials
    if not places <= trials <= 3 * places:
        raise FileError(f"{trials} trials cannot show {places} pictures one to three times")
    again = rng.permutation(np.repeat(np.arange(places), 2))[: trials - places]
    order = rng.permutation(np.concatenate([np.arange(places), again]))
    people = len(scale.sessions)
    numbers = rng.permutation(scale.shared + people * scale.own)
    shared = np.sort(numbers[: scale.shared])
    own = numbers[scale.shared :].reshape(people, scale.own)
    lists = np.concatenate([np.tile(shared, (people, 1)), own], axis=1)
    place = folder / "nsddata/experiments/nsd"
    place.mkdir(parents=True)
    arrays = {
        "masterordering": order[None] + 1,
        "subjectim": lists + 1,
        "sharedix": shared[None] + 1,
    }
    savemat(place / "nsd_expdesign.mat", {n: a.astype(np.float64) for n, a in arrays.items()})
    return order, lists, shared


def _pictures(
    folder: Path, scale: Scale, rng: np.random.Generator, media: bool
) -> dict[str, Float[np.ndarray, "picture feature"]]:
    """Write all pictures; return their features, of mean 0 and standard deviation 1."""
    count, edge = scale.shared + len(scale.sessions) * scale.own, scale.pixels * scale.enlarged
    found: dict[str, Any] = {"early": [], "late": []}
    if media:
        place = folder / "nsddata_stimuli/stimuli/nsd"
        place.mkdir(parents=True)
        with h5py.File(place / "nsd_stimuli.hdf5", "w") as file:
            brick = file.create_dataset(
                "imgBrick",
                (count, edge, edge, 3),
                np.uint8,
                chunks=(1, edge, edge, 3),
                compression="gzip" if scale.enlarged > 1 else None,
                compression_opts=1 if scale.enlarged > 1 else None,
            )
            for k in range(count):
                pixels = made_up.image(scale.pixels, rng)
                brick[k] = pixels.repeat(scale.enlarged, axis=0).repeat(scale.enlarged, axis=1)
                grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float64) / 255
                found["early"].append(made_up.early(grey))
                found["late"].append(made_up.late(grey))
    else:
        found = {n: rng.standard_normal((count, k)) for n, k in (("early", 8), ("late", 9))}
    features = {n: made_up.standardised(np.array(v)) for n, v in found.items()}
    made_up.save_features(folder, [id_of(k) for k in range(count)], features)
    return features


def _described(
    folder: Path,
    late: Float[np.ndarray, "picture feature"],
    shared: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Write where pictures come from, and what is said of them."""
    count = len(late)
    coco = rng.choice(600_000, count, replace=False)
    split = np.where(rng.random(count) < 0.9, "train2017", "val2017")
    table = pd.DataFrame(
        {
            "cocoId": coco,
            "cocoSplit": split,
            "cropBox": "(0, 0, 0.1, 0.1)",
            "loss": 0.1,
            "nsdId": np.arange(count),
            "flagged": False,
            "BOLD5000": False,
            "shared1000": np.isin(np.arange(count), shared),
        }
    )
    table.to_csv(folder / "nsddata/experiments/nsd/nsd_stim_info_merged.csv")
    light = np.where(late.mean(axis=1) > 0, "bright", "dark")
    corner = np.where(late[:, 0] > 0, "bright", "dark")
    (folder / "captions").mkdir()
    for name in ("train2017", "val2017"):
        said = [
            {"image_id": int(coco[k]), "id": 2 * k + j, "caption": text}
            for k in np.flatnonzero(split == name).tolist()
            for j, text in enumerate((f"{light[k]} leaves.", f"A {corner[k]} leaf\n at the left. "))
        ]
        body = json.dumps({"images": [], "annotations": said})
        (folder / "captions" / f"captions_{name}.json").write_text(body)


def _subject(
    folder: Path,
    subject: str,
    number: int,
    space: str,
    side: str,
    shown: Int[np.ndarray, " trial"],
    features: dict[str, Float[np.ndarray, "picture feature"]],
    scale: Scale,
    rng: np.random.Generator,
) -> None:
    """Write one subject's responses, ratios and regions in a volume or a hemisphere."""
    grid = (scale.vertices,) if side else scale.grid
    groups = [*PLANTED, ""]
    size = scale.targets * len(groups) * (1 if side else 2)
    if side:  # next to each other, so that a page of the file holds them
        flat = scale.vertices // 3 + (7 if side == "rh" else 0) + np.arange(size)
    else:
        flat = rng.choice(int(np.prod(grid)), size, replace=False)
    # Half of a volume's targets in either hemisphere, each with its share of every group.
    flat = flat if side else flat[np.argsort(np.unravel_index(flat, grid)[0], kind="stable")]
    group = np.tile(np.repeat(np.arange(len(groups)), scale.targets), 1 if side else 2)
    ratio, signal = np.zeros(size), np.zeros((len(shown), size))
    seen, turn = np.unique(shown, return_inverse=True)
    for k, name in enumerate(groups[:-1]):
        kind, *_, ratios = PLANTED[name]
        mine = np.flatnonzero(group == k)
        weights = rng.standard_normal((features[kind].shape[1], len(mine)))
        signal[:, mine] = made_up.standardised(features[kind][seen] @ weights)[turn]
        ratio[mine] = ratios[number % len(ratios)]
    place = folder / "nsddata_betas/ppdata" / subject / space / BETAS
    place.mkdir(parents=True, exist_ok=True)
    size_of, base = rng.uniform(0.5, 1.5, size), rng.normal(0, 1, size)
    kind = ".mgh" if side else ".nii.gz" if scale.packed and number % 2 else ".hdf5"
    begin = f"{side}." if side else ""
    for session in range(len(shown) // scale.trials):
        own = slice(session * scale.trials, (session + 1) * scale.trials)
        noise = rng.standard_normal((scale.trials, size))
        values = signal[own] + noise / np.where(ratio > 0, ratio, 1)
        percent = base + rng.normal(0, 0.5, size) + size_of * rng.uniform(0.7, 1.3) * values
        file = place / f"{begin}betas_session{session + 1:02d}{kind}"
        _betas(file, percent, flat, grid)
    ratios_of = np.zeros(grid, np.float32)
    ratios_of.reshape(-1)[flat] = ratio
    _map(place / f"{begin}ncsnr.{'mgh' if side else 'nii.gz'}", ratios_of)
    _regions(folder, subject, space, side, grid, flat, group)


def _betas(
    file: Path, percent: Float[np.ndarray, "trial target"], flat: np.ndarray, grid: tuple[int, ...]
) -> None:
    trials = len(percent)
    counts = np.round(percent * PER_PERCENT).clip(-32768, 32767).astype(np.int16)
    if file.suffix == ".mgh":
        header = nibabel(file).freesurfer.mghformat.MGHHeader()
        header.set_data_dtype(np.float32)
        header.set_data_shape((*grid, 1, 1, trials))
        with file.open("wb") as stream:
            header.writehdr_to(stream)
            stream.truncate(MGH_OFFSET + 4 * trials * grid[0])
        values = np.memmap(file, ">f4", "r+", MGH_OFFSET, (trials, grid[0]))
        values[:, flat] = percent
        values.flush()
    elif file.suffix == ".hdf5":
        places = zip(*np.unravel_index(flat, grid), strict=True)
        with h5py.File(file, "w") as opened:
            # As MATLAB writes it: axes in reverse, all trials of a voxel together.
            array = opened.create_dataset(
                "betas", (trials, *grid[::-1]), np.int16, chunks=(trials, 1, 1, 1)
            )
            if array.size < LARGE:  # of a large file, only what masks hold is written
                array[...] = 0
            for target, (i, j, k) in enumerate(places):
                array[:, k, j, i] = counts[:, target]
    else:
        whole = np.zeros((int(np.prod(grid)), trials), np.int16)
        whole[flat] = counts.T
        _map(file, whole.reshape(*grid, trials))


def _map(file: Path, values: np.ndarray) -> None:
    """Write a map, or maps along a fourth axis."""
    nib = nibabel(file)
    if file.suffix in (".mgh", ".mgz"):
        shaped = values.reshape(len(values), 1, 1)
        nib.save(nib.freesurfer.MGHImage(shaped, np.eye(4)), file)
        return
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -SPACING * np.array(values.shape[:3]) / 2
    content = nib.Nifti1Image(values, affine).to_bytes()
    file.write_bytes(gzip.compress(content, 1, mtime=0))


def _regions(
    folder: Path,
    subject: str,
    space: str,
    side: str,
    grid: tuple[int, ...],
    flat: np.ndarray,
    group: np.ndarray,
) -> None:
    """Write masks, classes of regions and the tables of their names."""
    labels = folder / "nsddata/freesurfer" / ("fsaverage" if side else subject) / "label"
    place = labels if side else folder / "nsddata/ppdata" / subject / space / "roi"
    for one in (place, labels):
        one.mkdir(parents=True, exist_ok=True)
    begin, kind = (f"{side}.", "mgz") if side else ("", "nii.gz")
    # Voxels that are no cortex are -1, and labels of no region 0.
    ground = 0 if side else -1
    maps = {"nsdgeneral": np.full(grid, ground, np.int32)}
    maps["nsdgeneral"].reshape(-1)[flat] = 1
    for name in ("prf-visualrois", "floc-faces", "streams"):
        values = np.full(grid, ground, np.int32)
        values.reshape(-1)[flat] = 0
        for k, (roi, (_, own, stream, _)) in enumerate(PLANTED.items()):
            region = roi if own == name else stream if name == "streams" else ""
            if region:
                values.reshape(-1)[flat[group == k]] = CLASSES[name].index(region) + 1
        maps[name] = values
        lines = ["0 Unknown", *(f"{k} {r}" for k, r in enumerate(CLASSES[name], 1))]
        (labels / f"{name}.mgz.ctab").write_text("\n".join(lines) + "\n")
    if not side:
        half = np.arange(len(flat)) < len(flat) // 2
        for whose, mine in (("lh", half), ("rh", ~half)):
            values = np.full(grid, ground, np.int32)
            values.reshape(-1)[flat] = mine
            maps[f"{whose}.nsdgeneral"] = values
    for name, values in maps.items():
        _map(place / f"{begin}{name}.{kind}", values)
