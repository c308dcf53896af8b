"""Vertices of the 2023 challenge: where each lies on fsaverage, and in which regions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Integer, Shaped

from striate.errors import DataError, FileError, some
from striate.files import read_npy, read_object_npy

FSAVERAGE = 163842
"""Vertices of a hemisphere of fsaverage."""
CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
        "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
        "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
        "floc-places": ("OPA", "PPA", "RSC"),
        "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
        "streams": (
            "early",
            "midventral",
            "midlateral",
            "midparietal",
            "ventral",
            "lateral",
            "parietal",
        ),
    }
)
"""Class → its regions, in the order of their labels from 1; 0 is no region."""


def to_fsaverage(
    values: Shaped[np.ndarray, "*row target"],
    mask: Shaped[np.ndarray, " vertex"],
    fill: float | int = 0.0,
) -> Shaped[np.ndarray, "*row vertex"]:
    """Values of challenge vertices on all vertices of the hemisphere, `fill` where there are none.

    `mask` is the hemisphere's all-vertices mask, 1 where a challenge vertex lies; these are in
    ascending order.

    Raises
    ------
    DataError
        When there are not as many values as ones in the mask.

    >>> to_fsaverage(np.array([[5.0, 6.0]]), np.array([0, 1, 0, 1]))
    array([[0., 5., 0., 6.]])

    """
    place = np.flatnonzero(mask)
    if values.shape[-1] != len(place):
        raise DataError(
            f"{values.shape[-1]} values for {len(place)} vertices of the mask: give one for each,"
            " of the same subject and hemisphere"
        )
    whole = values.dtype.kind in "bui" and float(fill).is_integer()
    other = np.min_scalar_type(int(fill)) if whole else np.float32
    dtype = values.dtype if fill == 0 else np.result_type(values.dtype, other)
    found = np.full((*values.shape[:-1], len(mask)), fill, dtype=dtype)
    found[..., place] = values
    return found


def to_challenge(
    values: Shaped[np.ndarray, "*row _"], mask: Shaped[np.ndarray, " vertex"]
) -> Shaped[np.ndarray, "*row target"]:
    """Values of a whole hemisphere of fsaverage on the challenge vertices, in ascending order.

    Raises
    ------
    DataError
        When values and mask are not of one length.

    >>> to_challenge(np.array([1.0, 5.0, 2.0, 6.0]), np.array([0, 1, 0, 1]))
    array([5., 6.])

    """
    if values.shape[-1] != len(mask):
        raise DataError(
            f"{values.shape[-1]} values for a mask of {len(mask)} vertices: give a value for each"
            " vertex of the hemisphere"
        )
    return values[..., np.flatnonzero(mask)]


def mask_file(subject: Path, hemisphere: str) -> Path:
    """Where the all-vertices mask of a hemisphere lies."""
    return subject / "roi_masks" / f"{hemisphere}.all-vertices_fsaverage_space.npy"


def class_file(subject: Path, hemisphere: str, name: str, space: str = "challenge") -> Path:
    """Where the labels of a class of regions lie, in ``challenge`` or ``fsaverage`` space."""
    return subject / "roi_masks" / f"{hemisphere}.{name}_{space}_space.npy"


def mapping_file(subject: Path, name: str) -> Path:
    """Where the names of the labels of a class lie."""
    return subject / "roi_masks" / f"mapping_{name}.npy"


def vertices(subject: Path, hemisphere: str) -> Int[np.ndarray, " target"]:
    """Indices on fsaverage of a subject's challenge vertices, in ascending order.

    Raises
    ------
    FileError
        When the mask is missing or damaged.
    DataError
        When it is none of all vertices of the hemisphere.

    """
    path = mask_file(subject, hemisphere)
    if not path.is_file():
        raise FileError(
            f"no {path}, without which nobody knows where the columns of"
            f" {hemisphere}_training_fmri.npy lie: restore it, or leave the hemisphere out with"
            " dataset.hemispheres"
        )
    mask = read_labels(path, FSAVERAGE)
    if ((mask != 0) & (mask != 1)).any():
        odd = np.unique(mask[(mask != 0) & (mask != 1)])
        raise DataError(f"{path} must hold 0 and 1 only, but holds {some(odd.tolist())}")
    return np.flatnonzero(mask)


@lru_cache(maxsize=2)
def target_ids(hemisphere: str) -> Shaped[np.ndarray, " vertex"]:
    """Target ids of all vertices of a hemisphere; subjects share them, and so their memory."""
    ids = np.empty(FSAVERAGE, dtype=object)
    ids[:] = [f"{hemisphere}.{v:06d}" for v in range(FSAVERAGE)]
    return ids


def label_names(subject: Path, name: str) -> dict[int, str]:
    """Label → region of a class, from the subject's own table where there is one.

    Raises
    ------
    FileError
        When the table is damaged, or would run code.
    DataError
        When it maps anything but whole numbers to names.

    """
    path = mapping_file(subject, name)
    if not path.is_file():
        return dict(enumerate(CLASSES[name], 1))
    found = read_object_npy(path)
    found = found.item() if isinstance(found, np.ndarray) and found.ndim == 0 else found
    if not isinstance(found, dict) or not all(map(_is_label, found.items())):
        raise DataError(
            f"{path} must map labels to names of regions, such as 1 to {CLASSES[name][0]}"
        )
    table = {int(k): str(v) for k, v in found.items() if int(k) != 0}
    repeated = sorted({n for n in table.values() if list(table.values()).count(n) > 1})
    if repeated:
        raise DataError(f"{path} gives {some(repeated)} to several labels")
    return table


def labels(
    subject: Path, hemisphere: str, name: str, place: Int[np.ndarray, " target"]
) -> Integer[np.ndarray, " target"] | None:
    """Labels of a class on the challenge vertices; None where the subject lacks the class.

    Raises
    ------
    FileError
        When a file is damaged.
    DataError
        When it has another length, or no whole numbers.

    """
    own = class_file(subject, hemisphere, name)
    if own.is_file():
        return read_labels(own, len(place))
    whole = class_file(subject, hemisphere, name, "fsaverage")
    return read_labels(whole, FSAVERAGE)[place] if whole.is_file() else None


def regions(
    subject: Path, hemisphere: str, place: Int[np.ndarray, " target"]
) -> dict[str, Bool[np.ndarray, " target"]]:
    """Region → which challenge vertices of the hemisphere belong to it, for all classes there.

    Regions of different classes overlap. A region that the subject lacks has no vertex.

    Raises
    ------
    FileError, DataError
        As `labels` and `label_names` do, and when a label has no name.

    """
    found: dict[str, np.ndarray] = {}
    for name in CLASSES:
        values = labels(subject, hemisphere, name, place)
        if values is None:
            continue
        table = label_names(subject, name)
        strange = sorted(set(np.unique(values).tolist()) - {0, *table})
        if strange:
            raise DataError(
                f"{class_file(subject, hemisphere, name)} holds label {some(strange)}, but {name}"
                f" has {some(table, 9)}"
            )
        found |= {region: values == label for label, region in table.items()}
    return found


def read_labels(path: Path, length: int) -> Integer[np.ndarray, " vertex"]:
    """Whole numbers, one for each of `length` vertices.

    Raises
    ------
    FileError
        When the file is damaged.
    DataError
        When it holds anything else.

    """
    values = read_npy(path)
    if values.dtype.kind not in "biu" and not (
        values.dtype.kind == "f" and np.array_equal(values, np.round(values))
    ):
        raise DataError(f"{path} holds {values.dtype}, but labels of vertices are whole numbers")
    if values.shape != (length,):
        raise DataError(
            f"{path} has shape {values.shape}, but must have {(length,)}, one label per vertex"
        )
    return values if values.dtype.kind in "iu" else values.astype(np.int64)


def _is_label(line: tuple[Any, Any]) -> bool:
    label, name = line
    return isinstance(label, int | np.integer) and isinstance(name, str) and bool(name)
