"""What the packets of a film say before anything is decoded: when each frame is shown."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from striate.errors import FileError, RecipeError
from striate.media.files import MEMBER, read_bytes

CONTAINERS = (
    "aac,asf,avi,flac,flv,h264,hevc,matroska,webm,m4v,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,"
    "mpegvideo,ogg,wav,wv"
)
"""Formats of media only: FFmpeg would follow the addresses in a play list."""
STATES_ITS_LENGTH = ("asf", "avi", "flv", "matroska", "mov")
Identity = tuple[str, int, int]


@dataclass(frozen=True, eq=False)
class FilmIndex:
    """When every frame of a film is shown and where decoding can start; nothing is decoded.

    Parameters
    ----------
    file
        The film.
    times
        Presentation times in seconds from the first frame's, ascending.
    stamps
        The same as time stamps of the stream; None where the packets have none that can be
        trusted (AVI), so that frames are known by their number only.
    keys
        Time stamps of the packets at which decoding can start, ascending.
    seconds
        End of the last frame.
    start
        Time stamp of the first frame in seconds: sound is aligned to it.
    tick
        Seconds of one unit of the time stamps.
    rate
        Frames per second, on average.
    width, height
        Pixels as they are stored, before any rotation.

    """

    file: str
    times: Float64[np.ndarray, "frame"]
    stamps: Int64[np.ndarray, "frame"] | None
    keys: Int64[np.ndarray, "key"]
    seconds: float
    start: float
    tick: float
    rate: float
    width: int
    height: int

    @property
    def slack(self) -> float:
        """Seconds by which rounding may have moved a time stamp."""
        return min(self.tick / 2, 5e-4)

    def piece(self, onset: float | None, duration: float | None) -> tuple[int, int, float, float]:
        """Frames first to last + 1 of ``[onset, onset + duration)``, its start and its length.

        A piece in which no frame begins is the one frame that is seen in it.

        Raises
        ------
        FileError
            When the film is over before the piece begins.

        """
        start = max(onset or 0.0, 0.0)
        end = np.inf if duration is None else start + duration
        first = int(np.searchsorted(self.times, start - self.slack))
        stop = int(np.searchsorted(self.times, end - self.slack))
        if stop <= first:
            if start >= self.seconds:
                raise FileError(
                    f"{self.file}: the piece from {start:g} s lies behind the end of the film at"
                    f" {self.seconds:.3f} s; correct its onset, or download the film again"
                )
            first = max(0, int(np.searchsorted(self.times, start + self.slack, "right")) - 1)
            stop = first + 1
        length = self.seconds - start if duration is None else duration
        return first, stop, start, max(length, 0.0)


def pyav() -> ModuleType:
    """PyAV, which comes with its own FFmpeg."""
    try:
        import av
    except ImportError as error:
        raise RecipeError(
            "films and sound are decoded by PyAV, which is not installed: pip install"
            " 'striate[media]'"
        ) from error
    return av


def identity(file: str) -> Identity:
    """What tells two states of a file apart without reading it."""
    place = file if Path(file).exists() else file.partition(MEMBER)[0]
    try:
        state = Path(place).stat()
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    return file, state.st_mtime_ns, state.st_size


def open_container(file: str) -> Any:
    """The open file, for demuxing and decoding.

    Raises
    ------
    FileError
        When it is missing, damaged, or no film or sound.

    """
    av = pyav()
    plain = Path(file).is_file()
    place: Any = str(Path(file).absolute()) if plain else io.BytesIO(read_bytes(file))
    try:
        return av.open(place, options={"format_whitelist": CONTAINERS}, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise FileError(
            f"{file}: is no film or sound that can be read, or its header is damaged or cut off"
            f" ({_reason(error)}); copy or download it again, or drop it from the stimuli"
        ) from error


def video_stream(container: Any, file: str) -> Any:
    """The first stream of moving pictures, prepared to decode in the thread that asks.

    Films are read in several threads at a time, so one thread per film is fastest, and the only
    way in which damaged films decode alike everywhere.
    """
    pictures = [s for s in container.streams.video if not _is_cover(s)]
    if not pictures:
        raise FileError(f"{file}: holds no video stream; drop it, or give it to features of sound")
    stream = pictures[0]
    stream.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    return stream


def sound_stream(container: Any) -> Any | None:
    """The first stream of sound, if any."""
    return container.streams.audio[0] if container.streams.audio else None


class _Known:
    """Indices of films that were read already; the oldest make room."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._forget()

    def _forget(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._found: OrderedDict[Identity, FilmIndex] = OrderedDict()

    def get(self, key: Identity) -> FilmIndex | None:
        if self._process != os.getpid():  # locks of the parent may be held for ever
            self._forget()
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: Identity, index: FilmIndex) -> FilmIndex:
        with self._lock:
            self._found[key] = index
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return index


