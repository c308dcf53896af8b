"""Arrays of files that cannot be memory-mapped, read once and kept in a form that can."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from striate.errors import FileError
from striate.machine import here
from striate.media.files import file_digest
from striate.store.arrays import read_array, write_array
from striate.store.atomic import (
    DamagedError,
    check_files,
    check_folder,
    check_key,
    digest_of,
    read_manifest,
    write_folder,
)
from striate.store.temporary import open_store, sweep, write_bytes

Read = Callable[[], Mapping[str, np.ndarray]]

PLACE = "converted"


class Converted(Mapping[str, np.ndarray]):
    """Memory-mapped arrays by name, each compared with its checksum when it is first asked for.

    `shapes` tells their shapes without opening them.
    """

    def __init__(self, folder: Path, write: Callable[[], None]) -> None:
        self._folder, self._write = folder, write
        self._body = read_manifest(folder)
        arrays: Mapping[str, dict] = self._body["about"]["arrays"]
        self._files = {name: str(one["file"]) for name, one in arrays.items()}
        self.shapes = {name: tuple(one["shape"]) for name, one in arrays.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        file = self._files[name]
        try:
            check_files(self._folder, self._body, [file])
        except DamagedError:
            self._write()
            self._body = read_manifest(self._folder)
            check_files(self._folder, self._body, [file])
        return read_array(self._folder / file, mmap=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def converted(path: Path, read: Read, form: str = "") -> Converted:
    """The arrays that `read` makes of a file, memory-mapped from the store of this machine.

    They are kept under the digest of the file's content. A file with the name, size and time of
    one that was seen before is not opened again, so a second opening reads a few hundred bytes.
    Nothing is written where the arrays are there already.

    Parameters
    ----------
    path
        The file, which must not be a member of an archive.
    read
        Called where the arrays are not in the store; returns plain arrays by name.
    form
        Names how `read` reads, where one file is read in several ways, and changes when the
        arrays that it makes do.

    Raises
    ------
    FileError
        When there is no such file, or the arrays are not in the store and it cannot be written;
        and what `read` raises.

    """
    store = Path(here().store).expanduser()
    key = _key(path, form, store / PLACE)
    folder = store / PLACE / key[:2] / key
    about = {"file": path.name, "form": form}

    def write() -> None:
        open_store(store)
        _write(folder, read, about)

    try:
        return Converted(folder, write)
    except DamagedError:
        write()
        return Converted(folder, write)


def _key(path: Path, form: str, root: Path) -> str:
    """Digest of content and form; found by name, size and time where the file was seen before."""
    try:
        status = path.stat()
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}): is the name right?") from error
    mark = (str(path.resolve()), str(status.st_size), str(status.st_mtime_ns))
    seen = root / "seen" / digest_of(*mark)
    try:
        digest = check_key(seen.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, FileError):
        digest = file_digest(path)
        with contextlib.suppress(OSError):  # a store that is only read has no place for notes
            seen.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(seen, digest.encode())
    return digest_of(digest, form)


def _write(folder: Path, read: Read, about: Mapping[str, str]) -> None:
    found = {name: np.asarray(values) for name, values in read().items()}
    files = {name: f"{k}.npy" for k, name in enumerate(found)}
    arrays = {n: {"file": files[n], "shape": list(v.shape)} for n, v in found.items()}

    def fill(place: Path) -> None:
        for name, values in found.items():
            write_array(place / files[name], values)

    sweep(folder.parent)
    if write_folder(folder, fill, {**about, "arrays": arrays}):
        return
    try:
        check_folder(folder)  # another process may have been faster
    except DamagedError:
        write_folder(folder, fill, {**about, "arrays": arrays}, replace=True)
