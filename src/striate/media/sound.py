"""The sound of a film or sound file becomes one channel at one rate, in step with the picture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, gcd
from typing import Any

import numpy as np
from jaxtyping import Float32

from striate.data import Shown
from striate.errors import DataError, FileError, RecipeError
from striate.media.files import FILMS, SOUNDS
from striate.media.packets import Identity, identity, open_container, pyav, sound_stream
from striate.media.remembered import Remembered

GAP = 0.05
"""Seconds by which time stamps may disagree with the number of samples before it is a gap."""
PREROLL = 1.0
"""Seconds decoded before a piece, because codecs need some sound to settle."""
REMEMBERED = 256 << 20
"""Memory for sound that was decoded lately, so much as 70 minutes at 16 kHz."""
MARGIN = 0.05
"""Seconds on either side of a piece that the resampling filter sees."""

_WHOLE: Remembered[np.ndarray] = Remembered(REMEMBERED)


def read_sound(shown: Shown, rate: int = 16000) -> Float32[np.ndarray, " sample"]:
    """The sound of a stimulus at `rate` samples per second, the mean of its channels.

    Time counts from the first frame of the film, or from the first sample of a file of sound
    alone; where sound begins later or has gaps there is silence. A piece has the samples from
    ``round(onset * rate)`` up to ``round((onset + duration) * rate)``, as far as there are any, so
    that consecutive pieces meet without overlap.

    Returns
    -------
    array
        Shape (sample,), full scale is 1. Empty where the file has no sound, such as an image.

    Raises
    ------
    FileError
        When the file is missing or damaged, or none of its sound can be decoded.
    DataError
        When the stimulus has no file.
    RecipeError
        When `rate` is not positive, or PyAV is not installed.

    """
    if rate < 1:
        raise RecipeError(f"sound at {rate} samples per second: the rate must be 1 or more")
    if not shown.file:
        raise DataError(f"stimulus {shown.id} has no file; add its sound or film, or drop it")
    if not shown.file.lower().endswith((*FILMS, *SOUNDS)):
        raise DataError(
            f"{shown.file} of stimulus {shown.id} is neither film nor sound: nothing can be heard"
        )
    first, stop = _samples(shown, rate)
    key = identity(shown.file)
    if _seconds(key) * rate * 4 <= REMEMBERED:
        # Decoded once, pieces are exactly the whole's, and no codec has to settle anew.
        whole = _WHOLE.get((key, rate), lambda: _read(shown.file, rate, 0, None))
        if len(whole) and first >= len(whole):
            raise FileError(
                f"{shown.file}: stimulus {shown.id} begins at {shown.onset:g} s, but the sound ends"
                f" at {len(whole) / rate:.2f} s; onsets are seconds from the beginning of the file"
            )
        return whole[first:stop].copy()
    return _read(shown.file, rate, first, stop)


def sound_rate(file: str) -> int | None:
    """Samples per second of a file's sound, after decoding its first samples; None without sound.

    Raises
    ------
    FileError
        When the file or its sound cannot be read.

    """
    with open_container(file) as container:
        stream = sound_stream(container)
        if stream is None:
            return None
        if next(_blocks(container, stream), None) is None:
            raise FileError(_damaged(file))
        return int(stream.codec_context.sample_rate)


def _damaged(file: str) -> str:
    return (
        f"{file}: none of its sound can be decoded; copy or download it again, or drop it from the"
        " stimuli"
    )


def _read(file: str, rate: int, first: int, stop: int | None) -> Float32[np.ndarray, " sample"]:
    """Samples `first` to `stop` - 1, decoding no more than that needs."""
    with open_container(file) as container:
        stream = sound_stream(container)
        if stream is None:
            return np.zeros(0, dtype=np.float32)
        own = int(stream.codec_context.sample_rate)
        up, down = rate // gcd(rate, own), own // gcd(rate, own)
        # A piece begins on a sample that both rates have, so that it is the whole's.
        begin = max(0, int((first / rate - MARGIN) * own)) // down * down
        end = None if stop is None else ceil((stop / rate + MARGIN) * own)
        native = _native(container, stream, file, own, begin, end)
    found = native if own == rate else _resampled(native, own, rate)
    skip = first - begin // down * up
    return np.ascontiguousarray(found[skip : None if stop is None else skip + stop - first])


@lru_cache(maxsize=1024)
def _seconds(key: Identity) -> float:
    """Length that the file states."""
    with open_container(key[0]) as container:
        return float(container.duration or 0) / 1e6


def _samples(shown: Shown, rate: int) -> tuple[int, int | None]:
    onset = max(shown.onset or 0.0, 0.0)
    if shown.duration is None:
        return round(onset * rate), None
    return round(onset * rate), round((onset + shown.duration) * rate)


def _native(
    container: Any, stream: Any, file: str, rate: int, begin: int, end: int | None
) -> Float32[np.ndarray, " sample"]:
    """Samples `begin` to `end` - 1 at the file's own rate, the mean of its channels."""
    zero = _zero(container, stream)
    if begin > PREROLL * rate:
        back = zero + begin / rate - PREROLL
        container.seek(int(back / stream.time_base), stream=stream)
    pieces: list[np.ndarray] = []
    at, heard, blocks = begin, None, 0
    for block, time in _blocks(container, stream):
        blocks += 1
        place = round((time - zero) * rate) if time is not None else None
        if heard is None:
            heard = place if place is not None else 0
        elif place is not None and abs(place - heard) > GAP * rate:
            heard = place
        start, heard = heard, heard + len(block)
        if heard <= at:
            continue
        if end is not None and start >= end:
            break
        if start > at:
            silent = start if end is None else min(start, end)
            pieces.append(np.zeros(silent - at, dtype=np.float32))
            at = silent
        kept = block[at - start : None if end is None else end - start]
        pieces.append(kept)
        at += len(kept)
        if end is not None and at >= end:
            break
    if not blocks and not begin:
        raise FileError(_damaged(file))
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)


def _zero(container: Any, stream: Any) -> float:
    """Seconds on the file's clock at which the film, or a sound alone, begins."""
    cover = pyav().stream.Disposition.attached_pic
    pictures = [s for s in container.streams.video if not s.disposition & cover]
    for one in (*pictures[:1], stream):
        if one.start_time is not None:
            return float(one.start_time * one.time_base)
    return 0.0


def _blocks(container: Any, stream: Any) -> Iterator[tuple[np.ndarray, float | None]]:
    """Decoded sound, channels averaged, with its time in seconds; what is damaged is left out."""
    av = pyav()
    packets = container.demux(stream)
    plain = av.AudioResampler(format="fltp")
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            time = None if frame.pts is None else float(frame.pts * frame.time_base)
            for ready in plain.resample(frame):
                yield ready.to_ndarray().mean(axis=0, dtype=np.float32), time
        if packet is None or not packet.size:
            return


def _resampled(
    native: Float32[np.ndarray, " native"], own: int, rate: int
) -> Float32[np.ndarray, " sample"]:
    """The signal at another rate, by FFmpeg's band-limited polyphase filter."""
    av = pyav()
    if not len(native):
        return native
    frame = av.AudioFrame.from_ndarray(native[None], format="fltp", layout="mono")
    frame.sample_rate = own
    filter_ = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    made = [*filter_.resample(frame), *filter_.resample(None)]
    return np.concatenate([f.to_ndarray()[0] for f in made]) if made else native[:0]
