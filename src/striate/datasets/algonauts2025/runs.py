"""What was scanned: runs of films in HDF5 files by subject, and the lengths of hidden ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from striate.data import OnDisk, natural_key
from striate.errors import DataError, FileError
from striate.files import h5_array, open_hdf5, read_object_npy

PARCELS = 1000
MOVIE10 = ("bourne", "figures", "life", "wolf")
OOD = ("chaplin", "mononoke", "passepartout", "planetearth", "pulpfiction", "wot")
SAMPLES = ("target_sample_number", "target_samples_number")
"""The folder of the lengths of hidden runs, as it is and as the challenge's README spells it."""

_KEY = re.compile(r"ses-(\w+?)_task-(\w+?)(?:_run-(\d+))?")
_FRIENDS = re.compile(r"s(\d\d)e\d\d[a-z]")
_MOVIE10 = re.compile(rf"({'|'.join(MOVIE10)})\d\d")
_OOD = re.compile(rf"({'|'.join(OOD)})\d")


@dataclass(frozen=True)
class Movie:
    """A film that was shown in one piece: half an episode, or a part of a feature film.

    Parameters
    ----------
    split
        Its name in keys and submissions: ``s01e02a``, ``bourne01``, ``chaplin1``.
    corpus
        ``friends``, ``movie10`` or ``ood``.
    season
        What it is a part of: ``friends-s1``, ``movie10-bourne``, ``ood-chaplin``.

    """

    split: str
    corpus: str
    season: str

    @classmethod
    def parse(cls, split: str) -> Movie | None:
        """The film of that name, None where it is none.

        >>> Movie.parse("s07e01a")
        Movie(split='s07e01a', corpus='friends', season='friends-s7')
        """
        if found := _FRIENDS.fullmatch(split):
            return cls(split, "friends", f"friends-s{int(found[1])}")
        for corpus, pattern in (("movie10", _MOVIE10), ("ood", _OOD)):
            if found := pattern.fullmatch(split):
                return cls(split, corpus, f"{corpus}-{found[1]}")
        return None

    @property
    def name(self) -> str:
        """Its name in ids of stimuli: ``friends_s01e02a``, ``bourne01``, ``chaplin1``."""
        return f"friends_{self.split}" if self.corpus == "friends" else self.split

    @property
    def part(self) -> str:
        """The feature film or season without its corpus: ``s1``, ``bourne``, ``chaplin``."""
        return self.season.partition("-")[2]


@dataclass(frozen=True)
class Run:
    """A film in the scanner once.

    Parameters
    ----------
    movie
        What was shown.
    session, repeat
        Of its key; `repeat` is the number behind ``run-``, empty for films shown once.
    samples
        How many there are.
    file, key
        Where they are; the key is empty for a hidden run.

    """

    movie: Movie
    session: str
    repeat: str
    samples: int
    file: Path
    key: str

    @property
    def name(self) -> str:
        """What its rows are called after: the film, and which of its repeats."""
        return self.movie.name + (f"_run-{self.repeat}" if self.repeat else "")


def parse_key(key: str) -> tuple[Movie, str, str] | None:
    """Film, session and repeat of a key such as ``ses-006_task-life01_run-1``."""
    found = _KEY.fullmatch(key)
    movie = Movie.parse(found[2]) if found else None
    return (movie, found[1], found[3] or "") if found and movie else None


def response_files(root: Path, subject: str) -> list[Path]:
    """The HDF5 files of a subject that are there; files whose content was not fetched are not."""
    found = (root / "fmri" / subject / "func").glob(f"{subject}_task-*_bold.h5")
    return sorted((p for p in found if p.is_file()), key=lambda p: natural_key(p.name))


def runs_of(root: Path, subject: str) -> list[Run]:
    """The runs of a subject whose samples are there, in natural order of their names.

    Raises
    ------
    FileError
        When a file is damaged.
    DataError
        When a key or an array is none of the challenge, or a run is there twice.

    """
    runs = [r for file in response_files(root, subject) for r in runs_in(file)]
    runs.sort(key=lambda r: natural_key(r.name))
    for one, other in pairwise(runs):
        if one.name == other.name:
            raise DataError(
                f"{other.file}: {other.key} is there a second time, as {one.key} of"
                f" {one.file.name}: remove one of the files"
            )
    return runs


