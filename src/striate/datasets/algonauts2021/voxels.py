"""Which voxel is which: regions of the mini track are found in the whole brain by their series."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from striate.data import OnDisk
from striate.datasets.algonauts2021.files import SHAPE, Pickled, located
from striate.errors import DataError, FileError


@dataclass(frozen=True, eq=False)
class Voxels:
    """The voxels of one subject, each once.

    Parameters
    ----------
    ids
        `v012_034_021`, by place in the volume, or `V1.0012`, by region and number, where the
        voxel is not found in the whole brain.
    columns
        File (a region, or ``WB``) → the voxel that each of its columns is.
    places
        Indices into the volume, NaN where unknown.
    ceiling
        Explainable fraction of variance of the mean over repeats.
    values
        Clips × voxels × repeats, on disk.

    """

    ids: tuple[str, ...]
    columns: Mapping[str, Integer[np.ndarray, " column"]]
    places: Float[np.ndarray, "target 3"]
    ceiling: Float[np.ndarray, " target"]
    values: OnDisk

    def members(self, roi: str) -> np.ndarray:
        """Which voxels a region has, as booleans."""
        return np.isin(np.arange(len(self.ids)), self.columns[roi])


def of_regions(files: Mapping[str, Pickled], whole: Pickled | None) -> Voxels:
    """The voxels of the mini track; those of several regions stand once.

    Raises
    ------
    DataError
        When files do not have the same clips and repeats.

    """
    _same_clips([*files.values(), *([whole] if whole else [])])
    ids: list[str] = []
    columns: dict[str, np.ndarray] = {}
    fresh: list[np.ndarray] = []
    places: list[np.ndarray] = []
    known = np.zeros((0, 16), dtype=np.uint8)
    for roi, file in files.items():
        at = located(file.series, whole.series) if whole else np.full(file.count, -1)
        mine = located(file.series, known)
        new = np.flatnonzero(mine < 0)
        mine[new] = len(ids) + np.arange(len(new))
        where = np.full((len(new), 3), np.nan)
        if whole is not None:
            where[at[new] >= 0] = whole.voxels[at[new][at[new] >= 0]]
        ids += [
            f"{roi}.{j + 1:04d}" if np.isnan(v[0]) else _placed(v)
            for j, v in zip(new, where, strict=True)
        ]
        columns[roi] = mine
        fresh.append(new)
        places.append(where)
        known = np.concatenate([known, file.series[new]])
    starts = np.cumsum([0, *(f.count for f in files.values())])
    source = np.concatenate([start + new for start, new in zip(starts, fresh, strict=False)])
    every = OnDisk.beside([f.on_disk() for f in files.values()])
    ceilings = np.concatenate([f.ceiling for f in files.values()])
    values = _chosen(every, source)
    return Voxels(tuple(ids), columns, np.concatenate(places), ceilings[source], values)


def of_whole(whole: Pickled, files: Mapping[str, Pickled]) -> Voxels:
    """The voxels of the whole brain, and which of them the regions of the mini track have.

    A region's voxel that is not found is left out of the region.

    Raises
    ------
    DataError
        When files do not have the same clips and repeats.

    """
    _same_clips([whole, *files.values()])
    columns = {"WB": np.arange(whole.count)}
    columns |= {roi: located(file.series, whole.series) for roi, file in files.items()}
    ids = tuple(_placed(v) for v in whole.voxels)
    return Voxels(ids, columns, whole.voxels.astype(float), whole.ceiling, whole.on_disk())


def coordinates(
    places: Float[np.ndarray, "target 3"], affine: Float[np.ndarray, "4 4"]
) -> dict[str, Float[np.ndarray, " target"]]:
    """Millimetres to the right, to the front and up (x, y, z) of places in a volume."""
    found = places @ affine[:3, :3].T + affine[:3, 3]
    return {name: found[:, k] for k, name in enumerate("xyz")}


def affine_of(path: Path) -> Float[np.ndarray, "4 4"]:
    """The affine of a NIfTI-1 volume, from its header alone.

    Raises
    ------
    FileError
        When it is none, has no affine, or another shape than the challenge's volume.

    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.read(348)
        order = "<" if head[:4] == struct.pack("<i", 348) else ">"
        shape = struct.unpack(order + "8h", head[40:56])[1:4]
        rows = struct.unpack(order + "12f", head[280:328])
        code = struct.unpack(order + "h", head[254:256])[0]
        if struct.unpack(order + "i", head[:4])[0] != 348:
            raise ValueError("no NIfTI-1 header")
    except (OSError, ValueError, struct.error, EOFError, zlib.error) as error:
        raise FileError(
            f"{path} is no NIfTI volume ({error}): take the example.nii of the challenge, or"
            " remove it"
        ) from error
    affine = np.eye(4)
    affine[:3] = np.array(rows, dtype=np.float64).reshape(3, 4)
    if shape != SHAPE or code < 1 or not np.isfinite(affine).all():
        raise FileError(
            f"{path} has shape {shape} and {'an' if code > 0 else 'no'} affine, but must be a"
            f" volume of shape {SHAPE} with one: take the example.nii of the challenge, or remove"
            " it"
        )
    return affine


def given_ceilings(path: Path, subject: str, ids: Sequence[str]) -> Float[np.ndarray, " target"]:
    """Ceilings of a subject's voxels from a table with columns subject, target, ceiling.

    Raises
    ------
    FileError
        When the table cannot be read or lacks a column.
    DataError
        When a voxel has none, or two, or one that is no fraction of variance.

    """
    try:
        table = pd.read_csv(path, dtype={"subject": str, "target": str})
        mine = table[table["subject"] == subject].set_index("target")["ceiling"].astype(float)
    except (OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise FileError(
            f"{path} cannot be read as a table with columns subject, target, ceiling ({error})"
        ) from error
    if mine.index.has_duplicates or not mine.between(0, 1).all():
        raise DataError(
            f"{path}: ceilings of {subject} repeat or are no fractions of variance (0 to 1)"
        )
    lost = [i for i in ids if i not in mine.index]
    if lost:
        raise DataError(f"{path} has no ceiling for {len(lost)} voxels of {subject}: {lost[0]} …")
    return mine.reindex(list(ids)).to_numpy(dtype=np.float64)


def _placed(voxel: np.ndarray) -> str:
    return "v" + "_".join(f"{int(k):03d}" for k in voxel)


def _chosen(every: OnDisk, places: np.ndarray) -> OnDisk:
    """The same with some of the targets, in the order of `places`."""

    def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return every.read(rows, places[targets])

    shape = (every.shape[0], len(places), *every.shape[2:])
    return OnDisk(shape, every.dtype, read, every.files)


def _same_clips(files: Sequence[Pickled]) -> None:
    first = files[0]
    for file in files[1:]:
        if (file.clips, file.repeats) != (first.clips, first.repeats):
            raise DataError(
                f"{file.file} has {file.clips} clips × {file.repeats} repeats, but {first.file}"
                f" {first.clips} × {first.repeats}: they are of different downloads"
            )
