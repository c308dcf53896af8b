"""What each feature sees of one stimulus, as pictures: a section of the page, and one PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from striate.report.canvas import label
from striate.report.markup import inline, paragraph, text

WIDTH, HEIGHT = 800, 600
"""Pixels that a picture takes on the page at most."""
BYTES = 70_000
"""Of a picture on the page, at most: what is larger gets fewer colours, then fewer pixels."""
SMALLEST = 32
"""Pixels below which no picture is shrunk further."""
NARROW = 240
"""Pixels of the page's width that a narrow picture is drawn on, at twice its size at most."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one table of features sees of a stimulus, with a sentence on what is drawn."""

    name: str
    pixels: UInt8[np.ndarray, "row column 3"]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Looks:
    """What features see of one stimulus.

    Parameters
    ----------
    stimulus
        Its id.
    seen
        One entry per table of features that has a picture.
    without
        Tables of features that have none, and why.

    """

    stimulus: str
    seen: tuple[Look, ...] = ()
    without: Mapping[str, str] = field(default_factory=dict)


def looks(found: Looks | None) -> list[str]:
    """The pictures for a section of the page; those that are the same stand there once."""
    if found is None or not found.seen:
        return []
    told = f"Of stimulus “{found.stimulus}”, as an example; of a film a few frames are shown."
    return [
        paragraph(told, "soft"),
        f'<div class="looks">{"".join(_figure(n, k, found.stimulus) for n, k in _apart(found))}'
        "</div>",
    ]


def files(found: Looks | None) -> dict[str, bytes]:
    """The pictures as PNG, by names of files: ``sees_`` and the name of a table of features."""
    made: dict[str, bytes] = {}
    for k, look in enumerate(found.seen if found else ()):
        # A feature's name is the user's and may not be fit for a path.
        name = f"sees_{re.sub(r'[^a-zA-Z0-9_.=-]+', '_', look.name)[:80]}"
        made[f"{name}-{k}" if name in made else name] = png(look.pixels)
    return made


def composed(found: Looks) -> bytes:
    """All pictures below each other, with their names, as one PNG."""
    large, small, gap = 20, 15, 16
    pictures = [_within(Image.fromarray(k.pixels), 2 * WIDTH, 2 * HEIGHT) for _, k in _apart(found)]
    lines: list[tuple[str, int, str]] = [(label(found.stimulus, 60), large, "#1c2126")]
    width = max([480, *(p.width for p in pictures)]) + 2 * gap
    places = [gap]
    height = gap + large + gap
    for (names, look), picture in zip(_apart(found), pictures, strict=True):
        lines.append((_title(names, look), small, "#5c6670"))
        places.append(height)
        height += small + 8 + picture.height + gap
    longest = max(_font(size).getlength(words) for words, size, _ in lines)
    sheet = Image.new("RGB", (max(width, round(longest) + 2 * gap), height), "#ffffff")
    pen = ImageDraw.Draw(sheet)
    for (words, size, ink), top in zip(lines, places, strict=True):
        pen.text((gap, top), words, fill=ink, font=_font(size), anchor="lt")
    for picture, top in zip(pictures, places[1:], strict=True):
        sheet.paste(picture, (gap, top + small + 8))
    return _bytes(sheet)


def png(pixels: UInt8[np.ndarray, "row column 3"]) -> bytes:
    """A picture for the page: no wider than that, and small in bytes."""
    image = _within(Image.fromarray(np.ascontiguousarray(pixels)), WIDTH, HEIGHT)
    while True:
        found = _bytes(image)
        if len(found) > BYTES:
            found = _bytes(_few_colours(image))
        if len(found) <= BYTES or min(image.size) <= SMALLEST:
            return found
        # The bytes go with the area, and a little more is taken off so that this ends.
        part = min(0.9, (BYTES / len(found)) ** 0.5)
        image = _within(image, int(part * image.width), int(part * image.height))


def _apart(found: Looks) -> Iterator[tuple[list[str], Look]]:
    """Pictures that differ, each with the names of the features that see it."""
    same: dict[object, tuple[list[str], Look]] = {}
    for look in found.seen:
        place = (look.pixels.shape, look.pixels.tobytes())
        same.setdefault(place, ([], look))[0].append(look.name)
    yield from same.values()


def _figure(names: list[str], look: Look, stimulus: str) -> str:
    rows, columns = look.pixels.shape[:2]
    width = min(WIDTH, 2 * columns, max(NARROW, columns))
    alt = f"What the features {', '.join(names)} see of the stimulus {stimulus}."
    caption = f"<strong>{text(', '.join(names))}</strong>"
    caption += f" {text(look.caption)}" if look.caption else ""
    height = round(width * rows / columns)
    return (
        f'<figure style="width:{width}px"><img src="{inline(png(look.pixels))}" alt="{text(alt)}"'
        f' width="{width}" height="{height}"><figcaption>{caption}</figcaption></figure>'
    )


def _title(names: list[str], look: Look) -> str:
    told = ", ".join(names)
    return label(f"{told}: {look.caption}" if look.caption else told, 110)


def _within(image: Image.Image, width: int, height: int) -> Image.Image:
    part = min(1.0, width / image.width, height / image.height)
    if part == 1.0:
        return image
    size = (max(1, round(part * image.width)), max(1, round(part * image.height)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _few_colours(image: Image.Image) -> Image.Image:
    # Without dithering skies and other slow gradients get contours that nobody saw.
    palette = image.quantize(256, method=Image.Quantize.MEDIANCUT)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _bytes(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size
    )
