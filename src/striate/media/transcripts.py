"""Words that were said, with their times: read, and dealt out to the chunks of a film."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from striate.errors import DataError, FileError, some

PER_CHUNK = ("text_per_tr", "words_per_tr", "onsets_per_tr", "durations_per_tr")
WORDS = ("word", "onset", "duration")
LARGEST = 1 << 24
"""Bytes of a table; that of the words of a whole season has a tenth of them."""
LONGEST = 1 << 16
"""Letters of a list; fewer than a thousand words are said in a TR."""
TEXT = r"""[uU]?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
PLAIN = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)|None|True|False"
ITEM = re.compile(rf"\s*(?:({TEXT})|({PLAIN}))\s*(,|\Z)")


def read_transcript(file: str | Path) -> pd.DataFrame:
    """Words of a film or sound in the order in which they are said.

    Two kinds of tables (.tsv or .csv) are read: one line per word, with the columns ``word`` and
    ``onset`` and perhaps ``duration``; or, as CNeuroMod's, one line per TR with the columns
    ``words_per_tr``, ``onsets_per_tr`` and ``durations_per_tr``, which hold lists in brackets.

    Returns
    -------
    DataFrame
        Columns ``word``, ``onset`` and ``duration`` (seconds; NaN where it is not told), and
        ``chunk``, the line of the TR from 0 (-1 in tables of words).

    Raises
    ------
    FileError
        When the file is missing, no table, or of neither kind.
    DataError
        When a cell is no list, or the lists of a line differ in length.

    """
    table = _table(file)
    if "words_per_tr" in table:
        return _unpacked(table, file)
    if "word" not in table or "onset" not in table:
        raise FileError(
            f"{file} is no transcript: it needs the columns word and onset, or"
            f" {', '.join(PER_CHUNK)}, but has {some(table.columns, 8)}"
        )
    found = pd.DataFrame({"word": table["word"].astype(str)})
    for name in ("onset", "duration"):
        cells = table[name] if name in table else pd.Series("", index=table.index)
        found[name] = _numbers(cells, name, file)
    lost = found["onset"].isna()
    if lost.any():
        raise DataError(f"{file}: words without an onset ({some(found['word'][lost])}): add it")
    found["chunk"] = -1
    return found.sort_values("onset", kind="stable", ignore_index=True)


def chunk_texts(file: str | Path) -> list[str]:
    """What is said in each TR of a CNeuroMod transcript: its ``text_per_tr``, empty where silent.

    Raises
    ------
    FileError
        When the file is no such table.

    """
    table = _table(file)
    if "text_per_tr" not in table:
        raise FileError(f"{file} has no column text_per_tr; it has {some(table.columns, 8)}")
    return ["" if _empty(t) else str(t) for t in table["text_per_tr"]]


def texts_between(
    words: pd.DataFrame, onsets: Iterable[float], durations: Iterable[float]
) -> list[str]:
    """The words that begin in each chunk ``[onset, onset + duration)``, joined by spaces.

    >>> words = pd.DataFrame({"word": ["a", "b", "c"], "onset": [0.1, 0.9, 2.5]})
    >>> texts_between(words, [0.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    ['a b', '', 'c']
    """
    said = words.sort_values("onset", kind="stable")
    starts, told = said["onset"].to_numpy(dtype=float), said["word"].astype(str).to_numpy()
    texts = []
    for onset, duration in zip(onsets, durations, strict=True):
        first, stop = np.searchsorted(starts, [onset, onset + duration])
        texts.append(" ".join(told[first:stop]))
    return texts


def words_per_second(
    words: pd.DataFrame, onsets: Iterable[float], durations: Iterable[float]
) -> Float64[np.ndarray, " chunk"]:
    """Rate at which words begin in each chunk ``[onset, onset + duration)``.

    >>> words = pd.DataFrame({"word": ["a", "b", "c"], "onset": [0.1, 0.9, 2.5]})
    >>> words_per_second(words, [0.0, 2.0], [2.0, 0.5]).tolist()
    [1.0, 0.0]
    """
    starts = np.sort(words["onset"].to_numpy(dtype=float))
    begin = np.array(list(onsets), dtype=np.float64)
    length = np.array(list(durations), dtype=np.float64)
    if (length <= 0).any():
        raise DataError(f"chunks must last longer than 0 s, but some last {length.min():g} s")
    edges = np.searchsorted(starts, np.stack([begin, begin + length]))
    return (edges[1] - edges[0]) / length


