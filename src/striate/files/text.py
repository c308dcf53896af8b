"""Tables of numbers in text, in which every line has as many values as the first has names."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import xarray as xr

from striate.errors import DataError, FileError

LABEL_NAMES = ("", "stimulus", "stimuli", "id", "image", "file", "filename", "name", "target")
MISSING = frozenset(
    ("", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "-nan")
)
NAN = float("nan")
MOST = 1 << 20
"""Columns, and lines: their names are kept as text, which takes many times its size."""
LONGEST = 1 << 26
"""Letters of a line."""
AS_NPY = "save its values as .npy, with numpy.save"


def read_table(path: Path) -> xr.DataArray:
    """The numbers of a .csv or .tsv file as float64, with names of columns and, if any, of lines.

    Raises
    ------
    FileError
        When the file is damaged, empty, or has lines of unequal length.
    DataError
        When its first line holds numbers, or text stands where numbers belong.

    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            mark = _separator(path)
            measured = _Measured(stream, mark, path)
            lines = csv.reader(measured, delimiter=mark, strict=True)
            return _table(lines, path, measured)
    except MemoryError as error:
        raise FileError(f"{path} holds more than there is memory for: {AS_NPY}") from error
    except (UnicodeError, csv.Error) as error:
        raise FileError(f"{path} is damaged or no table: {error}") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


class _Measured:
    """The lines of a file, refused before they are taken apart into too many values."""

    def __init__(self, stream: TextIO, mark: str, path: Path) -> None:
        self.stream, self.mark, self.path = stream, mark, path
        self.cells = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.stream.readline(LONGEST)
        if not line:
            raise StopIteration
        # One value may go on over many lines, and the next ones with it.
        self.cells += line.count(self.mark)
        if self.cells >= MOST or len(line) >= LONGEST:
            raise FileError(f"{self.path} has a line of more than {MOST} values: {AS_NPY}")
        return line


def _separator(path: Path) -> str:
    return "," if path.suffix.lower() == ".csv" else "\t"


def _table(lines: Iterator[list[str]], path: Path, measured: _Measured) -> xr.DataArray:
    names = next(lines, [])
    measured.cells = 0
    if not names:
        raise FileError(f"{path} is no table: it is empty")
    names = ["" if n.startswith("Unnamed: ") else n for n in names]
    if all(map(is_number, names)):
        raise DataError(
            f"the first line of {path} holds numbers, but it must name the targets: add a line"
            " of names, or save the values as .npy"
        )
    first: list[str] = []
    rest = array("d")
    for number, line in enumerate(lines, start=2):
        measured.cells = 0
        if number > MOST:
            raise FileError(f"{path} has more than {MOST} lines: {AS_NPY}")
        if not line:
            continue
        if len(line) != len(names):
            raise FileError(
                f"line {number} of {path} has {len(line)} values, but the first has {len(names)}"
                " names: the file is damaged, or the line incomplete"
            )
        first.append(line[0])
        try:
            rest.extend(map(_value, line[1:]))
        except ValueError as error:
            raise DataError(
                f"line {number} of {path} holds text where responses belong: {error}"
            ) from error
    values = np.frombuffer(rest, dtype=np.float64).reshape(len(first), len(names) - 1)
    coords: dict[str, Any] = {}
    if names[0].lower() in LABEL_NAMES or not all(f in MISSING or is_number(f) for f in first):
        coords["dim_0"] = np.array(first, dtype=object)
        names = names[1:]
    else:
        values = np.column_stack([np.array([_value(f) for f in first], dtype=np.float64), values])
    coords["dim_1"] = np.array(names, dtype=object)
    return xr.DataArray(values, dims=("dim_0", "dim_1"), coords=coords)


def _value(text: str) -> float:
    if text in MISSING:
        return NAN
    if "_" in text:
        raise ValueError(f"{text[:40]!r} is no number")
    return float(text)


def is_number(text: str) -> bool:
    """Whether text is a number, or the word for a missing one."""
    try:
        _value(text or "?")
    except ValueError:
        return False
    return True
