"""Files of the 2023 challenge: numbered images, responses of a hemisphere, noise ceilings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Shaped

from striate.data import OnDisk
from striate.errors import DataError, FileError, some
from striate.files import read_npy

HEMISPHERES = ("lh", "rh")
SUBJECT = re.compile(r"subj\d{2}")
IMAGE = re.compile(r"(train|test)-(\d+)_nsd-(\d+)\.(?:png|jpg|jpeg)", re.IGNORECASE)
COUNTS: Mapping[str, tuple[int, int, int, int]] = MappingProxyType(
    {
        "subj01": (9841, 159, 19004, 20544),
        "subj02": (9841, 159, 19004, 20544),
        "subj03": (9082, 293, 19004, 20544),
        "subj04": (8779, 395, 19004, 20544),
        "subj05": (9841, 159, 19004, 20544),
        "subj06": (9082, 293, 18978, 20220),
        "subj07": (9841, 159, 19004, 20544),
        "subj08": (8779, 395, 18981, 20530),
    }
)
"""Subject → training images, test images, vertices of the left and of the right hemisphere."""
LARGEST_FRACTION, LEAST_PERCENT = 1 + 1e-6, 2.0
"""A largest ceiling up to the one is a fraction, from the other on a percentage."""


@dataclass(frozen=True)
class Images:
    """Images of one split of a subject, in the order of their running numbers.

    `ids` name them by their place among the 73,000 of NSD, such as ``nsd00013``.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]


def image_folder(subject: Path, part: str) -> Path:
    """Where the images of a part, ``training`` or ``test``, lie."""
    return subject / f"{part}_split" / f"{part}_images"


def fmri_file(subject: Path, hemisphere: str, part: str = "training") -> Path:
    """Where the responses of a hemisphere to a part lie."""
    return subject / f"{part}_split" / f"{part}_fmri" / f"{hemisphere}_{part}_fmri.npy"


def images(subject: Path, part: str) -> Images:
    """The images of a part, by running number; none where there is no folder.

    Raises
    ------
    DataError
        When numbers repeat or are missing, or one image stands twice.

    """
    folder = image_folder(subject, part)
    if not folder.is_dir():
        return Images((), ())
    kind = "train" if part == "training" else "test"
    found: dict[int, tuple[str, str]] = {}
    for name in sorted(p.name for p in folder.iterdir()):
        match = IMAGE.fullmatch(name)
        if match is None:
            continue
        number = int(match[2])
        if match[1].lower() != kind:
            raise DataError(f"{folder / name} is named {match[1]}, but lies among {part} images")
        if number in found:
            raise DataError(f"{folder} has number {number} twice: {found[number][1]} and {name}")
        found[number] = (f"nsd{int(match[3]):05d}", name)
    gaps = sorted(set(range(1, max(found, default=0) + 1)) - set(found))
    if gaps or 0 in found:
        lost = [f"{kind}-{n:04d}" for n in gaps] or [f"a place for {found[0][1]}"]
        raise DataError(
            f"{folder} lacks {some(lost)}, so that nobody knows what was shown there: restore the"
            " images, whose names say it"
        )
    lines = [found[n] for n in sorted(found)]
    ids = [i for i, _ in lines]
    if len(set(ids)) < len(ids):
        twice = sorted(i for i, count in Counter(ids).items() if count > 1)
        raise DataError(f"{folder} holds {some(twice)} twice, under several running numbers")
    return Images(tuple(ids), tuple(str(folder / n) for _, n in lines))


def any_responses(path: Path) -> Shaped[np.ndarray, "row target"]:
    """A table of floating numbers, memory-mapped.

    Raises
    ------
    FileError
        When the file is missing or damaged.
    DataError
        When it holds anything else.

    """
    if not path.is_file():
        raise FileError(f"no {path}: restore it, or leave the hemisphere out")
    values = read_npy(path, mmap=True)
    if values.dtype.kind != "f" or values.ndim != 2:
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape}, but responses are floating"
            " numbers (image, vertex)"
        )
    return values


