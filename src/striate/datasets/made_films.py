"""Made-up films: leaves that drift, each on its own, under a tone; what can be seen in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from striate.datasets import made_up
from striate.errors import FileError
from striate.media.packets import pyav

RATE = 16000
"""Samples per second of the sound."""
SCENE = 3.0
"""Seconds after which the camera cuts to another scene."""
LEAVES = 5
"""Leaves of a scene that drift on their own."""
BANDS = (0, 400, 900, 2000, 8000)
"""Edges, in Hz, of the bands of sound that are told apart."""
KINDS = {"early": 8, "motion": 6, "late": 9, "sound": 4}
"""What can be seen and heard in a film, and how many features it has."""


@dataclass(frozen=True)
class Decoded:
    """A film as it comes out of its file.

    Parameters
    ----------
    frames
        Grey levels, 0-255, (frame, height, width).
    fps
        Frames per second.
    sound
        Samples at `RATE` per second, full scale 1; empty without sound.

    """

    frames: UInt8[np.ndarray, "frame height width"]
    fps: float
    sound: Float32[np.ndarray, " sample"]

    def piece(self, onset: float, duration: float) -> Decoded:
        """What is seen and heard from `onset` on, in seconds; at least one frame."""
        first = min(round(onset * self.fps), len(self.frames) - 1)
        last = max(first + 1, round((onset + duration) * self.fps))
        heard = slice(round(onset * RATE), round((onset + duration) * RATE))
        return Decoded(self.frames[first:last], self.fps, self.sound[heard])


def write_film(
    path: str | Path,
    rng: np.random.Generator,
    seconds: float = 3.0,
    fps: int = 30,
    size: int = 64,
    sound: bool = True,
) -> None:
    """Write a film (h264, and aac where it has sound) in the container that the name asks for.

    A camera pans over textured dead leaves, before which others drift on their own; pitch and
    loudness of a tone glide. Every three seconds another scene begins.

    Raises
    ------
    RecipeError
        When PyAV is not installed.
    FileError
        When the file cannot be written.

    """
    av = pyav()
    # Small files whose content is a matter of the seed alone: threads would change it.
    options = {"preset": "ultrafast", "crf": "28", "threads": "1", "bf": "0"}
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=fps, options=options)
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            heard = _sound_stream(container) if sound else None
            for k, picture in enumerate(_pictures(rng, round(seconds * fps), fps, size)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if heard is not None:
                block = av.AudioFrame.from_ndarray(
                    _tones(rng, seconds)[None], format="fltp", layout="mono"
                )
                block.sample_rate, block.pts, block.time_base = RATE, 0, Fraction(1, RATE)
                container.mux(heard.encode(block))
                container.mux(heard.encode(None))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path} cannot be written ({error}): name a folder that can be written, and a name"
            " that ends in .mp4 or .mkv"
        ) from error


def decoded(path: str | Path) -> Decoded:
    """All frames and all sound of a short film, as its file gives them.

    Raises
    ------
    RecipeError
        When PyAV is not installed.
    FileError
        When the file cannot be decoded.

    """
    av = pyav()
    frames: list[np.ndarray] = []
    samples: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            picture = container.streams.video[0]
            picture.codec_context.thread_count = 1
            fps = float(picture.average_rate)
            heard = container.streams.audio[0] if container.streams.audio else None
            fitting: Any = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for packet in container.demux(*filter(None, (picture, heard))):
                for frame in packet.decode():
                    if packet.stream is picture:
                        frames.append(_luminance(frame))
                    else:
                        samples += [f.to_ndarray()[0] for f in fitting.resample(frame)]
    except (OSError, ValueError, IndexError) as error:
        raise FileError(f"{path} cannot be decoded ({error}): write the twin again") from error
    heard_all = np.concatenate(samples) if samples else np.zeros(0, dtype=np.float32)
    return Decoded(np.stack(frames), fps, heard_all.astype(np.float32))


def features(film: Decoded) -> dict[str, Float64[np.ndarray, " feature"]]:
    """What a brain may see and hear of a film, by kind (`KINDS`).

    ``early``: oriented contrast of the middle frame. ``motion``: signed drift energy, to the
    right and down, and how much changes, in the left and the right half. ``late``: luminance in a
    3 × 3 grid, the mean of first, middle and last frame. ``sound``: amplitude in four bands.
    """
    middle = len(film.frames) // 2
    three = film.frames[[0, middle, -1]].astype(np.float64).mean(axis=0) / 255
    return {
        "early": made_up.early(film.frames[middle].astype(np.float64) / 255),
        "motion": _drift(film.frames, film.fps),
        "late": made_up.late(three),
        "sound": _bands(film.sound),
    }


def seen(path: str | Path) -> dict[str, Float64[np.ndarray, " feature"]]:
    """The features of the content of a film as it is decoded: see `features`."""
    return features(decoded(path))


def _pictures(
    rng: np.random.Generator, count: int, fps: int, size: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The frames of a film, scene by scene."""
    length = max(1, round(SCENE * fps))
    for start in range(0, count, length):
        yield from _scene(rng, min(length, count - start), size)


