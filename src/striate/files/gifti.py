"""GIFTI files read without trust: arrays no larger than they say, and nothing from outside."""

from __future__ import annotations

import base64
import binascii
import gzip
import math
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.parsers import expat

import numpy as np

from striate.errors import FileError
from striate.files.blocks import ROOM
from striate.files.zips import BOMB

TYPES = {
    "NIFTI_TYPE_UINT8": "u1",
    "NIFTI_TYPE_INT8": "i1",
    "NIFTI_TYPE_INT16": "i2",
    "NIFTI_TYPE_UINT16": "u2",
    "NIFTI_TYPE_INT32": "i4",
    "NIFTI_TYPE_UINT32": "u4",
    "NIFTI_TYPE_INT64": "i8",
    "NIFTI_TYPE_FLOAT32": "f4",
    "NIFTI_TYPE_FLOAT64": "f8",
}
SIDES = {"CortexLeft": "lh", "CortexRight": "rh"}
ORDERS: Mapping[str, Literal["C", "F"]] = {"RowMajorOrder": "C", "ColumnMajorOrder": "F"}
PIECE = 1 << 20
MOST_SPACIOUS = 40
"""Characters of text that a byte of an array may take."""


@dataclass(frozen=True, eq=False)
class GiftiArray:
    """One array of a file, what it is for (such as ``NIFTI_INTENT_LABEL``) and its name."""

    values: np.ndarray
    intent: str
    name: str


@dataclass(frozen=True, eq=False)
class Gifti:
    """What a file holds: arrays, names of labels by number, and ``lh``, ``rh`` or nothing."""

    arrays: tuple[GiftiArray, ...]
    labels: Mapping[int, str]
    hemisphere: str


def read_gifti(path: Path) -> Gifti:
    """All arrays of a `.gii` or `.gii.gz` file.

    Raises
    ------
    FileError
        When it is missing or damaged, declares entities or files of its own, or holds arrays of
        another size than it says.

    """
    if not path.is_file():
        raise FileError(f"no file {path}: name a .gii file")
    opening = gzip.open if path.suffix.lower() == ".gz" else open
    reading = _Reading(path)
    begun, there = 0, path.stat().st_size
    try:
        with opening(path, "rb") as stream:
            while piece := stream.read(PIECE):
                begun += len(piece)
                _check_packed(begun, there, path)
                reading.parser.Parse(piece, False)
            reading.parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise FileError(f"{path} is damaged or no GIFTI file: {error}") from error
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise FileError(f"{path} is damaged or no GIFTI file: {error}") from error
    if not reading.arrays:
        raise FileError(f"{path} holds no array")
    return Gifti(tuple(reading.arrays), reading.labels, reading.hemisphere)


