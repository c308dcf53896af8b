"""Which row answers to which stimulus: files, table lines and row labels brought together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from striate.data import OnDisk, Stimuli, natural_key
from striate.datasets.folder.axes import Arranged, taken
from striate.datasets.folder.tables import row_order
from striate.errors import DataError, FileError, some

SHARED = ("file", "part", "group", "onset", "duration", "digest", "text")
_NOT_LABELS = {*SHARED, "id", "row", "subject", "target", "time", "stimulus", "repeat"}


def ids_of(files: Sequence[str], place: str) -> list[str]:
    """Ids of files: their stems, or their paths below `place` where stems clash.

    >>> ids_of(["d/a.png", "d/b.png"], "d"), ids_of(["d/x/a.png", "d/y/a.png"], "d")
    (['a', 'b'], ['x/a', 'y/a'])
    """
    below = [PurePosixPath(_below(f, place)) for f in files]
    ids = [p.stem for p in below]
    for form in (lambda p: str(p.with_suffix("")), str):
        clash = pd.Index(ids).duplicated(keep=False)
        ids = [form(p) if c else i for i, p, c in zip(ids, below, clash, strict=True)]
    return ids


def lines_of(
    images: Sequence[str], place: Path, table: pd.DataFrame | None, table_file: str
) -> pd.DataFrame:
    """One line per row of responses: ``id``, ``file`` and the columns of the table, if any.

    Raises
    ------
    FileError
        When the table names files that are not there.
    DataError
        When a line names no stimulus.

    """
    ids = ids_of(images, str(place))
    if table is None:
        return pd.DataFrame({"id": ids, "file": list(images)}, dtype=object)
    lines = table.rename(columns={"stimulus": "id"}) if "id" not in table else table.copy()
    if "id" not in lines and "file" not in lines:
        raise DataError(
            f"{table_file} has neither a column `file` nor a column `id`, so its lines name no"
            f" stimulus; it has {some(lines.columns, 8)}"
        )
    if "file" not in lines:
        known = dict(zip(ids, images, strict=True))
        lines["file"] = [known.get(str(i), "") for i in lines["id"]]
        if images and not all(lines["file"]):
            absent = lines["id"][lines["file"] == ""]
            raise FileError(
                f"{table_file} names stimuli that are no files in {place}: {some(absent)}; the"
                f" stimuli there are {some(ids)}"
            )
    else:
        lines["file"] = _files(lines["file"], images, place, table_file)
    if "id" not in lines:
        known = dict(zip(images, ids, strict=True))
        lines["id"] = [known.get(f, "") for f in lines["file"]]
    empty = np.flatnonzero((lines["id"].astype(str).str.strip() == "").to_numpy())
    if len(empty):
        raise DataError(f"{table_file}: line {some((empty + 2).tolist())} names no stimulus")
    lines["id"] = [str(i).strip() for i in lines["id"]]
    return lines


def stimuli_of(lines: pd.DataFrame, source: str) -> Stimuli:
    """The stimuli of the lines, in natural order; labels that differ between lines are left out.

    Raises
    ------
    DataError
        When lines disagree about the file, part, group, timing or text of a stimulus.

    """
    lines = lines.drop(columns=[c for c in ("row", "subject") if c in lines])
    found = lines.groupby("id", sort=False)
    varying = found.nunique(dropna=False).max()
    for column in varying.index[varying > 1]:
        if column in SHARED:
            each = found[column].nunique(dropna=False)
            raise DataError(
                f"{source}: stimulus {some(each.index[each > 1])} has several values of {column!r}:"
                " give stimuli that differ different ids"
            )
        lines = lines.drop(columns=column)
    table = lines.drop_duplicates("id").set_index("id")
    if "movie" in table and "index" in table:
        places = pd.to_numeric(table["index"], errors="coerce")
        whole = places.notna().all() and (places == places.round()).all()
        table["index"] = places.astype(int) if whole else table["index"]
    return Stimuli(table.iloc[_natural(table.index)])


def expected(lines: pd.DataFrame) -> tuple[int, ...]:
    """Numbers of rows of responses that would pair with the lines."""
    if "row" in lines:
        return (int(lines["row"].notna().sum()),)
    if "part" in lines and (lines["part"] == "test").any():
        return (len(lines), int((lines["part"] != "test").sum()))
    return (len(lines),) if len(lines) else ()


def pair(
    found: Arranged, lines: pd.DataFrame, file: Path, source: str, keep_missing: bool
) -> tuple[np.ndarray | OnDisk, pd.DataFrame]:
    """Values with one row per line, in natural order of the stimuli, and the labels of the rows.

    Rows of part ``test`` without responses are NaN. What is large stays on disk, and is searched
    for missing responses whenever it is read.

    Raises
    ------
    DataError
        When lines and rows do not pair, or responses are missing and that is not allowed.

    """
    if found.labels is not None:
        lines, order = _by_label(lines, found.labels, file, source)
    else:
        order = row_order(lines, found.values.shape[0], source)
    part = lines["part"] if "part" in lines else pd.Series("", index=lines.index)
    hidden = (order < 0) & (part != "test").to_numpy()
    if hidden.any():
        raise DataError(
            f"{source}: stimulus {some(lines['id'][hidden])} has no row in {file}, but only"
            " stimuli of part `test` may have none"
        )
    # Presentations of one stimulus are numbered in the order of their responses.
    turn = np.lexsort((np.where(order < 0, len(order), order), lines["id"].to_numpy(dtype=str)))
    again = np.empty(len(lines), dtype=int)
    again[turn] = lines["id"].iloc[turn].groupby(lines["id"].iloc[turn]).cumcount().to_numpy()
    many = lines["id"].duplicated(keep=False).to_numpy()
    names = [f"{i}#{k + 1}" if m else i for i, k, m in zip(lines["id"], again, many, strict=True)]
    labels = {c: lines[c].to_numpy() for c in lines if c not in _NOT_LABELS}
    rows = pd.DataFrame(
        {"stimulus": lines["id"].to_numpy(dtype=object)} | labels,
        index=pd.Index(names, name="row", dtype=object),
    )
    place = _natural(rows.index)
    rows, order, part = rows.iloc[place], order[place], part.iloc[place]
    test = (part == "test").to_numpy()
    values = taken(found.values, rows=order)

    def read(asked: np.ndarray, targets: np.ndarray) -> np.ndarray:
        part = values.read(asked, targets)
        if not keep_missing:
            _complete(part, rows.iloc[asked], test[asked], found.table.iloc[targets], file)
        return part

    if found.lazy:
        return OnDisk(values.shape, values.dtype, read, values.files), rows
    return read(np.arange(values.shape[0]), np.arange(values.shape[1])), rows


def _by_label(
    lines: pd.DataFrame, labels: Sequence[str], file: Path, source: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """The lines, and the row that each belongs to by its label (an id or a file name)."""
    known: dict[str, str] = {}
    for i, name in zip(lines["id"], lines["file"], strict=True):
        known |= dict.fromkeys((str(i), PurePosixPath(_slashes(str(name))).name, str(name)), str(i))
    absent = [label for label in labels if label not in known]
    if absent:
        raise DataError(
            f"{file} labels rows {some(absent)}, which are no stimuli in {source}, such as"
            f" {some(lines['id'])}"
        )
    have = pd.DataFrame({"id": [known[label] for label in labels]})
    have["turn"], want = have.groupby("id").cumcount(), lines[["id"]].copy()
    want["turn"] = want.groupby("id").cumcount()
    order = pd.MultiIndex.from_frame(have).get_indexer(pd.MultiIndex.from_frame(want))
    extra = np.setdiff1d(np.arange(len(labels)), order)
    if len(extra) and "row" not in lines and "part" not in lines and not (want["turn"] > 0).any():
        # Images alone: the file says itself which are shown several times.
        again = lines.set_index("id").loc[have["id"].iloc[extra]].reset_index()
        lines = pd.concat([lines, again], ignore_index=True)
        order = np.concatenate([order, extra])
    elif len(extra):
        raise DataError(f"{source} has too few lines for {some(have['id'].iloc[extra])} of {file}")
    part = lines["part"] if "part" in lines else pd.Series("", index=lines.index)
    if "part" not in lines:  # Images that the file does not name were not shown to this subject.
        kept = order >= 0
        lines, order = lines[kept], order[kept]
    return lines[(order >= 0) | (part == "test")], order[(order >= 0) | (part == "test")]


def _complete(
    values: np.ndarray, rows: pd.DataFrame, test: np.ndarray, targets: pd.DataFrame, file: Path
) -> None:
    missing = np.isnan(values)
    if missing.ndim == 3:
        missing = missing.all(axis=2)
    missing[test & missing.all(axis=1)] = False
    if not missing.any():
        return
    at_rows, at_targets = missing.any(axis=1), missing.any(axis=0)
    repeats = " in every repeat" if values.ndim == 3 else ""
    raise DataError(
        f"{file}: {int(missing.sum())} of {missing.size} responses are NaN{repeats}, for stimuli"
        f" {some(rows.index[at_rows])} and targets {some(targets.index[at_targets])}: correct"
        " the file, or pass dataset.missing=keep if they were not measured"
    )


def _files(cells: pd.Series, images: Sequence[str], place: Path, table_file: str) -> list[str]:
    """The file that each cell names: by its path below `place`, its name, or its stem."""
    known: dict[str, str | None] = {}
    below = [PurePosixPath(_below(f, str(place))) for f in images]
    for form in (str, lambda p: p.name, lambda p: p.stem):
        names: dict[str, str | None] = {}
        for path, file in zip(below, images, strict=True):
            names[form(path)] = None if form(path) in names else file
        known = names | known
    wanted = [_slashes(str(c).strip()) for c in cells]
    found = [known.get(w) or known.get(w.removeprefix(f"{place.name}/")) for w in wanted]
    absent = [w for w, f in zip(wanted, found, strict=True) if w and f is None]
    if absent:
        raise FileError(
            f"{table_file} names files that are not among the {len(images)} stimuli in {place}, or"
            f" that several share: {some(absent)}; there are {some([str(p) for p in below])}"
        )
    return [f or "" for f in found]


def _below(file: str, place: str) -> str:
    rest = _slashes(file.removeprefix(place))
    return rest.removeprefix("::").lstrip("/")


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def _natural(names: pd.Index) -> np.ndarray:
    keys = [natural_key(str(n)) for n in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
