"""Which picture of the Natural Scenes Dataset each subject saw in which trial, and its captions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from striate.errors import DataError, FileError, some
from striate.files import read_mat

ARRAYS = ("masterordering", "subjectim", "sharedix")
LARGEST_CAPTIONS = 1 << 30
"""Bytes of one file of captions; that of COCO's training images has 92 million."""


@dataclass(frozen=True, eq=False)
class Design:
    """The order of the experiment, with everything counted from 0.

    Parameters
    ----------
    order
        For each trial, a place in the subject's list of pictures.
    lists
        For each subject, the pictures (of all 73,000).
    shared
        The pictures in every list.

    """

    order: Int[np.ndarray, " trial"]
    lists: Int[np.ndarray, "subject picture"]
    shared: Int[np.ndarray, " shared"]

    def shown(self, subject: int) -> Int[np.ndarray, " trial"]:
        """The picture of each trial of a subject, whose number counts from 1.

        >>> design = Design(np.array([1, 0, 1]), np.array([[5, 9]]), np.array([9]))
        >>> design.shown(1)
        array([9, 5, 9])
        """
        if not 1 <= subject <= len(self.lists):
            raise DataError(f"no subject {subject}: the design is of 1 to {len(self.lists)}")
        return self.lists[subject - 1][self.order]


def id_of(picture: int) -> str:
    """The stimulus id of a picture, the same in every data set that shows pictures of NSD.

    >>> id_of(13)
    'nsd00013'
    """
    return f"nsd{picture:05d}"


def read_design(path: Path) -> Design:
    """The design in `nsd_expdesign.mat`, whose arrays count from 1.

    Raises
    ------
    FileError
        When the file is missing or damaged.
    DataError
        When an array is missing, holds other than numbers from 1, or points beyond the lists.

    """
    if not path.is_file():
        raise FileError(
            f"no {path}, which says who saw what: get `nsddata/experiments/nsd` too, or pass"
            " dataset.design=FILE"
        )
    found = read_mat(path)
    for name in ARRAYS:
        if name not in found:
            raise DataError(f"{path} has no array {name!r}; it has {some(found, 8) or 'none'}")
    order, lists, shared = (_counted(found[n], f"{path}: {n}") for n in ARRAYS)
    if min(order.shape) != 1 or min(shared.shape) != 1 or lists.ndim != 2:
        shapes = ", ".join(f"{n} {found[n].shape}" for n in ARRAYS)
        raise DataError(
            f"{path} holds {shapes}, but must hold one line of trials, one list of pictures per"
            " subject, and one line of shared pictures"
        )
    order, shared = order.reshape(-1), shared.reshape(-1)
    if order.max() >= lists.shape[1]:
        raise DataError(
            f"{path}: masterordering points at place {order.max() + 1} of lists of"
            f" {lists.shape[1]} pictures: subjectim must be subjects × pictures"
        )
    for k, own in enumerate(lists):
        if len(np.unique(own)) < len(own):
            raise DataError(f"{path}: subjectim lists pictures of subject {k + 1} several times")
        lost = np.setdiff1d(shared, own)
        if len(lost):
            raise DataError(
                f"{path}: sharedix has {some((lost + 1).tolist())}, which subject {k + 1} was not"
                " to see"
            )
    return Design(order, lists, shared)


def coco_of(path: Path) -> dict[int, int]:
    """The COCO picture that each picture of NSD was cut from, by `nsd_stim_info_merged.csv`.

    Raises
    ------
    FileError
        When the file is missing or damaged.
    DataError
        When a column is missing, or names pictures twice or not by numbers.

    """
    if not path.is_file():
        raise FileError(
            f"no {path}, which says what pictures were cut from: get `nsddata/experiments/nsd` too,"
            " or pass dataset.info=FILE"
        )
    try:
        table = pd.read_csv(path, dtype=str, encoding="utf-8", usecols=lambda c: c in _JOINED)
    except Exception as error:  # the parser's errors have no common kind
        raise FileError(f"{path} is damaged or no .csv file: {error}") from error
    for name in _JOINED:
        if name not in table:
            raise DataError(f"{path} has no column {name!r}")
    numbers = [pd.to_numeric(table[n], errors="coerce") for n in _JOINED]
    wrong = table.index[numbers[0].isna() | numbers[1].isna() | numbers[0].duplicated()]
    if len(wrong):
        raise DataError(
            f"{path}: line {some((wrong + 2).tolist())} has no whole nsdId and cocoId of its own"
        )
    return dict(zip(*(n.astype(np.int64).tolist() for n in numbers), strict=True))


_JOINED = ("nsdId", "cocoId")


def read_captions(
    files: Iterable[str | Path], coco: Mapping[int, int], pictures: Sequence[int]
) -> list[str]:
    """What people said of each picture, from annotation files of COCO, its captions in one text.

    A picture without captions has an empty text.

    Raises
    ------
    FileError
        When a file is missing, damaged or too large.
    DataError
        When a file holds no captions, or all of them together none of the pictures.

    """
    wanted = {coco[p] for p in pictures if p in coco}
    said: dict[int, dict[str, None]] = {}
    for file in files:
        path = Path(file).expanduser()
        for line in _annotations(path):
            try:
                which, text = int(line["image_id"]), " ".join(str(line["caption"]).split())
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{path}: an annotation has no image_id and caption ({error}): give COCO's"
                    " captions_train2017.json and captions_val2017.json"
                ) from error
            if which in wanted and text:
                said.setdefault(which, {})[text] = None
    if wanted and not said:
        raise DataError(
            f"{some(files)} have captions of none of the {len(wanted)} pictures: give COCO's"
            " captions_train2017.json and captions_val2017.json"
        )
    return [" ".join(said.get(coco[p], ())) if p in coco else "" for p in pictures]


def _annotations(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > LARGEST_CAPTIONS:
            raise FileError(f"{path} has more than {LARGEST_CAPTIONS} bytes: no file of captions")
        found = json.loads(path.read_bytes())["annotations"]
    except OSError as error:
        raise FileError(f"no captions in {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(
            f"{path} is damaged or no annotation file of COCO ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(found, list):
        raise FileError(f"{path}: annotations are no list, as they are in COCO's files")
    return found


def _counted(values: np.ndarray, where: str) -> np.ndarray:
    """Numbers that count from 1, as numbers that count from 0."""
    whole = np.asarray(values)
    if not whole.size or (whole != np.round(whole)).any() or whole.min() < 1:
        raise DataError(
            f"{where} must hold whole numbers from 1, but begins at"
            f" {whole.min() if whole.size else 'nothing'}: take the file as NSD released it"
        )
    return whole.astype(np.int64) - 1
