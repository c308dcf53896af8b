"""What was shown: one labelled line per image, clip or chunk; nothing is opened here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from striate.errors import DataError, some

COLUMNS = ("file", "onset", "duration", "digest", "group", "part")


@lru_cache(maxsize=1 << 18)
def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key that orders numbers inside names by value; no two names are equal.

    >>> sorted(["image_10", "image_9"], key=natural_key)
    ['image_9', 'image_10']
    """
    pieces = re.split(r"(\d+)", str(name))
    ranks = tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces if p)
    return ranks, str(name)


@dataclass(frozen=True)
class Shown:
    """One stimulus as an extractor sees it: the whole of a file, or a piece of it.

    Parameters
    ----------
    id
        The stimulus.
    file
        Path, or ``archive.zip::member``; empty when there is none.
    onset, duration
        Seconds, where the stimulus is a piece of a longer film or sound.
    text
        Words that were shown or said, where the stimuli have a label ``text``.

    """

    id: str
    file: str
    onset: float | None = None
    duration: float | None = None
    text: str | None = None


@dataclass(frozen=True, eq=False)
class Stimuli:
    """What was shown, one row per stimulus.

    Parameters
    ----------
    table
        Indexed by stimulus id (unique strings). Columns, all optional: ``file`` (path; a member
        of a zip archive is ``archive.zip::member``; empty when the file is missing), ``onset`` and
        ``duration`` (seconds, for a chunk of a longer file), ``digest`` (of the content),
        ``group`` (stimuli that must never be parted by a split; of a chunk it is the movie, unless
        another is given), ``part`` (``train``, ``test``), ``text`` (words shown or said), ``movie``
        and ``index`` (place of a chunk in its film), and any label of the dataset's own.

    Raises
    ------
    DataError
        When ids repeat or are empty, or an onset or duration is no number of seconds that can be.

    """

    table: pd.DataFrame

    def __post_init__(self) -> None:
        table = self.table.copy()
        table.index = pd.Index([str(i) for i in table.index], name="stimulus", dtype=object)
        if "" in table.index:
            raise DataError(f"{(table.index == '').sum()} stimuli have an empty id: name them")
        repeated = table.index[table.index.duplicated()].unique()
        if len(repeated):
            raise DataError(
                f"stimulus ids repeat ({some(repeated)}): give each stimulus one id, and one row of"
                " responses for each time that it was shown"
            )
        for column, least, what in (("onset", 0.0, "0 or more"), ("duration", 1e-9, "above 0")):
            if column in table:
                table[column] = _seconds(table[column])
                wrong = table.index[table[column] < least]
                if len(wrong):
                    raise DataError(
                        f"stimulus {wrong[0]!r} has {column} {table[column][wrong[0]]}: seconds"
                        f" {what}"
                    )
        for column in ("file", "digest", "group", "part"):
            if column not in table:
                table[column] = ""
            table[column] = table[column].astype(object).where(table[column].notna(), "")
        object.__setattr__(self, "table", table)

    @classmethod
    def from_files(cls, files: Iterable[object], ids: Sequence[str] | None = None) -> Stimuli:
        """Stimuli of single files, named by `ids` or by their stems, in natural order.

        >>> Stimuli.from_files(["b/img10.png", "b/img9.png"]).ids
        ('img9', 'img10')
        """
        names = [str(f) for f in files]
        stems = [re.split(r"[/\\]|::", n)[-1].rsplit(".", 1)[0] for n in names]
        table = pd.DataFrame({"file": names}, index=list(ids) if ids is not None else stems)
        if ids is None:
            table = table.iloc[sorted(range(len(names)), key=lambda i: natural_key(stems[i]))]
        return cls(table)

    @property
    def ids(self) -> tuple[str, ...]:
        """Stimulus ids, in the order of the table."""
        return tuple(self.table.index)

    def __len__(self) -> int:
        return len(self.table)

    def shown(self) -> list[Shown]:
        """Every stimulus by itself, in the order of the table.

        >>> Stimuli.from_files(["a.mp4"]).shown()
        [Shown(id='a', file='a.mp4', onset=None, duration=None, text=None)]
        """
        table = self.table
        timing = [
            [None if v != v else float(v) for v in table[c]] if c in table else [None] * len(table)
            for c in ("onset", "duration")
        ]
        words = table["text"] if "text" in table else [None] * len(table)
        told = [None if t is None or t != t else str(t) for t in words]
        files = table["file"].astype(str)
        return [Shown(*line) for line in zip(self.ids, files, *timing, told, strict=True)]

    def select(self, ids: Iterable[str]) -> Stimuli:
        """The named stimuli, in the order asked for."""
        wanted = list(ids)
        missing = [i for i in wanted if i not in self.table.index]
        if missing:
            raise DataError(
                f"no such stimulus: {some(missing)}; there are {len(self)} stimuli, such as"
                f" {some(self.ids)}"
            )
        return Stimuli(self.table.loc[wanted])

    def with_column(self, name: str, values: Iterable[object]) -> Stimuli:
        """A copy with one column set."""
        table = self.table.copy()
        table[name] = pd.Series(list(values), index=table.index, dtype=object)
        return Stimuli(table)


def _seconds(column: pd.Series) -> pd.Series:
    """Cells as numbers, NaN where they are empty."""
    empty = column.isna() | (column.astype(str).str.strip() == "")
    found = pd.to_numeric(column.where(~empty), errors="coerce").astype(float)
    wrong = column.index[found.isna() & ~empty]
    if len(wrong):
        raise DataError(
            f"stimulus {wrong[0]!r} has {column.name} {column[wrong[0]]!r}, which is no number:"
            " give seconds, or leave it empty"
        )
    return found
