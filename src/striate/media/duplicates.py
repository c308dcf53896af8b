"""Find altered copies of an image: copies agree in where local contrast is light and dark."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image
from scipy.ndimage import gaussian_filter

from striate.data import Stimuli
from striate.machine import here
from striate.media.files import FILMS, SOUNDS
from striate.media.images import open_image

EDGE = 32
"""Pixels along an edge of the thumbnails."""
SPREAD = EDGE / 8
"""Standard deviation, in pixels, of the Gaussian neighbourhood that a pixel is compared to."""
FLOOR = 4.0
"""Contrast (of 255 grey levels) that is added to the neighbourhood's, so that noise stays small."""
BLOCK = 1024


def near_duplicates(stimuli: Stimuli, threshold: float = 0.75) -> list[tuple[str, str, float]]:
    """Pairs of stimuli whose images are nearly the same, the most similar first.

    The similarity is the correlation of 32 × 32 luminance thumbnails after local contrast
    normalisation, 1 for the same picture whatever its brightness, contrast or file format.
    Contrast, colour, compression, blur and small shifts hardly lower it; crops, mirroring and
    rotations do. Two different photographs of one scene stay below 0.75 as a rule.

    Parameters
    ----------
    stimuli
        Those without a file are left out, and so are films and sounds, chunks of them (they have
        an ``onset``) and images without any contrast.
    threshold
        Smallest similarity of a pair.

    Returns
    -------
    list
        Tuples (id, id, similarity); the ids stand in the order of the stimuli.

    Raises
    ------
    FileError
        When an image cannot be read.

    """
    table = stimuli.table[stimuli.table["file"].astype(str) != ""]
    if "onset" in table:
        table = table[table["onset"].isna()]
    table = table[[not f.lower().endswith((*FILMS, *SOUNDS)) for f in table["file"].astype(str)]]
    ids, files = list(table.index), table["file"].astype(str).tolist()
    if len(ids) < 2:
        return []
    with ThreadPoolExecutor(max(1, here().threads)) as pool:
        thumbnails = np.stack(list(pool.map(thumbnail, files)))
    marks = fingerprints(thumbnails)
    pairs: list[tuple[float, int, int]] = []
    for top in range(0, len(marks), BLOCK):
        alike = marks[top : top + BLOCK] @ marks[top:].T
        for i, j in np.argwhere(alike >= threshold):
            if i < j:
                pairs.append((float(alike[i, j]), top + int(i), top + int(j)))
    pairs.sort(key=lambda p: (-p[0], p[1], p[2]))
    return [(ids[i], ids[j], round(min(s, 1.0), 6)) for s, i, j in pairs]


def thumbnail(file: str) -> Float32[np.ndarray, "edge edge"]:
    """Luminance of the image, averaged into a small square, whatever its aspect."""
    grey = open_image(file).convert("L")
    return np.asarray(grey.resize((EDGE, EDGE), Image.Resampling.BOX), dtype=np.float32)


def fingerprints(
    thumbnails: Float[np.ndarray, "stimulus edge edge"],
) -> Float32[np.ndarray, "stimulus feature"]:
    r"""Unit vectors whose products are similarities; zero for images without contrast.

    With ``G`` a Gaussian blur, :math:`d = x - Gx` and
    :math:`z = d / (\sqrt{G d^2} + \text{floor})`, centred and of length 1.

    >>> ramp = np.tile(np.sin(np.arange(32.0)), (1, 32, 1)) * 50 + 100
    >>> a, b = fingerprints(np.concatenate([ramp, 255 - ramp]))
    >>> round(float(a @ b), 4)
    -1.0
    """
    blur = (0.0, SPREAD, SPREAD)
    detail = thumbnails - gaussian_filter(thumbnails, blur)
    local = np.sqrt(np.maximum(gaussian_filter(detail * detail, blur), 0))
    flat = (detail / (local + FLOOR)).reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length > 1e-3, flat / np.maximum(length, 1e-3), 0).astype(np.float32)
