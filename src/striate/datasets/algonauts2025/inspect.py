"""A copy of the 2025 tree gone through file by file: what is there, missing, and wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from striate.datasets.algonauts2025.films import (
    MOVIES,
    TRANSCRIPTS,
    chunk_count,
    film_file,
    films_in,
    seconds_of,
    transcript_file,
    transcripts_in,
)
from striate.datasets.algonauts2025.parcels import (
    names_file,
    parcellation_file,
    read_names,
    read_parcellation,
)
from striate.datasets.algonauts2025.runs import (
    SAMPLES,
    Movie,
    Run,
    lengths_in,
    response_files,
    runs_in,
    samples_file,
)
from striate.datasets.algonauts2025.submission import SUBJECTS
from striate.datasets.facts import Finding, tried
from striate.errors import StriateError, some
from striate.files import h5_array, open_hdf5
from striate.media import film_facts
from striate.media.transcripts import chunk_texts, read_transcript

SLACK = 10
"""Samples by which a run may be longer or shorter than its film."""
SPREAD = (0.5, 2.0)
"""Standard deviations of parcels z-scored within a run, on average, lie between these."""

Lengths = dict[Movie, list[tuple[int, Path]]]
"""How many samples each film has in which files."""


def findings(root: Path, test: str, tr: float) -> Iterator[Finding]:
    """Responses, hidden lengths and parcels of each subject, then films and transcripts."""
    for found in _all(root, test, tr):
        inside = Path(found.file).is_relative_to(root)
        file = str(Path(found.file).relative_to(root)) if inside else found.file
        yield Finding(found.kind, file, found.told)


def _all(root: Path, test: str, tr: float) -> Iterator[Finding]:
    lengths: Lengths = {}
    for subject in SUBJECTS:
        if not (root / "fmri" / subject).is_dir():
            yield Finding("missing", f"fmri/{subject}", "nothing of this subject can be used")
            continue
        runs: dict[str, Run] = {}
        yield from _responses(root, subject, runs)
        yield from _hidden(root, subject, runs)
        for run in runs.values():
            lengths.setdefault(run.movie, []).append((run.samples, run.file))
        yield from _parcels(root, subject)
    yield from _names(root)
    yield from _films(root, lengths, test, tr)
    yield from _transcripts(root, lengths, tr)


def _responses(root: Path, subject: str, seen: dict[str, Run]) -> Iterator[Finding]:
    files = response_files(root, subject)
    unread = [p for p in (root / "fmri" / subject / "func").glob("*.h5") if not p.is_file()]
    for file in unread:
        yield Finding("missing", str(file), "its content was not fetched: `datalad get` it")
    for task in ("friends", "movie10"):
        if not any(f"_task-{task}_" in f.name for f in (*files, *unread)):
            place = f"fmri/{subject}/func/{subject}_task-{task}_*_bold.h5"
            yield Finding("missing", place, "no responses to learn from")
    for file in files:
        runs, wrong = tried(file, lambda file=file: runs_in(file))  # type: ignore[misc]
        yield from wrong
        if runs is None:
            continue
        yield Finding("there", str(file), f"{len(runs)} runs, {_samples(runs)} samples")
        for run in runs:
            if run.name in seen:
                told = f"{run.key} is in {seen[run.name].file.name} as well"
                yield Finding("wrong", str(file), told)
            if f"_task-{run.movie.corpus}_" not in file.name:
                yield Finding("wrong", str(file), f"{run.key} belongs to another task")
            seen[run.name] = run
        yield from _values(file, runs)


def _samples(runs: Sequence[Run]) -> int:
    return sum(run.samples for run in runs)


def _values(file: Path, runs: Sequence[Run]) -> Iterator[Finding]:
    """Every run read once: numbers that are not finite, and runs that are not z-scored."""
    try:
        with open_hdf5(file) as opened:
            for run in runs:
                values = h5_array(opened[run.key], file)
                odd = int((~np.isfinite(values)).sum())
                if odd:
                    told = f"{run.key}: {odd} of {values.size} values are NaN or infinite"
                    yield Finding("wrong", str(file), told)
                    continue
                still = int((np.ptp(values, axis=0) == 0).sum())
                if still:
                    told = f"{run.key}: {still} parcels never vary"
                    yield Finding("wrong", str(file), told)
                    continue
                spread = float(values.std(axis=0, dtype=np.float64).mean())
                if not SPREAD[0] < spread < SPREAD[1]:
                    told = f"{run.key}: a standard deviation of {spread:.3g}, so it is not z-scored"
                    yield Finding("wrong", str(file), told)
    except StriateError as error:
        yield Finding("wrong", str(file), str(error))


def _hidden(root: Path, subject: str, seen: dict[str, Run]) -> Iterator[Finding]:
    for test in ("friends-s7", "ood"):
        file = samples_file(root, subject, test)
        if file is None:
            place = f"fmri/{subject}/{SAMPLES[0]}/{subject}_{test}_fmri_samples.npy"
            yield Finding("missing", place, f"{test} of {subject} cannot be predicted")
            continue
        runs, wrong = tried(file, lambda f=file, t=test: lengths_in(f, t))  # type: ignore[misc]
        yield from wrong
        if runs is None:
            continue
        yield Finding("there", str(file), f"{len(runs)} films, {_samples(runs)} samples")
        for run in runs:
            measured = seen.setdefault(run.name, run).samples
            if measured != run.samples:
                told = f"{run.movie.split} has {run.samples} samples, but {measured} were measured"
                yield Finding("wrong", str(file), told)


def _parcels(root: Path, subject: str) -> Iterator[Finding]:
    file = parcellation_file(root, subject)
    if file is None:
        place = f"fmri/{subject}/atlas/*_desc-dseg_parcellation.nii.gz"
        yield Finding("missing", place, "parcels have no coordinates")
        return
    found, wrong = tried(file, lambda: read_parcellation(file))
    yield from wrong
    if found is not None:
        yield Finding("there", str(file), f"parcels in a volume of {found[0].shape}")


def _names(root: Path) -> Iterator[Finding]:
    file = names_file(root)
    if file is None:
        place = "Schaefer2018_1000Parcels_7Networks_order.txt"
        told = "parcels have no networks; nilearn.datasets.fetch_atlas_schaefer_2018 brings it"
        yield Finding("missing", place, told)
        return
    names, wrong = tried(file, lambda: read_names(file))
    yield from wrong
    if names is not None:
        yield Finding("there", str(file), f"names of {len(names)} parcels")


def _films(root: Path, lengths: Lengths, test: str, tr: float) -> Iterator[Finding]:
    there = {movie: file for file, movie in films_in(root) if movie is not None}
    counts = {}
    for movie, file in there.items():
        facts, wrong = tried(file, lambda file=file: film_facts(file))  # type: ignore[misc]
        yield from wrong
        if facts is None:
            continue
        told = seconds_of(file)
        if facts.seconds < told - 2 * tr:
            short = f"its header tells {told:.1f} s, but its frames end at {facts.seconds:.1f} s"
            yield Finding("wrong", str(file), short)
            continue
        counts[movie] = chunk_count(min(told, facts.seconds), tr, False)
    for movie, known in lengths.items():
        middle = int(np.median([samples for samples, _ in known]))
        count = counts.get(movie, middle)
        if abs(count - middle) > SLACK:
            told_by = f"{count} chunks of {tr} s, but {middle} samples were measured"
            yield Finding("wrong", str(there[movie]), told_by)
            count = middle
        for samples, file in known:
            if abs(samples - count) > SLACK:
                told_by = f"{movie.split} has {samples} samples, but others and its film {count}"
                yield Finding("wrong", str(file), told_by)
    if there:
        yield Finding("there", str(MOVIES), f"{len(there)} films")
    lacking = [m for m in lengths if m not in there]
    if lacking:
        hidden = sum(test in (m.corpus, m.season) for m in lacking)
        names = some([film_file(root, m).name for m in lacking])
        told_by = f"{len(lacking)} films that were shown ({hidden} of {test}) are not here: {names}"
        yield Finding("missing", str(MOVIES), told_by)


def _transcripts(root: Path, lengths: Lengths, tr: float) -> Iterator[Finding]:
    there = {}
    for file, movie in transcripts_in(root):
        if movie is None:
            yield Finding("wrong", str(file), "its name is that of no film of the challenge")
            continue
        there[movie] = file
        texts, wrong = tried(file, lambda file=file: chunk_texts(file))  # type: ignore[misc]
        yield from wrong
        if texts is None:
            continue
        _, wrong = tried(file, lambda file=file: read_transcript(file))  # type: ignore[misc]
        yield from wrong
        known = [samples for samples, _ in lengths.get(movie, ())]
        if known and abs(int(np.median(known)) - len(texts)) > SLACK:
            told = f"{len(texts)} lines, but {int(np.median(known))} samples were measured"
            yield Finding("wrong", str(file), told)
    if there:
        yield Finding("there", str(TRANSCRIPTS), f"{len(there)} transcripts")
    lacking = [m for m in lengths if m not in there and m.part != "chaplin"]
    if lacking:
        names = some([transcript_file(root, m).name for m in lacking])
        told = f"{len(lacking)} films have no transcript: {names}; their words count as none"
        yield Finding("missing", str(TRANSCRIPTS), told)
