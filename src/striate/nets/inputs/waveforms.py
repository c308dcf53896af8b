"""The sound of a stimulus as samples: silence where there is none, cut or continued to a length."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from striate.data import Shown
from striate.errors import DataError
from striate.media import read_sound


def waveform(shown: Shown, rate: int, silence: float = 1.0) -> Float32[np.ndarray, " sample"]:
    """Mono samples of the stimulus; silence of its duration, or of some seconds, without sound.

    Raises
    ------
    DataError
        When the stimulus has no file.
    FileError
        When the file cannot be read.

    """
    if not shown.file:
        raise DataError(f"no sound file for stimulus {shown.id!r}; add it, or drop the stimulus")
    sound = read_sound(shown, rate)
    if len(sound):
        return sound
    seconds = silence if shown.duration is None else shown.duration
    return np.zeros(max(1, round(seconds * rate)), dtype=np.float32)


def fitted(
    sound: Float32[np.ndarray, " sample"], seconds: float | int | None, rate: int, least: int = 1
) -> Float32[np.ndarray, " time"]:
    """The sound cut, or continued in silence, to so many seconds, and to `least` samples.

    >>> fitted(np.ones(3, np.float32), 0.25, 8), fitted(np.ones(1, np.float32), None, 8, 2)
    (array([1., 1.], dtype=float32), array([1., 0.], dtype=float32))
    """
    wanted = len(sound) if seconds is None else round(seconds * rate)
    wanted = max(wanted, least)
    if wanted <= len(sound):
        return sound[:wanted]
    return np.pad(sound, (0, wanted - len(sound)))
