"""A zip archive that leads elsewhere, or grows without measure, is not unpacked."""

import struct
import zipfile

import pytest

from striate.errors import FileError
from striate.files import is_zip, read_member, zip_members
from striate.files.zips import BOMB, LARGE, is_inside


def packed(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_members_are_listed_and_read(tmp_path, method):
    content = b"abc" * 1000
    path = packed(tmp_path / "x.zip", [("f/", b""), ("f/a.npy", content), ("b", b"")], method)
    assert is_zip(path)
    assert {n: i.file_size for n, i in zip_members(path).items()} == {"f/a.npy": 3000, "b": 0}
    assert read_member(path, "f/a.npy") == content
    assert read_member(path, "b") == b""
    with pytest.raises(FileError, match=r"no member 'c'; it holds f/a.npy, b"):
        read_member(path, "c")
    with pytest.raises(FileError, match="unpacks to 3000 bytes, more than the 2999"):
        read_member(path, "f/a.npy", limit=2999)


@pytest.mark.parametrize(
    "name",
    ["../a", "/a", "a/../../b", "C:/a", "c:\\a", "\\\\host\\share\\a", "..\\a", "a/..", "//a"],
)
def test_members_outside_are_refused(tmp_path, name):
    assert not is_inside(name)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"abc")
    with pytest.raises(FileError, match="points outside of the archive"):
        zip_members(path)


def test_names_that_only_look_odd_are_fine(tmp_path):
    names = ["a..b", "..a/b", "a b", "é", "a/b/c.npy", "c_/d"]
    assert all(map(is_inside, names))
    assert list(zip_members(packed(tmp_path / "x.zip", [(n, b"1") for n in names]))) == names


def test_links_twins_and_secrets_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    packed(path, [(info, b"/etc/passwd")])
    with pytest.raises(FileError, match="'link' is a link"):
        zip_members(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        packed(path, [("a", b"1"), ("a", b"2")])
    with pytest.raises(FileError, match="'a' stands twice"):
        read_member(path, "a")
    packed(path, [("a", b"1")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="encrypted"):
        zip_members(path)


def test_what_grows_too_much_is_refused(tmp_path):
    path = packed(tmp_path / "x.zip", [("zeros", bytes(LARGE + 1))])
    assert path.stat().st_size * BOMB < LARGE
    with pytest.raises(FileError, match=f"unpack from .* to {LARGE + 1} bytes"):
        read_member(path, "zeros")
    packed(path, [("zeros", bytes(10 << 20))])
    assert read_member(path, "zeros") == bytes(10 << 20)
    packed(path, [("a", b"abcdefgh" * 4)])
    for claim in (1 << 31, 40_000):
        content = bytearray(path.read_bytes())
        at = content.index(b"PK\x01\x02") + 24
        content[at : at + 4] = struct.pack("<I", claim)
        (tmp_path / "y.zip").write_bytes(content)
        with pytest.raises(FileError, match=f"to {claim} bytes"):
            zip_members(tmp_path / "y.zip")


def test_members_that_share_bytes_are_refused(tmp_path):
    path = packed(tmp_path / "x.zip", [("a", bytes(range(256)) * 40)], zipfile.ZIP_STORED)
    content = path.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"a", bytes([ord("a") + k]), 1) for k in range(5))
    tail = bytearray(content[end:])
    tail[8:12] = struct.pack("<HH", 5, 5)
    tail[12:16] = struct.pack("<I", len(entries))
    path.write_bytes(content[:start] + entries + tail)
    with pytest.raises(FileError, match="overlap"):
        zip_members(path)


def test_damage_is_one_sentence(tmp_path):
    path = packed(tmp_path / "x.zip", [("a", bytes(range(256)) * 40)])
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a of .*x\.zip is damaged"):
        read_member(path, "a")
    path.write_bytes(content[:-30])
    assert not is_zip(path)
    with pytest.raises(FileError, match="damaged or no zip archive"):
        zip_members(path)
    assert not is_zip(tmp_path / "none.zip")


def test_what_all_members_unpack_to_is_counted(tmp_path):
    path = packed(tmp_path / "x.zip", [(f"{k}", bytes(LARGE // 2)) for k in range(4)])
    with pytest.raises(FileError, match=f"to {2 * LARGE} bytes"):
        zip_members(path)


def test_members_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("striate.files.zips.MOST", 3)
    assert len(zip_members(packed(tmp_path / "x.zip", [(str(k), b"") for k in range(3)]))) == 3
    with pytest.raises(FileError, match="4 members, more than the 3"):
        zip_members(packed(tmp_path / "x.zip", [(str(k), b"") for k in range(4)]))
