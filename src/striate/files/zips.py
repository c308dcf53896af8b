"""Members of zip archives, which stay inside of their archive and close to its size."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import cast

from striate.errors import FileError, some

DEFLATE = 1032
"""Times its size that deflated content can become, at most."""
BOMB, LARGE = 200, 100 << 20
"""Times its size that content of more than so many bytes may become."""
LARGEST = 1 << 31
MOST = 100_000
"""Members of an archive."""
KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def is_zip(path: Path) -> bool:
    """Whether a file ends as a zip archive does."""
    try:
        return Path(path).is_file() and zipfile.is_zipfile(path)
    except (OSError, ValueError):
        return False


def is_inside(member: str) -> bool:
    """Whether a member's path stays inside of the archive on every system."""
    posix, windows = PurePosixPath(member), PureWindowsPath(member)
    rooted = posix.is_absolute() or windows.drive or windows.root
    return bool(member) and not rooted and ".." not in windows.parts and "\0" not in member


def told(name: str) -> str:
    """A member's name as it can be shown: a damaged one may hold anything."""
    return name if name.isprintable() else ascii(name)


def zip_members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """What a zip archive says of its members, by name, folders left out.

    Raises
    ------
    FileError
        When the archive is missing or damaged, or a member points outside of it, is a link, stands
        twice, is encrypted, or claims more than its packed bytes can hold.

    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"no zip archive {path}; check the path")
    with _opened(path) as archive:
        infos = archive.infolist()
    size = path.stat().st_size
    if len(infos) > MOST:
        raise FileError(f"{path} has {len(infos)} members, more than the {MOST} of any data set")
    total = sum(info.file_size for info in infos)
    if total > LARGE and total > BOMB * size:
        raise FileError(
            f"{path} claims to unpack from {size} to {total} bytes; copy or download the archive"
            " again, or unpack it by hand"
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        if not is_inside(name):
            raise FileError(f"{path}: member {name!r} points outside of the archive; pack it again")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FileError(f"{path}: member {name!r} is a link; pack the file itself")
        if name in members:
            raise FileError(f"{path}: member {name!r} stands twice; pack it again")
        if info.flag_bits & 0x1:
            raise FileError(f"{path}: member {name!r} is encrypted; unpack it by hand")
        if info.compress_type not in KINDS:
            raise FileError(f"{path}: member {name!r} is packed in an unknown way; pack it again")
        _fits(info, size, path)
        if not info.is_dir():
            members[name] = info
    if sum(i.compress_size for i in members.values()) > size:
        raise FileError(f"{path}: members overlap; copy or download it again")
    return members


def read_member(path: Path, name: str, limit: int = LARGEST) -> bytes:
    """Content of one member of at most `limit` bytes.

    Raises
    ------
    FileError
        As `zip_members`, when there is no such member, it is larger or damaged.

    """
    members = zip_members(path)
    if name not in members:
        raise FileError(f"{path} has no member {name!r}; it holds {some(members) or 'nothing'}")
    info = members[name]
    if info.file_size > limit:
        raise FileError(
            f"{name} of {path} unpacks to {info.file_size} bytes, more than the {limit} expected"
        )
    with open_member(path, info) as stream:
        return stream.read()


DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What unpacking raises for a damaged member."""


class Unpacked(BufferedIOBase):
    """A member's content, read in order; what goes wrong is a `FileError`."""

    def __init__(self, stream: BufferedIOBase, where: str) -> None:
        super().__init__()
        self._stream, self._where = stream, where

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, as of any file."""
        try:
            return self._stream.read(size)
        except DAMAGE as error:
            raise FileError(f"{self._where} is damaged: {error}; download it again") from error


@contextmanager
def open_member(path: Path, info: zipfile.ZipInfo) -> Iterator[BufferedIOBase]:
    """The content of a member as a stream."""
    where = f"{told(info.filename)} of {path}"
    with _opened(path) as archive:
        try:
            stream = archive.open(info)
        except DAMAGE as error:
            raise FileError(f"{where} cannot be unpacked: {error}") from error
        with stream:
            yield Unpacked(cast(BufferedIOBase, stream), where)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged table of contents fails in struct, text, dates, …
        raise FileError(f"{path} is damaged or no zip archive: {error}") from error
    with archive:
        yield archive


def _fits(info: zipfile.ZipInfo, size: int, path: Path) -> None:
    packed, content = info.compress_size, info.file_size
    most = content if info.compress_type != zipfile.ZIP_STORED else packed
    if info.compress_type == zipfile.ZIP_DEFLATED:
        most = DEFLATE * packed + 64
    if packed > size or content > most or (content > LARGE and content > BOMB * packed):
        raise FileError(
            f"{path}: member {info.filename!r} claims to unpack from {packed} to {content} bytes;"
            " copy or download the archive again, or unpack it by hand"
        )
