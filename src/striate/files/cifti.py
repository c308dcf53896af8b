"""What CIFTI files say of their rows and columns, counted before it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from striate.errors import FileError
from striate.files.places import vertex_targets, voxel_targets

CODE = 32
"""Number of the kind of extension that holds the XML."""


def axes(path: Path, nib: Any, offset: int, shape: tuple[int, int]) -> tuple[Any, Any]:
    """The axes of rows and columns, as nibabel reads them, of a file with values from `offset` on.

    Raises
    ------
    FileError
        When they are not described, or as of another number of places than `shape` tells: nibabel
        takes memory for as many as the text says.

    """
    reading = nib.cifti2.parse_cifti2.Cifti2Parser()
    reading.parse(string=_described(path, offset))
    for axis, there in enumerate(shape):
        told = [int(m.index_count) for m in reading.header.get_index_map(axis).brain_models]
        if told and (min(told) < 0 or sum(told) != there):
            raise FileError(
                f"{path} holds {shape[0]} × {shape[1]} values, but its axis {axis} describes"
                f" {sum(told)} places"
            )
    return reading.header.get_axis(0), reading.header.get_axis(1)


def _described(path: Path, offset: int) -> bytes:
    """The XML between the header of a CIFTI file and its values."""
    with path.open("rb") as stream:
        head = stream.read(544)
        order: Literal["little", "big"] = "little" if head[0] else "big"
        while stream.tell() + 8 < offset:
            size, code = (int.from_bytes(stream.read(4), order) for _ in range(2))
            if not 8 <= size <= offset - stream.tell() + 8:
                break
            content = stream.read(size - 8)
            if code == CODE:
                return content.rstrip(b"\0")
    raise FileError(f"{path} is damaged: it does not say what its values are")


def brain_models(axis: Any) -> pd.DataFrame:
    """Labels of grayordinates, indexed by target id, from an axis of nibabel."""
    tables = []
    for name, _, model in axis.iter_structures():
        structure = str(name).removeprefix("CIFTI_STRUCTURE_")
        side = {"LEFT": "lh", "RIGHT": "rh"}.get(structure.rpartition("_")[2], "")
        if model.volume_shape is not None and (model.vertex < 0).all():
            places = np.ravel_multi_index(model.voxel.T, model.volume_shape)
            table = voxel_targets(places, tuple(model.volume_shape), model.affine)
            table["hemisphere"] = side
        else:
            whose = side if structure.startswith("CORTEX_") else structure.lower()
            table = vertex_targets(whose, model.vertex).assign(hemisphere=side)
        tables.append(table.assign(structure=structure))
    return pd.concat(tables)
