"""What the 2021 challenge wants to be sent: a pickle of arrays by region and subject, zipped."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from striate.datasets.algonauts2021.tree import ROIS, SUBJECTS
from striate.errors import DataError, FileError, some
from striate.files import read_member, read_pickle, write_pickle, zip_members
from striate.files.opcodes import interpret
from striate.store.temporary import temporary

LARGEST = 1 << 30
"""Bytes that a submission may unpack to: the full track takes 66 MB in single precision."""

Predicted = Mapping[str, Mapping[str, Float[np.ndarray, "stimulus voxel"]]]
Counts = Mapping[tuple[str, str], int]
"""Region and subject → number of voxels."""


def write(folder: Path, track: str, values: Predicted) -> Path:
    """Write `mini_track.pkl` and `mini_track.zip` (or `full_track`), and return the .zip.

    Each is there entirely, or as it was before.

    Raises
    ------
    FileError
        When the folder cannot be written.

    """
    name = f"{track}_track"
    content = {r: {s: np.ascontiguousarray(v) for s, v in of.items()} for r, of in values.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary(folder) as plain, temporary(folder) as packed:
            write_pickle(plain, content)
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(plain, f"{name}.pkl")
            plain.replace(folder / f"{name}.pkl")
            packed.replace(folder / f"{name}.zip")
    except OSError as error:
        raise FileError(f"{folder} cannot be written ({error}): name another folder") from error
    return folder / f"{name}.zip"


def check(path: Path, track: str, clips: int, counts: Counts, total: int | None = None) -> None:
    """Raise what is wrong first with a submission; `counts` may lack what is not known.

    `total` is the number of voxels of all regions and subjects together, where only that is known.

    Raises
    ------
    FileError
        When the file is missing, has the wrong name, or cannot be read.
    DataError
        When a region or subject is missing or too many, or an array is not as it must be.

    """
    content = _content(path, f"{track}_track")
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {type(content).__name__}, but must hold a dict by region")
    _keys(path, "regions", content, ROIS[track])
    for roi in ROIS[track]:
        people = content[roi]
        if not isinstance(people, dict):
            raise DataError(f"{path}: {roi} is {type(people).__name__}, but must be a dict")
        _keys(path, f"subjects of {roi}", people, SUBJECTS)
        for subject in SUBJECTS:
            _array(
                f"{path}: {roi} of {subject}", people[subject], clips, counts.get((roi, subject))
            )
    voxels = sum(content[r][s].shape[1] for r in ROIS[track] for s in SUBJECTS)
    if total not in (None, voxels):
        raise DataError(
            f"{path} has {voxels:,} voxels over all regions and subjects, but the {track} track"
            f" has {total:,}: name a copy of the data to be told which region is wrong, as with"
            f" check-submission {path.name} algonauts2021 path=FOLDER"
        )


def _array(where: str, values: Any, clips: int, voxels: int | None) -> None:
    if not isinstance(values, np.ndarray):
        raise DataError(f"{where} is {type(values).__name__}, but must be an array")
    turned = values.ndim == 2 and values.shape[1] == clips != values.shape[0]
    if turned and voxels in (None, values.shape[0]):
        raise DataError(f"{where} has shape {values.shape}: swap its axes, clips come first")
    if values.ndim != 2 or values.shape[0] != clips or voxels not in (None, values.shape[1]):
        wanted = f"({clips}, {voxels if voxels else 'voxels'})"
        raise DataError(f"{where} has shape {values.shape}, but must have {wanted}")
    if values.dtype.kind != "f":
        raise DataError(f"{where} holds {values.dtype}, but must hold floating numbers")
    odd = int((~np.isfinite(values)).sum())
    if odd:
        raise DataError(f"{where} has {odd} values that are not finite: predict every voxel")
    if (values == values[:1]).all():
        raise DataError(f"{where} never varies: its correlation with anything is 0")


def _keys(path: Path, what: str, found: dict[Any, Any], wanted: tuple[str, ...]) -> None:
    lost = [n for n in wanted if n not in found]
    if lost:
        raise DataError(f"{path} lacks {what}: {some(lost, 10)}; add them")
    odd = [n for n in found if n not in wanted]
    if odd:
        raise DataError(f"{path} has unknown {what}: {some(odd, 10)}; remove them")


def _content(path: Path, name: str) -> Any:
    if path.name not in (f"{name}.zip", f"{name}.pkl"):
        raise FileError(f"{path} must be called {name}.zip (or be the {name}.pkl in it)")
    if path.suffix == ".pkl":
        return read_pickle(path)
    members = sorted(zip_members(path))
    if members != [f"{name}.pkl"]:
        raise FileError(f"{path} holds {some(members) or 'nothing'}, but must hold {name}.pkl only")
    content = read_member(path, members[0], LARGEST)
    return interpret(io.BytesIO(content), len(content), f"{path}: {members[0]}")
