"""Windows of sound: cut without a gap, silence as zeros, arguments by name."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from striate.data import Shown
from striate.errors import RecipeError
from striate.nets.inputs.sounds import Sounds, windows


def plain(pieces):
    """Nothing but the samples, filled up to the longest."""
    size = max(len(p) for p in pieces)
    return np.stack([np.pad(p, (0, size - len(p))) for p in pieces])


def heard(seconds=0.5, **more):
    fields = {"rate": 100, "analyse": plain, "arguments": ("x",), "told": {}} | more
    return Sounds(seconds=seconds, **fields)


@given(st.integers(1, 90), st.integers(1, 30), st.integers(1, 5))
def test_windows_join_to_the_sound(length, size, shortest):
    sound = np.arange(1, length + 1, dtype=np.float32)
    pieces = windows(sound, size, shortest)
    joined = np.concatenate(pieces)
    kept = min(len(joined), length)
    np.testing.assert_array_equal(joined[:kept], sound[:kept])
    assert all(len(p) == size for p in pieces[:-1])
    assert length - kept < shortest
    assert not joined[kept:].any()
    assert len(windows(sound, None, shortest)) == 1


def test_a_file_in_windows(tmp_path):
    wave = np.sin(np.arange(170) / 5)
    wavfile.write(tmp_path / "a.wav", 100, (wave * 32767).astype(np.int16))
    found = heard().read(Shown("a", str(tmp_path / "a.wav")))
    assert found.shape == (4, 50)
    np.testing.assert_allclose(found.ravel()[:170], wave, atol=1e-3)
    assert heard(None).read(Shown("a", str(tmp_path / "a.wav"))).shape == (1, 170)


def test_silence_is_zeros_of_the_stimulus_duration(monkeypatch):
    from striate.nets.inputs import waveforms

    monkeypatch.setattr(waveforms, "read_sound", lambda *_: np.zeros(0, np.float32))
    silent = Shown("a", "a.mp4", onset=3.0, duration=1.2)
    assert heard().read(silent).tolist() == [[0] * 50] * 3
    assert heard().read(Shown("a", "a.mp4")).shape == (1, 50)


def test_arguments_by_name():
    two = heard(arguments=("values", "attention_mask"), analyse=lambda p: np.ones((len(p), 2, 5)))
    given = two(two.blank())
    assert given["values"].dtype == torch.float32
    assert given["attention_mask"].dtype == torch.int64
    assert heard()(heard().blank()).shape == (1, 50)


def test_all_that_decides_numbers_is_told():
    keys = [heard(), heard(0.6), heard(rate=200), heard(told={"steps": 1}), heard(None)]
    assert len({str(k.identity()) for k in keys}) == 5
    with pytest.raises(RecipeError, match=r"seconds 0\.01 of a window of sound must be"):
        heard(0.01)
