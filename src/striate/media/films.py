"""A clip becomes a few upright RGB images; whoever wants frames of it, it is decoded once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from PIL import Image

from striate.data import Shown
from striate.errors import DataError
from striate.media.decoding import frames_between
from striate.media.files import FILMS, SOUNDS
from striate.media.frame_rule import Frames
from striate.media.images import open_image
from striate.media.motion import between_frames
from striate.media.packets import (
    FilmIndex,
    film_index,
    identity,
    open_container,
    pyav,
    sound_stream,
)

SHARED_BYTES = 256 << 20
"""Memory for images of clips that were decoded lately."""
LATELY = 1000
"""Reads after which a rule is forgotten; until then its frames are kept when others decode."""
_TURN = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
"""Signs of the display matrix, and what turns a frame upright."""
_DEGREES = {
    Image.Transpose.ROTATE_90: 90,
    Image.Transpose.ROTATE_180: 180,
    Image.Transpose.ROTATE_270: 270,
}


@dataclass(frozen=True)
class FilmFacts:
    """What a film is, without its frames.

    Parameters
    ----------
    frames
        Number of frames.
    seconds
        From the first frame to the end of the last.
    rate
        Frames per second, on average.
    width, height
        Pixels, upright.
    variable_rate
        Whether frames are shown for different times (by more than a tenth, or the clock's tick).
    sound_rate
        Samples per second of the sound, None without sound.
    rotation
        Degrees counter-clockwise by which stored frames are turned to be upright: 0, 90, 180, 270.

    """

    frames: int
    seconds: float
    rate: float
    width: int
    height: int
    variable_rate: bool
    sound_rate: int | None
    rotation: int


def is_film(file: str | Path) -> bool:
    """Whether the name is that of a film, by its suffix; a GIF is an image."""
    return str(file).lower().endswith(FILMS)


def is_sound(file: str | Path) -> bool:
    """Whether the name is that of a file of sound alone, by its suffix."""
    return str(file).lower().endswith(SOUNDS)


def read_frames(shown: Shown, frames: Frames) -> list[Image.Image]:
    """The frames of a clip, or the one of a still image, as upright 8-bit RGB images, in order.

    A frame belongs to the piece ``[onset, onset + duration)`` if its presentation begins in it;
    times count from the first frame of the file. Frames are those that FFmpeg decodes and
    converts; pixels that are not square stay as they are stored. Up to a tenth or half a second
    (whichever is less, but at least two frames) may be damaged: the frame before is held.

    The images may be shared with others who read the same clip: copy one before changing it.

    Raises
    ------
    FileError
        When the file is missing, damaged, cut off, or no film or image.
    DataError
        When the stimulus has no file.
    RecipeError
        When PyAV is not installed.

    """
    return read_together(shown, [frames])[0]


def read_together(shown: Shown, rules: Sequence[Frames]) -> list[list[Image.Image]]:
    """Frames of one clip by several rules, as `read_frames` gives them, decoded once."""
    if not shown.file:
        raise DataError(f"stimulus {shown.id} has no file; add its image or film, or drop it")
    if is_sound(shown.file):
        raise DataError(f"{shown.file} of stimulus {shown.id} is sound: it has no frames")
    if not is_film(shown.file):
        image = open_image(shown.file)
        return [[image] for _ in rules]
    piece = _SHARED.piece(shown)
    known = [r for rule in rules for r in _SHARED.rules(rule)]
    return [piece.images(rule, {*known, *rules}) for rule in rules]


def frame_times(file: str | Path) -> Float64[np.ndarray, "frame"]:
    """Presentation times of all frames of a film in seconds, from the first one's.

    Raises
    ------
    FileError
        When the film cannot be read.

    """
    return film_index(str(file)).times.copy()


def film_facts(file: str | Path) -> FilmFacts:
    """Length, rate and size of a film; its packets are read, and its first frame is decoded.

    Raises
    ------
    FileError
        When the film cannot be read.

    """
    index = film_index(str(file))
    (_, frame), *_ = frames_between(str(file), 0, 1, index.seconds)
    with open_container(str(file)) as container:
        sound = sound_stream(container)
        sound_rate = int(sound.codec_context.sample_rate) if sound is not None else None
    steps = np.diff(index.times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    how = _turn_of(frame)
    width, height = upright(frame).size
    return FilmFacts(
        frames=len(index.times),
        seconds=index.seconds,
        rate=index.rate,
        width=width,
        height=height,
        variable_rate=bool((np.abs(steps - usual) > max(0.1 * usual, 1.5 * index.tick)).any()),
        sound_rate=sound_rate,
        rotation=_DEGREES.get(how, 0) if how is not None else 0,
    )


def upright(frame: Any, reformatter: Any = None) -> Image.Image:
    """A decoded frame as RGB image, turned as its display matrix says."""
    rgb = (
        frame.reformat(format="rgb24")
        if reformatter is None
        else reformatter.reformat(frame, format="rgb24")
    )
    plane = rgb.planes[0]
    size = (rgb.width, rgb.height)
    image = Image.frombytes("RGB", size, bytes(plane), "raw", "RGB", plane.line_size, 1)
    how = _turn_of(frame)
    return image if how is None else image.transpose(how)


class _Piece:
    """Images of a piece of a film by the number of the frame; one thread decodes, others wait."""

    def __init__(self, file: str, index: FilmIndex, span: tuple[int, int, float, float]) -> None:
        self.file, self.index = file, index
        self.first, self.stop, self.start, self.seconds = span
        self.lock = threading.Lock()
        self.bytes = 0
        self._single: dict[int, Image.Image] = {}
        self._made: dict[Frames, list[Image.Image]] = {}

    def images(self, rule: Frames, others: Iterable[Frames]) -> list[Image.Image]:
        """Frames by the rule; those of the `others` are kept where the clip has to be decoded."""
        with self.lock:
            if rule.resample == "motion":
                if rule not in self._made:
                    self._made[rule] = self._between(rule)
                    self._weigh(self._made[rule])
                return list(self._made[rule])
            places = self._places(rule)
            if not set(places) <= self._single.keys():
                simple = [r for r in others if r.resample == "nearest"]
                self._decode({*places, *(p for r in simple for p in self._places(r))})
            return [self._single[p] for p in places]

    def _places(self, rule: Frames) -> list[int]:
        times = self.index.times[self.first : self.stop] - self.start
        places = rule.positions(times, self.seconds, self.index.slack)
        return [self.first + int(p) for p in places]

    def _decode(self, places: set[int]) -> None:
        av = pyav()
        missing = places - self._single.keys()
        first, stop = min(missing), max(missing) + 1
        reformatter = av.video.reformatter.VideoReformatter()
        for number, frame in frames_between(self.file, first, stop, self.seconds):
            if number in missing:
                self._single[number] = upright(frame, reformatter)
                self._weigh([self._single[number]])

    def _between(self, rule: Frames) -> list[Image.Image]:
        taken = frames_between(self.file, self.first, self.stop, self.seconds)
        timed = ((float(self.index.times[n]) - self.start, f) for n, f in taken)
        moments = rule.moments(self.seconds)
        assert moments is not None and rule.rate is not None
        return [upright(f) for f in between_frames(timed, rule.rate, len(moments))]

    def _weigh(self, images: Iterable[Image.Image]) -> None:
        self.bytes += sum(3 * i.width * i.height for i in images)


class _Shared:
    """Pieces that were read lately, within `SHARED_BYTES`; forked workers begin with none."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._pieces: OrderedDict[tuple[Any, ...], _Piece] = OrderedDict()
        self._rules: dict[Frames, int] = {}
        self._reads = 0

    def piece(self, shown: Shown) -> _Piece:
        """The piece that a stimulus is, shared with everyone who reads it now."""
        if self._process != os.getpid():
            self._forget()
        key = (*identity(shown.file), shown.onset, shown.duration)
        with self._lock:
            held = sum(p.bytes for p in self._pieces.values())
            while held > SHARED_BYTES and self._pieces:
                held -= self._pieces.popitem(last=False)[1].bytes
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        index = film_index(shown.file)
        made = _Piece(shown.file, index, index.piece(shown.onset, shown.duration))
        with self._lock:
            return self._pieces.setdefault(key, made)

    def rules(self, rule: Frames) -> list[Frames]:
        """The rules asked for lately, with this one."""
        with self._lock:
            self._reads += 1
            self._rules[rule] = self._reads
            self._rules = {r: k for r, k in self._rules.items() if self._reads - k < LATELY}
            return list(self._rules)


_SHARED = _Shared()


def _turn_of(frame: Any) -> Image.Transpose | None:
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    matrix = np.frombuffer(bytes(found), dtype=np.int32)[:5]
    a, b, _, c, d = (int(np.sign(v)) if abs(v) > 1 << 12 else 0 for v in matrix)
    return _TURN.get((a, b, c, d))
