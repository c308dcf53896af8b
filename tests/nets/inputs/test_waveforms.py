"""The sound of a stimulus as samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from striate.data import Shown
from striate.errors import DataError, FileError
from striate.nets.inputs.waveforms import fitted, waveform


def test_silence_stands_where_there_is_no_sound(tmp_path, monkeypatch):
    from striate.nets.inputs import waveforms

    monkeypatch.setattr(waveforms, "read_sound", lambda *_: np.zeros(0, np.float32))
    assert waveform(Shown("a", "a.mp4"), 100).shape == (100,)
    assert waveform(Shown("a", "a.mp4", 1.0, 2.5), 100).tolist() == [0] * 250
    with pytest.raises(DataError, match="no sound file for stimulus 'b'"):
        waveform(Shown("b", ""), 100)


def test_a_wave_file_is_read(tmp_path):
    wave = np.sin(np.arange(8000) / 20)
    wavfile.write(tmp_path / "a.wav", 8000, (wave * 32767).astype(np.int16))
    found = waveform(Shown("a", str(tmp_path / "a.wav")), 8000)
    np.testing.assert_allclose(found, wave, atol=1e-3)


def test_lengths():
    sound = np.arange(10, dtype=np.float32)
    assert fitted(sound, 0.5, 10).tolist() == [0, 1, 2, 3, 4]
    assert fitted(sound, 1.2, 10).tolist() == [*range(10), 0, 0]
    assert len(fitted(sound, 0.1, 10, least=4)) == 4
    assert fitted(sound, None, 10) is not None and len(fitted(sound, None, 10)) == 10


@given(
    st.integers(1, 50),
    st.none() | st.floats(0.01, 5, allow_subnormal=False),
    st.integers(1, 20),
    st.integers(1, 30),
)
def test_what_is_kept_is_as_it_was_and_silence_follows(length, seconds, rate, least):
    sound = np.arange(1, length + 1, dtype=np.float32)
    found = fitted(sound, seconds, rate, least)
    wanted = length if seconds is None else round(seconds * rate)
    assert len(found) == max(wanted, least)
    kept = min(length, len(found))
    assert (found[:kept] == sound[:kept]).all() and not found[kept:].any()


def test_pieces_join_to_the_whole(tmp_path):
    values = np.random.default_rng(0).integers(-9999, 9999, 900).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 300, values)
    file = str(tmp_path / "a.wav")
    pieces = [waveform(Shown("a", file, k * 1.0, 1.0), 300) for k in range(3)]
    np.testing.assert_array_equal(np.concatenate(pieces), waveform(Shown("a", file), 300))
    with pytest.raises(FileError, match=r"a\.wav: stimulus a begins at 5 s, but .* ends at 3.00 s"):
        waveform(Shown("a", file, 5.0, 0.5), 300)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileError, match=r"gone\.wav"):
        waveform(Shown("a", str(tmp_path / "gone.wav")), 300)
