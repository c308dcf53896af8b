"""The state of fitted things as plain files: nested values in JSON, arrays beside it.

Nothing is executed on reading: there is no pickle, no class is named, and no path leads elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from striate.errors import FileError
from striate.store.arrays import Unstorable, read_array, write_array
from striate.store.atomic import check_folder, write_folder
from striate.store.responses import read_responses, write_responses

TREE = "tree.json"
_BIG = 1 << 53


def save_tree(folder: Path, tree: Any) -> None:
    """Write a nested value as a folder of plain files, all at once.

    A tree is made of dict, list, tuple, str, int, float, bool, None, NumPy scalars and arrays
    (of anything but objects), responses, and tables of plain columns. Everything comes back with
    the same type and the same bits. What the folder held before is replaced.

    Raises
    ------
    Unstorable
        When anything else is in the tree; the message says where.
    FileError
        When the folder cannot be written, or holds files of another kind.

    """
    write_folder(Path(folder), lambda f: write_tree(f, tree), {"holds": "tree"}, replace=True)


def load_tree(folder: Path) -> Any:
    """Read what `save_tree` wrote.

    Raises
    ------
    FileError
        When a file is missing or damaged, or is not what `save_tree` writes.

    """
    check_folder(Path(folder))
    return read_tree(Path(folder))


def write_tree(folder: Path, tree: Any) -> None:
    """Write the files of a tree into a folder."""
    try:
        text = json.dumps(_Writer(folder).node(tree, "the tree"), allow_nan=False)
    except RecursionError:
        raise Unstorable("the tree is nested too deeply, or holds itself") from None
    (folder / TREE).write_bytes(text.encode() + b"\n")


def read_tree(folder: Path) -> Any:
    """Read the files of a tree; checks their form, not their checksums.

    Raises
    ------
    FileError
        When a file is missing or is not what `write_tree` writes.

    """
    path = folder / TREE
    try:
        return _Reader(folder).value(json.loads(path.read_bytes(), parse_constant=_no_constant))
    except FileError:
        raise
    except Exception as error:
        raise FileError(
            f"{path} is not a stored tree ({str(error) or type(error).__name__}); delete {folder}"
            " and make it again"
        ) from error


class _Writer:
    """Turns values into JSON: plain ones as they are, others as ``{"kind": …}``."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0

    def node(self, value: Any, where: str) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if -_BIG < value < _BIG else {"int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is list:
            return [self.node(v, f"{where}[{k}]") for k, v in enumerate(value)]
        if kind is tuple:
            return {"tuple": [self.node(v, f"{where}[{k}]") for k, v in enumerate(value)]}
        if kind is dict:
            pairs = [
                [self.node(k, f"a key of {where}"), self.node(v, f"{where}[{k!r}]")]
                for k, v in value.items()
            ]
            return {"dict": pairs}
        if isinstance(value, np.generic):
            return self.scalar(value, where)
        if kind is np.ndarray or kind is np.memmap:
            return {"array": self.array(value, where)}
        if kind is xr.DataArray:
            return {"responses": self.responses(value)}
        if kind is pd.DataFrame:
            return {"frame": self.frame(value, where)}
        raise Unstorable(
            f"{where} is {'an' if kind.__name__[0] in 'aeiou' else 'a'} {kind.__name__}, which has"
            " no plain form: keep dict, list, tuple, text, numbers, arrays, responses or tables"
        )

    def scalar(self, value: np.generic, where: str) -> dict[str, Any]:
        if isinstance(value, np.str_):
            return {"str_": str.__str__(value)}  # str() would cut NULs off the end
        if isinstance(value, np.bytes_):
            return {"bytes_": bytes(value).hex()}
        if value.dtype.kind not in "biufcmM":
            raise Unstorable(f"{where} is a NumPy scalar of {value.dtype}, which has no plain form")
        return {"scalar": [value.dtype.str, value.tobytes().hex()]}

    def array(self, value: np.ndarray, where: str) -> str:
        dtype = value.dtype
        try:
            again = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
        except (ValueError, TypeError):
            again = None
        if dtype.hasobject or again != dtype:
            raise Unstorable(
                f"{where} is an array of {dtype}: only plain numbers and text of fixed width can be"
                " stored"
            )
        file = f"{self.next()}.npy"
        write_array(self.folder / file, value)
        return file

    def responses(self, value: xr.DataArray) -> str:
        name = str(self.next())
        (self.folder / name).mkdir()
        write_responses(self.folder / name, value)
        return name

    def frame(self, value: pd.DataFrame, where: str) -> dict[str, Any]:
        columns = range(value.shape[1])
        return {
            "columns": self.index(value.columns, f"the columns of {where}"),
            "index": self.index(value.index, f"the index of {where}"),
            "data": [
                self.column(value.iloc[:, k], f"column {value.columns[k]!r} of {where}")
                for k in columns
            ],
        }

    def index(self, value: pd.Index, where: str) -> dict[str, Any]:
        name = self.node(value.name, f"the name of {where}")
        if isinstance(value, pd.RangeIndex):
            return {"name": name, "range": [value.start, value.stop, value.step]}
        if type(value) is not pd.Index:
            raise Unstorable(f"{where} is a {type(value).__name__}; make it plain columns")
        return {"name": name, "values": self.column(value, where)}

    def column(self, value: pd.Series | pd.Index, where: str) -> dict[str, Any]:
        dtype = value.dtype
        if str(dtype) == "str":
            return {"text": [None if v != v else str(v) for v in value.tolist()]}
        if dtype.kind == "O" and isinstance(dtype, np.dtype):
            listed = value.tolist()
            plain = (bool, int, float, str, type(None))
            if odd := [v for v in listed if type(v) not in plain]:
                raise Unstorable(
                    f"{where} holds {odd[0]!r} ({type(odd[0]).__name__}); make it numbers or text"
                )
            return {"objects": [self.node(v, where) for v in listed]}
        if not isinstance(dtype, np.dtype):
            raise Unstorable(f"{where} is of type {dtype}; make it numbers or text")
        return {"array": self.array(value.to_numpy(), where)}

    def next(self) -> int:
        self.count += 1
        return self.count - 1


class _Reader:
    """Turns JSON that may be hostile back into values."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.kinds: dict[str, Callable[[Any], Any]] = {
            "array": self.array,
            "bytes_": lambda v: np.bytes_(bytes.fromhex(v)),
            "dict": lambda v: {self.value(k): self.value(x) for k, x in v},
            "float": lambda v: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[v],
            "frame": self.frame,
            "int": lambda v: int(v, 16),
            "responses": lambda v: read_responses(self.path(v, r"\d+")),
            "scalar": self.scalar,
            "str_": lambda v: np.str_(_check(v, str)),
            "tuple": lambda v: tuple(self.value(x) for x in _check(v, list)),
        }

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(v) for v in node]
        if isinstance(node, dict):
            if len(node) != 1 or next(iter(node)) not in self.kinds:
                raise ValueError(f"unknown kind of value {sorted(node)[:3]}")
            kind, content = next(iter(node.items()))
            return self.kinds[kind](content)
        return node

    def path(self, name: Any, pattern: str) -> Path:
        if not re.fullmatch(pattern, _check(name, str), re.ASCII):
            raise ValueError(f"{name!r} is no name of a file beside it")
        return self.folder / name

    def array(self, name: Any) -> np.ndarray:
        return read_array(self.path(name, r"\d+\.npy"))

    def scalar(self, content: Any) -> np.generic:
        dtype = np.dtype(_check(content[0], str))
        values = np.frombuffer(bytes.fromhex(content[1]), dtype=dtype)
        if dtype.kind not in "biufcmM" or values.shape != (1,):
            raise ValueError(f"a scalar of {dtype} cannot be read")
        return values[0]

    def frame(self, content: Any) -> pd.DataFrame:
        index, columns = self.index(content["index"]), self.index(content["columns"])
        data = [self.column(c) for c in content["data"]]
        if len(data) != len(columns) or any(len(c) != len(index) for c in data):
            raise ValueError("a table's columns and labels do not fit")
        frame = pd.DataFrame(dict(enumerate(data)), index=None if data else index)
        frame.index, frame.columns = index, columns
        return frame

    def index(self, content: Any) -> pd.Index:
        name = self.value(content["name"])
        if "range" in content:
            start, stop, step = content["range"]
            return pd.RangeIndex(start, stop, step, name=name)
        return pd.Index(self.column(content["values"]), name=name)

    def column(self, content: Any) -> pd.Series:
        if "array" in content:
            return pd.Series(self.array(content["array"]))
        if "text" in content:
            texts = [v if v is None else _check(v, str) for v in content["text"]]
            text_type: Any = "str" if str(pd.Series(["a"]).dtype) == "str" else object
            return pd.Series(texts, dtype=text_type)
        return pd.Series([self.value(v) for v in content["objects"]], dtype=object)


def _check(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} stands in it")
