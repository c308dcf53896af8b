import hashlib
import threading
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from striate.data import Stimuli
from striate.errors import FileError
from striate.media import (
    bricks,
    digests,
    file_digest,
    list_images,
    list_media,
    near_duplicates,
    open_image,
    read_bytes,
)


def brick(path: Path, count: int = 6, size: tuple[int, int] = (9, 7), **options) -> np.ndarray:
    values = np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("imgBrick", data=values, **options)
    return values


LAYOUTS = [{}, {"chunks": (1, 9, 7, 3)}]


@pytest.mark.parametrize("options", [*LAYOUTS, {"chunks": (1, 9, 7, 3), "compression": "gzip"}])
def test_a_picture_is_a_row(tmp_path, options):
    values = brick(tmp_path / "s.hdf5", **options)
    for k in (0, 3, 5):
        name = f"{tmp_path / 's.hdf5'}::imgBrick/{k}.ppm"
        np.testing.assert_array_equal(np.asarray(open_image(name)), values[k])
        content = read_bytes(name)
        assert content == b"P6\n7 9\n255\n" + values[k].tobytes()
        assert file_digest(name) == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_listed_in_the_order_of_rows(tmp_path):
    brick(tmp_path / "s.h5", 12)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file["grey"] = np.zeros((3, 4, 4), np.uint8)
        file["floats"] = np.zeros((3, 4, 4, 3))
        file.create_group("deep")["more"] = np.zeros((2, 4, 4, 3), np.uint8)
    listed = list_images(tmp_path / "s.h5")
    assert listed == [f"{tmp_path / 's.h5'}::imgBrick/{k}.ppm" for k in range(12)]
    assert list_media(tmp_path / "s.h5") == listed
    assert open_image(f"{tmp_path / 's.h5'}::deep/more/1.ppm").size == (4, 4)
    assert Stimuli.from_files(listed[:2]).ids == ("0", "1")