def _table(file: str | Path) -> pd.DataFrame:
    path = Path(file)
    if not path.is_file():
        raise FileError(f"no transcript {path}: name a .tsv or .csv file")
    marks = {".tsv": "\t", ".csv": ","}
    if path.suffix.lower() not in marks:
        raise FileError(f"{path} is neither .tsv nor .csv")
    if path.stat().st_size > LARGEST:
        raise FileError(f"{path} has more than the {LARGEST} bytes of any transcript: split it")
    try:
        table = pd.read_csv(
            path,
            sep=marks[path.suffix.lower()],
            encoding="utf-8-sig",
            dtype=str,
            keep_default_na=False,
        )
    except (ValueError, OverflowError, MemoryError, csv.Error) as error:
        raise FileError(f"{path} is no table: {error}") from error
    table.columns = pd.Index([str(c).strip() for c in table.columns], dtype=object)
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()]
        raise FileError(f"{path} has columns twice ({some(twice)}): keep one of each")
    return table


def _unpacked(table: pd.DataFrame, file: str | Path) -> pd.DataFrame:
    absent = [c for c in PER_CHUNK[1:] if c not in table]
    if absent:
        raise FileError(f"{file} has words_per_tr, but not {some(absent)}")
    lines: list[tuple[Any, ...]] = []
    for line, cells in enumerate(zip(*(table[c] for c in PER_CHUNK[1:]), strict=True)):
        words, onsets, durations = (_list(cell, file, line) for cell in cells)
        if not len(words) == len(onsets) == len(durations):
            raise DataError(
                f"{file}: line {line + 2} has {len(words)} words, {len(onsets)} onsets and"
                f" {len(durations)} durations; correct it"
            )
        for word, onset, duration in zip(words, onsets, durations, strict=True):
            times = (_number(time, file, line) for time in (onset, duration))
            lines.append((word, *times, line))
    return pd.DataFrame(lines, columns=[*WORDS, "chunk"]).astype(
        {"word": object, "onset": float, "duration": float, "chunk": int}
    )


def _list(cell: str, file: str | Path, line: int) -> list[str]:
    """The items of a printed list: texts without their quotes, all else as it stands there."""
    if _empty(cell):
        return []
    if len(cell) > LONGEST:
        raise DataError(
            f"{file}: line {line + 2} holds a list of {len(cell)} letters, but what is said in a TR"
            f" takes at most {LONGEST}; correct it"
        )
    told = cell.strip()
    found, at, inside = list[str](), 0, told[1:-1].strip()
    whole = (told[:1], told[-1:]) in (("[", "]"), ("(", ")"))
    while whole and at < len(inside):
        match = ITEM.match(inside, at)
        whole = match is not None
        if match is not None:
            found.append(_unquoted(match[1], file, line) if match[1] else match[2])
            at = match.end()
    if not whole:
        raise DataError(
            f"{file}: line {line + 2} holds no list of words or numbers: {cell[:60]!r}; correct it"
        )
    return found


def _unquoted(text: str, file: str | Path, line: int) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError) as error:
        raise DataError(f"{file}: line {line + 2} holds no word: {text[:60]!r}") from error


def _empty(cell: object) -> bool:
    return str(cell).strip().lower() in ("", "nan", "n/a", "none")


def _number(text: str, file: str | Path, line: int) -> float:
    try:
        return float("nan" if _empty(text) else text)
    except ValueError as error:
        raise DataError(
            f"{file}: line {line + 2} holds {text[:40]!r}, where seconds belong"
        ) from error


def _numbers(cells: pd.Series, name: str, file: str | Path) -> pd.Series:
    numbers = pd.to_numeric(cells.map(lambda c: "nan" if _empty(c) else c), errors="coerce")
    wrong = numbers.isna() & ~cells.map(_empty)
    if wrong.any():
        raise DataError(
            f"column {name!r} of {file} must hold seconds, but holds {some(cells[wrong])}"
        )
    return numbers.astype(float)
