"""Listing, reading and digesting files and members of archives."""

import zipfile

import pandas as pd
import pytest
from PIL import Image

from striate.data import Stimuli
from striate.errors import FileError
from striate.media import digests, file_digest, list_images, list_media, read_bytes


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    (images / ".hidden").mkdir()
    for name in ("img10.png", "img9.PNG", "more/img1.jpg", ".hidden/no.png", "._img9.png"):
        Image.new("RGB", (3, 3), "red").save(images / name, "PNG")
    (images / "notes.txt").write_text("no image")
    return images


def test_images_of_a_folder_in_natural_order(folder):
    found = [f.removeprefix(f"{folder}/") for f in list_images(folder)]
    assert found == ["img9.PNG", "img10.png", "more/img1.jpg"]


def test_images_of_an_archive_in_natural_order(folder, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("b/img10.png", "b/img9.png", "__MACOSX/b/img9.png", "b/readme.txt"):
            archive.write(folder / "img10.png", name)
    assert list_images(path) == [f"{path}::b/img9.png", f"{path}::b/img10.png"]
    assert read_bytes(f"{path}::b/img9.png") == (folder / "img10.png").read_bytes()
    assert file_digest(f"{path}::b/img9.png") == file_digest(folder / "img10.png")


def test_films_and_sounds_are_listed_with_images(folder, tmp_path):
    for name in ("a10.mp4", "a9.MKV", "more/b.wav", ".hidden/c.mp4"):
        (folder / name).write_bytes(b"")
    found = [f.removeprefix(f"{folder}/") for f in list_media(folder)]
    assert found == ["a9.MKV", "a10.mp4", "img9.PNG", "img10.png", "more/b.wav", "more/img1.jpg"]
    assert len(list_images(folder)) == 3
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "a10.mp4", "a10.mp4")
    assert list_media(tmp_path / "all.zip") == [f"{tmp_path}/all.zip::a10.mp4"]
    with pytest.raises(FileError, match="holds no images, films or sounds"):
        list_media(_empty(tmp_path))


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize("member", ["../out.png", "/etc/out.png", "a/../../out.png", "C:\\out.png"])
def test_members_that_point_outside_are_refused(tmp_path, member):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"")
    with pytest.raises(FileError, match=r"evil\.zip.*outside of the archive"):
        list_images(path)
    with pytest.raises(FileError, match="outside of the archive"):
        read_bytes(f"{path}::{member}")


def test_places_without_images_say_so(tmp_path):
    with pytest.raises(FileError, match="holds no images; images end in"):
        list_images(tmp_path)
    with pytest.raises(FileError, match="no such folder or zip archive"):
        list_images(tmp_path / "absent")
    (tmp_path / "no.zip").write_bytes(b"PK but no archive")
    with pytest.raises(FileError, match=r"no\.zip: is no readable zip archive"):
        list_images(tmp_path / "no.zip")


def test_missing_and_damaged_members(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.png", b"some content" * 50)
    with pytest.raises(FileError, match=r"has no member 'y\.png'; it holds x\.png"):
        read_bytes(f"{path}::y.png")
    content = bytearray(path.read_bytes())
    content[60:70] = b"0123456789"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.zip::x\.png: cannot be read"):
        read_bytes(f"{path}::x.png")


def test_digests_follow_content_not_names(folder):
    copy = folder / "copy of img9.png"
    copy.write_bytes((folder / "img9.PNG").read_bytes())
    table = digests(Stimuli.from_files([folder / "img9.PNG", copy])).table
    assert table.digest.nunique() == 1
    assert len(table.digest.iloc[0]) == 32
    copy.write_bytes(b"other")
    assert digests(Stimuli.from_files([folder / "img9.PNG", copy])).table.digest.nunique() == 2


def test_chunks_of_one_file_have_digests_of_their_own(folder):
    file = str(folder / "img9.PNG")
    table = pd.DataFrame(
        {"file": file, "onset": [0.0, 1.5, 0.0, None], "duration": [1.5, 1.5, 3.0, None]},
        index=list("abcd"),
    )
    found = digests(Stimuli(table)).table.digest
    assert found.nunique() == 4
    assert found["d"] == file_digest(file)


def test_missing_files_have_no_digest(folder):
    table = pd.DataFrame({"file": ["", str(folder / "gone.png")]}, index=["a", "b"])
    assert list(digests(Stimuli(table)).table.digest) == ["", ""]
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("x.png", b"x")
    member = pd.DataFrame({"file": [f"{folder}/z.zip::y.png"]}, index=["a"])
    assert list(digests(Stimuli(member)).table.digest) == [""]
