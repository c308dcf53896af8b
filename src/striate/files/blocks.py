"""A block of numbers in a file, plain or compressed, of which what is asked for is read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path

import numpy as np

from striate.errors import FileError
from striate.files.zips import BOMB

MOST_EXPANDED = 1032
"""What deflate can make of a byte."""
ASIDE = 1 << 26
"""Bytes that a header, or what follows the numbers, may take at most."""
PIECE = 1 << 22
ROOM = 1 << 28
"""Bytes that values may take, however well they were packed: a mask of half millimetres."""

Read = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of cells, in a file that is checked to be long enough for them.

    Parameters
    ----------
    path
        The file; `.gz` and `.mgz` are compressed.
    count, cells
        Rows, and the cells of each.
    kind
        As which numbers are stored.
    offset
        Byte at which they begin.
    slope, shift
        What values are multiplied by, and what is added then; None where they are left as they are.
    aside
        Bytes that may follow the numbers.
    across
        Whether the file runs along the cells' rows first: all rows of a cell lie together.

    Raises
    ------
    FileError
        When the file is too short or too long, or what it holds are no real numbers.

    """

    path: Path
    count: int
    cells: int
    kind: np.dtype
    offset: int
    slope: float | None = None
    shift: float | None = None
    aside: int = 0
    across: bool = False

    def __post_init__(self) -> None:
        path, kind = self.path, self.kind
        if kind.kind not in "biuf" or kind.itemsize > 8:
            raise FileError(f"{path} holds {kind} values, but maps are of real numbers")
        size = self.offset + self.count * self.cells * kind.itemsize
        there = path.stat().st_size
        if there < (size / MOST_EXPANDED if is_packed(path) else size):
            raise FileError(f"{path} is cut short: it should hold {size} bytes, but has {there}")
        taken = self.count * self.cells * max(kind.itemsize, self.floating.itemsize)
        if is_packed(path) and taken > ROOM and taken > BOMB * there:
            raise FileError(
                f"{path} claims to unpack from {there} to {taken} bytes: if it is meant to,"
                " decompress it by hand"
            )
        if there > size + self.aside and not is_packed(path):
            raise FileError(f"{path} is damaged: it should hold {size} bytes, but has {there}")
        if not np.isfinite([self.slope or 1, self.shift or 0]).all():
            raise FileError(f"{path} is damaged: its values are to be multiplied by {self.slope}")

    @property
    def floating(self) -> np.dtype:
        """As what values are read."""
        return floating(self.kind)

    def reading(self) -> Read:
        """A function of rows and cells that returns their values, row × cell."""
        if is_packed(self.path):
            return self._guarded
        try:
            shape = (self.cells, self.count) if self.across else (self.count, self.cells)
            array = np.memmap(self.path, self.kind, "r", self.offset, shape)
        except (OSError, ValueError, OverflowError) as error:
            raise FileError(f"{self.path} is damaged: {error}") from error
        stored = array.T if self.across else array

        def read(rows: np.ndarray, cells: np.ndarray | None) -> np.ndarray:
            found = np.empty((len(rows), self._width(cells)), self.floating)
            for k, row in enumerate(rows):
                found[k] = self._scaled(stored[row] if cells is None else stored[row, cells])
            return found

        return read

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        slope, shift = self.slope or 1.0, self.shift or 0.0
        with np.errstate(all="ignore"):
            changed = values * np.float64(slope) + shift if (slope, shift) != (1, 0) else values
            return changed.astype(self.floating, copy=False)

    def _width(self, cells: np.ndarray | None) -> int:
        return self.cells if cells is None else len(cells)

    def _guarded(self, rows: np.ndarray, cells: np.ndarray | None) -> np.ndarray:
        try:
            return self._through(rows, cells)
        except (OSError, EOFError, zlib.error, MemoryError) as error:
            raise FileError(f"{self.path} is damaged: {error}") from error

    def _through(self, rows: np.ndarray, cells: np.ndarray | None) -> np.ndarray:
        """Values of a compressed file, one row in memory at a time, to its very end."""
        wanted: dict[int, list[int]] = {}
        for k, row in enumerate(rows):
            wanted.setdefault(int(row), []).append(k)
        found = np.empty((len(rows), self._width(cells)), self.floating)
        one = np.empty(self.cells, self.kind)
        with opened(self.path) as stream:
            self._fill(stream, np.empty(self.offset, np.uint8))
            for row in range(self.count):
                self._fill(stream, one)
                for k in wanted.get(row, ()):
                    found[k] = self._scaled(one if cells is None else one[cells])
            behind = 0
            while rest := stream.read(PIECE):
                behind += len(rest)
                if behind > self.aside:
                    raise FileError(f"{self.path} goes on behind the values that it says it holds")
        return found

    def _fill(self, stream: BufferedIOBase, array: np.ndarray) -> None:
        whole = array.view(np.uint8)
        for start in range(0, len(whole), PIECE):
            part = whole[start : start + PIECE]
            piece = stream.read(len(part))
            if len(piece) < len(part):
                raise FileError(f"{self.path} is cut short: it ends before the last of its values")
            part[:] = np.frombuffer(piece, np.uint8)


def floating(kind: np.dtype) -> np.dtype:
    """What numbers of a kind are read as: float32, or float64 where that would lose digits."""
    single = kind.itemsize <= (4 if kind.kind == "f" else 2)
    return np.dtype(np.float32 if single else np.float64)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, by its name."""
    return path.suffix.lower() in (".gz", ".mgz")


def opened(path: Path) -> BufferedIOBase:
    """A file as a stream of bytes, decompressed on the way."""
    if path.stat().st_size == 0:
        return BytesIO()
    return gzip.open(path, "rb") if is_packed(path) else path.open("rb")
