"""Made-up natural images (textured dead leaves) and two things a brain may see in them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer, UInt8
from PIL import Image

from striate.errors import FileError

ORIENTATIONS = 4
GRID = 3


def new_folder(folder: Path) -> None:
    """Make the folder of a twin.

    Raises
    ------
    FileError
        When it holds something already.

    """
    if folder.exists() and any(folder.iterdir()):
        raise FileError(f"{folder} is not empty: name a new folder for the twin")
    folder.mkdir(parents=True, exist_ok=True)


def save_features(
    folder: Path, ids: Sequence[str], features: Mapping[str, Float[np.ndarray, "stimulus _"]]
) -> None:
    """Write what was planted as `features_NAME.npy`, and the stimuli of its rows as `ids.csv`."""
    for name, values in features.items():
        np.save(folder / f"features_{name}.npy", values.astype(np.float32))
    pd.DataFrame({"id": ids}).to_csv(folder / "ids.csv", index=False)


def image(size: int, rng: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    """Leaves of all sizes that hide each other, each with its colour, grain and stripes."""
    y, x = np.mgrid[:size, :size] / size
    canvas = np.empty((size, size, 3))
    canvas[:] = rng.uniform(0.2, 0.8, 3)
    light = rng.normal(0, 0.16, 2)
    for _ in range(28):
        radius = 0.06 * rng.pareto(2.0) + 0.07
        centre, stretch = rng.uniform(-0.1, 1.1, 2), rng.uniform(0.5, 1.0)
        angle = rng.integers(ORIENTATIONS) * np.pi / ORIENTATIONS + rng.normal(0, 0.1)
        radius, phase = min(radius, 0.5), rng.uniform(0, 2 * np.pi)
        colour = rng.uniform(0.1, 0.9) + rng.normal(0, 0.12, 3)
        contrast = rng.uniform(0, 0.3) * (rng.random() < 0.6)
        # The pixels within `radius` of the centre, with one to spare.
        near = (centre[::-1] - radius) * size, (centre[::-1] + radius) * size + 2
        box = tuple(map(slice, *(np.maximum(edge, 0).astype(int).tolist() for edge in near)))
        right, down = x[box] - centre[0], y[box] - centre[1]
        u = np.cos(angle) * right + np.sin(angle) * down
        v = -np.sin(angle) * right + np.cos(angle) * down
        inside = (u / stretch) ** 2 + v**2 < radius**2
        stripes = contrast * np.sin(2 * np.pi * 8 * u + phase)
        canvas[box][inside] = colour + stripes[inside, None]
    canvas += (light[0] * (x - 0.5) + light[1] * (y - 0.5))[..., None]
    canvas += 0.05 * _grain(size, rng)[..., None]
    return (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8)


def encoded(pixels: UInt8[np.ndarray, "height width 3"], kind: str) -> bytes:
    """The image as the content of a .jpg or .png file."""
    stream = io.BytesIO()
    options = {"quality": 92} if kind == "jpg" else {}
    Image.fromarray(pixels).save(stream, "JPEG" if kind == "jpg" else "PNG", **options)
    return stream.getvalue()


def luminance(content: bytes) -> Float[np.ndarray, "height width"]:
    """Grey levels, 0-1, of the content of an image file."""
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("L"), dtype=np.float64) / 255


def early(grey: Float[np.ndarray, "height width"]) -> Float[np.ndarray, " feature"]:
    """Contrast energy at 8 cycles per image for 4 orientations in the left and right half."""
    size = len(grey)
    frequency = np.fft.fftfreq(size, 1 / size)
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    spectrum = np.fft.fft2(grey - grey.mean())
    found = []
    for k in range(ORIENTATIONS):
        angle = np.pi * k / ORIENTATIONS
        gap = (fx - 8 * np.cos(angle)) ** 2 + (fy - 8 * np.sin(angle)) ** 2
        # One side of the spectrum gives even and odd phase together: its modulus is the contrast.
        contrast = np.abs(np.fft.ifft2(spectrum * np.exp(-gap / (2 * 2.5**2))))
        found += [contrast[:, : size // 2].mean(), contrast[:, size // 2 :].mean()]
    return np.array(found)


def late(grey: Float[np.ndarray, "height width"]) -> Float[np.ndarray, " feature"]:
    """Mean luminance in each cell of a 3 × 3 grid."""
    rows = np.array_split(grey, GRID, axis=0)
    return np.array([cell.mean() for row in rows for cell in np.array_split(row, GRID, axis=1)])


def standardised(
    values: Float[np.ndarray, "stimulus feature"],
) -> Float[np.ndarray, "stimulus feature"]:
    """Columns of mean 0 and standard deviation 1."""
    return (values - values.mean(axis=0)) / values.std(axis=0)


def planted(
    features: Float[np.ndarray, "row feature"],
    targets: int,
    repeats: int,
    ncsnr: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "row target repeat"]:
    """Responses linear in the features, with independent noise in every repeat.

    Every target's signal has variance 1 over the rows, so noise has the standard deviation
    1 / ncsnr, and the mean of all repeats the ceiling ncsnr² / (ncsnr² + 1 / repeats).
    """
    signal = standardised(features @ rng.standard_normal((features.shape[1], targets)))
    noise = rng.standard_normal((*signal.shape, repeats)) / ncsnr
    return signal[..., None] + noise


def seen(count: int, share: int, rng: np.random.Generator) -> list[Integer[np.ndarray, " row"]]:
    """What two subjects saw of `count` images: `share` each, overlapping, in their own order."""
    return [rng.permutation(share), rng.permutation(np.arange(count - share, count))]


def _grain(size: int, rng: np.random.Generator) -> Float[np.ndarray, "height width"]:
    """Noise whose amplitude falls as 1 / frequency, of standard deviation 1."""
    frequency = np.fft.fftfreq(size, 1 / size)
    distance = np.hypot(*np.meshgrid(frequency, frequency, indexing="ij"))
    distance[0, 0] = np.inf
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) / distance).real
    return noise / noise.std()