def test_digests_name_contents_and_leave_out_what_is_not_there(tmp_path):
    values = brick(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["imgBrick"] = values[::-1]
    ids = [f"{f}{k}" for f in "ab" for k in range(7)]
    files = [f"{tmp_path / i[0]}.hdf5::imgBrick/{i[1]}.ppm" for i in ids]
    found = digests(Stimuli.from_files(files, ids)).table["digest"]
    assert found["a6"] == found["b6"] == ""
    assert [found[f"a{k}"] for k in range(6)] == [found[f"b{5 - k}"] for k in range(6)]
    assert len(set(found)) == 7


def test_copies_are_found(tmp_path):
    y, x = np.mgrid[:40, :40]
    shapes = [np.sin(x / 3), np.sin(y / 2), np.sin((x + y) / 4), np.sin(x / 3) * 0.5]
    values = np.stack([np.uint8(128 + 100 * s)[..., None].repeat(3, axis=2) for s in shapes])
    with h5py.File(tmp_path / "s.hdf5", "w") as file:
        file["imgBrick"] = values
    stimuli = Stimuli.from_files(list_images(tmp_path / "s.hdf5"))
    assert [(a, b) for a, b, _ in near_duplicates(stimuli)] == [("0", "3")]


def test_threads_read_what_is_there(tmp_path):
    values = brick(tmp_path / "s.hdf5", 40)
    wrong: list[int] = []

    def read(turn: int) -> None:
        for k in np.random.default_rng(turn).permutation(40):
            got = np.asarray(open_image(f"{tmp_path / 's.hdf5'}::imgBrick/{k}.ppm"))
            if not np.array_equal(got, values[k]):
                wrong.append(int(k))

    crew = [threading.Thread(target=read, args=(k,)) for k in range(4)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    assert not wrong


def test_a_changed_file_is_read_again(tmp_path):
    first = brick(tmp_path / "s.hdf5", 6)
    name = f"{tmp_path / 's.hdf5'}::imgBrick/2.ppm"
    np.testing.assert_array_equal(np.asarray(open_image(name)), first[2])
    (tmp_path / "s.hdf5").unlink()
    second = brick(tmp_path / "s.hdf5", 5)
    np.testing.assert_array_equal(np.asarray(open_image(name)), second[2])


@pytest.mark.parametrize(
    "member",
    ["imgBrick/6.ppm", "imgBrick/-1.ppm", "imgBrick/06.ppm", "imgBrick/1.png", "imgBrick",
     "other/1.ppm", "imgBrick/x/1.ppm", "./imgBrick/1.ppm", "imgBrick//1.ppm",
     "imgBrick/99999999999999999999.ppm"],
)  # fmt: skip
def test_what_is_not_there(tmp_path, member):
    brick(tmp_path / "s.hdf5")
    with pytest.raises(FileError, match=r"has no picture .*imgBrick/0.ppm, imgBrick/5.ppm"):
        open_image(f"{tmp_path / 's.hdf5'}::{member}")


def test_nothing_outside_of_the_file_is_read(tmp_path):
    brick(tmp_path / "secret.hdf5")
    np.zeros((2, 4, 4, 3), np.uint8).tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "s.hdf5", "w") as file:
        file["outer"] = h5py.ExternalLink("secret.hdf5", "imgBrick")
        file["group"] = h5py.ExternalLink("secret.hdf5", "/")
        file["soft"] = h5py.SoftLink("/outer")
        file.create_dataset(
            "raw", (2, 4, 4, 3), np.uint8, external=[(str(tmp_path / "raw"), 0, 96)]
        )
        layout = h5py.VirtualLayout((6, 9, 7, 3), np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.hdf5"), "imgBrick", (6, 9, 7, 3))
        file.create_virtual_dataset("virtual", layout)
    for name in ("outer/0", "group/imgBrick/0", "soft/0", "raw/0", "virtual/0"):
        with pytest.raises(FileError, match="not followed"):
            open_image(f"{tmp_path / 's.hdf5'}::{name}.ppm")
    with pytest.raises(FileError, match="outside of the archive"):
        open_image(f"{tmp_path / 's.hdf5'}::../imgBrick/0.ppm")


def test_claims_beyond_memory_are_refused(tmp_path):
    with h5py.File(tmp_path / "s.hdf5", "w") as file:
        file.create_dataset("wide", (2, 1 << 15, 1 << 15, 3), np.uint8, chunks=(1, 64, 64, 3))
        file.create_dataset("thick", (1 << 20, 64, 64, 3), np.uint8, chunks=(1 << 15, 64, 64, 3))
    for name in ("wide", "thick"):
        with pytest.raises(FileError, match="exceed the limit"):
            open_image(f"{tmp_path / 's.hdf5'}::{name}/0.ppm")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(FileError, match="no such"):
        open_image(f"{tmp_path / 's.hdf5'}::imgBrick/0.ppm")
    brick(tmp_path / "s.hdf5")
    whole = (tmp_path / "s.hdf5").read_bytes()
    for content in (b"", b"nothing of the kind" * 50, whole[: len(whole) // 2]):
        (tmp_path / "s.hdf5").write_bytes(content)
        with pytest.raises(FileError, match=r"s\.hdf5"):
            open_image(f"{tmp_path / 's.hdf5'}::imgBrick/0.ppm")
        with pytest.raises(FileError, match=r"s\.hdf5"):
            list_images(tmp_path / "s.hdf5")


def test_a_file_written_over_is_read_again(tmp_path):
    values = brick(tmp_path / "s.hdf5")
    name = f"{tmp_path / 's.hdf5'}::imgBrick/2.ppm"
    np.testing.assert_array_equal(np.asarray(open_image(name)), values[2])
    for turn, options in enumerate([*LAYOUTS, {"chunks": (1, 9, 7, 3), "compression": "lzf"}]):
        brick(tmp_path / "other.hdf5", 4 + turn, (10, 8), **options)
        (tmp_path / "s.hdf5").write_bytes((tmp_path / "other.hdf5").read_bytes())
        with h5py.File(tmp_path / "other.hdf5") as file:
            want = file["imgBrick"][2]
        np.testing.assert_array_equal(np.asarray(open_image(name)), want)


def test_chunks_that_would_end_the_process_are_told(tmp_path):
    brick(tmp_path / "s.hdf5", chunks=(1, 9, 7, 3), compression="gzip")
    with h5py.File(tmp_path / "s.hdf5", "a") as file:
        file["imgBrick"].id.write_direct_chunk((2, 0, 0, 0), zlib.compress(b"short"))
    open_image(f"{tmp_path / 's.hdf5'}::imgBrick/1.ppm")
    with pytest.raises(FileError, match=r"picture 2 .*s\.hdf5 is damaged: a chunk holds 5 bytes"):
        open_image(f"{tmp_path / 's.hdf5'}::imgBrick/2.ppm")


def mutated(folder, rounds, **options):
    """Cut and changed files are refused, or their pictures differ by no more than the change."""
    values = brick(folder / "s.hdf5", 4, **options)
    whole, rng, refused = (folder / "s.hdf5").read_bytes(), np.random.default_rng(0), 0
    names = [f"{folder / 's.hdf5'}::{bricks.member('imgBrick', k)}" for k in range(4)]
    for turn in range(rounds):
        content = bytearray(whole)
        if turn % 3 == 0:
            content = content[: rng.integers(0, len(content))]
        else:
            # Headers decide most.
            end = len(content) if turn % 3 == 1 else len(content) - values.nbytes
            content[rng.integers(0, end)] ^= 1 << rng.integers(0, 8)
        # Another file under the name: HDF5 holds on to the one that it has open.
        (folder / "s.hdf5").unlink()
        (folder / "s.hdf5").write_bytes(bytes(content))
        for name, want in zip(names, values, strict=True):
            try:
                got = np.asarray(open_image(name))
            except FileError:
                refused += 1
                continue
            if got.shape == want.shape:
                assert (got != want).sum() <= 1 or (got != want).mean() > 0.5
    assert refused > rounds


@pytest.mark.parametrize("options", LAYOUTS)
def test_mutated_files_are_told_or_read_rightly(tmp_path, options):
    mutated(tmp_path, 100, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", LAYOUTS)
def test_many_mutated_files_are_told_or_read_rightly(tmp_path, options):
    mutated(tmp_path, 2000, **options)


def test_what_was_never_written_is_no_black_picture(tmp_path):
    with h5py.File(tmp_path / "s.hdf5", "w") as file:
        file.create_dataset("whole", (3, 8, 8, 3), np.uint8)
        file.create_dataset("parts", (3, 8, 8, 3), np.uint8, chunks=(1, 4, 4, 3))[0] = 9
        file["parts"][1, :, :4] = 9
    assert np.asarray(open_image(f"{tmp_path / 's.hdf5'}::parts/0.ppm")).min() == 9
    for name in ("whole/0", "parts/1", "parts/2"):
        with pytest.raises(FileError, match=r"picture . cannot be read: .* never written"):
            open_image(f"{tmp_path / 's.hdf5'}::{name}.ppm")
