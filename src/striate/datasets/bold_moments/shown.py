"""The films of BOLD Moments, and what people said of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from striate.data import Stimuli
from striate.datasets.bold_moments.files import TEST, TRAIN
from striate.datasets.bold_moments.targets import film_id
from striate.errors import DataError, FileError, some, unknown
from striate.media import list_media
from striate.media.files import FILMS, MEMBER

PLACES = (
    "mp4_h264", "stimuli/mp4_h264", "stimulus_set/mp4_h264", "stimulus_set/stimuli/mp4_h264",
    "stimuli_metadata/mp4_h264", "derivatives/stimuli_metadata/mp4_h264", "mp4_h264.zip",
)  # fmt: skip
"""Where films are looked for."""
TABLES = (
    "annotations.json",
    "stimuli_metadata/annotations.json",
    "derivatives/stimuli_metadata/annotations.json",
)
"""Where annotations are looked for."""
LARGEST = 1 << 28
"""Bytes of the annotations."""


def film_files(roots: Sequence[Path], named: str | Path) -> dict[int, str]:
    """Files of the films by number, from the place that was named or the usual ones.

    Raises
    ------
    FileError
        When the place that was named holds no films, or two files have one number.

    """
    if str(named):
        place = Path(named).expanduser()
        inner = place / "mp4_h264"
        if not place.exists():
            raise FileError(f"no films in {place}: dataset.stimuli_path names the folder of them")
        places = [inner if inner.is_dir() else place]
    else:
        places = [root / p for root in roots for p in PLACES if (root / p).exists()][:1]
    if not places or (places[0].is_dir() and not any(places[0].iterdir())):
        return {}
    files: dict[int, str] = {}
    for file in list_media(places[0]):
        number = film_number(file)
        if number is None:
            continue
        if number in files:
            raise FileError(f"{files[number]} and {file} are both film {number}: keep one")
        files[number] = file
    if not files:
        raise FileError(f"{places[0]} holds no films named 0001.mp4 to {TRAIN + TEST}.mp4")
    return files


def film_number(file: str) -> int | None:
    """The number of a film by the name of its file; None where it is no film of the corpus.

    >>> film_number("mp4_h264/0042.mp4"), film_number("notes.txt")
    (42, None)
    """
    name = re.split(rf"[/\\]|{MEMBER}", file)[-1]
    found = re.match(r"(?:vid)?(\d{4})(?!\d)", name)
    fits = name.lower().endswith(FILMS) and found and 0 < int(found[1]) <= TRAIN + TEST
    return int(found[1]) if found and fits else None


def annotation_file(roots: Sequence[Path], named: str | Path) -> Path | None:
    """The annotations that were named, or those in a usual place; None where there are none."""
    if str(named):
        return Path(named).expanduser()
    return next((root / t for root in roots for t in TABLES if (root / t).is_file()), None)


def read_annotations(file: Path) -> dict[str, Any]:
    """The annotations of every film, by ``0001`` and so on.

    Raises
    ------
    FileError
        When the file is missing or no such table.

    """
    try:
        if file.stat().st_size > LARGEST:
            raise FileError(f"{file} has {file.stat().st_size} bytes: too many for annotations")
        table = json.loads(file.read_bytes())
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{file} is damaged or no JSON: {error}") from error
    names = {f"{k + 1:04d}" for k in range(TRAIN + TEST)}
    lines = table.values() if isinstance(table, dict) else ()
    if not lines or set(table) - names or not all(isinstance(v, dict) for v in lines):
        raise FileError(f"{file} must hold an entry for each film, named 0001 to {TRAIN + TEST}")
    return table


def stimuli_of(
    numbers: Iterable[int],
    files: Mapping[int, str],
    annotated: Path | None,
    labels: Sequence[str],
) -> Stimuli:
    """Films by number, with ``part``, ``text`` where there are annotations, and further labels.

    Raises
    ------
    DataError
        When a label is asked for that the annotations do not have.
    FileError
        When the annotations cannot be read.

    """
    listed = sorted(numbers)
    table = pd.DataFrame(index=[film_id(n) for n in listed])
    table["file"] = [files.get(n, "") for n in listed]
    table["part"] = ["test" if n > TRAIN else "train" for n in listed]
    if annotated is None and labels:
        raise DataError(f"labels {some(labels)} are asked for, but there is no annotations.json")
    if annotated is not None:
        entries = read_annotations(annotated)
        lines = [entries.get(f"{n:04d}", {}) for n in listed]
        have = {k for line in entries.values() for k in line}
        for name in labels:
            if name not in have:
                raise DataError(unknown("annotation", name, have, str(annotated)))
        if "text_descriptions" in have:
            table["text"] = [_joined(line.get("text_descriptions"), " ") for line in lines]
        for name in labels:
            table[name] = [_cell(line.get(name)) for line in lines]
    return Stimuli(table)


def _cell(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else _joined(value, ";")


def _joined(value: Any, between: str) -> str:
    """Texts of a list, in their order, each once."""
    listed = value if isinstance(value, list) else [value]
    return between.join(dict.fromkeys(str(v).strip() for v in listed if v is not None))
