"""Sound as an extractor: a tone in its band, silence where there is none, the baseline's MFCC."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from tests.media.made_films import film

from striate.data import Shown, Stimuli
from striate.errors import DataError, RecipeError
from striate.extractors.sound import Sound
from striate.machine import Machine, using
from striate.media import is_film, list_media, read_sound
from striate.nets.spectra import LIBROSA_MFCC, hertz_to_mel
from striate.registry import key_of

RATE = 22050
MEL, MFCC = Sound(), Sound("mfcc")
SMALL = Sound(rate=8000, length=256, hop=128, bands=24)


def gathered(extractor, stimuli, batch=16):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    return np.concatenate([b[extractor.kind] for b in batches])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones, noise, silence of 1 s, a film without sound, and a picture."""
    place = tmp_path_factory.mktemp("sound")
    at = np.arange(RATE) / RATE
    waves = {f"tone{hertz}": 0.5 * np.sin(2 * np.pi * hertz * at) for hertz in (300, 1000, 4000)}
    waves["noise"] = np.random.default_rng(0).uniform(-0.4, 0.4, RATE)
    waves["silence"] = np.zeros(RATE)
    waves["click"] = np.zeros(100)
    for name, wave in waves.items():
        wavfile.write(place / f"{name}.wav", RATE, (wave * 32767).astype(np.int16))
    film(place / "mute.mp4", 10, 10)
    Image.new("RGB", (8, 8)).save(place / "picture.png")
    return place


def stimuli_of(folder, *names):
    return Stimuli.from_files([folder / n for n in names], [n.partition(".")[0] for n in names])


@pytest.mark.parametrize("hertz", [300, 1000, 4000])
@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_a_tone_is_loudest_in_its_own_band(folder, hertz, scale):
    sound = dataclasses.replace(MEL, bands=40, scale=scale)
    (row,) = gathered(sound, stimuli_of(folder, f"tone{hertz}.wav"))
    assert row.shape == (40,)
    ends = hertz_to_mel(np.array([0.0, hertz, RATE / 2]), scale)
    # Centres of 40 bands divide the scale into 41 equal parts.
    assert abs(row.argmax() - (ends[1] / ends[2] * 41 - 1)) <= 0.5 + 0.1
    assert row.max() - np.median(row) > 30  # decibels


def test_what_makes_no_sound_is_silent(folder):
    for kind in (MEL, MFCC):
        silence, mute = gathered(kind, stimuli_of(folder, "silence.wav", "mute.mp4"))
        np.testing.assert_array_equal(mute, silence)
    with pytest.raises(DataError, match=r"picture\.png .* is neither film nor sound"):
        gathered(MEL, stimuli_of(folder, "picture.png"))
    (loud,) = gathered(MEL, stimuli_of(folder, "noise.wav"))
    assert (loud > gathered(MEL, stimuli_of(folder, "silence.wav"))[0] + 40).all()


