"""Files and members of archives (`archive.zip::member`): list, read and digest them."""

from __future__ import annotations

import hashlib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath
from typing import cast

import pandas as pd

from striate.data import Stimuli, natural_key
from striate.errors import FileError, some
from striate.files import is_inside
from striate.machine import here
from striate.media import bricks

MEMBER = "::"
SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
FILMS = (
    ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm",
    ".wmv",
)  # fmt: skip
SOUNDS = (".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav")
LARGEST_MEMBER = 1 << 31
"""Bytes of one zip member: a small archive can claim to hold far more than memory."""


def read_bytes(file: str | Path) -> bytes:
    """Content of a file, of a member of a zip archive, or of a picture in an HDF5 file.

    Raises
    ------
    FileError
        When the file, the archive or its member is missing, damaged or unsafe.

    """
    with _open(str(file)) as stream:
        return _read(stream, str(file), -1)


def file_digest(file: str | Path) -> str:
    """Digest (blake2b, 32 hexadecimal digits) of the content of a file or zip member."""
    h = hashlib.blake2b(digest_size=16)
    with _open(str(file)) as stream:
        while piece := _read(stream, str(file), 1 << 20):
            h.update(piece)
    return h.hexdigest()


def digests(stimuli: Stimuli) -> Stimuli:
    """The stimuli with their column ``digest`` filled from the content of their files.

    A chunk of a longer file (``onset``, ``duration``) gets a digest of its own. A stimulus whose
    file is missing keeps the digest it came with, which is normally empty.

    Raises
    ------
    FileError
        When a file is there but cannot be read.

    """
    table = stimuli.table
    files = [str(f) for f in table["file"]]
    unique = [f for f in dict.fromkeys(files) if f and _exists(f)]
    with ThreadPoolExecutor(max(1, here().threads)) as pool:
        known = dict(zip(unique, pool.map(file_digest, unique), strict=True))
    timing = [_seconds(table, name) for name in ("onset", "duration")]
    values = [
        _chunk(known[file], onset, duration) if file in known else str(old)
        for file, onset, duration, old in zip(files, *timing, table["digest"], strict=True)
    ]
    return stimuli.with_column("digest", values)


def list_images(place: str | Path) -> list[str]:
    """Image files below a folder, or images in a zip archive or HDF5 file, in natural order.

    Hidden files and what macOS adds to archives are left out.

    Raises
    ------
    FileError
        When the place is missing or holds no images, or a member of the archive has an absolute
        path or one with ``..``.

    """
    return _listed(Path(place), "images", SUFFIXES)


def list_media(place: str | Path) -> list[str]:
    """Images, films and sounds below a folder or in a zip archive, in natural order.

    Raises
    ------
    FileError
        As `list_images`, when there are none of any kind.

    """
    return _listed(Path(place), "images, films or sounds", (*SUFFIXES, *FILMS, *SOUNDS))


def _listed(root: Path, what: str, suffixes: tuple[str, ...]) -> list[str]:
    def fits(name: str) -> bool:
        return name.lower().endswith(suffixes) and not name.startswith(".")

    if root.is_dir():
        found = [
            str(Path(folder) / name)
            for folder, folders, names in os.walk(root)
            if not _prune(folders)
            for name in names
            if fits(name)
        ]
    elif root.is_file() and bricks.is_brick(str(root)):
        found = [f"{root}{MEMBER}{n}" for n in bricks.pictures(str(root)) if fits(n)]
    elif root.is_file():
        names = _archive(str(root)).namelist()
        unsafe = [n for n in names if not is_inside(n)]
        if unsafe:
            raise FileError(
                f"{root}: members point outside of the archive ({some(unsafe)}): pack the {what}"
                " again with relative paths"
            )
        kept = [n for n in names if fits(PurePosixPath(n).name) and "__MACOSX" not in n]
        found = [f"{root}{MEMBER}{n}" for n in kept]
    else:
        raise FileError(f"{root}: no such folder or zip archive of {what}; check the path")
    if not found:
        raise FileError(f"{root}: holds no {what}; {what} end in {', '.join(suffixes)}")
    return sorted(found, key=natural_key)


def _seconds(table: pd.DataFrame, name: str) -> list[float | None]:
    if name not in table:
        return [None] * len(table)
    return [None if v != v else float(v) for v in table[name].astype(float)]


def _chunk(content: str, onset: float | None, duration: float | None) -> str:
    if onset is None and duration is None:
        return content
    text = f"{content} {onset!r} {duration!r}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _prune(folders: list[str]) -> bool:
    """Leave out hidden folders of a walk; always false, so that it can stand in a filter."""
    folders[:] = [f for f in folders if not f.startswith(".")]
    return False


def _split(file: str) -> tuple[str, str]:
    archive, mark, member = file.partition(MEMBER)
    return (archive, member) if mark and not Path(file).exists() else (file, "")


def _exists(file: str) -> bool:
    archive, member = _split(file)
    if not member:
        return Path(file).is_file()
    if bricks.is_brick(archive):
        return Path(archive).is_file() and bricks.holds(archive, member)
    return Path(archive).is_file() and member in _archive(archive).NameToInfo


def _open(file: str) -> BufferedIOBase:
    archive, member = _split(file)
    if not member:
        try:
            return Path(file).open("rb")
        except OSError as error:
            raise FileError(
                f"{file}: cannot be read ({error.strerror}); check the path and its permissions"
            ) from error
    if not is_inside(member):
        raise FileError(
            f"{file}: the member points outside of the archive; pack it with relative paths"
        )
    if bricks.is_brick(archive):
        return BytesIO(bricks.read_picture(archive, member))
    opened = _archive(archive)
    if member not in opened.NameToInfo:
        near = some(sorted(opened.namelist()))
        raise FileError(f"{archive}: has no member {member!r}; it holds {near or 'nothing'}")
    if opened.getinfo(member).file_size > LARGEST_MEMBER:
        raise FileError(f"{file}: unpacks to more than 2 GiB; unpack the archive by hand")
    try:
        return cast(BufferedIOBase, opened.open(member))
    except Exception as error:  # a damaged entry fails in struct, text, zipfile or the system
        raise FileError(f"{file}: cannot be unpacked ({error}); unpack it by hand") from error


def _read(stream: BufferedIOBase, file: str, size: int) -> bytes:
    try:
        return stream.read(size)
    except Exception as error:  # a damaged archive fails in zlib, lzma, zipfile or the system
        raise FileError(f"{file}: cannot be read ({error}); copy or download it again") from error


def _archive(file: str) -> zipfile.ZipFile:
    try:
        state = Path(file).stat()
        return _cached_archive(file, os.getpid(), state.st_mtime_ns, state.st_size)
    except FileNotFoundError as error:
        raise FileError(f"{file}: no such zip archive; check the path") from error
    except Exception as error:  # a damaged table of contents fails in struct, text or zipfile
        raise FileError(f"{file}: is no readable zip archive ({error})") from error


@lru_cache(maxsize=4)
def _cached_archive(file: str, process: int, modified: int, size: int) -> zipfile.ZipFile:
    """An open archive: reading its table of contents costs more than reading a member."""
    return zipfile.ZipFile(file)
