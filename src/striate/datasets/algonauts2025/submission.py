"""The file that the 2025 challenge asks for: subject → film → samples × parcels, zipped."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, align, assemble
from striate.datasets.algonauts2025.runs import OOD, PARCELS, Movie, Run
from striate.errors import DataError, FileError, some
from striate.files import is_zip, read_object_npy, write_object_npy, zip_members
from striate.files.zips import open_member

SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-05")
Asked = Mapping[str, Sequence[Run]]
"""The hidden runs by subject."""
RELEASED = {
    "friends-s7": [f"s07e{e:02d}{half}" for e in range(1, 24) for half in "ab"],
    "ood": [f"{film}{k}" for film in OOD for k in (1, 2)],
}
"""Films of a test that every copy has; of long episodes there are parts c and d, too."""


def file_name(test: str) -> str:
    """Of the file in the archive, without suffix.

    >>> file_name("friends-s7")
    'fmri_predictions_friends_s7'
    """
    return f"fmri_predictions_{test.replace('-', '_')}"


def write(predicted: Mapping[str, Responses], asked: Asked, test: str, folder: Path) -> Path:
    """Write the dictionary and its archive, and return the archive.

    Raises
    ------
    DataError
        When samples that are asked for are not predicted; they are counted.

    """
    whole = {s: _arrays(predicted, s, asked[s]) for s in SUBJECTS if s in asked}
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / f"{file_name(test)}.npy"
    packed = plain.with_suffix(".zip")
    partial = [p.with_name(f".{os.getpid()}.{p.name}") for p in (plain, packed)]
    try:
        write_object_npy(partial[0], whole)
        with zipfile.ZipFile(partial[1], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(partial[0], plain.name)
        for made, place in zip(partial, (plain, packed), strict=True):
            made.replace(place)
    finally:
        for made in partial:
            made.unlink(missing_ok=True)
    return packed


def _arrays(
    predicted: Mapping[str, Responses], subject: str, runs: Sequence[Run]
) -> dict[str, np.ndarray]:
    """Film → predictions (sample, parcel) of one subject."""
    ids = [f"{run.name}#{k:04d}" for run in runs for k in range(run.samples)]
    rows = pd.DataFrame(index=pd.Index(ids, name="row", dtype=object))
    targets = pd.DataFrame(
        {"subject": subject},
        index=pd.Index([f"parcel{k + 1:04d}" for k in range(PARCELS)], name="target"),
    )
    blank = np.full((len(rows), PARCELS), np.nan, dtype=np.float32)
    values = align(assemble(blank, rows, targets), predicted).astype(np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        samples = np.flatnonzero(bad.any(axis=1))
        raise DataError(
            f"{int(bad.sum())} of {values.size} values of {subject} are not predicted, in"
            f" {len(samples)} samples such as {ids[samples[0]]}, for {int(bad.any(axis=0).sum())}"
            " parcels: add a member that predicts them"
        )
    stops = np.cumsum([run.samples for run in runs])
    parts = np.split(values, stops[:-1])
    return {run.movie.split: p for run, p in zip(runs, parts, strict=True)}


def check(path: Path, asked: Callable[[str], Asked] | None = None) -> None:
    """Raise the first thing for which the challenge would refuse a submission.

    `asked` tells the hidden runs of a test by a copy of the data. Without one, all four subjects
    must have the same films, those of the release among them, each of more than ten samples: how
    many there are of each is not known.

    Raises
    ------
    FileError, DataError
        Naming the file, or the subject and film.

    """
    if not path.is_file():
        raise FileError(f"no submission {path}: `striate submit RUN` writes one")
    if is_zip(path):
        members = zip_members(path)
        if len(members) != 1 or not next(iter(members)).endswith(".npy"):
            raise DataError(
                f"{path} must hold {' or '.join(f'{file_name(t)}.npy' for t in RELEASED)} alone,"
                f" but holds {some(members, 5) or 'nothing'}"
            )
        name, info = next(iter(members.items()))
        if "/" in name or "\\" in name:
            raise DataError(f"{path}: {name} must not be in a folder of the archive")
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, name)
            with open_member(path, info) as stream, place.open("wb") as unpacked:
                shutil.copyfileobj(stream, unpacked)
            _check(read_object_npy(place), f"{name} of {path}", asked)
    elif path.suffix == ".npy":
        _check(read_object_npy(path), str(path), asked)
    else:
        raise FileError(
            f"{path} is no .zip and no .npy: submissions are"
            f" {' or '.join(f'{file_name(t)}.zip' for t in RELEASED)}"
        )


def _check(found: Any, where: str, asked: Callable[[str], Asked] | None) -> None:
    _keys(found, SUBJECTS, f"{where}: subjects")
    for subject in SUBJECTS:
        if not isinstance(found[subject], Mapping):
            _keys(found[subject], (), f"{where}: {subject}")
    test = _test_of(found[SUBJECTS[0]])
    known = asked(test) if asked else {}
    # All four subjects saw the same films of a test.
    others = [run.movie.split for runs in known.values() for run in runs]
    for subject in SUBJECTS:
        runs = {run.movie.split: run.samples for run in known.get(subject, ())}
        films = found[subject]
        wanted = runs or dict.fromkeys(others) or _released(found[SUBJECTS[0]], test)
        _keys(films, wanted, f"{where}: {subject}")
        for film, values in films.items():
            _array(values, runs.get(str(film)), f"{where}: {subject} {film}")


def _test_of(films: Mapping[Any, Any]) -> str:
    """The test that most of the films belong to."""
    movies = [Movie.parse(str(f)) for f in films]
    other = sum(m.corpus == "ood" for m in movies if m)
    return "ood" if 2 * other > len(movies) else "friends-s7"


def _released(films: Mapping[Any, Any], test: str) -> list[str]:
    """The films of a test where no copy of the data tells: of these, those that may be there."""
    more = [str(f) for f in films if (m := Movie.parse(str(f))) and m.season == test]
    return list(dict.fromkeys([*RELEASED[test], *more]))


def _array(values: Any, samples: int | None, what: str) -> None:
    """Check the predictions of one film; `samples` is None where they are not known."""
    if not isinstance(values, np.ndarray):
        raise DataError(f"{what} is {type(values).__name__}, but must be an array")
    long = values.ndim == 2 and len(values) in ((samples,) if samples else range(11, 1 << 31))
    if not long or values.shape[1] != PARCELS:
        wanted = f"({samples or 'more than 10'}, {PARCELS})"
        raise DataError(f"{what} has shape {values.shape}, but must have {wanted}")
    if values.dtype != np.float32:
        raise DataError(f"{what} holds {values.dtype}, but must be float32")
    odd = int((~np.isfinite(values)).sum())
    if odd:
        raise DataError(f"{what}: {odd} of {values.size} values are NaN or infinite")
    if len(values) > 1 and not np.ptp(values, axis=0).any():
        raise DataError(f"{what} never varies: its correlation with anything is 0")


def _keys(found: Any, wanted: Any, where: str) -> None:
    """Check that a dictionary has exactly the keys that are wanted."""
    if not isinstance(found, Mapping):
        raise DataError(f"{where} must be a dictionary, not {type(found).__name__}")
    lacking = [k for k in wanted if k not in found]
    if lacking:
        raise DataError(f"{where} lacks {some(lacking)}")
    extra = [k for k in found if k not in wanted]
    if extra:
        raise DataError(f"{where} has {some(extra)}, which the challenge does not know")