def test_mfcc_are_those_of_the_baseline(folder):
    stimuli = stimuli_of(folder, "noise.wav", "tone300.wav")
    found = gathered(MFCC, stimuli)
    assert found.shape == (2, 20)
    for row, shown in zip(found, stimuli.shown(), strict=True):
        samples = torch.from_numpy(read_sound(shown, RATE))[None]
        expected = LIBROSA_MFCC(samples)[0].mean(0)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_sound_is_cut_and_continued(folder):
    stimuli = stimuli_of(folder, "tone1000.wav", "silence.wav")
    kept = dataclasses.replace(MEL, time="keep")
    assert gathered(kept, stimuli).shape == (2, 1 + RATE // 512, 128)
    half = gathered(dataclasses.replace(kept, seconds=0.5), stimuli)
    assert half.shape == (2, 1 + RATE // 2 // 512, 128)
    twice = gathered(dataclasses.replace(kept, seconds=2), stimuli)
    assert twice.shape == (2, 1 + 2 * RATE // 512, 128)
    whole = gathered(kept, stimuli)
    inner = slice(0, 20)  # frames that do not reach beyond the cut
    np.testing.assert_allclose(half[0, inner], whole[0, inner], atol=1e-3)
    np.testing.assert_allclose(twice[0, inner], whole[0, inner], atol=1e-3)
    assert (twice[0, -20:].max(1) < twice[0, :20].max(1) - 60).all()


def test_frames_are_pooled_and_short_sounds_have_one(folder):
    stimuli = stimuli_of(folder, "noise.wav")
    kept = gathered(dataclasses.replace(MEL, time="keep"), stimuli)[0]
    np.testing.assert_allclose(gathered(MEL, stimuli)[0], kept.mean(0), rtol=1e-5)
    most = gathered(dataclasses.replace(MEL, time="max"), stimuli)[0]
    np.testing.assert_allclose(most, kept.max(0))
    assert np.isfinite(gathered(MEL, stimuli_of(folder, "click.wav"))).all()


def test_pieces_of_a_sound(folder):
    import pandas as pd

    table = {"file": str(folder / "noise.wav"), "onset": [0.0, 0.5], "duration": 0.5}
    halves = Stimuli(pd.DataFrame(table, index=["first", "second"]))
    kept = dataclasses.replace(MEL, time="keep")
    first, second = gathered(kept, halves)
    whole = gathered(kept, stimuli_of(folder, "noise.wav"))[0]
    # Frames are 512 samples apart; those of the first half begin as those of the whole.
    np.testing.assert_allclose(first[:18], whole[:18], atol=1e-3)
    assert second.shape == first.shape and abs(second - first).max() > 1


def test_sounds_of_different_length_make_no_array(folder):
    stimuli = stimuli_of(folder, "noise.wav", "click.wav")
    with pytest.raises(DataError, match="features of different shapes"):
        gathered(dataclasses.replace(MEL, time="keep"), stimuli)
    kept = dataclasses.replace(MEL, time="keep", seconds=0.25)
    assert gathered(kept, stimuli).shape[0] == 2


def test_a_stimulus_needs_a_file():
    nameless = Stimuli.from_files(["", ""], ["a", "b"])
    with pytest.raises(DataError, match="no sound file for stimulus 'a'"):
        gathered(MEL, nameless)


def test_real_clips_are_heard(real_data):
    files = list_media(real_data / "videos")
    films = [f for f in files if is_film(f)]
    assert len(films) == 9
    stimuli = Stimuli.from_files(films, [Path(f).name for f in films])
    for sound in (dataclasses.replace(SMALL, seconds=2), Sound("mfcc", seconds=2)):
        found = gathered(sound, stimuli)
        assert found.shape[0] == 9 and np.isfinite(found).all()
    heard = np.array([bool(len(read_sound(Shown("", f), 8000))) for f in films])
    quiet, loud = found[~heard], found[heard]
    assert 0 < len(quiet) < 9
    assert (quiet == quiet[0]).all()
    assert (loud[:, 0] > quiet[0, 0] + 10).all()


CHANGES = {
    "kind": "mfcc",
    "rate": 16000,
    "length": 512,
    "hop": 64,
    "bands": 20,
    "low": 100,
    "high": 3000,
    "scale": "htk",
    "coefficients": 12,
    "seconds": 1,
    "time": "max",
    "dtype": "float16",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Sound)])
def test_every_field_is_in_the_key(name):
    other = dataclasses.replace(SMALL, **{name: CHANGES[name]})
    assert key_of(other.identity()) != key_of(SMALL.identity())


def test_the_same_numbers_written_otherwise_are_the_same():
    one, two = (
        dataclasses.replace(SMALL, low=a, high=b, seconds=c)
        for a, b, c in ((0, 4000, 1), (0.0, 4000.0, 1.0))
    )
    assert key_of(one.identity()) == key_of(two.identity())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "mel"}, "unknown kind of sound features 'mel'"),
        ({"kind": "mfcc", "coefficients": 30}, "30 coefficients of 24 mel bands"),
        ({"scale": "bark"}, "unknown mel scale"),
        ({"high": 5000}, "between 0 and half the sampling rate"),
        ({"bands": 200}, "band"),
        ({"seconds": 0}, "seconds 0 of sound"),
        ({"time": "sum"}, "unknown pooling over time"),
        ({"dtype": "float8"}, "unknown dtype"),
    ],
)
def test_what_cannot_be_is_refused_at_once(fields, said):
    with pytest.raises(RecipeError, match=said):
        dataclasses.replace(SMALL, **fields)
