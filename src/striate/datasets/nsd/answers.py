"""The answers of the 2023 challenge, rebuilt from the sessions that NSD released afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float32

from striate.datasets.algonauts2023 import files
from striate.datasets.algonauts2023.masks import vertices
from striate.datasets.nsd.betas import header_of, session_files
from striate.datasets.nsd.dataset import Nsd, number_of
from striate.datasets.nsd.design import id_of
from striate.datasets.nsd.places import Places
from striate.errors import DataError, FileError, some

WITHHELD = 3
"""Sessions of each subject, its last ones, of which the challenge released nothing."""
PIECE = 1 << 26


def algonauts2023_answers(
    nsd: Nsd,
    challenge: str | Path,
    subject: str,
    hemisphere: Literal["lh", "rh"],
    part: Literal["test", "training"] = "test",
) -> Float32[np.ndarray, "row target"]:
    """Responses of a subject to the test images of 2023, as its organisers made them.

    Responses on fsaverage are z-scored within each session (population standard deviation),
    averaged in double precision over the trials of an image, and rounded to single precision. Rows
    follow the running numbers of the images in the challenge's folder, found by their places among
    the 73,000; columns are the challenge's vertices in ascending order: what
    `test_fmri/lh_test_fmri.npy` would hold.

    Parameters
    ----------
    nsd
        A copy of NSD with responses on fsaverage; its own choice of space, sessions, mask and
        targets does not matter.
    challenge
        The folder of the challenge that holds `subj01` and so on: names of images and masks.
    subject
        Such as ``subj01``, the same person in both.
    hemisphere
        ``lh`` or ``rh``.
    part
        ``training`` makes the responses that the challenge did release, from all other sessions:
        where they equal `lh_training_fmri.npy`, the answers are right too.

    Raises
    ------
    FileError
        When the sessions needed, the masks or the images' names are missing.
    DataError
        When an image was not shown in these sessions, or was shown in others too, so that the two
        copies are not of the same person and design.

    """
    folder = Path(challenge).expanduser() / subject
    shown = files.images(folder, part)
    if not shown.ids:
        raise FileError(
            f"no images in {files.image_folder(folder, part)}, whose names say what the rows are"
        )
    whole = replace(nsd, space="fsaverage", subjects=(subject,), sessions=(), zscore="session")
    there = session_files(whole.folder(subject), hemisphere)
    if not there:
        raise FileError(f"no {hemisphere}.betas_session*.mgh in {whole.folder(subject)}")
    last = max(there)
    held = range(max(1, last - WITHHELD + 1), last + 1)
    used = list(held) if part == "test" else list(range(1, held[0]))
    lost = [s for s in used if s not in there]
    if lost or not used:
        raise FileError(
            f"{whole.folder(subject)} lacks session {some(lost) or '1'} of {hemisphere}, in which"
            f" {part} images of 2023 were shown: get it"
        )
    trials, grid = header_of(there[last])
    place = vertices(folder, hemisphere)
    if len(grid) != 1 or place.max() >= grid[0]:
        raise DataError(
            f"{there[last]} holds {grid} vertices, fewer than the masks of {folder} name"
        )
    pictures = whole.read_design().shown(number_of(subject))[: last * trials]
    session = np.arange(len(pictures)) // trials + 1
    names = pd.Index([id_of(p) for p in pictures.tolist()])
    row = pd.Index(shown.ids).get_indexer(names)
    _check(row, session, used, shown.ids, part, there[last])

    targets = Places(grid, place, pd.DataFrame(index=place))
    sessions = replace(whole, sessions=tuple(used)).open_sessions(subject, hemisphere, targets)[0]
    at = np.flatnonzero((row >= 0) & np.isin(session, used))
    count = np.bincount(row[at], minlength=len(shown.ids))
    found = np.empty((len(shown.ids), len(place)), dtype=np.float32)
    step = max(1, PIECE // (8 * len(shown.ids)))
    for start in range(0, len(place), step):
        columns = np.arange(start, min(len(place), start + step))
        total = np.zeros((len(shown.ids), len(columns)))
        for number in used:
            mine = at[session[at] == number]
            np.add.at(total, row[mine], sessions.read(mine, columns))
        found[:, columns] = total / count[:, None]
    return found


def _check(
    row: np.ndarray,
    session: np.ndarray,
    used: list[int],
    ids: tuple[str, ...],
    part: str,
    last: Path,
) -> None:
    """That images of the test lie in the withheld sessions alone, and all images in those used."""
    inside = np.isin(session, used)
    shown = set(row[(row >= 0) & inside].tolist())
    lost = [i for k, i in enumerate(ids) if k not in shown]
    if lost:
        raise DataError(
            f"{part} image {some(lost)} of 2023 was not shown in sessions {used[0]} to {used[-1]},"
            f" of which {last} is the last: is it the last of this subject, and the same subject?"
        )
    early = sorted(set(row[(row >= 0) & ~inside].tolist())) if part == "test" else []
    if early:
        raise DataError(
            f"test image {some([ids[k] for k in early])} of 2023 was shown before session"
            f" {used[0]}, of which {last} is no later than the third: is it the last session of"
            " this subject, and the same subject?"
        )
