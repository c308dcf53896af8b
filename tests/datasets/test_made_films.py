"""Made-up films: what is drawn is what decoders find, and features tell films apart."""

import time

import numpy as np
import pytest

from striate.data import Shown
from striate.datasets import made_films
from striate.errors import FileError
from striate.media import Frames, film_facts, read_frames, read_sound


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    place = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(3)
    files = []
    for k in range(12):
        files.append(place / f"film{k}.{'mkv' if k % 4 == 3 else 'mp4'}")
        made_films.write_film(files[-1], rng, fps=(15, 25, 30)[k % 3], sound=k % 2 == 0)
    return files


def test_the_container_says_what_was_asked_for(films):
    for k, file in enumerate(films):
        facts = film_facts(str(file))
        assert (facts.width, facts.height) == (64, 64)
        assert facts.rate == pytest.approx((15, 25, 30)[k % 3])
        assert facts.frames == 3 * (15, 25, 30)[k % 3]


def test_decoding_agrees_with_the_package(films):
    for k, file in enumerate(films[:4]):
        film = made_films.decoded(file)
        shown = Shown(file.stem, str(file))
        first = np.asarray(read_frames(shown, Frames(times=(0.0,)))[0].convert("L"), dtype=float)
        # Grey levels of the file lie between 16 and 235.
        ours = (film.frames[0].astype(float) - 16) * 255 / 219
        assert np.corrcoef(first.ravel(), ours.ravel())[0, 1] > 0.99
        sound = read_sound(shown, made_films.RATE)
        assert (len(sound) > 0) == (k % 2 == 0) == (len(film.sound) > 0)
        if len(sound):
            both = min(len(sound), len(film.sound))
            assert abs(len(sound) - len(film.sound)) < 0.15 * made_films.RATE
            assert np.std(sound[:both]) == pytest.approx(np.std(film.sound[:both]), rel=0.05)


def test_features_have_their_sizes_and_vary(films):
    found = [made_films.seen(file) for file in films]
    for kind, size in made_films.KINDS.items():
        values = np.stack([f[kind] for f in found])
        assert values.shape == (12, size)
        assert np.isfinite(values).all()
        assert (values.std(axis=0) > 0).all(), kind
    silent = [f["sound"] for f in found[1::2]]
    assert not np.any(silent)


@pytest.mark.parametrize(("axis", "step", "feature"), [(2, 1, 0), (2, -1, 0), (1, 1, 1)])
def test_motion_is_signed(axis, step, feature):
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(0, 255, (16, 16)), np.ones((4, 4))).astype(np.uint8)
    frames = np.stack([np.roll(still, 2 * step * k, axis=axis - 1) for k in range(8)])
    motion = made_films._drift(frames, 15.0)
    assert np.sign(motion[feature]) == np.sign(motion[feature + 3]) == step
    other = 1 - feature
    assert abs(motion[other]) < 0.3 * abs(motion[feature])
    # Contrast turned over moves as before.
    np.testing.assert_allclose(made_films._drift(255 - frames, 15.0), motion, rtol=1e-4)


def test_bands_hear_the_pitch():
    at = np.arange(3 * made_films.RATE) / made_films.RATE
    for band, hertz in enumerate((200, 600, 1500, 4000)):
        found = made_films._bands((0.2 * np.sin(2 * np.pi * hertz * at)).astype(np.float32))
        assert found[band] == pytest.approx(0.2 / np.sqrt(2), rel=0.01)
        assert np.delete(found, band).max() < 0.01


def test_a_piece_of_a_long_film_is_what_lies_there(tmp_path):
    made_films.write_film(tmp_path / "long.mkv", np.random.default_rng(1), seconds=7.0, fps=15)
    film = made_films.decoded(tmp_path / "long.mkv")
    assert len(film.frames) == 105
    piece = film.piece(3.0, 1.4)
    np.testing.assert_array_equal(piece.frames, film.frames[45:66])
    np.testing.assert_array_equal(piece.sound, film.sound[48000:70400])
    change = np.abs(np.diff(film.frames.astype(float), axis=0)).mean(axis=(1, 2))
    # The camera cuts after three and six seconds.
    assert {int(k) for k in np.argsort(change)[-2:]} == {44, 89}
    assert len(film.piece(100.0, 1.0).frames) == 1


def test_the_same_seed_is_the_same_film(tmp_path):
    for name in ("a", "b"):
        made_films.write_film(tmp_path / f"{name}.mp4", np.random.default_rng(5), seconds=1.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_film_costs_little(tmp_path):
    rng = np.random.default_rng(0)
    spent = []
    for k in range(6):
        start = time.process_time()
        made_films.write_film(tmp_path / f"{k}.mp4", rng, fps=15)
        made_films.seen(tmp_path / f"{k}.mp4")
        spent.append(time.process_time() - start)
    assert min(spent) < 0.12
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 6 * 60_000


def test_what_cannot_be_written_or_read_is_told(tmp_path):
    with pytest.raises(FileError, match=r"x\.mp4 cannot be written"):
        made_films.write_film(tmp_path / "none" / "x.mp4", np.random.default_rng(0), seconds=0.2)
    (tmp_path / "broken.mp4").write_bytes(b"no film at all" * 9)
    with pytest.raises(FileError, match=r"broken\.mp4 cannot be decoded"):
        made_films.seen(tmp_path / "broken.mp4")
