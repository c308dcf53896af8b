"""A folder that is there complete or not at all, and that tells when a bit of it has changed.

A folder is filled under a temporary name beside its place and renamed into it, so a killed process
leaves either nothing or everything. Its ``manifest.json`` names every file with length and CRC-32
and ends in a checksum of itself. Nothing is synced to the disk one by one: what a power cut tears,
the checksums find.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from striate.errors import FileError
from striate.store.temporary import cannot_write, sweep, temporary

MANIFEST = "manifest.json"


class DamagedError(FileError):
    """A folder that is incomplete, or not as it was written: it may be removed and made again."""


_INTACT: dict[str, tuple[int, int, int, int]] = {}


def write_folder(
    folder: Path,
    fill: Callable[[Path], None],
    about: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> bool:
    """Let `fill` write files into a new folder and put it at its place at once.

    `about` is kept in the manifest. Returns whether the folder is the new one: one that is there
    already stays unless `replace`.

    Raises
    ------
    FileError
        When the disk is full, the folder not writable, or the one to replace holds other files.

    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary(folder.parent) as temp:
            temp.mkdir()
            fill(temp)
            files = sorted(p for p in temp.rglob("*") if p.is_file())
            sums = {p.relative_to(temp).as_posix(): [p.stat().st_size, checksum(p)] for p in files}
            body = {"format": 1, "files": sums, "about": dict(about or {})}
            (temp / MANIFEST).write_bytes(_seal(body))
            if replace:
                _check_replaceable(folder)
                sweep(folder.parent)
                remove(folder)
            try:
                temp.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                return False
            return True
    except OSError as error:
        raise cannot_write(folder, error) from error


def check_folder(folder: Path) -> dict[str, Any]:
    """What the manifest says `about` the folder, once every file is known to be as it was written.

    Raises
    ------
    DamagedError
        (a FileError) when the folder, a file or the manifest is missing or damaged.
    FileError
        When the system refuses to read.

    """
    body = read_manifest(folder)
    check_files(folder, body, body["files"])
    return body["about"]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, checked against itself but not against the files.

    Raises
    ------
    DamagedError
        When it is missing or damaged.
    FileError
        When the system refuses to read.

    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedError(
            f"{path} is not there: the folder is missing or incomplete; make it again"
        ) from error
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); try again") from error
    try:
        body = json.loads(data)["body"]
        if _seal(body) != data or body["format"] != 1:
            raise ValueError
        for name, (size, crc) in body["files"].items():
            if not (isinstance(size, int) and isinstance(crc, int) and _inside(name)):
                raise ValueError
        if not isinstance(body["about"], dict):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DamagedError(f"{path} is damaged; delete the folder and make it again") from None
    return body


def check_files(folder: Path, body: Mapping[str, Any], names: Iterable[str]) -> None:
    """Compare some files with the manifest, each once per process unless it was touched since.

    Raises
    ------
    DamagedError
        When a file is missing, or its length or checksum is another.
    FileError
        When the system refuses to read.

    """
    for name in names:
        path = folder / name
        size, crc = body["files"][name]
        try:
            intact = _intact(path, size, crc)
        except (FileNotFoundError, NotADirectoryError):
            intact = False
        except OSError as error:
            raise FileError(f"{path} cannot be read ({error.strerror}); try again") from error
        if not intact:
            raise DamagedError(
                f"{path} is missing or damaged (not the {size} bytes that were written); delete"
                f" {folder} and make it again"
            )


def remove(folder: Path) -> None:
    """Remove a folder at once: no other process sees half of it.

    Raises
    ------
    FileError
        When it may not be removed.

    """
    try:
        with temporary(folder.parent) as temp:
            folder.rename(temp)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(
            f"{folder} is to be replaced but cannot be removed ({error.strerror}); delete it"
        ) from error


def checksum(path: Path) -> int:
    """CRC-32 of a file: finds every flipped bit and every torn page, at the speed of memory."""
    crc = 0
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            crc = zlib.crc32(view[:count], crc)
    return crc


def digest_of(*parts: str) -> str:
    """Digest of some strings, in order."""
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def check_key(key: str) -> str:
    """The key itself, if it can name a folder.

    Raises
    ------
    FileError
        When it has other characters than letters, digits, ``-`` and ``_``, or fewer than two.

    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{2,}", key):
        raise FileError(f"{key!r} is no key of the store: use the hexadecimal digest of something")
    return key


def slug(position: int, name: str) -> str:
    """A file name that is unique by its number and tells a human what it holds.

    >>> slug(0, "layer/3 relu")
    '0-layer_3_relu'
    """
    return f"{position}-{re.sub(r'[^A-Za-z0-9.-]+', '_', name)[:60]}".rstrip("-.")


def _check_replaceable(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise FileError(
            f"{folder} holds files that striate did not write; name another folder or empty it"
        )


def _seal(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True)
    return f'{{"body": {text}, "checksum": {zlib.crc32(text.encode())}}}\n'.encode()


def _inside(name: str) -> bool:
    """Whether a relative path stays in its folder."""
    return not re.search(r"(^|/)\.{0,2}(/|$)|[\\:\0]", name)


def _intact(path: Path, size: int, crc: int) -> bool:
    status = path.stat()
    mark = (status.st_size, status.st_mtime_ns, status.st_ino, crc)
    if _INTACT.get(str(path)) == mark:
        return True
    if status.st_size != size or checksum(path) != crc:
        return False
    _INTACT[str(path)] = mark
    return True
