"""Spectra against sums written out, scipy's DCT, and the numpy code of transformers."""

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import DataError, RecipeError
from striate.nets.spectra import (
    LIBROSA_MFCC,
    SCALES,
    VGGISH_MEL,
    LogMel,
    Mfcc,
    cosines,
    decibels,
    hertz_to_mel,
    librosa_mel,
    mel_filters,
    mel_to_hertz,
    spectrogram,
)


def noise(samples, stimuli=1, seed=0):
    made = np.random.default_rng(seed).normal(0, 0.1, (stimuli, samples))
    return torch.from_numpy(made)


def slow_spectrum(sound, length, hop, fft, power):
    """Sums over samples, frame by frame and frequency by frequency."""
    window = [0.5 - 0.5 * np.cos(2 * np.pi * n / length) for n in range(length)]
    frames = []
    for start in range(0, len(sound) - length + 1, hop):
        frame = []
        for k in range(fft // 2 + 1):
            wave = np.exp(-2j * np.pi * k * np.arange(length) / fft)
            frame.append(abs(np.sum(sound[start : start + length] * window * wave)) ** power)
        frames.append(frame)
    return np.array(frames)


def slow_filters(scale, bands, low, high, rate, fft):
    """Triangles, one by one."""
    if scale == "htk":

        def mel(f):
            return 2595 * np.log10(1 + f / 700)

        def back(m):
            return 700 * (10 ** (m / 2595) - 1)
    else:

        def mel(f):
            return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

        def back(m):
            return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    first, last = mel(low), mel(high)
    edges = [first + (last - first) * i / (bands + 1) for i in range(bands + 2)]
    made = np.zeros((fft // 2 + 1, bands))
    for b in range(bands):
        left, centre, right = edges[b : b + 3]
        area = 1.0
        if scale == "slaney":
            left, centre, right = back(left), back(centre), back(right)
            area = (right - left) / 2
        for k in range(fft // 2 + 1):
            place = k * rate / fft if scale == "slaney" else mel(k * rate / fft)
            if left < place <= centre:
                made[k, b] = (place - left) / (centre - left) / area
            elif centre < place < right:
                made[k, b] = (right - place) / (right - centre) / area
    return made


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_spectrogram_is_the_sum_written_out(power):
    sound = noise(130)
    found = spectrogram(sound, 40, 16, 64, power)[0].numpy()
    np.testing.assert_allclose(found, slow_spectrum(sound[0].numpy(), 40, 16, 64, power), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 24), st.integers(1, 12), st.integers(0, 8), st.integers(24, 90), st.booleans()
)
def test_frames_are_as_many_as_fit(length, hop, longer, samples, centred):
    found = spectrogram(noise(samples), length, hop, length + longer, centred=centred)
    padded = samples + 2 * (length // 2) * centred
    assert found.shape == (1, 1 + (padded - length) // hop, (length + longer) // 2 + 1)


@pytest.mark.parametrize("scale", SCALES)
def test_mel_filters_are_triangles(scale):
    found = mel_filters(scale, 20, 80, 3900, 8000, 512)
    np.testing.assert_allclose(found, slow_filters(scale, 20, 80, 3900, 8000, 512), atol=1e-12)


@pytest.mark.parametrize(("bands", "low", "high", "rate", "fft"), [(64, 125, 7500, 16000, 512)])
def test_htk_filters_are_those_of_transformers(bands, low, high, rate, fft):
    audio = pytest.importorskip("transformers.audio_utils")
    theirs = audio.mel_filter_bank(
        fft // 2 + 1, bands, low, high, rate, None, "htk", triangularize_in_mel_space=True
    )
    np.testing.assert_allclose(mel_filters("htk", bands, low, high, rate, fft), theirs, atol=1e-9)


@pytest.mark.parametrize(("bands", "rate", "fft"), [(128, 22050, 2048), (80, 16000, 400)])
def test_slaney_filters_are_those_of_transformers(bands, rate, fft):
    audio = pytest.importorskip("transformers.audio_utils")
    theirs = audio.mel_filter_bank(fft // 2 + 1, bands, 0.0, rate / 2, rate, "slaney", "slaney")
    found = mel_filters("slaney", bands, 0.0, rate / 2, rate, fft)
    np.testing.assert_allclose(found, theirs, atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_mel_and_back(scale):
    hertz = np.array([0.0, 60.0, 999.0, 1000.0, 4000.0, 11025.0])
    np.testing.assert_allclose(mel_to_hertz(hertz_to_mel(hertz, scale), scale), hertz, atol=1e-8)
    assert np.all(np.diff(hertz_to_mel(hertz, scale)) > 0)


def test_vggish_mel_is_that_of_transformers():
    audio = pytest.importorskip("transformers.audio_utils")
    sound = noise(16000)
    window = audio.window_function(400, "hann", periodic=True)
    bank = audio.mel_filter_bank(
        257, 64, 125, 7500, 16000, None, "htk", triangularize_in_mel_space=True
    )
    theirs = audio.spectrogram(
        sound[0].numpy(), window, 400, 160, 512, power=1.0, center=False, mel_filters=bank
    )
    expected = np.log(theirs.T + 0.01)
    np.testing.assert_allclose(VGGISH_MEL(sound)[0].numpy(), expected, atol=1e-6)


def test_librosa_mfcc_is_that_of_transformers_and_scipy():
    audio = pytest.importorskip("transformers.audio_utils")
    sound = noise(22050) * torch.linspace(0, 1, 22050, dtype=torch.float64) ** 8
    theirs = audio.spectrogram(
        sound[0].numpy(),
        audio.window_function(2048, "hann", periodic=True),
        2048,
        512,
        power=2.0,
        pad_mode="constant",
        mel_filters=audio.mel_filter_bank(1025, 128, 0.0, 11025.0, 22050, "slaney", "slaney"),
        mel_floor=0.0,
        log_mel="dB",
        db_range=80.0,
        dtype=np.float64,
    )
    assert theirs.min() == pytest.approx(theirs.max() - 80)  # the range was needed
    np.testing.assert_allclose(librosa_mel()(sound)[0].numpy().T, theirs, atol=1e-3)
    expected = scipy.fft.dct(theirs, axis=0, type=2, norm="ortho")[:20]
    found = LIBROSA_MFCC(sound)[0].numpy()
    assert found.shape == (1 + 22050 // 512, 20)
    np.testing.assert_allclose(found.T, expected, atol=1e-2)


def test_cosines_are_orthonormal_and_scipys():
    basis = cosines(9, 9)
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-12)
    values = np.random.default_rng(0).normal(size=(3, 9))
    np.testing.assert_allclose(values @ basis, scipy.fft.dct(values, norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("mel", [VGGISH_MEL, librosa_mel()], ids=["vggish", "librosa"])
@pytest.mark.parametrize("hertz", [300.0, 1000.0, 5000.0])
def test_a_tone_peaks_in_its_band(mel, hertz):
    time = torch.arange(mel.rate) / mel.rate
    bands = mel(torch.sin(2 * torch.pi * hertz * time)[None])[0]
    high = mel.high or mel.rate / 2
    ends = hertz_to_mel(np.array([float(mel.low), float(high)]), mel.scale)
    centres = np.linspace(*ends, mel.bands + 2)[1:-1]
    nearest = np.abs(centres - hertz_to_mel(np.array([hertz]), mel.scale)).argmin()
    inner = bands[4:-4].mean(0)
    assert abs(int(inner.argmax()) - int(nearest)) <= (1 if hertz < 500 else 0)


def test_company_and_precision_do_not_matter():
    sounds = noise(22050, stimuli=3)
    sounds[1] *= 100
    together = LIBROSA_MFCC(sounds)
    for i in range(3):
        torch.testing.assert_close(together[i], LIBROSA_MFCC(sounds[i : i + 1])[0])
    torch.testing.assert_close(
        LIBROSA_MFCC(sounds.float()).double(), together, atol=1e-2, rtol=1e-4
    )


def test_silence_is_finite():
    silence = torch.zeros(1, 22050)
    assert bool(torch.isfinite(LIBROSA_MFCC(silence)).all())
    np.testing.assert_allclose(VGGISH_MEL(silence).numpy(), np.log(0.01), rtol=1e-6)


def test_decibels_without_a_range():
    assert decibels(torch.tensor([[1.0, 0.0]]), dynamic=None).tolist() == [[0.0, -100.0]]


def test_what_cannot_be_is_refused():
    with pytest.raises(RecipeError, match=r"unknown mel scale 'mel'.*htk, slaney"):
        LogMel(8000, 256, 128, 256, 20, scale="mel")
    with pytest.raises(RecipeError, match="unknown compression 'ln'"):
        LogMel(8000, 256, 128, 256, 20, compression="ln")
    with pytest.raises(RecipeError, match=r"125 to 7500 Hz.*4000 Hz"):
        mel_filters("htk", 64, 125, 7500, 8000, 512)
    with pytest.raises(RecipeError, match=r"mel band \d+ of 128 .*fewer bands"):
        mel_filters("slaney", 128, 0, 4000, 8000, 128)
    with pytest.raises(RecipeError, match=r"30 coefficients of 20 mel bands"):
        Mfcc(LogMel(8000, 256, 128, 256, 20), 30)
    with pytest.raises(DataError, match=r"100 samples is shorter than one frame of 400"):
        VGGISH_MEL(torch.zeros(1, 100))
    with pytest.raises(RecipeError, match="no shorter than the frame"):
        spectrogram(torch.zeros(1, 100), 40, 10, 32)