@dataclass(eq=False)
class _Reading:
    """The state of a parser that goes through a file once."""

    path: Path
    arrays: list[GiftiArray] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    hemisphere: str = ""

    def __post_init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity
        self.above: list[str] = []
        self.told: list[str] = []
        self.about: dict[str, str] = {}
        self.meta: dict[str, str] = {}
        self.key = self.name = ""
        self.room = PIECE
        self.values: np.ndarray | None = None
        self.claimed, self.size = 0, self.path.stat().st_size

    def _entity(self, *_: object) -> None:
        raise FileError(f"{self.path} declares XML entities, which no GIFTI file needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.above and tag != "GIFTI":
            raise FileError(f"{self.path} is no GIFTI file: it begins with <{tag[:40]}>")
        self.above.append(tag)
        self.told, self.room = [], PIECE
        if tag == "Data":
            size = _size(self.about, self.path)
            self.room += MOST_SPACIOUS * size
            self.claimed += size
            _check_packed(self.claimed, self.size, self.path)
        if tag == "DataArray":
            self.about, self.meta, self.values = attributes, {}, None
        elif tag == "Label":
            self.key = attributes.get("Key", attributes.get("Index", ""))

    def _text(self, text: str) -> None:
        if self.above and self.above[-1] in ("Data", "Label", "Name", "Value"):
            self.told.append(text)
            self.room -= len(text)
            if self.room < 0:
                raise FileError(f"{self.path}: <{self.above[-1]}> goes on behind what it should be")

    def _end(self, tag: str) -> None:
        text = "".join(self.told)
        self.told = []
        self.above.pop()
        if tag == "Name":
            self.name = text.strip()
        elif tag == "Value":
            self.meta[self.name] = text.strip()
            if self.name == "AnatomicalStructurePrimary":
                self.hemisphere = SIDES.get(text.strip(), self.hemisphere)
        elif tag == "Label":
            try:
                self.labels[int(self.key)] = text.strip()
            except ValueError as error:
                raise FileError(f"{self.path}: label {self.key!r} is no number") from error
        elif tag == "Data" and self.above[-1:] == ["DataArray"]:
            self.values = _values(text, self.about, self.path)
        elif tag == "DataArray":
            if self.values is None:
                raise FileError(f"{self.path}: an array has no data")
            intent = self.about.get("Intent", "")
            self.arrays.append(GiftiArray(self.values, intent, self.meta.get("Name", "")))


def _check_packed(claimed: int, there: int, path: Path) -> None:
    """Raise `FileError` when that many bytes cannot be meant to come out of a file."""
    if claimed > ROOM and claimed > BOMB * there:
        raise FileError(
            f"{path} claims to unpack from {there} to {claimed} bytes or more; copy or download it"
            " again"
        )


def _shape(about: Mapping[str, str], path: Path) -> tuple[int, ...]:
    try:
        shape = tuple(int(about[f"Dim{k}"]) for k in range(int(about["Dimensionality"])))
    except (KeyError, ValueError) as error:
        raise FileError(f"{path}: an array does not tell its dimensions") from error
    if not 1 <= len(shape) <= 6 or min(shape) < 1:
        raise FileError(f"{path}: an array has dimensions {shape}")
    return shape


def _dtype(about: Mapping[str, str], path: Path) -> np.dtype:
    kind = TYPES.get(about.get("DataType", ""))
    if kind is None:
        raise FileError(f"{path} holds {about.get('DataType', 'data of no type')}, no real numbers")
    order = {"LittleEndian": "<", "BigEndian": ">"}.get(about.get("Endian", "LittleEndian"))
    if order is None:
        raise FileError(f"{path}: an array has bytes in the order {about['Endian']}")
    return np.dtype(order + kind)


def _size(about: Mapping[str, str], path: Path) -> int:
    return math.prod(_shape(about, path)) * _dtype(about, path).itemsize


def _values(text: str, about: Mapping[str, str], path: Path) -> np.ndarray:
    shape, dtype, size = _shape(about, path), _dtype(about, path), _size(about, path)
    encoding = about.get("Encoding", "")
    if encoding == "ASCII":
        flat = _numbers(text, dtype, path)
    elif encoding in ("Base64Binary", "GZipBase64Binary"):
        content = _bytes(text, size, encoding[0] == "G", path)
        flat = np.frombuffer(content, dtype) if len(content) == size else np.empty(0, dtype)
    else:
        raise FileError(
            f"{path} keeps an array as {encoding or 'nothing known'}: only data inside the file is"
            " read (ASCII, Base64Binary, GZipBase64Binary)"
        )
    if flat.nbytes != size:
        raise FileError(f"{path}: an array does not hold the {shape} numbers that it says")
    told = about.get("ArrayIndexingOrder", "RowMajorOrder")
    if told not in ORDERS:
        raise FileError(f"{path}: an array has its indices in the order {told}")
    return flat.reshape(shape, order=ORDERS[told])


def _bytes(text: str, size: int, packed: bool, path: Path) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii", "replace"))
        if not packed:
            return raw
        # One byte more than promised tells a stream that does not end where it should.
        opened = zlib.decompressobj()
        found = opened.decompress(raw, size + 1)
    except (binascii.Error, zlib.error) as error:
        raise FileError(f"{path}: an array is damaged: {error}") from error
    if len(found) == size and not opened.eof and not opened.decompress(opened.unconsumed_tail, 1):
        found = found if opened.eof else b""
    return found


def _numbers(text: str, dtype: np.dtype, path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.fromstring(text, dtype.newbyteorder("="), sep=" ")
        except (ValueError, OverflowError, DeprecationWarning) as error:
            raise FileError(f"{path}: an array holds what is no number: {error}") from error
