"""Frames between frames: a clip at another rate, interpolated along its estimated motion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from striate.errors import DataError
from striate.media.packets import pyav

TICKS = 90_000
"""Units per second in which frames are timed on their way through the filter."""


def between_frames(timed: Iterable[tuple[float, Any]], rate: float, count: int) -> Iterator[Any]:
    """The first `count` frames at `rate` frames per second, made by FFmpeg's ``minterpolate``.

    The filter compensates motion by overlapped blocks. It needs a few frames ahead and ends early:
    the last frame of the clip is held.

    Parameters
    ----------
    timed
        Decoded frames with their seconds from the onset, ascending.
    rate
        Frames per second.
    count
        How many.

    Raises
    ------
    DataError
        When there are no frames.

    """
    av = pyav()
    graph, made, last = None, 0, None
    for seconds, frame in timed:
        last = frame
        if made >= count:
            continue
        plain = frame.reformat(format="yuv420p")
        if graph is None:
            graph = av.filter.Graph()
            base = Fraction(1, TICKS)
            source = graph.add_buffer(
                width=plain.width, height=plain.height, format=plain.format, time_base=base
            )
            speed = str(Fraction(rate).limit_denominator(1001))
            inner = graph.add("minterpolate", f"fps={speed}:mi_mode=mci:scd=none")
            sink = graph.add("buffersink")
            source.link_to(inner)
            inner.link_to(sink)
            graph.configure()
        plain.pts, plain.time_base = round(seconds * TICKS), Fraction(1, TICKS)
        graph.push(plain)
        for ready in _ready(graph, av):
            if made < count:
                yield ready
                made += 1
    if graph is None or last is None:
        raise DataError("there are no frames to interpolate between")
    if made < count:
        graph.push(None)
        for ready in _ready(graph, av):
            if made < count:
                yield ready
                made += 1
    for _ in range(made, count):
        yield last


def _ready(graph: Any, av: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
