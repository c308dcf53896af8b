"""Features that are on disk already, matched to stimuli by id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from striate.data import ArraySpace, Stimuli
from striate.errors import DataError, FileError, RecipeError, some, unknown
from striate.files import read_npy, read_npz, zip_members
from striate.machine import here
from striate.media import file_digest

SUFFIXES = (".csv", ".npy", ".npz")
SPACE = "values"


@dataclass(frozen=True)
class Array:
    """Rows of a file, by stimulus id.

    Its rows belong to ids and not to the content of images, so they are read from where they are:
    `open_spaces` maps the file.

    Parameters
    ----------
    path
        ``.npy`` (stimulus, …), one space ``values``; ``.npz`` with one space per array; ``.csv``
        with one line per stimulus, one space ``values``.
    ids
        Which stimulus each row is. For ``.npy`` a file: ``.txt`` with an id per line, a ``.csv``
        whose first column has them, a ``.npy`` of text or a ``.json`` list. For ``.npz`` such a
        file or the name of an array inside, ``ids`` unless stated. For ``.csv`` the name of a
        column, the first unless stated.

    """

    path: str
    ids: str = ""
    version: ClassVar[int] = 1

    def names(self) -> tuple[str, ...]:
        """The spaces in the file."""
        if self._suffix() != ".npz":
            return (SPACE,)
        return tuple(n for n in _arrays_of(self.path) if n != (self.ids or "ids"))

    def identity(self) -> Mapping[str, Any]:
        """Digests of the file and of the ids."""
        ids = _digest_of(self.ids) if Path(self.ids).is_file() else self.ids
        return {"file": _digest_of(self.path), "ids": ids, "kind": self._suffix()}

    def open_spaces(self, name: str, stimuli: Stimuli) -> dict[str, ArraySpace]:
        """All spaces of the table `name` over all stimuli of the file, as ``<name>.<node>``.

        A ``.npy`` stays on disk until rows of it are read.

        Raises
        ------
        DataError
            When ids repeat, their number does not fit, or values are no numbers.

        """
        return {f"{name}.{node}": self._space(node) for node in self.names()}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli."""
        spaces = {node: self._space(node) for node in self.names()}
        size = max(1, here().batch)
        for start in range(0, len(stimuli), size):
            ids = stimuli.ids[start : start + size]
            yield {node: np.asarray(self._rows(space, ids)) for node, space in spaces.items()}

    def _space(self, node: str) -> ArraySpace:
        ids, values = self._read(node)
        if values.dtype.kind not in "biuf":
            raise DataError(f"{self.path}: {node!r} holds {values.dtype}, but features are numbers")
        if values.ndim < 1 or len(values) != len(ids):
            raise DataError(
                f"{self.path}: {node!r} has shape {values.shape} for {len(ids)} stimulus ids; the"
                " first axis must be the stimuli"
            )
        repeated = pd.Index(ids)[pd.Index(ids).duplicated()].unique()
        if len(repeated):
            raise DataError(f"{self.ids or self.path}: stimulus ids repeat: {some(repeated)}")
        return ArraySpace(ids, values, json.dumps([self.identity(), node]))

    def _rows(self, space: ArraySpace, ids: Sequence[str]) -> np.ndarray:
        missing = sorted(set(ids) - set(space.ids))
        if missing:
            raise DataError(
                f"{self.path}: has no row for stimulus {some(missing)}; its ids are such as"
                f" {some(space.ids)}"
            )
        return space.read(ids)

    def _suffix(self) -> str:
        suffix = Path(self.path).suffix.lower()
        if suffix not in SUFFIXES:
            raise RecipeError(unknown("kind of feature file", suffix, SUFFIXES, self.path))
        if not Path(self.path).is_file():
            raise FileError(f"{self.path}: no such file of features; check the path")
        return suffix

    def _read(self, name: str) -> tuple[tuple[str, ...], np.ndarray]:
        suffix = self._suffix()
        if suffix == ".csv":
            table = _csv(self.path, self.ids or 0)
            column = self.ids or str(table.columns[0])
            if column not in table:
                raise DataError(unknown("column", column, table.columns, self.path))
            numbers = table.drop(columns=column)
            text = [str(c) for c in numbers if numbers[c].dtype.kind not in "biuf"]
            if text:
                raise DataError(f"{self.path}: columns {some(text)} hold text, not numbers")
            return tuple(table[column].astype(str)), numbers.to_numpy(dtype=np.float64)
        if suffix == ".npz":
            values = _array_of(self.path, name)
            if Path(self.ids).is_file():
                return _ids_from(self.ids), values
            key, there = self.ids or "ids", _arrays_of(self.path)
            if key not in there:
                raise DataError(
                    f"{self.path}: has no array {key!r} with the stimulus id of each row; save"
                    f" one, or name another of {', '.join(there)} in `ids`"
                )
            return _text(_array_of(self.path, key)), values
        if not self.ids:
            raise RecipeError(
                f"{self.path}: does not say which row is which stimulus; give `ids`, a text file"
                " with one stimulus id per line in the order of the rows"
            )
        return _ids_from(self.ids), read_npy(Path(self.path), mmap=True)


def _ids_from(file: str) -> tuple[str, ...]:
    path = Path(file)
    if not path.is_file():
        raise FileError(f"{file}: no such file of stimulus ids; check `ids`")
    if path.suffix == ".npy":
        return _text(read_npy(path))
    if path.suffix == ".csv":
        return tuple(_csv(file).iloc[:, 0].astype(str))
    try:
        if path.suffix == ".json":
            return tuple(str(i) for i in json.loads(path.read_text()))
        return tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (ValueError, TypeError) as error:
        raise FileError(f"{file}: is no list of stimulus ids ({error})") from error


def _text(values: np.ndarray) -> tuple[str, ...]:
    return tuple(v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel())


def _arrays_of(file: str) -> tuple[str, ...]:
    return tuple(n.removesuffix(".npy") for n in zip_members(Path(file)))


def _array_of(file: str, name: str) -> np.ndarray:
    return read_npz(Path(file), name)[name]


def _csv(file: str, ids: str | int = 0) -> pd.DataFrame:
    """A table whose ids stay text: 007 is not 7."""
    try:
        return pd.read_csv(file, dtype={ids: str}, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise FileError(f"{file}: is no readable table ({error})") from error


def _digest_of(file: str) -> str:
    path = Path(file)
    if not path.is_file():
        raise FileError(f"{file}: no such file of features; check the path")
    state = path.stat()
    return _digest(str(path.resolve()), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _digest(path: str, modified: int, size: int) -> str:
    return file_digest(path)
