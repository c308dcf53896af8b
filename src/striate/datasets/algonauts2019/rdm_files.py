"""Files of the 2019 challenge: where they lie, RDMs in both MATLAB containers, numbered images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from striate.errors import DataError, FileError, unknown
from striate.files import read_mat
from striate.media import list_images

SETS: Mapping[str, str] = MappingProxyType(
    {"92": "Training_Data/92_Image_Set", "118": "Training_Data/118_Image_Set", "78": "Test_Data"}
)
"""Image set of the release → its folder."""
PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "92": (SETS["92"], "92_Image_Set"),
        "118": (SETS["118"], "118_Image_Set"),
        "78": (SETS["78"], "Test_Data/78_Image_Set", "78_Image_Set"),
        "TS2": ("Test_Data/TS2", "TS2", "Test_Data_TS2"),
    }
)
"""Image set → where it lies in the copies that there are; TS2 is the hidden twin of 78."""
COUNT: Mapping[str, int] = MappingProxyType({"92": 92, "118": 118, "78": 78, "TS2": 78})
"""Image set → its number of images."""
KEYS = MappingProxyType(
    {
        "fmri": MappingProxyType({"EVC": "EVC_RDMs", "IT": "IT_RDMs"}),
        "meg": MappingProxyType({"early": "MEG_RDMs_early", "late": "MEG_RDMs_late"}),
    }
)
"""Modality → region or window → the variable's name in the .mat file."""
TINY = 1e-6


def target_file(root: Path, name: str, modality: str) -> Path:
    """The file of RDMs of an image set, or where the release has it."""
    files = [root / place / f"target_{modality}.mat" for place in PLACES[name]]
    return next((f for f in files if f.is_file()), files[0])


def image_folder(root: Path, name: str) -> Path:
    """The folder of images of a set, or where the release has it."""
    names = (f"{COUNT[name]}images", f"{COUNT[name]}_images", "images")
    folders = [root / place / one for place in PLACES[name] for one in names]
    return next((f for f in folders if f.is_dir()), folders[0])


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
        rdms[region] = symmetric(values, f"{key} of {path}")
    return rdms


def image_files(folder: Path, images: int) -> dict[int, str]:
    """Number → file of the images in a folder, whatever the number of digits; {} without any."""
    files, odd = numbered(folder, images)
    if odd:
        raise DataError(
            f"{odd[0]} is none of {images} images numbered 1 to {images}, or its number stands"
            " twice: take it out of the folder"
        )
    return files


def numbered(folder: Path, images: int) -> tuple[dict[int, str], list[str]]:
    """Number → file of the images in a folder, and the files that are none of them."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return {}, []
    files: dict[int, str] = {}
    odd = []
    for file in map(str, list_images(folder)):
        number = re.search(r"(\d+)\D*$", Path(file).stem)
        if number is None or not 1 <= int(number[1]) <= images or int(number[1]) in files:
            odd.append(file)
        else:
            files[int(number[1])] = file
    return files, odd


def symmetric(values: np.ndarray, where: str) -> np.ndarray:
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
