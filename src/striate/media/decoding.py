"""A film is decoded forwards from a key frame, by readers that continue where they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from striate.errors import FileError
from striate.media.packets import (
    FilmIndex,
    Identity,
    allowed_missing,
    build_index,
    identity,
    known_index,
    open_container,
    pyav,
    video_stream,
)

IDLE = 8
"""Open films that wait for the next piece to be asked for."""


class Reader:
    """An open film and the place that its decoder has reached; used by one thread at a time."""

    def __init__(self, file: str) -> None:
        self.key: Identity = identity(file)
        self.at = 0
        """The frame that comes next."""
        self.last: Any = None
        """The frame before, if it could be decoded."""
        self._pending: tuple[int, Any] | None = None
        self._container = open_container(file)
        found = known_index(self.key)
        try:
            self.index: FilmIndex = found or build_index(self._container, file, self.key)
        except BaseException:
            self._container.close()
            raise
        self._stream = video_stream(self._container, file)
        self._decoded = self._numbered(self._container.demux(self._stream), 0)
        if found is None:
            self._seek(0)  # All packets have been read: go back.

    def frames(self, first: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Frames `first` to `stop` - 1 with their numbers; damaged ones are left out."""
        if not self._leads_to(first):
            self._seek(first)
        while True:
            found = self._pending or next(self._decoded, None)
            self._pending = None
            if found is None:
                self.at = len(self.index.times)
                return
            number, frame = found
            if number >= stop:
                self._pending, self.at = found, number
                return
            self.at = number + 1
            if number >= first:
                yield number, frame
            self.last = frame
            if number == stop - 1:
                return

    def close(self) -> None:
        """Close the file."""
        self._decoded.close()
        self._container.close()

    def upcoming(self) -> Any:
        """The frame that follows what was read, if it has been decoded."""
        return self._pending[1] if self._pending else None

    def _open(self) -> None:
        self._container = open_container(self.index.file)
        self._stream = video_stream(self._container, self.index.file)
        self._decoded = self._numbered(self._container.demux(self._stream), 0)
        self.at, self._pending, self.last = 0, None, None

    def _leads_to(self, first: int) -> bool:
        """Whether decoding on is the shortest way, because no key frame lies in between."""
        if self.at > first:
            return False
        if self.index.stamps is None or not len(self.index.keys):
            return True
        key = self._keys_before(first)[-1:]
        return not len(key) or int(np.searchsorted(self.index.stamps, key[0])) <= self.at

    def _keys_before(self, first: int) -> Any:
        stamps, keys = self.index.stamps, self.index.keys
        if stamps is None:
            return keys[:0]
        return keys[: np.searchsorted(keys, stamps[first], side="right")]

    def _seek(self, first: int) -> None:
        """Go to the last key frame that is shown no later than `first`.

        Containers order packets by decoding time, and land late at times: then the key frame
        before is tried, and at last the beginning.
        """
        av, stamps = pyav(), self.index.stamps
        for key in reversed(self._keys_before(first)[-3:]):
            try:
                self._container.seek(int(key), stream=self._stream)
            except av.FFmpegError:
                break
            packets = self._container.demux(self._stream)
            for packet in packets:
                if packet.is_keyframe and packet.pts is not None:
                    break
            else:
                continue
            if packet.pts <= key and stamps is not None:
                self.at = int(np.searchsorted(stamps, packet.pts))
                self._decoded = self._numbered(_after(packet, packets), self.at)
                self._pending = self.last = None
                return
        self.close()
        self._open()

    def _numbered(
        self, packets: Iterator[Any], number: int
    ) -> Generator[tuple[int, Any], None, None]:
        """Decoded frames and their numbers, ascending; what cannot be decoded is skipped."""
        av, stamps, codec = pyav(), self.index.stamps, self._stream.codec_context
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                packet = None
            try:
                decoded = codec.decode(packet)
            except av.FFmpegError:
                decoded = []
            for frame in decoded:
                if stamps is not None and frame.pts is not None:
                    here = int(np.searchsorted(stamps, frame.pts, side="right")) - 1
                    if here < number:
                        continue
                    number = here
                if number >= len(self.index.times):
                    return
                yield number, frame
                number += 1
            if packet is None or not packet.size:
                return


class Readers:
    """Open films, lent to whoever wants to read on; those of another process are forgotten."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._process, self._lock, self._idle = os.getpid(), threading.Lock(), list[Reader]()

    def take(self, file: str, first: int) -> Reader:
        """A reader of the file, the one that is closest before frame `first` if there is one."""
        if self._process != os.getpid():
            self._forget()
        key = identity(file)
        with self._lock:
            mine = [r for r in self._idle if r.key == key]
            if mine:
                best = max(mine, key=lambda r: (r.at <= first, r.at))
                self._idle.remove(best)
                return best
        return Reader(file)

    def give_back(self, reader: Reader) -> None:
        """Keep a film open for its next piece, unless it is over."""
        if reader.at >= len(reader.index.times):
            reader.close()
            return
        with self._lock:
            self._idle.append(reader)
            old = self._idle[:-IDLE]
            self._idle = self._idle[-IDLE:]
        for one in old:
            one.close()


_READERS = Readers()


def frames_between(file: str, first: int, stop: int, seconds: float) -> Iterator[tuple[int, Any]]:
    """Decoded frames `first` to `stop` - 1 of a film with their numbers.

    In place of one that cannot be decoded, the frame before is given again.

    Raises
    ------
    FileError
        When more is lost than a tenth or half a second of a piece of so many `seconds`.

    """
    reader = _READERS.take(file, first)
    index = reader.index
    expected, lost, last = first, 0, None
    try:
        for number, frame in reader.frames(first, stop):
            lost += number - expected
            for gap in range(expected, number):
                yield gap, _first(last, reader.last, frame)
            yield number, frame
            expected, last = number + 1, frame
        last = _first(last, reader.last, reader.upcoming())
    except BaseException:
        reader.close()
        raise
    _READERS.give_back(reader)
    lost += stop - expected
    if last is None or lost / index.rate > allowed_missing(seconds, index.rate) + 1e-6:
        raise FileError(
            f"{file}: {lost} of {stop - first} frames from {index.times[first]:.2f} s on cannot be"
            " decoded; copy or download it again, or drop it from the stimuli"
        )
    for gap in range(expected, stop):
        yield gap, last


def _first(*frames: Any) -> Any:
    return next((f for f in frames if f is not None), None)


def _after(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