def responses_of(
    path: Path, columns: int, rows: int, shown: Path
) -> Shaped[np.ndarray, "row target"]:
    """Responses of a hemisphere, memory-mapped: the header is read, and no value.

    Raises
    ------
    FileError
        When the file is missing or damaged.
    DataError
        When it is no table of floating numbers with `rows` rows and `columns` columns.

    """
    values = any_responses(path)
    if values.shape[1] != columns:
        swapped = values.shape == (columns, rows)
        raise DataError(
            f"{path} has shape {values.shape} for {columns} vertices of its all-vertices mask"
            + (": the axes are swapped, images come first" if swapped else "")
        )
    if values.shape[0] != rows:
        raise DataError(
            f"{path} has {values.shape[0]} rows, but {shown} holds {rows} images: each row is the"
            " image with its running number"
        )
    return values


def hemisphere(folder: Path, side: str, columns: int, shown: Images, hidden: Images) -> OnDisk:
    """Responses to training and test images; those of the test are NaN unless they are there.

    Raises
    ------
    FileError, DataError
        As `responses_of` does.

    """
    place = image_folder(folder, "training")
    path = fmri_file(folder, side)
    known = OnDisk.of(responses_of(path, columns, len(shown.ids), place))
    path, place = fmri_file(folder, side, "test"), image_folder(folder, "test")
    if not hidden.ids or not path.is_file():
        return known.below(len(hidden.ids))
    tested = OnDisk.of(responses_of(path, columns, len(hidden.ids), place))
    count = known.shape[0]
    dtype = np.result_type(known.dtype, tested.dtype)

    def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), len(targets)), dtype=dtype)
        first = rows < count
        found[first] = known.read(rows[first], targets)
        found[~first] = tested.read(rows[~first] - count, targets)
        return found

    files = (*known.files, *tested.files)
    return OnDisk((count + len(hidden.ids), columns), dtype, read, files)


def ceiling_files(folder: Path, subject: str) -> dict[str, Path]:
    """Hemisphere → file of ceilings in a folder of ceilings, or in a subject's `test_split`."""
    found: dict[str, Path] = {}
    for hemisphere in HEMISPHERES:
        places = (
            folder / subject / f"{hemisphere}.npy",
            folder / subject / f"{hemisphere}_noise_ceiling.npy",
            folder / subject / "test_split/noise_ceiling" / f"{hemisphere}_noise_ceiling.npy",
        )
        there = [p for p in places if p.is_file()]
        if there:
            found[hemisphere] = there[0]
    return found


def read_ceiling(path: Path, columns: int | None = None) -> Float[np.ndarray, " target"]:
    """Ceilings of a hemisphere as they are written, in whatever unit.

    Raises
    ------
    FileError
        When the file is damaged.
    DataError
        When these are no numbers from 0 to 100, one per vertex.

    """
    values = read_npy(path)
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape}, but ceilings are numbers, one"
            " per vertex"
        )
    if columns is not None and len(values) != columns:
        raise DataError(
            f"{path} holds {len(values)} ceilings for {columns} vertices: take those of the same"
            " subject and hemisphere"
        )
    values = values.astype(np.float64)
    odd = ~((values >= 0) & (values <= 100))
    if odd.any():
        raise DataError(
            f"{path}: {int(odd.sum())} of {len(values)} ceilings, such as {values[odd][0]:g}, lie"
            " outside of 0 to 100 and are neither fractions nor percent"
        )
    return values


def unit_of(files: Sequence[Path], largest: Sequence[float]) -> str:
    """The one unit of files of ceilings, ``fraction`` or ``percent``, from their largest values.

    A file of zeros says nothing. Up to 1 these are fractions, from 2 on percent.

    Raises
    ------
    DataError
        When a file may be either, or files disagree.

    >>> unit_of([Path("lh.npy"), Path("rh.npy")], [0.0, 88.1])
    'percent'

    """
    told: dict[str, Path] = {}
    for path, high in zip(files, largest, strict=True):
        if LARGEST_FRACTION < high < LEAST_PERCENT:
            raise DataError(
                f"{path}: the largest ceiling is {high:g}, too much for a fraction and too little"
                " for a percentage: divide by 100 what is percent"
            )
        if high > 0:
            told.setdefault("fraction" if high <= LARGEST_FRACTION else "percent", path)
    if len(told) > 1:
        raise DataError(
            f"{told['percent']} is in percent, but {told['fraction']} seems to be in fractions:"
            " bring all ceilings to one unit"
        )
    return next(iter(told), "fraction")
