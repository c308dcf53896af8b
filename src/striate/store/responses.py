"""Responses and predictions on disk: values as one array that can be mapped, labels beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from striate.data import Responses
from striate.errors import FileError
from striate.store.arrays import Unstorable, read_array, write_array
from striate.store.atomic import check_folder, write_folder

DIMS = ("row", "target", "repeat")
VALUES, LABELS = "values.npy", "labels.json"


def save_responses(folder: Path, block: Responses) -> None:
    """Write a block with its labels as a folder of plain files, all at once.

    What the folder held before is replaced. Values, dimensions and labels are kept; a name and
    attributes are not.

    Raises
    ------
    Unstorable
        When the block has other dimensions than responses have, or a label is no plain value.
    FileError
        When the folder cannot be written, or holds files of another kind.

    """
    write_folder(
        Path(folder), lambda f: write_responses(f, block), {"holds": "responses"}, replace=True
    )


def load_responses(folder: Path, mmap: bool = False) -> Responses:
    """Read what `save_responses` wrote; with `mmap`, values stay on disk until they are used.

    Raises
    ------
    FileError
        When a file is missing or damaged.

    """
    check_folder(Path(folder))
    return read_responses(Path(folder), mmap)


def write_responses(folder: Path, block: Responses) -> None:
    """Write the files of a block into a folder."""
    if block.dims != DIMS[: block.ndim] or block.ndim < 2 or block.dtype.kind not in "fiub":
        raise Unstorable(
            f"an array of {block.dtype} over {block.dims or 'no dimensions'} is not responses,"
            " whose numbers stand over row, target (and repeat)"
        )
    labels: list[dict[str, Any]] = []
    stacks: dict[tuple[str, np.dtype], list[np.ndarray]] = {}

    def put(axis: str, array: np.ndarray) -> list[int]:
        """Set a column aside for the file of its axis and dtype; returns file and column."""
        columns = stacks.setdefault((axis, array.dtype), [])
        columns.append(array)
        return [list(stacks).index((axis, array.dtype)), len(columns) - 1]

    for name, label in block.coords.items():
        if len(label.dims) > 1 or not isinstance(name, str):
            raise Unstorable(f"label {name!r} of a block of responses stands over {label.dims}")
        axis = str(label.dims[0]) if label.dims else ""
        values = _plain(name, label.values)
        node: dict[str, Any] = {"name": name, "axis": axis}
        if values.dtype != object:
            node["column"] = put(axis, values)
        else:
            listed = values.reshape(-1).tolist()
            code = {text: k for k, text in enumerate(dict.fromkeys(listed))}
            if 2 * len(code) > len(listed):
                node["text"] = listed
            else:
                codes = np.array([code[t] for t in listed], dtype=np.int32)
                node |= {"text": list(code), "column": put(axis, codes)}
        labels.append(node)
    write_array(folder / VALUES, np.ascontiguousarray(block.values))
    for k, columns in enumerate(stacks.values()):
        write_array(folder / _file(k), np.stack(columns))
    body = {"dims": list(block.dims), "labels": labels}
    (folder / LABELS).write_bytes(json.dumps(body).encode() + b"\n")


def read_responses(folder: Path, mmap: bool = False) -> Responses:
    """Read the files of a block; checks that they fit, not their checksums.

    Raises
    ------
    FileError
        When a file is missing, or labels and values do not fit.

    """
    values = read_array(folder / VALUES, mmap)
    try:
        body = json.loads((folder / LABELS).read_bytes())
        dims = tuple(body["dims"])
        if dims != DIMS[: values.ndim] or values.ndim < 2:
            raise ValueError(f"dimensions {dims} for values of shape {values.shape}")
        stacks: dict[int, np.ndarray] = {}
        coords: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        for node in body["labels"]:
            axes = (node["axis"],) if node["axis"] else ()
            column = None
            if "column" in node:
                file, place = (int(n) for n in node["column"])
                if file not in stacks:
                    stacks[file] = read_array(folder / _file(file))
                column = stacks[file][place]
            label: np.ndarray
            if "text" in node:
                texts = _texts(node["text"])
                label = texts if column is None else texts[column]
                label = label if axes else label.reshape(())
            elif column is None:
                raise ValueError(f"label {node['name']!r} has no values")
            else:
                label = column
            coords[str(node["name"])] = (axes, label)
        return xr.DataArray(values, dims=dims, coords=coords)
    except FileError:
        raise
    except Exception as error:
        raise FileError(
            f"{folder / LABELS} does not label the values beside it ({error}); delete {folder} and"
            " make it again"
        ) from error


def _file(number: int) -> str:
    return f"labels-{number}.npy"


def _plain(name: str, values: np.ndarray) -> np.ndarray:
    """Values of a label as numbers in native order, or as an object array of text."""
    if values.dtype.kind in "biufmM":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    listed = values.reshape(-1).tolist()
    kinds = {type(v) for v in listed}
    if all(issubclass(k, str) for k in kinds):
        plain = np.empty(values.size, dtype=object)
        plain[:] = [str(v) for v in listed]
        return plain.reshape(values.shape)
    if kinds <= {bool, np.bool_}:
        return values.astype(bool)
    odd = next(v for v in listed if not isinstance(v, str))
    raise Unstorable(
        f"label {name!r} of a block of responses holds {odd!r} ({type(odd).__name__}): labels are"
        " text, numbers or booleans"
    )


def _texts(values: Any) -> np.ndarray:
    listed = list(values)
    for value in listed:
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is no text")
    return np.array(listed, dtype=object)
