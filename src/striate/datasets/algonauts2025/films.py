"""What was shown: films and what is said in them, cut into chunks of one TR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from striate.data import natural_key
from striate.datasets.algonauts2025.runs import Movie
from striate.errors import StriateError
from striate.media.packets import film_index, open_container
from striate.media.transcripts import chunk_texts

MOVIES, TRANSCRIPTS = Path("stimuli", "movies"), Path("stimuli", "transcripts")


def film_file(root: Path, movie: Movie) -> Path:
    """Where a film is, or would be."""
    folder = root / MOVIES / movie.corpus / movie.part
    stem = f"task-{movie.name}_video" if movie.corpus == "ood" else movie.name
    return folder / f"{stem}.mkv"


def transcript_file(root: Path, movie: Movie) -> Path:
    """Where the transcript of a film is, or would be."""
    return root / TRANSCRIPTS / movie.corpus / movie.part / f"{movie.corpus}_{movie.split}.tsv"


def films_in(root: Path) -> list[tuple[Path, Movie | None]]:
    """All film files that are there, and what they are; None for what is no film of the corpus."""
    files = sorted((root / MOVIES).glob("*/*/*.mkv"), key=lambda p: natural_key(str(p)))
    return [(f, _movie_of(f, film_file)) for f in files if f.is_file()]


def transcripts_in(root: Path) -> list[tuple[Path, Movie | None]]:
    """All transcripts that are there, and of which film; None for what is none of the corpus."""
    files = sorted((root / TRANSCRIPTS).glob("*/*/*.tsv"), key=lambda p: natural_key(str(p)))
    return [(f, _movie_of(f, transcript_file)) for f in files if f.is_file()]


def _movie_of(file: Path, place: Callable[[Path, Movie], Path]) -> Movie | None:
    stem = file.stem.removeprefix("task-").removesuffix("_video")
    for prefix in ("friends_", "movie10_", "ood_"):
        stem = stem.removeprefix(prefix)
    movie = Movie.parse(stem)
    return movie if movie is not None and place(file.parents[4], movie) == file else None


def seconds_of(file: Path) -> float:
    """Length of a film by its header; of its pictures, where sound goes on behind them.

    Raises
    ------
    FileError
        When it is no film that can be read.

    """
    stamp = file.stat()
    return _seconds_of(str(file), stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=4096)
def _seconds_of(file: str, _time: int, _size: int) -> float:
    with open_container(file) as container:
        told = [container.duration / 1e6] if container.duration else []
        for stream in container.streams.video[:1]:
            told += _clock(stream.metadata.get("DURATION", ""))
    return min(told) if told else film_index(file).seconds


def _clock(text: str) -> list[float]:
    """Seconds of hours, minutes and seconds, if that is what it is."""
    try:
        hours, minutes, seconds = text.split(":")
        return [3600 * int(hours) + 60 * int(minutes) + float(seconds)]
    except ValueError:
        return []


def chunk_count(seconds: float, tr: float, kit: bool) -> int:
    """How many whole chunks a film has; in the kit, the last one never counts.

    >>> chunk_count(7.0, 2.0, False), chunk_count(6.0, 2.0, False), chunk_count(6.0, 2.0, True)
    (3, 3, 2)
    """
    count = len(np.arange(0, seconds, tr)) - 1 if kit else int(seconds / tr + 1e-6)
    return max(1, count)


def chunk_table(
    movie: Movie,
    indices: Iterable[int],
    file: str,
    said: Sequence[str],
    tr: float,
    part: str,
    last: int,
) -> pd.DataFrame:
    """One line per chunk of a film, indexed by ``name#0007``; behind it goes the `last` one on."""
    at, name = list(indices), movie.name
    columns = {
        "file": file,
        "onset": [min(k, last) * tr for k in at],
        "duration": tr,
        "group": name,
        "part": part,
        "movie": name,
        "index": at,
        "text": [said[k] if k < len(said) else "" for k in at],
        "corpus": movie.corpus,
        "season": movie.season,
    }
    ids = [f"{name}#{k:04d}" for k in at]
    return pd.DataFrame(columns, index=pd.Index(ids, dtype=object))


def said_in(root: Path, movie: Movie, context: int) -> list[str]:
    """What is said in each TR of a film, behind the `context` words before it; empty if unknown.

    Raises
    ------
    FileError
        When the transcript is there but no table.

    """
    file = transcript_file(root, movie)
    if not file.is_file():
        return []
    stamp = file.stat()
    return with_context(_texts(file, stamp.st_mtime_ns, stamp.st_size), context)


@lru_cache(maxsize=1024)
def _texts(file: Path, _time: int, _size: int) -> tuple[str, ...]:
    return tuple(chunk_texts(file))


def with_context(texts: Sequence[str], words: int) -> list[str]:
    """Texts, each behind the last `words` words of those before it.

    >>> with_context(["a b", "", "c"], 1)
    ['a b', 'b', 'b c']
    """
    if words <= 0:
        return list(texts)
    before: list[str] = []
    found = []
    for text in texts:
        found.append(" ".join([*before[-words:], *text.split()]))
        before = [*before, *text.split()][-words:]
    return found


def readable(root: Path, movie: Movie) -> float | None:
    """Length of a film; None where it is missing or its header cannot be read."""
    file = film_file(root, movie)
    try:
        return seconds_of(file) if file.is_file() else None
    except StriateError:
        return None
