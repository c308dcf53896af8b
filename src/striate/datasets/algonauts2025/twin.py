"""A made-up tree of the 2025 challenge whose scores are known: films, words, runs and parcels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import natural_key
from striate.datasets import made_films, made_up
from striate.datasets.algonauts2025.films import (
    chunk_count,
    film_file,
    seconds_of,
    transcript_file,
)
from striate.datasets.algonauts2025.runs import PARCELS, SAMPLES, Movie
from striate.files import write_object_npy

TR, DELAY = 1.49, 3
TINY = {
    "train": "s01e01a s01e01b s01e02a s01e02b s04e01a s05e20a s06e01a s06e01b s06e02a bourne01"
    " wolf01 life01 figures01",
    "friends-s7": "s07e01a s07e01b s07e02a",
    "ood": "chaplin1 chaplin2 wot1 wot2",
}
LENGTHS = (36, 37, 38, 40)
"""Chunks of a film of the tiny twin, by turns."""
RATE, PIXELS = 6, 64
"""Frames per second of its films, and their height and width."""
SUBJECTS = {"sub-01": 1.2, "sub-02": 1.0, "sub-03": 1.1, "sub-05": 0.9}
"""How much better than the networks' ncsnr a subject is measured."""
MISSING = {"sub-02": ("s05e20a",), "sub-05": ("s04e01a", "s04e01b", "s04e13b")}
TWICE = ("life", "figures")
NETWORKS = {
    "Vis": ("early", 80, 1.6),
    "SomMot": ("sound", 95, 1.3),
    "DorsAttn": ("motion", 70, 1.4),
    "SalVentAttn": ("late", 55, 1.0),
    "Limbic": ("sound", 35, 1.0),
    "Cont": ("late", 70, 1.2),
    "Default": ("words", 95, 1.4),
}
"""Network → the features that it follows, parcels per hemisphere, and ncsnr."""
KINDS = {**made_films.KINDS, "words": 3}
VOLUME, ORIGIN = (97, 115, 97), (-96.0, -132.0, -78.0)
WORDS = "oh we you know well so what really coffee apartment wonderful remember everybody sorry no"
SPACE = "space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net"


@dataclass(frozen=True, eq=False)
class Planted:
    """What films hold: movies, their chunks, and features of all chunks below each other."""

    counts: Mapping[Movie, int]
    features: Mapping[str, Float[np.ndarray, "chunk feature"]]

    def rows(self, movie: Movie, kind: str, samples: int) -> Float[np.ndarray, "sample feature"]:
        """The features that the samples of a run follow: those of three chunks ago."""
        names = list(self.counts)
        start = sum(self.counts[m] for m in names[: names.index(movie)])
        at = np.clip(np.arange(samples) - DELAY, 0, self.counts[movie] - 1)
        return self.features[kind][start + at]


def write(folder: Path, size: str = "tiny", seed: int = 0, media: bool = True) -> pd.DataFrame:
    """Write the twin and return its truth: subject, roi, score (Pearson), ceiling.

    Every parcel is linear in one kind of features of the chunk three TRs before, by network:
    ``early``, ``motion``, ``late`` and ``sound`` of `made_films.features`, or ``words``: words and
    letters per second and letters per word. `features_KIND.npy` and `ids.csv` hold these, and
    `truth.csv` what is returned; the right model reaches `score`, the root of the ceiling.
    `answers` is laid out as `fmri` and holds the responses to the tests.

    Films have 36 to 40 chunks. Subjects 2 and 5 lack an episode, two films were shown twice,
    chaplin has no transcript, and subject 5 has its lengths in a folder of the other spelling.
    With size ``full`` every run has its true kind of name and shape, but only the first two
    episodes of each season hold values (the others are zeros that take no space); there, and
    without `media`, there are no films, and features are random.

    Raises
    ------
    FileError
        When the folder holds something already.

    """
    made_up.new_folder(folder)
    rng = np.random.default_rng(seed)
    parts = TINY if size == "tiny" else _full()
    order = {s: k for k, s in enumerate(" ".join(parts.values()).split())}
    movies = sorted(filter(None, map(Movie.parse, order)), key=lambda m: natural_key(m.name))
    lengths = {m: LENGTHS[order[m.split] % 4] for m in movies}
    if size == "full":
        lengths = {m: 440 + int(rng.integers(160)) for m in movies}
    filmed = media and size == "tiny"
    if filmed:
        for movie, count in lengths.items():
            place = film_file(folder, movie)
            place.parent.mkdir(parents=True, exist_ok=True)
            made_films.write_film(
                place, rng, (count + 0.3) * TR, RATE, PIXELS, order[movie.split] % 5 != 4
            )
        lengths = {m: chunk_count(seconds_of(film_file(folder, m)), TR, False) for m in movies}
    said = {
        m: [] if m.part == "chaplin" else _speech(folder, m, n, rng) for m, n in lengths.items()
    }
    planted = Planted(lengths, _features(folder, lengths, said, filmed, rng))
    ids = [f"{m.name}#{k:04d}" for m, count in lengths.items() for k in range(count)]
    made_up.save_features(folder, ids, planted.features)
    extra = {m: int(rng.integers(3)) for m in movies}
    lines = []
    for subject, better in SUBJECTS.items():
        lines += _subject(folder, subject, better, planted, extra, size == "full", rng)
    _atlas(folder)
    known = pd.DataFrame(lines, columns=["subject", "roi", "score", "ceiling"])
    known.to_csv(folder / "truth.csv", index=False)
    return known


