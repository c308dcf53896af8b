"""The Algonauts 2025 challenge: predict what whole films do to 1000 parcels of the brain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from striate.data import Opened, Responses, Stimuli, assemble, natural_key
from striate.datasets.algonauts2025 import score as scoring
from striate.datasets.algonauts2025 import submission
from striate.datasets.algonauts2025.films import (
    chunk_count,
    chunk_table,
    film_file,
    films_in,
    readable,
    said_in,
)
from striate.datasets.algonauts2025.parcels import parcel_table
from striate.datasets.algonauts2025.runs import (
    MOVIE10,
    Movie,
    Run,
    hidden_runs,
    on_disk,
    runs_of,
)
from striate.datasets.facts import Facts, Finding, root_of
from striate.errors import DataError, FileError, RecipeError, some
from striate.interfaces import Dataset
from striate.splits import HeldOut, Split

TREE = """
fmri/
  sub-01/ … sub-05/
    func/
      sub-01_task-friends_…_desc-s123456_bold.h5
      sub-01_task-movie10_…_bold.h5
    target_sample_number/
      sub-01_friends-s7_fmri_samples.npy
      sub-01_ood_fmri_samples.npy
    atlas/
      [sub-01_…_desc-dseg_parcellation.nii.gz]
  [Schaefer2018_1000Parcels_7Networks_order.txt]
stimuli/
  movies/
    friends/s1/friends_s01e01a.mkv …
    movie10/bourne/bourne01.mkv …
    ood/chaplin/task-chaplin1_video.mkv …
  transcripts/
    friends/s1/friends_s01e01a.tsv …
    movie10/bourne/movie10_bourne01.tsv …
    ood/wot/ood_wot1.tsv …
"""
PARTS = (*(f"friends-s{k}" for k in range(1, 8)), *(f"movie10-{m}" for m in MOVIE10))
"""Seasons and films that can be learned from."""
PEOPLE = (1, 2, 3, 5)
DELAY = 3
"""Chunks from what is seen to the response, in the challenge's own code."""
OTHER = "algonauts_2025.competitors"


