"""Files of the 2019 challenge: RDMs in both MATLAB containers, numbered images, submissions."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from scipy.io import loadmat, savemat

from striate.datasets.arrays import read_mat
from striate.errors import DataError, FileError, some, unknown
from striate.media import list_images

SETS: Mapping[str, str] = MappingProxyType(
    {"92": "Training_Data/92_Image_Set", "118": "Training_Data/118_Image_Set", "78": "Test_Data"}
)
"""Image set → its folder; a set's name is its number of images."""
KEYS = MappingProxyType(
    {
        "fmri": MappingProxyType({"EVC": "EVC_RDMs", "IT": "IT_RDMs"}),
        "meg": MappingProxyType({"early": "MEG_RDMs_early", "late": "MEG_RDMs_late"}),
    }
)
"""Modality → region or window → the variable's name in the .mat file."""
TINY = 1e-6
LARGEST = 1 << 28
"""Bytes of a submission's member: a small archive can claim to hold far more than memory."""


def read_rdms(
    path: Path, modality: str, subjects: int, images: int
) -> dict[str, Float[np.ndarray, "subject *time image image"]]:
    """RDMs by region or window from a v7.3 or v5 file; asymmetry of rounding size is evened out.

    Raises
    ------
    FileError
        When the file is damaged or no .mat file.
    DataError
        When a variable is missing, has other axes, or is no dissimilarity matrix.

    """
    try:
        found = read_mat(path)
    except OSError as error:
        raise FileError(f"{path} is damaged or no MATLAB file: {error}") from error
    rdms = {}
    for region, key in KEYS[modality].items():
        if key not in found:
            raise DataError(unknown("variable", key, found, str(path)))
        values = np.asarray(found[key], dtype=np.float64)
        axes = ("subject", "image", "image") if modality == "fmri" else (
            "subject", "time", "image", "image")  # fmt: skip
        if values.ndim != len(axes) or values.shape[-2:] != (images, images):
            raise DataError(
                f"{key} of {path} has shape {values.shape}, but must be ({', '.join(axes)}) with"
                f" {images} images"
            )
        if len(values) != subjects:
            raise DataError(
                f"{key} of {path} holds {len(values)} subjects, not {subjects}: pass"
                f" dataset.subjects={len(values)} if that is right"
            )
        rdms[region] = _symmetric(values, f"{key} of {path}")
    return rdms


def image_files(folder: Path, images: int) -> dict[int, str]:
    """Number → file of the images in a folder, whatever the number of digits; {} without any."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return {}
    files: dict[int, str] = {}
    for file in list_images(folder):
        number = re.search(r"(\d+)\D*$", Path(file).stem)
        if number is None or not 1 <= int(number[1]) <= images or int(number[1]) in files:
            raise DataError(
                f"{file} is none of {images} images numbered 1 to {images}, or its number stands"
                " twice: take it out of the folder"
            )
        files[int(number[1])] = file
    return files


def write_submission(folder: Path, modality: str, rdms: Mapping[str, np.ndarray]) -> Path:
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


def read_submission(path: Path, modality: str, images: int) -> dict[str, np.ndarray]:
    """RDMs by region of a submission that the challenge would accept.

    Raises
    ------
    FileError
        When the file is missing or unreadable.
    DataError
        When a matrix is missing, of another size, not symmetric, or holds NaN.

    """
    if not path.is_file():
        raise FileError(f"no submission {path}")
    try:
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                if names != [f"submit_{modality}.mat"]:
                    raise DataError(
                        f"{path} must hold submit_{modality}.mat alone, but holds {some(names)}"
                    )
                if archive.getinfo(names[0]).file_size > LARGEST:
                    raise DataError(f"{path} unpacks to more than {LARGEST >> 20} MiB")
                content = archive.read(names[0])
        found = loadmat(io.BytesIO(content))
    except DataError:
        raise
    except Exception as error:  # what scipy raises for a damaged file is not documented
        raise FileError(f"{path} is damaged or no submission: {error}") from error
    rdms = {}
    for region, key in KEYS[modality].items():
        names = [n for n in found if not n.startswith("__")]
        if key not in found:
            raise DataError(unknown("variable", key, names, str(path)))
        matrix = np.asarray(found[key])
        if matrix.shape != (images, images) or matrix.dtype.kind not in "biuf":
            raise DataError(
                f"{key} of {path} is {matrix.dtype} of shape {matrix.shape}, but must be numbers of"
                f" shape {(images, images)}"
            )
        rdms[region] = _symmetric(matrix.astype(np.float64), f"{key} of {path}")
    return rdms


def _symmetric(values: np.ndarray, where: str) -> np.ndarray:
    """The matrices, exactly symmetric and with a zero diagonal, if they nearly were."""
    odd = int((~np.isfinite(values)).sum())
    if odd:
        raise DataError(f"{where}: {odd} of {values.size} values are NaN or infinite")
    scale = TINY * max(1.0, float(np.abs(values).max(initial=0.0)))
    mirrored = np.swapaxes(values, -1, -2)
    uneven = int((np.abs(values - mirrored).max(axis=(-1, -2)) > scale).sum())
    if uneven:
        raise DataError(
            f"{where}: {uneven} of the matrices are not symmetric, so these are no RDMs or the"
            " axes are in another order"
        )
    diagonal = np.abs(np.diagonal(values, axis1=-2, axis2=-1))
    if (diagonal > scale).any():
        raise DataError(
            f"{where}: the diagonal is not zero (up to {float(diagonal.max()):.3g}), so these are"
            " similarities, not dissimilarities, or the axes are in another order"
        )
    even = (values + mirrored) / 2
    index = np.arange(values.shape[-1])
    even[..., index, index] = 0.0
    return even


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there entirely or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