def _scene(
    rng: np.random.Generator, count: int, size: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """A window that glides over a picture twice its size; leaves glide before it."""
    wide = 2 * size
    # Leaves and grain of the picture are as large in the window as those of a still image.
    canvas = made_up.image(wide, rng).astype(np.float32)
    start, stop = rng.uniform(0, size, 2), rng.uniform(0, size, 2)
    leaves = [_leaf(rng, size) for _ in range(LEAVES)]
    begin, speed = rng.uniform(-0.2, 1.0, (LEAVES, 2)), rng.normal(0, 0.5, (LEAVES, 2))
    for step in np.linspace(0, 1, count):
        y, x = start + step * (stop - start)
        view = _between(canvas, y, x, size)
        for (inside, colour), first, drift in zip(leaves, begin, speed, strict=True):
            _paste(view, inside, colour, *(first + step * drift) * size)
        yield np.clip(view, 0, 255).astype(np.uint8)


def _between(
    canvas: Float32[np.ndarray, "height width 3"], y: float, x: float, size: int
) -> Float32[np.ndarray, "_ _ 3"]:
    """The window at (y, x), which may lie between pixels."""
    top, left = min(int(y), size - 1), min(int(x), size - 1)
    down, right = np.float32(y - top), np.float32(x - left)
    part = canvas[top : top + size + 1, left : left + size + 1]
    rows = part[:-1] + down * (part[1:] - part[:-1])
    return rows[:, :-1] + right * (rows[:, 1:] - rows[:, :-1])


def _leaf(
    rng: np.random.Generator, size: int
) -> tuple[Bool[np.ndarray, "side side"], Float32[np.ndarray, "side side 3"]]:
    """Which pixels a leaf covers, and their colours."""
    radius = max(3, int(size * rng.uniform(0.08, 0.22)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    inside = (u / stretch) ** 2 + v**2 < radius**2
    stripes = rng.uniform(0, 40) * np.sin(2 * np.pi * 8 * u / size)
    return inside, (rng.uniform(25, 230, 3) + stripes[:, :, None]).astype(np.float32)


def _paste(
    view: Float32[np.ndarray, "height width 3"],
    inside: Bool[np.ndarray, "side side"],
    colour: Float32[np.ndarray, "side side 3"],
    y: float,
    x: float,
) -> None:
    """Put a leaf onto the picture, as far as it lies in it."""
    size, side = len(view), len(inside)
    top, left = int(y), int(x)
    rows = slice(max(0, -top), min(side, size - top))
    columns = slice(max(0, -left), min(side, size - left))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    there = view[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    np.copyto(there, colour[rows, columns], where=inside[rows, columns, None])


def _tones(rng: np.random.Generator, seconds: float) -> Float32[np.ndarray, " sample"]:
    """A tone with two overtones in a little hiss; pitch and loudness glide from scene to scene."""
    count = round(seconds * RATE)
    knots = max(2, int(np.ceil(seconds / SCENE)) + 1)
    at = np.linspace(0, knots - 1, count)
    pitch = np.exp(np.interp(at, np.arange(knots), np.log(rng.uniform(150, 3500, knots))))
    loudness = np.interp(at, np.arange(knots), rng.uniform(0.02, 0.3, knots))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)
    hiss = rng.standard_normal(count) * rng.uniform(0.01, 0.1)
    return (loudness * (wave + hiss)).astype(np.float32)


def _sound_stream(container: Any) -> Any:
    return container.add_stream("aac", rate=RATE, layout="mono", options={"aac_coder": "fast"})


def _luminance(frame: Any) -> UInt8[np.ndarray, "height width"]:
    """The plane of a frame that holds its grey levels."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width].copy()


def _drift(
    frames: UInt8[np.ndarray, "frame height width"], fps: float
) -> Float64[np.ndarray, " feature"]:
    """Correlation of change in time with slope in space: signed, and blind to contrast's sign."""
    if len(frames) < 2:
        return np.zeros(KINDS["motion"])
    height, width = (n // 2 for n in frames.shape[1:])
    grey = frames[:, : 2 * height, : 2 * width].astype(np.float32) / 255
    grey = grey.reshape(len(grey), height, 2, width, 2).mean(axis=(2, 4))
    change = (grey[1:] - grey[:-1])[:, 1:-1, 1:-1] * np.float32(fps)
    between = grey[1:] + grey[:-1]
    right = (between[:, :, 2:] - between[:, :, :-2])[:, 1:-1]
    down = (between[:, 2:] - between[:, :-2])[:, :, 1:-1]
    half = change.shape[2] // 2
    found = []
    for side in (slice(None, half), slice(half, None)):
        moved = change[..., side]
        found += [
            -float((moved * right[..., side]).mean()),
            -float((moved * down[..., side]).mean()),
            float(np.abs(moved).mean()),
        ]
    return np.array(found, dtype=np.float64)


def _bands(sound: Float32[np.ndarray, " sample"]) -> Float64[np.ndarray, " feature"]:
    """Root mean square of the sound in each band; 0 where nothing is heard."""
    if not len(sound):
        return np.zeros(len(BANDS) - 1)
    power = np.abs(np.fft.rfft(sound)) ** 2 / len(sound) ** 2 * 2
    places = np.searchsorted(np.fft.rfftfreq(len(sound), 1 / RATE), BANDS)
    places[-1] = len(power)
    return np.sqrt([float(power[a:b].sum()) for a, b in pairwise(places)])
