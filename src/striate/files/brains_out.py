"""Maps written as NIfTI, MGH or GIFTI, so that the programs of the field show them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from striate.errors import FileError
from striate.files.brains import KINDS, kind_of, nibabel

STRUCTURES = {"lh": "CortexLeft", "rh": "CortexRight"}


def write_map(
    path: Path,
    values: Shaped[np.ndarray, "map *grid"],
    affine: np.ndarray | None = None,
    hemisphere: str = "",
    names: Sequence[str] = (),
) -> Path:
    """Write maps as float32 and return the file, which appears at once or not at all.

    Parameters
    ----------
    path
        Ends in `.nii`, `.nii.gz`, `.mgh` or `.mgz` for volumes, in `.gii`, `.mgh` or `.mgz` for
        surfaces.
    values
        Maps over (i, j, k) or over vertices. A single volume is written with three axes.
    affine
        Of a volume, to millimetres.
    hemisphere
        ``lh`` or ``rh``, which GIFTI keeps.
    names
        Of the maps, which GIFTI keeps.

    Raises
    ------
    FileError
        When the kind of file does not take such maps, nibabel is not installed, or the place
        cannot be written.

    """
    kind, nib = kind_of(path), nibabel(path)
    volume = values.ndim == 4
    fits = {".nii": volume, ".nii.gz": volume, ".gii": not volume, ".mgh": True, ".mgz": True}
    if values.ndim not in (2, 4) or not fits.get(kind, False):
        wanted = [k for k in KINDS if fits.get(k)]
        raise FileError(
            f"{path}: maps of shape {values.shape} cannot be written as {kind or 'such a file'};"
            f" name a file that ends in {', '.join(wanted)}"
        )
    single = np.asarray(values, dtype=np.float32)
    image = _gifti(nib, single, hemisphere, names) if kind == ".gii" else None
    if image is None:
        grid = single if volume else single[:, :, None, None]
        stored = np.moveaxis(grid, 0, 3) if len(grid) > 1 else grid[0]
        make = nib.Nifti1Image if kind.startswith(".nii") else nib.MGHImage
        image = make(np.ascontiguousarray(stored), np.eye(4) if affine is None else affine)
        if kind.startswith(".nii"):
            image.header.set_xyzt_units("mm")
    part = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, part)
        part.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path


def _gifti(nib: Any, values: np.ndarray, hemisphere: str, names: Sequence[str]) -> Any:
    gifti = nib.gifti
    arrays = [
        gifti.GiftiDataArray(
            row,
            intent="NIFTI_INTENT_NONE",
            datatype="NIFTI_TYPE_FLOAT32",
            meta=gifti.GiftiMetaData({"Name": names[k]}) if k < len(names) else None,
        )
        for k, row in enumerate(values)
    ]
    about = {"AnatomicalStructurePrimary": STRUCTURES[hemisphere]} if hemisphere else {}
    return gifti.GiftiImage(darrays=arrays, meta=gifti.GiftiMetaData(about))
