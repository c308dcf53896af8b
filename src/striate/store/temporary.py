"""Names for unfinished work that nobody else uses, removed once whoever worked there is gone."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from striate.errors import FileError

OLD = 24 * 3600
"""Seconds after which what another computer left unfinished is nobody's."""

_TEMPORARY = ".tmp-"
_ACTIVE: set[str] = set()


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
        sweep(folder)
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


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
