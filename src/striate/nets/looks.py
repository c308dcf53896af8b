"""Pictures of what networks and filters are shown, for people to look at: strips, maps, spectra."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

MOST = 6
"""Frames of a strip."""
HEIGHT = 128
"""Pixels from top to bottom of a strip."""


def strip(frames: Shaped[np.ndarray, "frame height width 3"]) -> UInt8[np.ndarray, "row column 3"]:
    """A few frames side by side, from the middle of each of as many equal parts."""
    count = min(MOST, len(frames))
    chosen = [frames[int((k + 0.5) * len(frames) / count)] for k in range(count)]
    return beside(_sized(Image.fromarray(np.ascontiguousarray(f))) for f in chosen)


def beside(images: Iterable[np.ndarray]) -> UInt8[np.ndarray, "row column 3"]:
    """Images of one height next to each other, with a thin line of white in between."""
    pieces: list[np.ndarray] = []
    for image in images:
        pieces += [np.full((len(image), 2, 3), 255, np.uint8), image]
    return np.concatenate(pieces[1:], axis=1)


def grey(values: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """A map from black, its least value, to white, its greatest but for the top half percent."""
    low, high = float(values.min()), float(np.quantile(values, 0.995))
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    shades = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
    return np.repeat(shades[..., None], 3, axis=-1)


def maps(values: Iterable[Float[np.ndarray, "..."]]) -> UInt8[np.ndarray, "row column 3"]:
    """Maps side by side, each scaled by itself."""
    return beside(_sized(Image.fromarray(grey(v)), Image.Resampling.NEAREST) for v in values)


def spectrum(bands: Float[np.ndarray, "frame band"]) -> UInt8[np.ndarray, "row column 3"]:
    """Loudness over time, from left to right, and frequency, from the bottom up."""
    image = Image.fromarray(grey(np.ascontiguousarray(bands.T[::-1])))
    wide = MOST * HEIGHT
    how = Image.Resampling.BOX if image.width > wide else Image.Resampling.NEAREST
    return np.asarray(image.resize((wide, HEIGHT), how))


def _sized(
    image: Image.Image, how: Image.Resampling = Image.Resampling.BILINEAR
) -> UInt8[np.ndarray, "row column 3"]:
    width = max(1, round(image.width * HEIGHT / image.height))
    return np.asarray(image.resize((width, HEIGHT), how))
