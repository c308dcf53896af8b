"""The submission of the 2019 challenge: one RDM per region or window, in a zipped .mat file."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.io import savemat

from striate.datasets.algonauts2019.rdm_files import KEYS, symmetric
from striate.errors import DataError, FileError, some, unknown
from striate.files import is_zip, read_mat, read_member, read_npz, read_object_npy, zip_members

KINDS = (".mat", ".npy", ".npz")
LARGEST = 1 << 28
"""Bytes of a submission's member: a small archive can claim to hold far more than memory."""


def write(folder: Path, modality: str, rdms: Mapping[str, np.ndarray]) -> Path:
    """Write `submit_MODALITY.mat` and the .zip around it; return the .zip."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    savemat(content, {KEYS[modality][r]: np.asarray(m) for r, m in rdms.items()})
    packed = io.BytesIO()
    name = f"submit_{modality}.mat"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content.getvalue())
    _write(folder / name, content.getvalue())
    target = folder / f"submit_{modality}.zip"
    _write(target, packed.getvalue())
    return target


def read(path: Path, modality: str, images: int) -> dict[str, np.ndarray]:
    """RDMs by region of a submission that the challenge would accept.

    As the kit does, this takes .mat of either container, .npz, and .npy of a dict, zipped or not.

    Raises
    ------
    FileError
        When the file is missing, unreadable or hostile.
    DataError
        When a matrix is missing, of another size, not symmetric, holds NaN, or never varies.

    """
    if not path.is_file():
        raise FileError(f"no submission {path}; check the path")
    if is_zip(path) and path.suffix.lower() != ".npz":
        names = [n for n in zip_members(path) if not n.startswith("__MACOSX/")]
        if len(names) != 1 or names[0] not in [f"submit_{modality}{k}" for k in KINDS]:
            raise DataError(
                f"{path} must hold submit_{modality}.mat alone, but holds"
                f" {some(names) or 'nothing'}"
            )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / names[0]
            file.write_bytes(read_member(path, names[0], LARGEST))
            try:
                found = _variables(file)
            except FileError as error:
                told = str(error).replace(str(file), f"{path}::{names[0]}")
                raise FileError(told) from error
    else:
        found = _variables(path)
    rdms = {}
    for region, key in KEYS[modality].items():
        if key not in found:
            raise DataError(unknown("variable", key, found, str(path)))
        matrix = np.asarray(found[key])
        if matrix.shape != (images, images) or matrix.dtype.kind not in "biuf":
            raise DataError(
                f"{key} of {path} is {matrix.dtype} of shape {matrix.shape}, but must be numbers of"
                f" shape {(images, images)}"
            )
        rdms[region] = symmetric(matrix.astype(np.float64), f"{key} of {path}")
        pairs = rdms[region][np.triu_indices(images, 1)]
        if (pairs == pairs[:1]).all():
            raise DataError(
                f"{key} of {path} never varies over pairs of images: its correlation with anything"
                " is 0"
            )
    return rdms


def _variables(path: Path) -> Mapping[str, np.ndarray]:
    """What a file holds by name; the kit knows it by its ending, and takes others for .mat."""
    if path.suffix == ".npz":
        return read_npz(path)
    if path.suffix != ".npy":
        return read_mat(path)
    found = read_object_npy(path)
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}, but must hold a dict of matrices")
    return found


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there entirely or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