@dataclass(frozen=True)
class Algonauts2025(Dataset):
    """Films and responses of the CNeuroMod subjects 1, 2, 3 and 5, in the official tree.

    A stimulus is a chunk of one TR, ``friends_s01e01a#0007``: film, onset and duration, the words
    that are said in it, and its season; chunks of a film are never parted. A row is a sample of a
    run; sample i answers to chunk i, and steps such as ``context`` with a delay look back from
    there. Samples behind the last whole chunk of a film have stimuli of their own, too, so that
    steps look back from where they are; what is seen in these is the last chunk. Films that were
    shown twice have rows of each time, ``life01_run-1#0007`` and ``life01_run-2#0007``, of one
    stimulus.
    Rows have the labels ``sample``, ``movie``, ``season``, ``session``, ``run``, and ``scored``:
    whether the challenge counts them. A target is a parcel, ``parcel0001`` to ``parcel1000``,
    with coordinates (mm, by the subject's parcellation), hemisphere and network (by the names of
    the atlas) where the files are there. Responses are z-scored within runs.

    The rows of the test are those that the challenge asks for, without values until its HDF5 files
    lie beside the others. Films, transcripts, runs and subjects may be missing.

    Parameters
    ----------
    path
        The folder that holds `fmri` and `stimuli`.
    subjects
        Those whose responses are read, if they are there.
    train
        What to learn from: ``friends`` and ``movie10``, or single ones of their parts such as
        ``friends-s1`` and ``movie10-bourne``.
    test
        ``friends-s7`` or ``ood``: six films unlike all others.
    tr
        Seconds from sample to sample.
    excluded_start, excluded_end
        Samples at both ends of training runs that are left out.
    alignment
        ``clamped`` keeps all chunks, so that windows at the start of a film are of its first
        chunks; ``kit`` leaves the chunks of the samples excluded at the start of training films
        out, and the last chunk of every film, as the challenge's own code does: with ``edge =
        "shift"``, the first samples that are kept then see chunks from the future. Samples more
        than three behind the film answer as the third does: three back from there is the film's
        last chunk, at which that code stops.
    context
        Words said before a chunk that stand in its text too, for networks that read on.
    validation
        Seasons that the default split holds out; folds over films where it cannot.

    """

    path: str | Path = field(metadata={"machine": True})
    subjects: tuple[int, ...] = PEOPLE
    train: tuple[str, ...] = ("friends", "movie10")
    test: Literal["friends-s7", "ood"] = "friends-s7"
    tr: float = 1.49
    excluded_start: int = 5
    excluded_end: int = 5
    alignment: Literal["clamped", "kit"] = "clamped"
    context: int = 0
    validation: tuple[str, ...] = ("friends-s6",)
    facts: ClassVar[Facts] = Facts(
        title="Algonauts 2025 (CNeuroMod: Friends, Movie10 and six other films)",
        where="github.com/courtois-neuromod/algonauts_2025.competitors, with datalad",
        agreement="responses are CC0; CNeuroMod asks to be cited, and films are under copyright",
        size="about 3 GB of responses for four subjects, about 60 GB of films",
        citation="Gifford et al. 2025, The Algonauts Project 2025 Challenge, arXiv:2501.00504;"
        " Boyle et al. 2023, The Courtois NeuroMod project",
        tree=TREE,
    )

    def __post_init__(self) -> None:
        valid = ("friends", "movie10", *PARTS)
        for name in (*self.train, *self.validation):
            if name not in valid:
                raise RecipeError(f"{name!r} is no part of Algonauts 2025: {some(valid, 20)}")
        if self.tr <= 0 or min(self.excluded_start, self.excluded_end, self.context) < 0:
            raise RecipeError("dataset.tr must be above 0, excluded samples and context 0 or more")

    def stimuli(self) -> Stimuli:
        """The chunks of all films that are there or were answered to, film by film."""
        root = self._root()
        said = {m: said_in(root, m, self.context) for m in self._movies()}
        tables = []
        for movie, (shown, last) in self._places().items():
            file = film_file(root, movie)
            part = "test" if self._is_test(movie) else "train"
            place = str(file) if file.is_file() else ""
            tables.append(chunk_table(movie, shown, place, said[movie], self.tr, part, last))
        return Stimuli(pd.concat(tables))

    def responses(self) -> Mapping[str, Responses]:
        """Samples by subject, rows × 1000 parcels; what was measured comes first."""
        return Opened([s for s, _ in self._people()], self._block)

    def split(self) -> Split:
        """The seasons of `validation` held out, or five folds over films where these are not."""
        return HeldOut("season", self.validation, folds=5)

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """Mean correlation over parcels and subjects; see `algonauts2025_score.official`."""
        return scoring.official(truth, predicted)

    def write_submission(self, predicted: Mapping[str, Responses], folder: Path) -> Path:
        """Write `fmri_predictions_friends_s7.npy` (or `_ood`) and its .zip, and return the .zip.

        Raises
        ------
        DataError
            When samples of the test are not predicted for all four subjects; nothing is written.
        FileError
            When it is not known how many samples there are.

        """
        if sorted(self.subjects) != sorted(PEOPLE):
            raise DataError(
                f"a submission needs subjects {some(PEOPLE, 4)}, but dataset.subjects is"
                f" {list(self.subjects)}: leave it out"
            )
        asked = self._asked(self.test)
        lacking = [s for s in submission.SUBJECTS if s not in asked]
        if lacking:
            raise FileError(_unknown(self._root(), lacking[0], self.test))
        return submission.write(predicted, asked, self.test, Path(folder))

    def check_submission(self, path: str | Path) -> None:
        """Whether the challenge would accept a submission (.zip or .npy).

        Its own films tell which test it is for; all four subjects are checked.

        Raises
        ------
        FileError, DataError
            The first thing that is wrong with it.

        """
        submission.check(Path(path), self._asked)

    def inspect(self) -> Iterator[Finding]:
        """What is there, missing and wrong, file by file."""
        from striate.datasets.algonauts2025 import inspect

        return inspect.findings(self._root(), self.test, self.tr)

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0, **more: Any
    ) -> pd.DataFrame:
        """Write a made-up tree whose scores are known; see `twin.write`."""
        from striate.datasets.algonauts2025 import twin

        return twin.write(Path(folder), size, seed, **more)

    def _root(self) -> Path:
        inner = Path(self.path).expanduser() / OTHER
        place = inner if inner.is_dir() else self.path
        return root_of(place, self.facts, ("fmri", "stimuli"))

    def _is_test(self, movie: Movie) -> bool:
        return self.test in (movie.corpus, movie.season)

    def _is_used(self, movie: Movie) -> bool:
        learned = {movie.corpus, movie.season} & set(self.train)
        return self._is_test(movie) or bool(learned)

    def _people(self) -> list[tuple[str, list[Run]]]:
        """Subjects of whom there are runs, with all their runs that are used."""
        root = self._root()
        found = []
        for number in self.subjects:
            subject = f"sub-{number:02d}"
            runs = [r for r in runs_of(root, subject) if self._is_used(r.movie)]
            lengths = {r.movie: r for r in hidden_runs(root, subject, self.test)}
            for run in runs:
                wanted = lengths.pop(run.movie, run)
                if wanted.samples != run.samples:
                    raise DataError(
                        f"{run.file}: {run.key} has {run.samples} samples, but {wanted.file} asks"
                        f" for {wanted.samples}: download them again"
                    )
            if runs or lengths:
                hidden = sorted(lengths.values(), key=lambda r: natural_key(r.name))
                found.append((subject, [*runs, *hidden]))
        if not any(run.key for _, runs in found for run in runs):
            raise FileError(
                f"{root / 'fmri'} holds no responses to {some(self.train)} of subject"
                f" {some(self.subjects, 4)}: fetch sub-01/func/*_bold.h5 and so on, as with"
                " `datalad get fmri`"
            )
        return found

    def _movies(self) -> dict[Movie, int]:
        """All films in use, in natural order, with the largest number of samples of each."""
        films = [m for _, m in films_in(self._root()) if m is not None and self._is_used(m)]
        samples = dict.fromkeys(films, 0)
        for _, runs in self._people():
            for run in runs:
                samples[run.movie] = max(samples.get(run.movie, 0), run.samples)
        order = sorted(samples, key=lambda m: natural_key(m.name))
        return {m: samples[m] for m in order}

    def _places(self) -> dict[Movie, tuple[range, int]]:
        """Indices of the stimuli of each film, and of its last chunk.

        How many chunks there are tells the film's length, else its transcript and samples.
        """
        root, places, kit = self._root(), {}, self.alignment == "kit"
        for movie, samples in self._movies().items():
            seconds = readable(root, movie)
            if seconds is not None:
                count = chunk_count(seconds, self.tr, kit)
            else:
                count = max(samples, len(said_in(root, movie, 0)), 1)
            left_out = kit and not self._is_test(movie)
            first = min(self.excluded_start, count - 1) if left_out else 0
            stop = max(count, min(samples, count + DELAY) if kit else samples)
            places[movie] = range(first, stop), count - 1
        return places

    def _asked(self, test: str) -> dict[str, list[Run]]:
        """The runs of a test by subject, as the challenge asks for them."""
        root = self._root()
        found = {s: hidden_runs(root, s, test) for s in submission.SUBJECTS}
        found = {s: runs for s, runs in found.items() if runs}
        if not found:
            raise FileError(_unknown(root, submission.SUBJECTS[0], test))
        return found

    def _block(self, subject: str) -> Responses:
        places, runs = self._places(), dict(self._people())[subject]
        pieces, tables = [], []
        for run in sorted(runs, key=lambda r: not r.key):
            test = self._is_test(run.movie)
            first = 0 if test else min(self.excluded_start, run.samples)
            stop = run.samples if test else max(first, run.samples - self.excluded_end)
            if run.key:
                pieces.append((run, first, stop))
            tables.append(_rows(run, first, stop, places[run.movie][0]))
        rows = pd.concat(tables)
        values = on_disk(pieces)
        hidden = len(rows) - values.shape[0]
        return assemble(
            values.below(hidden) if hidden else values, rows, parcel_table(self._root(), subject)
        )


def _unknown(root: Path, subject: str, test: str) -> str:
    return (
        f"{root / 'fmri'} does not tell how many samples {test} has of {subject}: fetch"
        f" {subject}/target_sample_number/{subject}_{test}_fmri_samples.npy and so on"
    )


def _rows(run: Run, first: int, stop: int, shown: range) -> pd.DataFrame:
    """Labels of the samples of a run, of a film whose stimuli have the indices `shown`."""
    samples = np.arange(first, stop)
    chunks = np.clip(samples, shown.start, shown.stop - 1)
    movie, name, dropped = run.movie.name, run.name, scoring.DROPPED
    columns = {
        "stimulus": [f"{movie}#{k:04d}" for k in chunks.tolist()],
        "sample": samples,
        "movie": movie,
        "season": run.movie.season,
        "session": f"ses-{run.session}" if run.session else "",
        "run": name,
        "scored": (samples >= dropped) & (samples < run.samples - dropped),
    }
    ids = [f"{name}#{k:04d}" for k in samples.tolist()]
    return pd.DataFrame(columns, index=pd.Index(ids, name="row", dtype=object))
