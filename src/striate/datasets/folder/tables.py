"""Tables of labels beside an array: what each row showed, and what each target is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from striate.data import Stimuli, natural_key
from striate.errors import DataError, FileError, RecipeError, some, unknown

NUMERIC = ("row", "column", "onset", "duration", "time", "x", "y", "z", "ceiling")
_TRUE, _FALSE = ("1", "true", "yes", "1.0"), ("0", "false", "no", "", "0.0")


def read_table(path: Path) -> pd.DataFrame:
    """A .csv or .tsv as text, with the columns that mean numbers or booleans turned into them.

    Raises
    ------
    FileError
        When the file is missing or no table.
    DataError
        When a column of numbers holds something else.

    """
    if not path.is_file():
        raise FileError(f"no table {path}: name a .csv or .tsv file")
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise FileError(f"{path} is neither .csv nor .tsv")
    try:
        table = pd.read_csv(
            path,
            sep="," if path.suffix.lower() == ".csv" else "\t",
            encoding="utf-8-sig",
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise FileError(f"{path} is no table: {error}") from error
    table.columns = pd.Index([str(c).strip() for c in table.columns], dtype=object)
    table = table.astype(object)
    for name in table.columns.intersection(list(NUMERIC)):
        table[name] = _numbers(table[name], name, path)
    for name in [c for c in table.columns if c.startswith("roi:")]:
        table[name] = _booleans(table[name], name, path)
    return table


def target_labels(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Labels of targets, indexed by id, with one boolean ``roi:NAME`` column per region.

    A column ``roi`` names the regions of a target, several joined by ``;``. Targets without a
    column ``target`` are called ``t0``, ``t1``, … in the order of ``column`` or of the lines.
    """
    table = table.copy()
    if "column" in table:
        order = _places(table.pop("column"), len(table), "column", path)
        table = table.iloc[np.argsort(order)]
    ids = table.pop("target") if "target" in table else [f"t{i}" for i in range(len(table))]
    if "roi" in table:
        named = [
            [r.strip() for r in str(cell).split(";") if r.strip()] for cell in table.pop("roi")
        ]
        for region in sorted({r for regions in named for r in regions}, key=natural_key):
            table["roi:" + region] = [region in regions for regions in named]
    table.index = pd.Index([str(i) for i in ids], name="target", dtype=object)
    return table


def row_order(table: pd.DataFrame, rows: int, source: str) -> np.ndarray:
    """The row of responses that each line of a stimulus table belongs to, -1 for none.

    Told by a column ``row`` (from 0; empty: hidden), else by the order of the lines, where lines
    of part ``test`` may have no responses.

    Raises
    ------
    DataError
        When lines and rows do not pair one to one; both counts are told.

    """
    if "row" in table:
        place = table["row"].to_numpy(dtype=float)
        hidden = np.isnan(place)
        order = np.full(len(table), -1)
        order[~hidden] = _places(table["row"][~hidden], rows, "row", source)
        return order
    if len(table) == rows:
        return np.arange(rows)
    test = (table["part"] == "test").to_numpy() if "part" in table else np.zeros(len(table), bool)
    if (~test).sum() == rows and test.any():
        order = np.full(len(table), -1)
        order[~test] = np.arange(rows)
        return order
    aside = f" ({int(test.sum())} of them of part `test`)" if test.any() else ""
    raise DataError(
        f"{source} lists {len(table)} rows{aside}, but there are {rows} rows of responses: give it"
        " one line per row, or a column `row` that says where each line's responses are"
    )


def grouped(stimuli: Stimuli, rule: str) -> Stimuli:
    r"""Stimuli with leak groups set by a rule; they are left alone by an empty one.

    ``regex:(.*)_v\d+``: what the pattern captures in the stimulus id names the group;
    ``pairs:300``: stimuli k, k + 300, … in natural order share one; otherwise the name of a
    column. An empty name is no group.

    >>> s = Stimuli(pd.DataFrame(index=["cat_v1", "cat_v2", "dog_v1"]))
    >>> list(grouped(s, r"regex:(.*)_v\d+").table["group"])
    ['cat', 'cat', 'dog']
    >>> list(grouped(s, "pairs:2").table["group"])
    ['cat_v1', 'cat_v2', 'cat_v1']
    """
    if not rule:
        return stimuli
    kind, _, argument = rule.partition(":")
    if kind == "regex" and argument:
        return stimuli.with_column("group", _by_pattern(stimuli, argument))
    if kind == "pairs" and argument:
        if not argument.isdigit() or not 0 < int(argument) < len(stimuli):
            raise RecipeError(
                f"dataset.group={rule!r} needs a number from 1 to {len(stimuli) - 1}, one less than"
                " the number of stimuli"
            )
        ordered = sorted(stimuli.ids, key=natural_key)
        group = {s: ordered[k % int(argument)] for k, s in enumerate(ordered)}
        return stimuli.with_column("group", [group[s] for s in stimuli.ids])
    if rule not in stimuli.table:
        valid = [*stimuli.table.columns, "regex:PATTERN", "pairs:NUMBER"]
        raise RecipeError(unknown("group rule or column", rule, valid))
    return stimuli.with_column("group", stimuli.table[rule].astype(str))


def _by_pattern(stimuli: Stimuli, pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RecipeError(f"dataset.group pattern {pattern!r} does not parse: {error}") from error
    if not compiled.groups:
        raise RecipeError(
            f"dataset.group pattern {pattern!r} captures nothing: put what stimuli of one group"
            r" share in parentheses, such as regex:(.*)_v\d+"
        )
    found = [compiled.search(s) for s in stimuli.ids]
    if not any(found):
        raise RecipeError(
            f"dataset.group pattern {pattern!r} matches no stimulus id, such as {some(stimuli.ids)}"
        )
    return ["|".join(g or "" for g in m.groups()) if m else "" for m in found]


def _numbers(column: pd.Series, name: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(column.str.strip().replace("", "nan"), errors="coerce")
    wrong = numbers.isna() & ~column.str.strip().str.lower().isin(["", "nan", "n/a", "na"])
    if wrong.any():
        raise DataError(
            f"column {name!r} of {path} must hold numbers, but holds {some(column[wrong])}"
        )
    return numbers.astype(float)


def _booleans(column: pd.Series, name: str, path: Path) -> pd.Series:
    text = column.str.strip().str.lower()
    wrong = ~text.isin(_TRUE + _FALSE)
    if wrong.any():
        raise DataError(
            f"column {name!r} of {path} must hold true or false, but holds {some(column[wrong])}"
        )
    return text.isin(_TRUE).astype(bool)


def _places(column: pd.Series, count: int, name: str, path: Path | str) -> np.ndarray:
    """A column that numbers the rows (or targets) of an array from 0, each exactly once."""
    place = np.asarray(column, dtype=float)
    if np.array_equal(np.sort(place), np.arange(count)):
        return place.astype(int)
    from_one = len(place) == count and np.array_equal(np.sort(place), np.arange(1, count + 1))
    hint = "; count from 0, not from 1" if from_one else ""
    raise DataError(
        f"column {name!r} of {path} must name each of the {count} places 0 to {count - 1} once, but"
        f" names {len(place)}, {some(sorted(place.tolist()))}{hint}"
    )
