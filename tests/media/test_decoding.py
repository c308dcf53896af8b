"""Reading a film from anywhere gives the frames that reading it from the beginning gives."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import FileError
from striate.media.decoding import IDLE, Reader, Readers, frames_between
from striate.media.films import upright
from striate.media.packets import film_index

from .made_films import film, number
from .test_packets import CLIPS

KINDS = {
    "h264": ("a.mp4", {"codec": "libx264"}),
    "open": (
        "b.mkv",
        {"codec": "libx264", "options": {"g": "9", "bf": "3", "x264-params": "open-gop=1"}},
    ),
    "mpeg4": ("c.avi", {"codec": "mpeg4", "options": {"qscale": "1", "flags": "+qscale"}}),
    "mpeg2": ("d.ts", {"codec": "mpeg2video", "options": {"qscale": "1", "bf": "2"}}),
    "vp9": ("e.webm", {"codec": "libvpx-vp9", "options": {"lossless": "1", "g": "10"}}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    found = {}
    for kind, (name, more) in KINDS.items():
        file = film(folder / name, 60, **more)
        found[kind] = file, [upright(f) for _, f in frames_between(file, 0, 60, 2.0)]
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(spans=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 20)), min_size=1, max_size=6))
def test_any_walk_through_a_film(made, kind, spans):
    file, whole = made[kind]
    assert np.abs(np.diff([number(i) for i in whole]) - 1).max() <= 2
    for first, length in spans:
        stop = min(60, first + length)
        found = list(frames_between(file, first, stop, 2.0))
        assert [n for n, _ in found] == list(range(first, stop))
        for n, frame in found:
            assert upright(frame).tobytes() == whole[n].tobytes()


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_from_the_middle(real_data, name):
    file = str(real_data / "videos" / name)
    count = len(film_index(file).times)
    first = count // 3
    with av.open(file) as container:
        every = []
        for k, frame in enumerate(container.decode(video=0)):
            if k >= first:
                every.append(frame.to_ndarray(format="rgb24"))
            if len(every) == 4:
                break
    found = list(frames_between(file, first, first + 4, 10.0))
    for (_, frame), want in zip(found, every, strict=True):
        np.testing.assert_array_equal(np.asarray(upright(frame)), want)


def test_a_reader_goes_on_and_seeks_only_past_key_frames(made, monkeypatch):
    reader = Reader(made["h264"][0])
    sought = []
    monkeypatch.setattr(reader, "_seek", lambda n: sought.append(n))
    assert [n for n, _ in reader.frames(0, 5)] == [0, 1, 2, 3, 4]
    assert [n for n, _ in reader.frames(5, 8)] == [5, 6, 7]
    assert [n for n, _ in reader.frames(10, 12)] == [10, 11]
    assert not sought
    list(reader.frames(30, 31))
    assert sought == [30]
    reader.close()


def test_open_films_are_few_and_lent_to_one(made):
    readers = Readers()
    file = made["h264"][0]
    first, second = readers.take(file, 0), readers.take(file, 0)
    assert first is not second
    list(first.frames(0, 20))
    list(second.frames(0, 10))
    for one in (first, second):
        readers.give_back(one)
    assert readers.take(file, 15) is second
    assert readers.take(file, 25) is first
    for one in [Reader(file) for _ in range(IDLE + 3)]:
        readers.give_back(one)
    assert len(readers._idle) == IDLE
    readers._process = -1
    readers.take(file, 0).close()
    assert readers._idle == []


def damaged(path, lost):
    """A film whose packets of the numbers `lost` hold noise."""
    source = film(path.with_name("whole.mkv"), 60, options={"g": "60", "bf": "0", "crf": "4"})
    with av.open(source) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for k, packet in enumerate(p for p in old.demux(video=0) if p.size):
            if k in lost:
                noise = av.Packet(b"\x00\x00\x00\x02\xff\xff")
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                noise.duration = packet.duration
                packet = noise
            packet.stream = stream
            new.mux(packet)
    return str(path)


def test_a_few_lost_frames_are_held(tmp_path):
    file = damaged(tmp_path / "tail.mkv", {56, 57, 58, 59})
    found = list(frames_between(file, 0, 60, 2.0))
    assert [n for n, _ in found] == list(range(60))
    assert [number(upright(f)) for _, f in found] == [*range(56), 55, 55, 55, 55]
    assert [number(upright(f)) for _, f in frames_between(file, 57, 60, 2.0)] == [55] * 3


def test_many_lost_frames_are_an_error(tmp_path):
    file = damaged(tmp_path / "tail.mkv", set(range(40, 60)))
    told = r"tail\.mkv: 20 of 60 frames from 0\.00 s on cannot be decoded; copy or download"
    with pytest.raises(FileError, match=told):
        list(frames_between(file, 0, 60, 2.0))
    assert len(list(frames_between(file, 0, 40, 2.0))) == 40
    assert Path(file).exists()