def _full() -> dict[str, str]:
    """Names as of the real films: 24 episodes a season in halves, and all of Movie10."""

    def season(k: int) -> str:
        return " ".join(f"s{k:02d}e{e:02d}{half}" for e in range(1, 25) for half in "ab")

    counts = {"bourne": 10, "figures": 12, "life": 5, "wolf": 17}
    ten = " ".join(f"{m}{k + 1:02d}" for m, count in counts.items() for k in range(count))
    ood = ("chaplin", "mononoke", "passepartout", "planetearth", "pulpfiction", "wot")
    return {
        "train": " ".join([*map(season, range(1, 7)), ten]),
        "friends-s7": season(7),
        "ood": " ".join(f"{m}{k}" for m in ood for k in (1, 2)),
    }


def _speech(folder: Path, movie: Movie, count: int, rng: np.random.Generator) -> list[str]:
    """Write the transcript of a film and return what is said in each TR."""
    vocabulary, lines, said = WORDS.split(), [], []
    for k in range(count):
        number = 0 if rng.random() < 0.2 else int(rng.integers(1, 7))
        words = [vocabulary[j] for j in rng.integers(len(vocabulary), size=number)]
        onsets = np.round(k * TR + np.sort(rng.uniform(0, TR - 0.1, number)), 2).tolist()
        said.append(" ".join(words).capitalize())
        # What is silent is an empty list or nothing at all.
        blank = "" if k % 2 else "[]"
        told = [said[-1], *(str(v) if words else blank for v in (words, onsets, [0.1] * number))]
        lines.append("\t".join(told))
    file = transcript_file(folder, movie)
    file.parent.mkdir(parents=True, exist_ok=True)
    head = "text_per_tr\twords_per_tr\tonsets_per_tr\tdurations_per_tr"
    file.write_text("\n".join([head, *lines]) + "\n")
    return said


def _features(
    folder: Path,
    lengths: Mapping[Movie, int],
    said: Mapping[Movie, list[str]],
    filmed: bool,
    rng: np.random.Generator,
) -> dict[str, Float[np.ndarray, "chunk feature"]]:
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for movie, count in lengths.items():
        film = made_films.decoded(film_file(folder, movie)) if filmed else None
        for k in range(count):
            seen = made_films.features(_piece(film, k)) if film else {}
            seen["words"] = _rates(said[movie][k] if said[movie] else "")
            for kind, width in KINDS.items():
                found[kind].append(seen[kind] if kind in seen else rng.standard_normal(width))
    return {kind: made_up.standardised(np.stack(rows)) for kind, rows in found.items()}


def _piece(film: made_films.Decoded, k: int) -> made_films.Decoded:
    """Chunk k of a film: the frames that begin in it, as all who read films take them."""
    first, stop = (int(np.ceil((k + j) * TR * film.fps - 1e-6)) for j in (0, 1))
    heard = slice(*(round((k + j) * TR * made_films.RATE) for j in (0, 1)))
    return made_films.Decoded(film.frames[first:stop], film.fps, film.sound[heard])


def _rates(text: str) -> Float[np.ndarray, " rate"]:
    """Words and letters per second, and letters per word."""
    words = text.split()
    letters = sum(map(len, words))
    return np.array([len(words) / TR, letters / TR, letters / max(1, len(words))])


