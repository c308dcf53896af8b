"""The pickles of 2021 are read once; what they hold is kept as arrays that are mapped into memory.

Kept are a file's values as they are, what tells its voxels apart (a digest of each series), where
they lie, and their ceilings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real, UInt8

from striate.data import OnDisk
from striate.datasets.converted import Converted, converted
from striate.errors import FileError, some
from striate.files import read_pickle
from striate.scores import means_ceiling

SHAPE = (78, 93, 71)
"""Of the volume that the mask of the whole brain lies in."""
FORM = "algonauts2021 1"
"""Changes when what is kept does."""
STEP = 1 << 24
"""Values that are gone through at once."""


@dataclass(frozen=True, eq=False)
class Pickled:
    """One file of responses in the form that the store keeps.

    Parameters
    ----------
    file
        The pickle.
    arrays
        What is kept of it; each is opened when it is asked for.

    """

    file: Path
    arrays: Converted

    @property
    def clips(self) -> int:
        """Number of clips."""
        return int(self.arrays.shapes["values"][0])

    @property
    def repeats(self) -> int:
        """Number of times that each was shown."""
        return int(self.arrays.shapes["values"][1])

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(self.arrays.shapes["values"][2])

    @cached_property
    def series(self) -> UInt8[np.ndarray, "target 16"]:
        """Digest of the series of each voxel; zeros for one that never varies."""
        return np.array(self.arrays["series"])

    @cached_property
    def ceiling(self) -> Float[np.ndarray, " target"]:
        """Explainable fraction of the variance of the mean over repeats."""
        return np.array(self.arrays["ceiling"])

    @cached_property
    def voxels(self) -> Integer[np.ndarray, "voxel 3"]:
        """Where each lies in the volume; empty where the file has no mask."""
        return np.array(self.arrays["voxels"])

    @property
    def values(self) -> Float[np.ndarray, "stimulus repeat target"]:
        """Responses, mapped into memory."""
        return self.arrays["values"]

    def on_disk(self) -> OnDisk:
        """Responses, clips × voxels × repeats, that stay on disk until they are indexed."""

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            return OnDisk.of(self.values.transpose(0, 2, 1)).read(rows, targets)

        dtype = np.dtype(f"f{int(self.arrays['itemsize'])}")
        return OnDisk((self.clips, self.count, self.repeats), dtype, read)


def opened(path: Path, mask: bool = False) -> Pickled:
    """What a pickle holds; after the first time the pickle itself is not touched.

    Parameters
    ----------
    path
        The pickle.
    mask
        Whether it must hold a `voxel_mask`.

    Raises
    ------
    FileError
        When the file is missing, damaged, or holds something else.

    """
    form = FORM + (" mask" if mask else "")
    return Pickled(path, converted(path, lambda: _kept(path, read_pickle(path), mask), form))


def located(
    series: UInt8[np.ndarray, "target 16"], whole: UInt8[np.ndarray, "voxel 16"]
) -> Integer[np.ndarray, " target"]:
    """Which voxel of the whole brain has exactly the series of each target; -1 where none has.

    No voxel is given twice: where several have one series, they are taken in order.

    >>> digests = np.arange(3, dtype=np.uint8)[:, None] * np.ones(16, np.uint8)
    >>> located(digests[[2, 1, 1]], digests[[2, 2, 1]])
    array([ 0,  2, -1])
    """
    if not len(whole):
        return np.full(len(series), -1)
    both = np.ascontiguousarray(np.concatenate([whole, series]))
    # Half of a digest is sorted faster and tells as much; the other half is compared below.
    code = np.unique(both.view(np.uint64)[:, 0], return_inverse=True)[1].reshape(-1)
    code[~both.any(axis=1)] = -1  # what never varies could be anywhere
    ours, theirs = (_counted(part) for part in np.split(code, [len(whole)]))
    order = np.argsort(ours)
    at = np.minimum(np.searchsorted(ours[order], theirs), len(whole) - 1)
    same = (ours[order][at] == theirs) & (theirs >= 0) & (whole[order[at]] == series).all(axis=1)
    return np.where(same, order[at], -1)


def _counted(code: Integer[np.ndarray, " voxel"]) -> Integer[np.ndarray, " voxel"]:
    """Codes that tell the first of a kind from the second and so on; negative ones stay so."""
    order = np.argsort(code, kind="stable")
    ranked = code[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=ranked[:1] - 1))
    rank = np.empty(len(code), dtype=np.int64)
    rank[order] = np.arange(len(code)) - np.repeat(starts, np.diff([*starts, len(code)]))
    return np.where(code < 0, -1, (code << 32) + rank)


def series_of(values: Real[np.ndarray, "stimulus repeat target"]) -> UInt8[np.ndarray, "target 16"]:
    """A digest of each voxel's series; zeros for one that never varies."""
    count = values.shape[2]
    found = np.zeros((count, 16), dtype=np.uint8)
    step = max(1, STEP // max(1, values[:, :, :1].size))
    for start in range(0, count, step):
        # Adding 0 makes one zero of both.
        part = values[:, :, start : start + step].astype(np.float32) + np.float32(0)
        lines = np.ascontiguousarray(part.reshape(-1, part.shape[2]).T)
        for k, line in enumerate(lines):
            if (line != line[0]).any():
                one = hashlib.blake2b(line.tobytes(), digest_size=16).digest()
                found[start + k] = np.frombuffer(one, dtype=np.uint8)
    return found


def doubled(series: UInt8[np.ndarray, "target 16"]) -> int:
    """How many voxels have a series that another one before them has."""
    varying = series[series.any(axis=1)]
    return len(varying) - len(np.unique(varying, axis=0))


def _kept(path: Path, found: Any, mask: bool) -> dict[str, np.ndarray]:
    """The arrays of a pickle, once they are what they must be."""
    if not isinstance(found, dict) or "train" not in found:
        keys = some(found) if isinstance(found, dict) else type(found).__name__
        raise FileError(
            f"{path} holds {keys or 'nothing'}, but must be a dict with the key 'train': take the"
            " file of the challenge"
        )
    values = found["train"]
    if not isinstance(values, np.ndarray) or values.ndim != 3 or values.dtype.kind != "f":
        what = f"{values.dtype} of shape {values.shape}" if hasattr(values, "shape") else values
        raise FileError(
            f"{path}: 'train' is {str(what)[:80]}, but must be floating numbers, clips × repeats"
            " × voxels"
        )
    if min(values.shape) == 0 or values.shape[0] < values.shape[1]:
        raise FileError(
            f"{path}: 'train' has shape {values.shape}, but must be clips × repeats × voxels"
        )
    if np.isinf(values).any():
        raise FileError(f"{path}: 'train' has infinite values: take the file of the challenge")
    if values.dtype.itemsize < 4 or values.dtype.byteorder == ">":
        values = values.astype(np.float32 if values.dtype.itemsize < 8 else np.float64)
    voxels = np.zeros((0, 3), dtype=np.int16)
    if mask:
        voxels = _voxels(path, found.get("voxel_mask"), values.shape[2])
    ceiling = np.empty(values.shape[2])
    step = max(1, STEP // max(1, values[:, :, :1].size))
    for start in range(0, len(ceiling), step):
        part = values[:, :, start : start + step].transpose(0, 2, 1)
        ceiling[start : start + step] = means_ceiling(part)
    return {
        "values": values,
        "voxels": voxels,
        "series": series_of(values),
        "ceiling": np.clip(np.nan_to_num(ceiling), 0, 1),
        "itemsize": np.array(values.dtype.itemsize),
    }


def _voxels(path: Path, mask: Any, count: int) -> Integer[np.ndarray, "voxel 3"]:
    if not isinstance(mask, np.ndarray) or mask.shape != SHAPE or mask.dtype.kind not in "biuf":
        what = f"of shape {mask.shape}" if isinstance(mask, np.ndarray) else "missing"
        raise FileError(f"{path}: 'voxel_mask' is {what}, but must be an array of shape {SHAPE}")
    places = np.argwhere(mask)
    if len(places) != count:
        raise FileError(
            f"{path}: 'voxel_mask' marks {len(places)} voxels, but 'train' has {count}: they are"
            " of different files"
        )
    return places.astype(np.int16)
