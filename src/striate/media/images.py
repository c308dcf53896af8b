"""Any image file becomes the same thing: an upright 8-bit RGB image on white ground."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from striate.errors import FileError
from striate.media.files import read_bytes

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Raster formats only: Pillow would hand an EPS file to an interpreter."""


def open_image(file: str | Path) -> Image.Image:
    """The image as 8-bit RGB, turned upright by its EXIF orientation.

    Grey, palette and CMYK images become RGB, transparent ones lie on white, and 16-bit grey
    values are divided by 257. `file` may be a member of a zip archive, ``archive.zip::member``, or
    a picture in an HDF5 file, ``stimuli.hdf5::imgBrick/12.ppm``.

    Raises
    ------
    FileError
        When the file is missing, no image, truncated, larger than Pillow's limit for
        decompression bombs, or holds floating-point or 32-bit values, whose range is unknown.

    """
    content = read_bytes(file)
    try:
        image = _decode(content)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FileError(_too_large(file)) from error
    except Image.UnidentifiedImageError as error:
        raise FileError(
            f"{file}: is no image that can be read (formats: {', '.join(FORMATS)}); convert it to"
            " PNG, or drop it from the stimuli"
        ) from error
    except Exception as error:  # decoders of damaged files raise almost anything
        raise FileError(
            f"{file}: is damaged or truncated ({error}); copy or download it again, or drop it from"
            " the stimuli"
        ) from error
    if image is None:
        raise FileError(_too_large(file))
    if image.mode in ("F", "I"):
        raise FileError(
            f"{file}: holds {'floating-point' if image.mode == 'F' else '32-bit'} values, whose"
            " range is unknown; save it as an 8-bit or 16-bit PNG"
        )
    return image


def _decode(content: bytes) -> Image.Image | None:
    """The image; of mode F or I when its range is unknown, nothing when it is too large."""
    with Image.open(io.BytesIO(content), formats=_formats()) as opened:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and opened.width * opened.height > limit:
            return None
        opened.load()
        png = opened.format == "PNG"
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16") or (image.mode == "I" and png):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("F", "I", "RGB") and "transparency" not in image.info:
        return image
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this build of Pillow can read."""
    Image.init()
    return tuple(f for f in FORMATS if f in Image.OPEN)


def _too_large(file: str | Path) -> str:
    return (
        f"{file}: has more pixels than the limit of {Image.MAX_IMAGE_PIXELS} against decompression"
        " bombs; shrink it"
    )