def _subject(
    folder: Path,
    subject: str,
    better: float,
    planted: Planted,
    extra: Mapping[Movie, int],
    sparse: bool,
    rng: np.random.Generator,
) -> list[tuple[str, str, float, float]]:
    """Write the runs of one subject and return the lines of the truth."""
    tests = {m: "friends-s7" if m.corpus == "friends" else "ood" for m in planted.counts}
    tests = {m: t for m, t in tests.items() if t in (m.season, m.corpus)}
    runs: list[tuple[Movie, str]] = []
    for k, movie in enumerate(m for m in planted.counts if m.split not in MISSING.get(subject, ())):
        key = f"ses-{k // 6 + 1:03d}_task-{movie.split}"
        runs += (
            [(movie, f"{key}_run-{n}") for n in (1, 2)] if movie.part in TWICE else [(movie, key)]
        )
    samples = [planted.counts[m] + extra[m] for m, _ in runs]
    held = [not sparse or "e01" in m.split or "e02" in m.split for m, _ in runs]
    signal = [
        _signals(
            [planted.rows(m, kind, n) for (m, _), n in zip(runs, samples, strict=True)],
            [h and m not in tests for (m, _), h in zip(runs, held, strict=True)],
            width,
            rng,
        )
        for kind, width, _ in NETWORKS.values()
        for _ in (0, 1)
    ]
    noise = np.concatenate(
        [np.full(w, 1 / (s * better)) for _, w, s in NETWORKS.values() for _ in (0, 1)]
    )
    place = np.argsort(_hemispheres(), kind="stable")
    files: dict[str, h5py.File] = {}
    try:
        for k, (movie, key) in enumerate(runs):
            where = "answers" if movie in tests else "fmri"
            desc = {"friends-s7": "desc-s7_", "ood": ""}.get(tests.get(movie, ""), "desc-s123456_")
            desc = desc if movie.corpus == "friends" else ""
            name = f"{where}/{subject}/func/{subject}_task-{movie.corpus}_{SPACE}_{desc}bold.h5"
            if name not in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                files[name] = h5py.File(folder / name, "w")
            values = None
            if held[k]:
                clean = np.concatenate([s[k] for s in signal], axis=1)
                values = clean + noise * rng.standard_normal(clean.shape, dtype=np.float32)
                values = (values / np.sqrt(1 + noise**2))[:, place].astype(np.float32)
            _store(files[name], key, samples[k], values)
    finally:
        for file in files.values():
            file.close()
    odd = SAMPLES[int(subject == "sub-05")]
    (folder / "fmri" / subject / odd).mkdir()
    for test in ("friends-s7", "ood"):
        counted = {m.split: planted.counts[m] + extra[m] for m, t in tests.items() if t == test}
        write_object_npy(
            folder / "fmri" / subject / odd / f"{subject}_{test}_fmri_samples.npy", counted
        )
    ceilings = {n: (s * better) ** 2 / ((s * better) ** 2 + 1) for n, (_, _, s) in NETWORKS.items()}
    return [(subject, n, round(c**0.5, 6), round(c, 6)) for n, c in ceilings.items()]


def _signals(
    pieces: list[Float[np.ndarray, "_ feature"]],
    learned: list[bool],
    width: int,
    rng: np.random.Generator,
) -> list[Float[np.ndarray, "_ target"]]:
    """Signals of parcels run by run, of variance 1 over what can be learned from."""
    weights = rng.standard_normal((pieces[0].shape[1], width))
    found = [p @ weights for p in pieces]
    inner = np.concatenate([s[5:-5] for s, kept in zip(found, learned, strict=True) if kept])
    middle, spread = inner.mean(axis=0), inner.std(axis=0)
    return [((s - middle) / spread).astype(np.float32) for s in found]


def _store(file: h5py.File, key: str, samples: int, values: np.ndarray | None) -> None:
    """A run in full, or a hole in the file that reads as zeros."""
    if values is not None:
        file.create_dataset(key, data=values)
        return
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((samples, PARCELS))
    h5py.h5d.create(file.id, key.encode(), h5py.h5t.NATIVE_FLOAT, space, made)


def _hemispheres() -> np.ndarray:
    """Hemisphere of each parcel where networks stand one behind the other, left before right."""
    return np.concatenate([np.full(w, side) for _, w, _ in NETWORKS.values() for side in (0, 1)])


def _atlas(folder: Path) -> None:
    """Names of the parcels, and where they are: cubes in an egg, the left half before the right."""
    names = [
        f"7Networks_{side}_{network}_{k + 1}"
        for side in ("LH", "RH")
        for network, (_, width, _) in NETWORKS.items()
        for k in range(width)
    ]
    lines = [f"{k + 1}\t{name}\t{k % 256}\t{k // 4}\t90\t0" for k, name in enumerate(names)]
    (folder / "fmri" / "Schaefer2018_1000Parcels_7Networks_order.txt").write_text(
        "\n".join(lines) + "\n"
    )
    if find_spec("nibabel") is None:
        return
    import nibabel

    labels = np.zeros(VOLUME, dtype=np.uint16)
    centre = (np.array(VOLUME) - 1) / 2
    grid = np.stack(np.meshgrid(*[np.arange(2, n - 2, 5) for n in VOLUME], indexing="ij"), axis=-1)
    inside = (((grid - centre) / (0.45 * np.array(VOLUME))) ** 2).sum(axis=-1) < 1
    for side in (0, 1):
        half = grid[inside & ((grid[..., 0] > centre[0]) == bool(side))][: PARCELS // 2]
        for k, (i, j, m) in enumerate(half.tolist()):
            labels[i : i + 3, j : j + 3, m : m + 3] = 1 + k + side * PARCELS // 2
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = ORIGIN
    for subject in SUBJECTS:
        place = folder / "fmri" / subject / "atlas"
        place.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(labels, affine)
        nibabel.save(image, place / f"{subject}_{SPACE}_desc-dseg_parcellation.nii.gz")