_KNOWN = _Known()


def known_index(key: Identity) -> FilmIndex | None:
    """The index of a film, if its packets were read before and its file has not changed since."""
    return _KNOWN.get(key)


def film_index(file: str) -> FilmIndex:
    """The index of a film, from memory if its file has not changed.

    Raises
    ------
    FileError
        When the film is missing, damaged, cut off, or has no pictures.

    """
    key = identity(file)
    found = _KNOWN.get(key)
    if found is not None:
        return found
    with open_container(file) as container:
        return build_index(container, file, key)


def build_index(container: Any, file: str, key: Identity) -> FilmIndex:
    """Read all packets of an open film, which costs about a hundredth of decoding them."""
    av = pyav()
    stream = video_stream(container, file)
    hidden = _never_shown(stream.codec_context.name)
    tick = float(stream.time_base)
    shown: list[tuple[int | None, int | None, int]] = []
    keys: list[int] = []
    packets, reached = 0, 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                reached = max(reached, end)
            if packet.stream_index != stream.index or not packet.size:
                continue
            packets += 1
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            if not packet.is_discard and not hidden(packet):
                shown.append((packet.pts, packet.dts, packet.duration or 0))
    except av.FFmpegError:
        pass  # What is missing is told by the check below.
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    if not shown:
        raise FileError(
            f"{file}: its video stream holds no frames; copy or download it again, or drop it from"
            " the stimuli"
        )
    _check_length(container, stream, file, packets, reached, rate)
    pts = [p for p, _, _ in shown]
    trusted = None not in pts and len(set(pts)) == len(pts) and "avi" not in container.format.name
    stamps, times, last = None, np.arange(len(shown)) / rate, 0.0
    start = float((stream.start_time or 0) * stream.time_base)
    if trusted:
        order = np.argsort(np.array(pts, dtype=np.int64))
        stamps = np.array(pts, dtype=np.int64)[order]
        times = (stamps - stamps[0]) * tick
        start = float(stamps[0]) * tick
        last = shown[order[-1]][2] * tick
    else:
        slots = [d for _, d, _ in shown if d is not None]
        if len(slots) == len(shown) and (np.diff(slots) > 0).all():
            times = (np.array(slots, dtype=np.float64) - slots[0]) * tick
    codec = stream.codec_context
    index = FilmIndex(
        file,
        times.astype(np.float64),
        stamps,
        np.unique(np.array(keys, dtype=np.int64)),
        float(times[-1]) + (last or _usual_step(times) or 1 / rate),
        start,
        tick,
        rate,
        int(codec.width),
        int(codec.height),
    )
    return _KNOWN.put(key, index)


def allowed_missing(seconds: float, rate: float) -> float:
    """Seconds of a film that may be lost: a tenth or half a second, but at least two frames."""
    return max(min(0.1 * seconds, 0.5), 2 / rate)


def _usual_step(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _check_length(
    container: Any, stream: Any, file: str, packets: int, reached: float, rate: float
) -> None:
    if not any(name in container.format.name for name in STATES_ITS_LENGTH):
        return
    if "mov" in container.format.name:
        # Edit lists leave out some of `stream.frames`; the index has what is to be read.
        stated, found = len(stream.index_entries) / rate, packets / rate
    elif stream.frames:
        stated, found = stream.frames / rate, packets / rate
    elif container.duration:
        stated, found = container.duration / 1e6, reached
    else:
        return
    if stated - found > allowed_missing(stated, rate) + 1e-6:
        raise FileError(
            f"{file}: is cut off: it states {stated:.2f} s but ends after {found:.2f} s, so"
            f" {stated - found:.2f} s are missing; copy or download it again, or drop it from the"
            " stimuli"
        )


def _never_shown(codec: str) -> Callable[[Any], bool]:
    """Whether a packet of the codec is a reference that is decoded but not displayed."""
    if codec == "vp8":  # RFC 6386, section 9.1: the fifth bit of a frame is `show_frame`
        return lambda packet: not bytes(packet)[0] >> 4 & 1
    return lambda packet: False


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & pyav().stream.Disposition.attached_pic)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error)
