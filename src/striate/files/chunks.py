"""Chunks of an HDF5 data set, unpacked here, so that none is taken for longer than it is."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from striate.errors import FileError
from striate.files.zips import BOMB, LARGE

DEFLATE, SHUFFLE, FLETCHER, LZF = 1, 2, 3, 32000
"""Numbers of the filters that are known."""
Box = tuple[slice, ...]


def read_chunks(dataset: Any, box: Box, size: int, where: str) -> np.ndarray:
    """Values in a box of a chunked data set, all of which have been written.

    Parameters
    ----------
    dataset
        Of h5py.
    box
        A slice of step 1 for each axis, inside of the data set.
    size
        Bytes of the whole file.
    where
        How errors call the data set.

    Raises
    ------
    FileError
        When a chunk is missing a piece, lies outside of the array, was never written, or is packed
        in a way other than deflate, LZF, shuffle and a checksum.

    """
    chunks, dtype = dataset.chunks, dataset.dtype
    filters = _filters(dataset, where)
    length = math.prod(chunks) * dtype.itemsize
    values = np.empty([b.stop - b.start for b in box], dtype=dtype)
    missing = values.size
    for place in _places(dataset, box, size, where):
        try:
            mask, content = dataset.id.read_direct_chunk(place)
        except RuntimeError as error:
            if "not allocated" in str(error):
                raise unwritten(where, f"the values from {place} on") from error
            raise
        except MemoryError as error:
            raise FileError(
                f"{where} is damaged: a chunk claims too much, or none is there"
            ) from error
        if length > LARGE and length > BOMB * len(content):
            raise FileError(f"{where} is damaged: {len(content)} bytes claim to be {length}")
        whole = np.frombuffer(_unpacked(content, filters, mask, length, where), dtype=dtype)
        inside, target = [], []
        for p, c, b in zip(place, chunks, box, strict=True):
            first, stop = max(p, b.start), min(p + c, b.stop)
            inside.append(slice(first - p, stop - p))
            target.append(slice(first - b.start, stop - b.start))
        piece = whole.reshape(chunks)[tuple(inside)]
        values[tuple(target)] = piece
        missing -= piece.size
    if missing:
        raise unwritten(where, f"{missing} of {values.size} values")
    return values


def unwritten(where: str, which: str) -> FileError:
    """The error to raise where HDF5 would make up values.

    It would give zeros, which look measured, or the fill value of the file, which is not looked at:
    the library reads a damaged one beyond its end.
    """
    return FileError(
        f"{where}: {which} were never written: it is damaged or unfinished, so write all of it"
    )


def _places(dataset: Any, box: Box, size: int, where: str) -> Iterator[tuple[int, ...]]:
    """Beginnings of the chunks that a box touches; of the whole, of those that are there."""
    chunks = dataset.chunks
    axes = [
        range(b.start // c * c, b.stop, c) if b.stop > b.start else range(0)
        for b, c in zip(box, chunks, strict=True)
    ]
    if not _whole(dataset, box):
        yield from itertools.product(*axes)
        return
    found: list[tuple[tuple[int, ...], int]] = []
    dataset.id.chunk_iter(lambda info: found.append((tuple(info.chunk_offset), int(info.size))))
    seen = set()
    for place, packed in found:
        inside = all(
            p % c == 0 and p < n for p, c, n in zip(place, chunks, dataset.shape, strict=True)
        )
        if packed > size:
            raise FileError(f"{where} is damaged: a chunk claims {packed} bytes")
        if not inside or place in seen:
            raise FileError(f"{where} is damaged: a chunk at {place} lies outside, or twice there")
        seen.add(place)
        yield place


def _whole(dataset: Any, box: Box) -> bool:
    return all(b.start == 0 and b.stop == n for b, n in zip(box, dataset.shape, strict=True))


def _filters(dataset: Any, where: str) -> list[tuple[int, tuple[int, ...]]]:
    """Number and parameters of the filters that chunks went through, in order."""
    created = dataset.id.get_create_plist()
    found = [created.get_filter(i) for i in range(created.get_nfilters())]
    for code, _, values, name in found:
        if code not in (DEFLATE, SHUFFLE, FLETCHER, LZF):
            raise FileError(
                f"{where} is packed with {name.decode('latin1') or code}, which is not read here:"
                " pack it with gzip, such as h5repack -f GZIP=4"
            )
        if code == SHUFFLE and tuple(values) != (dataset.dtype.itemsize,):
            raise FileError(f"{where} is damaged: its bytes are shuffled for other numbers")
    return [(code, tuple(values)) for code, _, values, _ in found]


def _unpacked(
    content: bytes, filters: list[tuple[int, tuple[int, ...]]], mask: int, size: int, where: str
) -> bytes:
    """The content of a chunk, of exactly `size` bytes."""
    try:
        for number, (code, parameters) in reversed(list(enumerate(filters))):
            if mask >> number & 1:
                continue
            if code == FLETCHER:
                content = _checked(content)
            elif code == SHUFFLE:
                content = _ordered(content, parameters[0] if parameters else 1)
            else:
                # A checksum of 4 bytes may have been added before packing.
                content = (_inflated if code == DEFLATE else _unrolled)(content, size + 4)
    except (ValueError, zlib.error) as error:
        raise FileError(f"{where} is damaged: {error}; copy or download it again") from error
    if len(content) != size:
        raise FileError(f"{where} is damaged: a chunk holds {len(content)} bytes, not {size}")
    return content


def _inflated(content: bytes, most: int) -> bytes:
    unpack = zlib.decompressobj()
    found = unpack.decompress(content, most)
    if not unpack.eof:
        found += unpack.decompress(unpack.unconsumed_tail, 1)
    if not unpack.eof or len(found) > most:
        raise ValueError("a chunk does not end where it should")
    return found


def _unrolled(content: bytes, most: int) -> bytes:
    """Undo LZF: runs of new bytes, and of bytes that stood a little before."""
    found, at = bytearray(), 0
    try:
        while at < len(content):
            code = content[at]
            at += 1
            if code < 32:
                piece = content[at : at + code + 1]
                at += code + 1
                if len(piece) != code + 1:
                    raise ValueError("a chunk ends too early")
                found += piece
            else:
                count = (code >> 5) + 2
                if count == 9:
                    count += content[at]
                    at += 1
                back = ((code & 31) << 8 | content[at]) + 1
                at += 1
                if back > len(found):
                    raise ValueError("a chunk repeats what stands before it")
                piece = bytes(found[len(found) - back :][:count])
                found += (piece * (count // len(piece) + 1))[:count]
            if len(found) > most:
                raise ValueError("a chunk does not end where it should")
    except IndexError as error:
        raise ValueError("a chunk ends too early") from error
    return bytes(found)


def _ordered(content: bytes, width: int) -> bytes:
    """Undo that first bytes of all values were put before second bytes, and so on."""
    if width < 2 or len(content) < width:
        return content
    whole = len(content) // width * width
    grid = np.frombuffer(content, dtype=np.uint8, count=whole).reshape(width, -1)
    return grid.T.tobytes() + content[whole:]


def _checked(content: bytes) -> bytes:
    """The content before its Fletcher-32 sum, which must be right."""
    body, told = content[:-4], content[-4:]
    words = np.frombuffer(body + b"\0" * (len(body) % 2), dtype=">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64)
    low = int(words.sum()) % 65535
    high = int((words * weights % 65535).sum()) % 65535
    stored = int.from_bytes(told, "little")
    if len(told) < 4 or (stored & 0xFFFF) % 65535 != low or (stored >> 16) % 65535 != high:
        raise ValueError("a chunk does not fit its checksum")
    return body
