"""The classic netCDF container: what its header claims is held against the size of the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from striate.errors import FileError

WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Number of a type → bytes of one value."""
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12


def is_classic(path: Path) -> bool:
    """Whether a file begins as netCDF of the time before HDF5 does."""
    with Path(path).open("rb") as stream:
        return stream.read(4) in (b"CDF\1", b"CDF\2", b"CDF\5")


def check_classic(path: Path) -> None:
    """Raise `FileError` when variables do not fill the file from the header's end to its own."""
    path = Path(path)
    try:
        _Header(path.read_bytes()).check()
    except (ValueError, struct.error, OverflowError) as error:
        raise FileError(
            f"{path} is damaged or no netCDF file: {error}; copy or download it again"
        ) from error


class _Header:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 4
        self.count = ">Q" if content[3] == 5 else ">I"
        self.place = ">I" if content[3] == 1 else ">Q"

    def check(self) -> None:
        records = self._number(self.count)
        lengths = [self._dimension() for _ in range(self._listed(DIMENSIONS))]
        self._attributes()
        pieces: list[tuple[int, int]] = []
        steps: list[tuple[int, int]] = []
        for _ in range(self._listed(VARIABLES)):
            begin, size, in_records = self._variable(lengths)
            (steps if in_records else pieces).append((begin, size))
        if len(steps) > 1:
            steps = [(begin, size + -size % 4) for begin, size in steps]
        if steps:
            total = sum(size for _, size in steps)
            first = min(begin for begin, _ in steps)
            if sorted(b for b, _ in steps) != [
                first + sum(s for _, s in sorted(steps)[:k]) for k in range(len(steps))
            ]:
                raise ValueError("its records do not follow each other")
            pieces.append((first, total * records))
        end = self.at
        for begin, size in sorted(pieces):
            if begin - end not in (0, -end % 4):
                raise ValueError(f"values begin at byte {begin}, not {end}")
            end = begin + size
        if len(self.content) - end not in (0, -end % 4):
            raise ValueError(f"it has {len(self.content)} bytes, but its header tells of {end}")

    def _number(self, form: str) -> int:
        found = struct.unpack_from(form, self.content, self.at)[0]
        self.at += struct.calcsize(form)
        return int(found)

    def _skip(self, size: int) -> None:
        self.at += size + -size % 4
        if self.at > len(self.content):
            raise ValueError("its header ends too early")

    def _listed(self, kind: int) -> int:
        found, count = self._number(">I"), self._number(self.count)
        if found not in (0, kind) or (not found and count) or count > len(self.content) // 8:
            raise ValueError("a list of its header is broken")
        return count

    def _name(self) -> None:
        self._skip(self._number(self.count))

    def _dimension(self) -> int:
        self._name()
        return self._number(self.count)

    def _width(self) -> int:
        kind = self._number(">I")
        if kind not in WIDTHS:
            raise ValueError(f"it holds an unknown type {kind}")
        return WIDTHS[kind]

    def _attributes(self) -> None:
        for _ in range(self._listed(ATTRIBUTES)):
            self._name()
            width = self._width()
            self._skip(width * self._number(self.count))

    def _variable(self, lengths: list[int]) -> tuple[int, int, bool]:
        """Where values begin, their bytes (of a record, where there are some), and which it is."""
        self._name()
        axes = [self._number(self.count) for _ in range(self._axes())]
        if any(a >= len(lengths) for a in axes):
            raise ValueError("a variable has an unknown dimension")
        self._attributes()
        width = self._width()
        self._number(self.count)
        in_records = bool(axes) and lengths[axes[0]] == 0
        shape = [lengths[a] for a in axes[in_records:]]
        return self._number(self.place), width * math.prod(shape), in_records

    def _axes(self) -> int:
        count = self._number(self.count)
        if count > 32:
            raise ValueError(f"a variable has {count} dimensions")
        return count
