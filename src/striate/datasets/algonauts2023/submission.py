"""The submission of the 2023 challenge: an array per subject and hemisphere, in a zipped folder."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float

from striate.datasets.algonauts2023 import files
from striate.errors import DataError, FileError, some
from striate.files import read_member, read_npy, zip_members

FOLDER = "algonauts_2023_challenge_submission"
HEADER = 4096
"""Bytes that a file of an array may be larger than its values."""


def member(subject: str, hemisphere: str) -> str:
    """Where the predictions for a hemisphere stand in the submission's folder."""
    return f"{subject}/{hemisphere}_pred_test.npy"


def write(folder: Path, arrays: Iterable[tuple[str, Float[np.ndarray, "row target"]]]) -> Path:
    """Write the folder and the .zip around it from (file, array) pairs; return the .zip.

    Whatever `arrays` raises leaves nothing behind, and an earlier submission as it was.
    """
    created = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".submission", dir=folder))
    try:
        packed = temporary / f"{FOLDER}.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name, values in arrays:
                path = temporary / FOLDER / name
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, np.ascontiguousarray(values, dtype=np.float32))
                archive.write(path, f"{FOLDER}/{name}")
        if (folder / FOLDER).is_dir():
            shutil.rmtree(folder / FOLDER)
        (temporary / FOLDER).replace(folder / FOLDER)
        packed.replace(folder / packed.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if created and not any(folder.iterdir()):
            folder.rmdir()
    return folder / f"{FOLDER}.zip"


def shortcomings(
    root: Path, subjects: Sequence[str], wanted: Mapping[str, tuple[int, int]]
) -> list[str]:
    """What the challenge wants of a submission and a copy with these subjects does not have.

    `wanted` are the arrays that the copy asks for, and their shapes.
    """
    told = []
    if lost := [s for s in files.COUNTS if s not in subjects]:
        told.append(f"this copy lacks {some(lost, 8)}: the challenge wants eight subjects")
    places = [files.fmri_file(root / s, h) for s in subjects for h in files.HEMISPHERES]
    if lost := [str(p.relative_to(root)) for p in places if not p.is_file()]:
        told.append(f"this copy lacks {some(lost)}: the challenge wants both hemispheres")
    odd = []
    for name, shape in wanted.items():
        _, tests, left, right = files.COUNTS.get(name.partition("/")[0], (0, *shape, shape[1]))
        released = tests, left if "/lh" in name else right
        if shape != released:
            odd.append(f"{name} {shape} for {released}")
    if odd:
        told.append(
            f"{len(odd)} arrays have other shapes (test images, vertices) in this copy than the"
            f" challenge wants: {some(odd, 2)}"
        )
    return told


def check(path: Path, wanted: Mapping[str, tuple[int, int]]) -> None:
    """Raise for the first thing wrong with a folder or .zip that must hold arrays `wanted`.

    Raises
    ------
    FileError
        When the submission is missing, or damaged.
    DataError
        When a file is missing or unexpected, or its array is of another dtype or shape, holds
        values that are no numbers, or is the same for all images.

    """
    if path.is_dir():
        place = path / FOLDER if (path / FOLDER).is_dir() else path
        have = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
        _check_names(str(path), {n for n in have if not _ignored(n)}, wanted)
        for name, shape in wanted.items():
            _check_array(place / name, str(place / name), shape)
        return
    if not path.is_file():
        raise FileError(f"no submission {path}: name a folder {FOLDER} or its .zip")
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path} is no .zip, or damaged: zip the folder {FOLDER}")
    inside = {f"{FOLDER}/{n}": shape for n, shape in wanted.items()}
    have = {n for n in zip_members(path) if not n.endswith("/") and not _ignored(n)}
    _check_names(str(path), have, inside)
    for name, shape in inside.items():
        with _unpacked(path, name, 8 * shape[0] * shape[1] + HEADER) as file:
            _check_array(file, f"{path}::{name}", shape)


def _ignored(name: str) -> bool:
    """What file managers leave behind."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _check_names(where: str, have: set[str], wanted: Mapping[str, tuple[int, int]]) -> None:
    for name in wanted:
        if name not in have:
            raise DataError(f"{where} lacks {name}; it holds {some(sorted(have)) or 'nothing'}")
    odd = sorted(have - set(wanted))
    if odd:
        raise DataError(f"{where} holds {some(odd)}, which does not belong in it: take it out")


@contextmanager
def _unpacked(path: Path, name: str, limit: int) -> Iterator[Path]:
    """A member of an archive as a file of its own, as long as it is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "member.npy"
        file.write_bytes(read_member(path, name, limit))
        yield file


def _check_array(path: Path, named: str, shape: tuple[int, int]) -> None:
    try:
        values = read_npy(path, mmap=True)
    except FileError as error:
        raise FileError(str(error).replace(str(path), named)) from error
    if values.shape != shape:
        swapped = values.shape == shape[::-1]
        raise DataError(
            f"{named} has shape {values.shape}, but must be {shape}: test images first, then"
            " vertices" + (" (the axes are swapped)" if swapped else "")
        )
    if values.dtype != np.float32:
        raise DataError(f"{named} holds {values.dtype}: cast predictions to float32")
    still = True
    for part in _pieces(values):
        odd = int((~np.isfinite(part)).sum())
        if odd:
            raise DataError(f"{named}: {odd} or more predictions are NaN or infinite")
        still = still and bool((part == values[:1]).all())
    if still:
        raise DataError(f"{named} never varies over images: its correlation with anything is 0")


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(values), 64):
        yield values[start : start + 64]
