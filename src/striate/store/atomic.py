"""A folder that is there complete or not at all, and that tells when a bit of it has changed.

A folder is filled under a temporary name beside its place and renamed into it, so a killed process
leaves either nothing or everything. Its ``manifest.json`` names every file with length and CRC-32
and ends in a checksum of itself. Nothing is synced to the disk one by one: what a power cut tears,
the checksums find.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from striate.errors import FileError, StriateError

MANIFEST = "manifest.json"
OLD = 24 * 3600
"""Seconds after which what another computer left unfinished is nobody's."""

_TEMPORARY = ".tmp-"
_ACTIVE: set[str] = set()
_INTACT: dict[str, tuple[int, int, int, int]] = {}


class Unstorable(StriateError):  # noqa: N818
    """A value that has no plain form as text, numbers and labelled arrays."""


def open_store(path: str | os.PathLike[str]) -> Path:
    """The folder of the store, created where needed and known to be writable.

    Raises
    ------
    FileError
        When it cannot be created or written, or its disk is full.

    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary(folder) as probe:
            probe.write_bytes(bytes(1 << 16))
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def cannot_write(folder: Path, error: OSError) -> FileError:
    """The error to raise when the system refused to write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FileError(
            f"the disk of {folder} is full: free some space or name another folder as `store`, and"
            " run again; what was finished is kept"
        )
    return FileError(
        f"cannot write to {folder} ({error.strerror or error}): make it a writable folder, or name"
        " another one as `store` (or in the environment variable STRIATE_STORE)"
    )


@contextmanager
def temporary(parent: Path) -> Iterator[Path]:
    """A name in `parent` that nobody else uses; whatever stands there at the end is removed."""
    path = parent / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}-{_place()}"
    _ACTIVE.add(path.name)
    try:
        yield path
    finally:
        _delete(path)
        _ACTIVE.discard(path.name)


def sweep(parent: Path) -> None:
    """Remove what killed processes left unfinished in `parent`."""
    try:
        paths = [p for p in parent.iterdir() if p.name.startswith(_TEMPORARY)]
    except OSError:
        return
    for path in filter(_stale, paths):
        _delete(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it is there complete or as it was before."""
    with temporary(path.parent) as temp:
        temp.write_bytes(data)
        temp.replace(path)


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
    FileError
        When the folder, a file or the manifest is missing or damaged.

    """
    body = read_manifest(folder)
    check_files(folder, body, body["files"])
    return body["about"]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, checked against itself but not against the files.

    Raises
    ------
    FileError
        When it is missing or damaged.

    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"{path} cannot be read ({error.strerror}): the folder is missing or incomplete;"
            " make it again"
        ) from error
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
        raise FileError(f"{path} is damaged; delete the folder and make it again") from None
    return body


def check_files(folder: Path, body: Mapping[str, Any], names: Iterable[str]) -> None:
    """Compare some files with the manifest, each once per process unless it was touched since.

    Raises
    ------
    FileError
        When a file is missing, or its length or checksum is another.

    """
    for name in names:
        path = folder / name
        size, crc = body["files"][name]
        if not _intact(path, size, crc):
            raise FileError(
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


def write_array(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write an array as ``.npy``; never pickles."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_array(path: Path, mmap: bool = False) -> Shaped[np.ndarray, "..."]:
    """Read a ``.npy`` file, or map it into memory; never unpickles.

    Raises
    ------
    FileError
        When the file is missing, shorter than it says, no ``.npy``, or holds Python objects.

    """
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        return mapped if mmap else np.array(mapped)
    except Exception as error:
        raise FileError(
            f"{path} cannot be read as a plain array ({_first_line(error)}); delete it and make it"
            " again"
        ) from error


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


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
    try:
        status = path.stat()
        mark = (status.st_size, status.st_mtime_ns, status.st_ino, crc)
        if _INTACT.get(str(path)) == mark:
            return True
        if status.st_size != size or checksum(path) != crc:
            return False
    except OSError:
        return False
    _INTACT[str(path)] = mark
    return True


@cache
def _place() -> str:
    """Where process numbers mean the same: one computer and, in containers, one name space."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.blake2b(f"{platform.node()} {space}".encode(), digest_size=6).hexdigest()


def _stale(path: Path) -> bool:
    if path.name in _ACTIVE:
        return False
    try:
        pid, _, place = path.name.removeprefix(_TEMPORARY).split("-")
        if place == _place() and os.name != "nt" and not _alive(int(pid)):
            return True
        return time.time() - path.stat().st_mtime > OLD
    except (OSError, ValueError):
        return False


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # an earlier process had our number: what we write ourselves is active
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
