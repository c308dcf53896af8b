"""Any image file becomes an upright 8-bit RGB image, or an error that names it."""

import io
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.errors import FileError
from striate.media import open_image


def save(image, path, **options):
    image.save(path, **options)
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_any_mode_and_size_opens_as_rgb(tmp_path_factory, mode, width, height, seed):
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        image = image.convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    path = save(image, tmp_path_factory.mktemp("image") / f"x.{suffix}")
    opened = open_image(path)
    assert opened.mode == "RGB"
    assert opened.size == (width, height)
    if mode in ("1", "L", "RGB"):
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    path = save(Image.fromarray(values), tmp_path / "deep.png")
    assert np.asarray(open_image(path))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparency_lies_on_white(tmp_path):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    opened = open_image(save(image, tmp_path / "clear.png"))
    assert list(opened.get_flattened_data()) == [(255, 255, 255), (10, 20, 30)]


def test_a_transparent_palette_colour_lies_on_white(tmp_path):
    image = Image.new("P", (2, 1), 0)
    image.putpalette([9, 9, 9, 50, 60, 70] + [0] * 762)
    image.putpixel((1, 0), 1)
    opened = open_image(save(image, tmp_path / "clear.gif", transparency=0))
    assert list(opened.get_flattened_data()) == [(255, 255, 255), (50, 60, 70)]


def test_exif_turns_the_image_upright(tmp_path):
    image = Image.new("RGB", (8, 4), "white")
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees
    opened = open_image(save(image, tmp_path / "turned.jpg", exif=exif))
    assert opened.size == (4, 8)


def test_a_member_of_a_zip_archive_is_the_same_image(tmp_path):
    rng = np.random.default_rng(0)
    path = save(Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)), tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, "inside/a.png")
    member = open_image(f"{tmp_path / 'all.zip'}::inside/a.png")
    np.testing.assert_array_equal(np.asarray(member), np.asarray(open_image(path)))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "gif", "webp"])
def test_truncated_files_are_refused_by_name(tmp_path, suffix):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = save(image, tmp_path / f"short.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(FileError, match=rf"short\.{suffix}.*drop it from the stimuli"):
        open_image(path)


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 400), junk=st.binary(max_size=40))
def test_damage_of_any_kind_is_a_file_error(tmp_path_factory, cut, junk):
    buffer = io.BytesIO()
    Image.effect_noise((24, 24), 60).save(buffer, "PNG")
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    content = buffer.getvalue()
    path.write_bytes(content[:cut] + junk + content[cut + len(junk) :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert open_image(path).mode == "RGB"
        except FileError as error:
            assert "damaged.png" in str(error)


def test_no_image_at_all(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not an image")
    with pytest.raises(FileError, match=r"notes\.png: is no image.*convert it to PNG"):
        open_image(path)
    with pytest.raises(FileError, match=r"absent\.png: cannot be read.*check the path"):
        open_image(tmp_path / "absent.png")


def test_floating_point_is_refused_because_its_range_is_unknown(tmp_path):
    path = save(Image.fromarray(np.ones((4, 4), np.float32)), tmp_path / "depth.tif")
    with pytest.raises(FileError, match=r"depth\.tif: holds floating-point"):
        open_image(path)


@pytest.mark.parametrize("limit", [10, 60])
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, limit):
    path = save(Image.new("RGB", (10, 10)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if limit == 60 else "error")
        with pytest.raises(FileError, match=r"bomb\.png: has more pixels.*shrink it"):
            open_image(path)


def test_postscript_is_never_handed_to_an_interpreter(tmp_path):
    path = tmp_path / "drawing.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(FileError, match="is no image"):
        open_image(path)
