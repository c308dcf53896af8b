"""Which challenge a submission is meant for, told by the names inside, and whether it fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from striate.errors import DataError, FileError, some
from striate.files import zip_members

PATTERNS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "algonauts2019": re.compile(r"(^|/)submit_(fmri|meg)\.(mat|npy|npz)$"),
        "algonauts2021": re.compile(r"(^|/)(mini|full)_track\.pkl$"),
        "algonauts2023": re.compile(r"(^|/)subj\d\d/[lr]h_pred_test\.npy$"),
        "algonauts2025": re.compile(r"(^|/)[^/]*(friends|ood|pred|submission)[^/]*\.npy$", re.I),
    }
)
"""Challenge → what a name inside of its submission looks like; the first that matches counts."""
VOXELS_2021: Mapping[str, int] = MappingProxyType({"mini": 29_623, "full": 161_326})
"""Track of 2021 → its voxels, of all regions and subjects together."""


def names_inside(path: Path) -> list[str]:
    """Names of the files in a submission: of a folder's, a .zip's members, or its own.

    Raises
    ------
    FileError
        When there is nothing at `path`, or a .zip is damaged or hostile.

    """
    if path.is_dir():
        found = (p.relative_to(path.parent).as_posix() for p in path.rglob("*") if p.is_file())
        return sorted(found)
    if not path.is_file():
        raise FileError(f"no submission {path}; check the path")
    if path.suffix.lower() == ".zip":
        return list(zip_members(path))
    return [path.name]


def recognised(path: Path) -> str:
    """The data set whose submission this is, by the names inside.

    Raises
    ------
    FileError
        As `names_inside`.
    DataError
        When the names are those of no challenge.

    """
    inside = names_inside(path)
    for name, pattern in PATTERNS.items():
        if any(pattern.search(one) for one in inside):
            return name
    raise DataError(
        f"{path} holds {some(inside) or 'nothing'}, as no challenge's submission does: name the"
        f" challenge, such as check-submission {path} algonauts2021, or hand in submit_fmri.zip or"
        " submit_meg.zip (2019), mini_track.zip or full_track.zip (2021),"
        " algonauts_2023_challenge_submission.zip (2023), fmri_predictions_friends_s7.zip (2025)"
    )


def check(path: Path, name: str, dataset: Any = None) -> None:
    """Raise for the first thing wrong with a submission to the challenge of a data set.

    Against a copy of the data if there is a `dataset`, else against the shapes of the release.

    Raises
    ------
    DataError, FileError
        Naming the file and what is wrong with it, or that the data set has no submission.

    """
    if dataset is not None and hasattr(dataset, "check_submission"):
        dataset.check_submission(path)
    elif dataset is None and name in RELEASED:
        RELEASED[name](path)
    else:
        raise DataError(f"{name} has no submission that could be checked: {some(PATTERNS, 9)} have")


def unchecked(path: Path, name: str, dataset: Any = None) -> list[str]:
    """What `check` did not look at, or what the copy lacks of the challenge; a line for each."""
    if dataset is not None:
        told = getattr(dataset, "submission_warnings", None)
        return list(told(path)) if told else []
    return [UNCHECKED[name]] if name in UNCHECKED else []


def _algonauts2019(path: Path) -> None:
    from striate.datasets.algonauts2019.rdm_files import COUNT
    from striate.datasets.algonauts2019.submission import read

    read(path, "meg" if _holds(path, "submit_meg.") else "fmri", COUNT["78"])


def _algonauts2021(path: Path) -> None:
    from striate.datasets.algonauts2021 import submission
    from striate.datasets.algonauts2021.tree import HIDDEN

    track = "full" if _holds(path, "full_track") else "mini"
    # How many voxels a region has stands in the copy alone.
    submission.check(path, track, HIDDEN, {}, VOXELS_2021[track])


def _algonauts2023(path: Path) -> None:
    from striate.datasets.algonauts2023 import submission
    from striate.datasets.algonauts2023.files import COUNTS

    wanted = {}
    for subject, (_, rows, left, right) in COUNTS.items():
        for side, vertices in (("lh", left), ("rh", right)):
            wanted[submission.member(subject, side)] = (rows, vertices)
    submission.check(path, wanted)


def _algonauts2025(path: Path) -> None:
    from striate.datasets.algonauts2025 import submission

    submission.check(path)


def _holds(path: Path, part: str) -> bool:
    return any(part in name for name in names_inside(path))


RELEASED: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "algonauts2019": _algonauts2019,
        "algonauts2021": _algonauts2021,
        "algonauts2023": _algonauts2023,
        "algonauts2025": _algonauts2025,
    }
)
"""Challenge → its check against the shapes of the release."""
UNCHECKED: Mapping[str, str] = MappingProxyType(
    {
        "algonauts2021": "how many voxels each region of each subject has, only their sum, was not"
        " checked: that stands in a copy of the data (path=FOLDER)",
        "algonauts2025": "how many samples each film has was not checked: that stands in a copy of"
        " the data (path=FOLDER)",
    }
)
"""Challenge → which of its shapes are known from a copy alone."""
