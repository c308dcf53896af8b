"""A made-up tree of the 2021 challenge whose scores are known: clips, and brains that saw them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from striate.datasets import made_films, made_up
from striate.datasets.algonauts2021.files import SHAPE
from striate.datasets.algonauts2021.tree import CLIPS, FILMS, HIDDEN, PEOPLE, ROIS, SUBJECTS, clip
from striate.errors import FileError
from striate.files import write_pickle

SIZES = {"tiny": (310, 20, 64), "full": (CLIPS - HIDDEN, HIDDEN, 268)}
"""Clips with responses, hidden clips, pixels."""
TYPICAL = {
    "tiny": dict(zip(ROIS["mini"], (22, 12, 14, 14, 12, 16, 16, 14, 10), strict=True)),
    "full": dict(zip(ROIS["mini"], (1300, 110, 270, 240, 220, 250, 240, 220, 90), strict=True)),
}
"""Voxels of a region in a subject, about."""
WHOLE = {"tiny": 1.3, "full": 161326 / 29623}
"""Times as many voxels in the whole brain as in the regions of the mini track."""
REPEATS = 3
PLANTED = {
    "LOC": ("late", 1.3),
    "FFA": ("late", 0.9),
    "STS": ("sound", 1.1),
    "EBA": ("motion", 1.2),
    "PPA": ("late", 1.1),
    "V1": ("early", 1.6),
    "V2": ("early", 1.3),
    "V3": ("early", 1.0),
    "V4": ("late", 1.0),
    "rest": ("motion", 0.7),
}
"""Region → what its voxels are linear in, and their ncsnr."""
SHARED = 2
"""Voxels of V3 that LOC of the second subject of a tiny twin has too."""
AFFINE = ((2.5, 0.0, 0.0, -96.5), (0.0, 2.5, 0.0, -132.5), (0.0, 0.0, 2.75, -78.5))


def write(
    folder: Path,
    size: str = "tiny",
    seed: int = 0,
    counts: str | Path = "",
    mask: str | Path = "",
    media: bool = True,
    clips: tuple[int, int] | None = None,
) -> pd.DataFrame:
    """Write the twin and return its truth: subject, roi, score (Pearson), ceiling.

    Every voxel is linear in one thing that can be seen or heard in the clips as they are decoded
    (`made_films.KINDS`), and noise of its own comes with each of three repeats. The right model
    reaches `score`, the root of the ceiling of their mean, less what is lost by estimating it;
    ``rest`` are voxels of the whole brain in no region. Clips are 3 s of h264 at 15, 25 or 30
    frames per second, some without sound. `features_KIND.npy` with `ids.csv` hold what was
    planted, `truth.csv` what is returned.

    Parameters
    ----------
    folder
        A new folder.
    size
        ``tiny``: 330 clips; ``full``: the shapes of the challenge (about 2.5 GB).
    seed
        Another seed, another made-up brain.
    counts
        A JSON file, region → number of voxels of each of the ten subjects, in place of made-up
        numbers; ``WB`` may be among them.
    mask
        A volume (.nii) in whose voxels above 0 brains lie.
    media
        Whether clips are drawn; if not, their files hold only their names, and features are noise.
    clips
        Numbers of clips with responses and of hidden ones, in place of those of the size.

    Raises
    ------
    FileError
        When the folder holds something already, or `counts` or `mask` cannot be read.

    """
    made_up.new_folder(folder)
    rng = np.random.default_rng(seed)
    known, rest, pixels = SIZES[size]
    known, rest = clips or (known, rest)
    voxels = _counts(Path(counts) if counts else None, size, rng)
    room = _room(Path(mask) if mask else None)
    (folder / FILMS).mkdir(parents=True)
    features = _films(folder / FILMS, known + rest, pixels, media, rng)
    made_up.save_features(folder, [clip(k + 1) for k in range(known + rest)], features)
    _example(folder / "example.nii")
    truth = []
    for k, subject in enumerate(SUBJECTS):
        own = {roi: n[k] for roi, n in voxels.items()}
        shared = SHARED if size == "tiny" and k == 1 and not counts else 0
        truth += _subject(folder / PEOPLE, subject, own, features, known, room, shared, rng)
    table = pd.DataFrame(truth, columns=["subject", "roi", "score", "ceiling"])
    table.to_csv(folder / "truth.csv", index=False)
    return table


def _films(
    folder: Path, count: int, pixels: int, media: bool, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "stimulus feature"]]:
    """Write the clips; return what can be seen and heard in them, by kind."""
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in made_films.KINDS}
    # Two hundred of the challenge's clips are below 25 frames per second, a hundred are silent;
    # in a small twin most are slow, because they take less time.
    rates = (15, 15, 15, 25, 15, 15, 15, 30, 15, 15) if pixels < 200 else (30, 30, 25, 15, 30, 30)
    for k in range(count):
        file = folder / f"{clip(k + 1)}_0-0-{rng.integers(10**8, 10**9)}.mp4"
        if media:
            fps = rates[k % len(rates)]
            made_films.write_film(file, rng, fps=fps, size=pixels, sound=k % 11 > 0)
            seen = made_films.seen(file)
        else:
            file.write_text(file.stem)
            seen = {kind: rng.standard_normal(n) for kind, n in made_films.KINDS.items()}
        for kind, values in seen.items():
            found[kind].append(values)
    return {kind: made_up.standardised(np.stack(values)) for kind, values in found.items()}


def _subject(
    people: Path,
    subject: str,
    counts: Mapping[str, int],
    features: Mapping[str, Float[np.ndarray, "stimulus feature"]],
    known: int,
    room: Integer[np.ndarray, " place"],
    shared: int,
    rng: np.random.Generator,
) -> list[tuple[str, str, float, float]]:
    """Write the files of a subject; return its lines of the truth."""
    total = counts["WB"]
    # The first voxels are of the first region and so on; their places are dealt at random.
    names = np.full(total, "rest", dtype=object)
    named = [roi for roi in ROIS["mini"] for _ in range(counts[roi])]
    names[: len(named)] = named
    values = np.empty((known, REPEATS, total), dtype=np.float32)
    lines = []
    order = np.argsort(rng.random(total))
    regions: dict[str, np.ndarray] = {}
    for roi, (kind, ncsnr) in PLANTED.items():
        mine = np.sort(order[names == roi])
        if not len(mine):
            continue
        regions[roi] = mine
        planted = made_up.planted(features[kind][:known], len(mine), REPEATS, ncsnr, rng)
        values[:, :, mine] = planted.transpose(0, 2, 1)
        ceiling = ncsnr**2 / (ncsnr**2 + 1 / REPEATS)
        lines.append((subject, roi, round(ceiling**0.5, 6), round(ceiling, 6)))
    if shared:
        regions["LOC"] = np.sort(np.concatenate([regions["LOC"], regions["V3"][:shared]]))
    for roi in ROIS["mini"]:
        if roi in regions:
            place = people / "mini_track" / subject / f"{roi}.pkl"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_pickle(place, {"train": np.ascontiguousarray(values[:, :, regions[roi]])})
    volume = np.zeros(SHAPE, dtype=np.uint8)
    volume.ravel()[rng.choice(room, total, replace=False)] = 1
    place = people / "full_track" / subject / "WB.pkl"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_pickle(place, {"train": values, "voxel_mask": volume})
    return lines


def _counts(path: Path | None, size: str, rng: np.random.Generator) -> dict[str, list[int]]:
    """Region → number of voxels of each subject; ``WB`` among them."""
    if path is not None:
        try:
            found = {str(r): [int(n) for n in v] for r, v in json.loads(path.read_text()).items()}
            if any(len(found[roi]) != len(SUBJECTS) for roi in ROIS["mini"]):
                raise ValueError("a region has not ten subjects")
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise FileError(
                f"{path} is no JSON file of region → ten numbers of voxels ({error!r})"
            ) from error
    else:
        typical = TYPICAL[size]
        found = {r: [int(n * f) for f in rng.uniform(0.7, 1.3, 10)] for r, n in typical.items()}
    mini = np.array([found[roi] for roi in ROIS["mini"]]).sum(axis=0)
    if "WB" not in found:
        # Shares of the whole are rounded so that they add up to it.
        ends = np.cumsum(mini) * WHOLE["full" if path is not None else size]
        found["WB"] = np.diff(np.round(ends), prepend=0).astype(int).tolist()
    return found


def _room(mask: Path | None) -> Integer[np.ndarray, " place"]:
    """Where voxels may lie, as places in the flattened volume."""
    if mask is not None:
        from striate.files.brains import read_volume

        volume = read_volume(mask).values()[0]
        if volume.shape != SHAPE:
            raise FileError(f"{mask} has shape {volume.shape}, but must have {SHAPE}")
        return np.flatnonzero(volume > 0)
    axes = [(np.arange(n) - n / 2) / (n / 2) for n in SHAPE]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return np.flatnonzero(i**2 + j**2 + k**2 < 0.85)


def _example(path: Path) -> None:
    """A volume of zeros with an affine, as NIfTI-1."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *SHAPE, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 2, 8)
    struct.pack_into("<8f", head, 76, 1, 2.5, 2.5, 2.75, 0, 0, 0, 0)
    struct.pack_into("<f", head, 108, 352)
    struct.pack_into("<2h", head, 252, 0, 4)
    struct.pack_into("<12f", head, 280, *(n for row in AFFINE for n in row))
    head[344:348] = b"n+1\0"
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(352 + int(np.prod(SHAPE)))