def runs_in(file: Path) -> Sequence[Run]:
    """The runs of one file; only headers are read."""
    stamp = file.stat()
    return _runs_in(file, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=64)
def _runs_in(file: Path, _time: int, _size: int) -> Sequence[Run]:
    runs = []
    with open_hdf5(file) as opened:
        if not len(opened):
            raise DataError(f"{file} holds no run: download it again")
        for key in opened:
            parsed = parse_key(key)
            if parsed is None:
                raise DataError(
                    f"{file}: key {key!r} is no run: keys are such as ses-001_task-s01e02a,"
                    " ses-001_task-bourne01 and ses-006_task-life01_run-1"
                )
            array = opened.get(key)
            shape: tuple[int, ...] = getattr(array, "shape", None) or ()
            dtype = getattr(array, "dtype", None)
            if len(shape) != 2 or shape[1] != PARCELS or not shape[0]:
                turned = len(shape) == 2 and shape[0] == PARCELS
                raise DataError(
                    f"{file}: {key} has shape {shape}, but must be (samples, {PARCELS})"
                    + ("; its axes are swapped" if turned else "")
                )
            if dtype is None or dtype.kind != "f":
                raise DataError(f"{file}: {key} holds {dtype}, but responses are floating point")
            runs.append(Run(*parsed, int(shape[0]), file, key))
    return tuple(runs)


def hidden_runs(root: Path, subject: str, test: str) -> list[Run]:
    """The runs of a test (``friends-s7`` or ``ood``) that the challenge asks for.

    Empty where their lengths are not there.

    Raises
    ------
    FileError
        When the file is damaged or would run code.
    DataError
        When it holds anything but lengths of films of the test.

    """
    file = samples_file(root, subject, test)
    return [] if file is None else lengths_in(file, test)


def lengths_in(file: Path, test: str) -> list[Run]:
    """The runs in a file of sample numbers."""
    found = read_object_npy(file)
    if not isinstance(found, Mapping) or not found:
        raise DataError(
            f"{file} must hold a dictionary of film and number of samples, not"
            f" {type(found).__name__} of {len(found) if isinstance(found, Mapping) else 'no'} films"
        )
    runs = []
    for split, count in found.items():
        movie = Movie.parse(str(split))
        if movie is None or test not in (movie.corpus, movie.season):
            raise DataError(f"{file}: {split!r} is no film of {test}; download the file again")
        whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
        if not whole or not 0 < count < 1_000_000:
            raise DataError(f"{file}: {split} has {count!r} samples, but must have 1 or more")
        runs.append(Run(movie, "", "", int(count), file, ""))
    return sorted(runs, key=lambda r: natural_key(r.name))


def samples_file(root: Path, subject: str, test: str) -> Path | None:
    """Where the lengths of a subject's hidden runs are, None where they are not."""
    folders = [root / "fmri" / subject / name for name in SAMPLES]
    places = [f / f"{subject}_{test}_fmri_samples.npy" for f in folders]
    return next((p for p in places if p.is_file()), None)


def on_disk(pieces: Iterable[tuple[Run, int, int]]) -> OnDisk:
    """Samples `first` to `stop` of each run as rows below each other; read when indexed."""
    listed = list(pieces)
    stops = np.cumsum([stop - first for _, first, stop in listed], dtype=np.int64)

    def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), len(targets)), dtype=np.float32)
        whose = np.searchsorted(stops, rows, side="right")
        for file in dict.fromkeys(listed[k][0].file for k in np.unique(whose).tolist()):
            with open_hdf5(file) as opened:
                for k in np.unique(whose).tolist():
                    run, first, stop = listed[k]
                    if run.file != file:
                        continue
                    if run.key not in opened:
                        raise FileError(f"{file} has lost {run.key}: it changed while it was read")
                    values = h5_array(opened[run.key], file)
                    mine = np.flatnonzero(whose == k)
                    at = rows[mine] - (stops[k] - (stop - first)) + first
                    if values.shape != (run.samples, PARCELS):
                        raise FileError(f"{file}: {run.key} changed while it was read")
                    found[mine] = values[np.ix_(at, targets)]
        return found

    total = int(stops[-1]) if listed else 0
    files = tuple(dict.fromkeys(str(run.file) for run, _, _ in listed))
    return OnDisk((total, PARCELS), np.dtype(np.float32), read, files)
