"""What the brain answered: one `xarray.DataArray` over labelled rows and labelled targets.

Rows carry ``row`` (id) and the stimuli they answer to, in order: ``stimulus``, ``stimulus_2``, …
Targets carry ``target`` (id), and any of ``subject``, ``time``, ``hemisphere``, ``ceiling`` (the
explainable fraction of variance, 0–1), coordinates, and one boolean ``roi:NAME`` per region,
because regions overlap. A target is identified by subject, target and time together. NaN is a
response that was not measured or, in a prediction, not predicted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Shaped

from striate.data.disk import OnDisk, _run, in_pieces, stays_on_disk
from striate.errors import DataError, some

Responses: TypeAlias = xr.DataArray
Labels: TypeAlias = Sequence[Any] | np.ndarray

IDENTITY = ("subject", "target", "time")
ROI = "roi:"
FIRST = 64
"""Targets that are looked at first: a measured row has one of them, but for odd ones."""


def label_responses(
    values: Shaped[np.ndarray, "row target *repeat"] | OnDisk,
    stimuli: Sequence[str] | np.ndarray,
    targets: Labels | None = None,
    *,
    subject: str | None = None,
    rows: Labels | None = None,
    rois: Mapping[str, Labels] | None = None,
    row_labels: Mapping[str, Labels] | None = None,
    target_labels: Mapping[str, Labels] | None = None,
) -> Responses:
    """Label an array of measurements.

    Parameters
    ----------
    values
        Measurements, rows × targets (× repeats), in memory or on disk.
    stimuli
        The stimulus that each row answers to, or an array (row, slot) where a row answers to
        several.
    targets, subject, rois, target_labels
        Labels of the targets; `rois` maps a region's name to booleans.
    rows, row_labels
        Labels of the rows; the default row id is the stimulus id, or ``a|b`` for several.

    >>> masks = {"V1": [True, True, False]}
    >>> r = label_responses(np.zeros((2, 3)), ["a", "b"], subject="s1", rois=masks)
    >>> list(r.row.values), list(r.target.values), int(r["roi:V1"].sum())
    (['a', 'b'], ['t0', 't1', 't2'], 2)

    """
    shown = np.asarray(stimuli, dtype=object)
    shown = shown[:, None] if shown.ndim == 1 else shown
    if len(shown) != values.shape[0]:
        raise DataError(
            f"{values.shape[0]} rows of responses for {len(shown)} stimuli: give each row its"
            " stimulus (or swap the axes)"
        )
    given = [("rows", rows, 0), ("targets", targets, 1)]
    given += [(n, v, 0) for n, v in (row_labels or {}).items()]
    given += [(n, v, 1) for n, v in {**(rois or {}), **(target_labels or {})}.items()]
    for name, labels, axis in given:
        if labels is not None and len(labels) != values.shape[axis]:
            raise DataError(
                f"{len(labels)} labels {name!r} for {values.shape[axis]}"
                f" {('rows', 'targets')[axis]}: give one for each"
            )
    names = ["|".join(map(str, s)) for s in shown] if rows is None else [str(r) for r in rows]
    row = pd.DataFrame(
        {_slot(k): shown[:, k].astype(str) for k in range(shown.shape[1])} | dict(row_labels or {}),
        index=pd.Index(names, name="row", dtype=object),
    )
    ids = [f"t{i}" for i in range(values.shape[1])] if targets is None else list(targets)
    target = pd.DataFrame(dict(target_labels or {}), index=pd.Index(ids, name="target"))
    if subject is not None:
        target.insert(0, "subject", subject)
    for name, mask in (rois or {}).items():
        target[ROI + name] = np.asarray(mask, dtype=bool)
    return check_responses(assemble(values, row, target))


def assemble(
    values: Shaped[np.ndarray, "row target *repeat"] | OnDisk,
    rows: pd.DataFrame,
    targets: pd.DataFrame,
) -> Responses:
    """Responses from values and their two tables of labels (indexed by row and target id)."""
    if values.shape[:2] != (len(rows), len(targets)):
        raise DataError(
            f"values of shape {values.shape} for {len(rows)} rows and {len(targets)} targets:"
            " check the order of the axes"
        )
    coords: dict[str, tuple[str, np.ndarray]] = {
        "row": ("row", _plain(rows.index)),
        "target": ("target", _plain(targets.index)),
    }
    coords |= {str(c): ("row", _plain(rows[c])) for c in rows}
    coords |= {str(c): ("target", _plain(targets[c])) for c in targets}
    dims = ("row", "target", "repeat")[: len(values.shape)]
    held = values.variable(dims) if isinstance(values, OnDisk) else values
    # Given with the values, labels would be copied one by one.
    return xr.DataArray(held, dims=dims).assign_coords(coords)


def row_table(block: Responses) -> pd.DataFrame:
    """Labels of the rows, indexed by row id."""
    return _table(block, "row")


def target_table(block: Responses) -> pd.DataFrame:
    """Labels of the targets, indexed by target id."""
    return _table(block, "target")


def slots(block: Responses) -> Shaped[np.ndarray, "row slot"]:
    """The stimuli of each row, in order.

    >>> slots(label_responses(np.zeros((1, 1)), np.array([["a", "b"]])))
    array([['a', 'b']], dtype=object)
    """
    columns, k = [], 0
    while _slot(k) in block.coords:
        columns.append(block[_slot(k)].values.astype(object))
        k += 1
    return np.stack(columns, axis=1)


def roi_names(block: Responses) -> tuple[str, ...]:
    """Names of the regions that the targets belong to."""
    return tuple(str(c)[len(ROI) :] for c in block.coords if str(c).startswith(ROI))


def membership(block: Responses) -> pd.DataFrame:
    """Which target belongs to which region: booleans, target × region."""
    return pd.DataFrame(
        {n: block[ROI + n].values.astype(bool) for n in roi_names(block)},
        index=pd.Index(block.target.values, name="target"),
    )


def has_truth(block: Responses) -> Bool[np.ndarray, " row"]:
    """Which rows hold any measured value; the others are hidden tests."""
    found = [_known(part) for part in in_pieces(block[:, :FIRST])]
    measured = np.concatenate(found) if found else np.zeros(0, dtype=bool)
    if block.shape[1] > FIRST and not measured.all():
        doubtful = np.flatnonzero(~measured)
        rest = [_known(part) for part in in_pieces(block[doubtful, FIRST:])]
        measured[doubtful] = np.concatenate(rest)
    return measured


def check_responses(block: Responses, where: str = "responses") -> Responses:
    """The block itself, if it keeps the schema.

    Raises
    ------
    DataError
        On missing labels, repeated rows or targets, infinite values, ceilings outside 0–1.

    """
    if tuple(block.dims[:2]) != ("row", "target"):
        raise DataError(f"{where}: dimensions are {block.dims}, but must begin with row, target")
    if "stimulus" not in block.coords:
        raise DataError(f"{where}: rows do not say which stimulus they answer to")
    rows = pd.Index(block.row.values)
    if rows.has_duplicates:
        raise DataError(f"{where}: row ids repeat: {some(rows[rows.duplicated()].unique())}")
    targets = target_table(block).reset_index()
    keys = targets[[c for c in IDENTITY if c in targets]]
    if keys.duplicated().any():
        raise DataError(f"{where}: targets repeat: {some(keys[keys.duplicated()]['target'])}")
    if not np.issubdtype(block.dtype, np.floating):
        raise DataError(f"{where}: values are {block.dtype}, but responses are floating point")
    # What stays on disk is checked whenever it is read.
    if not stays_on_disk(block) and np.isinf(block.values).any():
        raise DataError(f"{where}: some values are infinite; leave out or mark them as NaN")
    if "ceiling" in block.coords:
        ceiling = block.ceiling.values.astype(float)
        bad = ceiling[(ceiling < 0) | (ceiling > 1)]
        if len(bad):
            raise DataError(
                f"{where}: ceilings are fractions of variance between 0 and 1, but {some(bad)}"
                " is given; divide percentages by 100"
            )
    return block


def stack(blocks: Sequence[Responses]) -> Responses:
    """Blocks that share their rows, as one block with all their targets."""
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    for block in blocks[1:]:
        if not np.array_equal(block.row.values, first.row.values):
            raise DataError("blocks with different rows cannot be stacked")
    values = np.concatenate([b.values for b in blocks], axis=1)
    return assemble(values, row_table(first), target_tables([target_table(b) for b in blocks]))


def by_subject(block: Responses) -> dict[str, Responses]:
    """Split a block by subject; targets without a subject stand under the empty name."""
    if "subject" not in block.coords:
        return {"": block}
    subject = block.subject.values.astype(str)
    names = list(dict.fromkeys(subject.tolist()))
    if len(names) == 1:
        return {names[0]: block}
    return {n: block.isel(target=np.flatnonzero(subject == n)) for n in names}


def merge(blocks: Iterable[Responses]) -> dict[str, Responses]:
    """Predictions by subject from any number of blocks; where several predict, their mean.

    >>> a = label_responses(np.array([[1.0, np.nan]]), ["x"], ["t", "u"])
    >>> b = label_responses(np.array([[3.0], [5.0]]), ["x", "y"], ["t"])
    >>> merge([a, b])[""].values
    array([[ 2., nan], [ 5., nan]])
    """
    pieces: dict[str, list[Responses]] = {}
    for block in blocks:
        for subject, piece in by_subject(block).items():
            pieces.setdefault(subject, []).append(piece)
    return {s: p[0] if _lone(p) else _mean_of(p) for s, p in pieces.items()}


def target_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of targets below each other; a target is in no region that its table lacks."""
    table = pd.concat(tables)
    for column in table:
        if str(column).startswith(ROI):
            table[column] = table[column].eq(True)
    return table


def identities(targets: pd.DataFrame, keys: Sequence[str]) -> pd.MultiIndex:
    """What identifies each target, as text, from columns of a table.

    >>> list(identities(pd.DataFrame({"target": ["V1"], "time": [2.0]}), ["target", "time"]))
    [('V1', '2')]
    """

    def text(values: np.ndarray) -> Iterable[str]:
        if set(map(type, values)) <= {str}:
            return values
        # A time that was a whole number may have become 2.0 beside a missing one.
        return [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values]

    return pd.MultiIndex.from_arrays([text(targets[k].to_numpy(object)) for k in keys], names=keys)


def align(truth: Responses, predicted: Mapping[str, Responses]) -> Float[np.ndarray, "row target"]:
    """Predicted values on the rows and targets of `truth`, by label; NaN where there are none.

    A prediction that lacks a label of the truth (subject, time) answers for every value of it,
    unless another one names that value.

    Raises
    ------
    DataError
        When a prediction says several things about one target of the truth.

    """
    values = np.full(truth.shape[:2], np.nan, dtype=np.result_type(truth.dtype, np.float32))
    wanted = target_table(truth).reset_index()
    tables = {s: target_table(b).reset_index() for s, b in predicted.items()}
    keys = {s: [c for c in IDENTITY if c in t and c in wanted] for s, t in tables.items()}
    for subject in sorted(predicted, key=lambda s: len(keys[s])):
        block, own = predicted[subject], keys[subject]
        right = identities(tables[subject], own)
        if right.has_duplicates:
            raise DataError(
                f"several predictions of target {right[right.duplicated()][0]}: merge them, or"
                " predict one value for each target of the truth"
            )
        column = right.get_indexer(identities(wanted, own))
        row = pd.Index(block.row.values).get_indexer(pd.Index(truth.row.values))
        r, c = np.flatnonzero(row >= 0), np.flatnonzero(column >= 0)
        if len(r) and len(c):
            found = np.asarray(block.values)[_place(row[r], column[c])]
            gaps = np.isnan(found)
            place = _place(r, c)
            values[place] = np.where(gaps, values[place], found) if gaps.any() else found
    return values


def digest(block: Responses) -> str:
    """Digest of values and labels."""
    h = hashlib.blake2b(digest_size=16)
    h.update(str((block.shape, block.dtype.str)).encode())
    for part in in_pieces(block):
        h.update(np.ascontiguousarray(part.values).tobytes())
    for name in sorted(map(str, block.coords)):
        values = np.asarray(block[name].values)
        # Widths of text columns are an accident of what else stood in the table.
        if values.dtype.kind in "UOS":
            content = json.dumps(list(map(str, values)), separators=(",", ":")).encode()
        else:
            content = values.dtype.str.encode() + values.tobytes()
        h.update(json.dumps([name, list(block[name].dims), len(content)]).encode() + content)
    return h.hexdigest()


def _known(block: Responses) -> Bool[np.ndarray, " row"]:
    return (~np.isnan(block.values)).any(axis=tuple(range(1, block.ndim)))


def _slot(k: int) -> str:
    return "stimulus" if k == 0 else f"stimulus_{k + 1}"


def _plain(values: pd.Index | pd.Series) -> np.ndarray:
    array = np.array(values)
    if array.dtype.kind in "biuf":
        return array
    array = array.astype(object, copy=False)
    kinds = set(map(type, array))
    if kinds <= {bool, np.bool_}:
        return array.astype(bool)
    if kinds == {str}:
        return array
    return np.asarray(["" if v is None or v != v else str(v) for v in array], dtype=object)


def _place(rows: np.ndarray, targets: np.ndarray) -> tuple[Any, ...]:
    """Index of some rows and targets: slices where they follow each other, which copy nothing."""
    row, target = _run(rows), _run(targets)
    sliced = isinstance(row, slice) or isinstance(target, slice)
    return (row, target) if sliced else np.ix_(rows, targets)


def _table(block: Responses, dim: str) -> pd.DataFrame:
    # As variables: to make a labelled array of each label takes longer than all the rest.
    labels = {str(n): c.values for n, c in block.coords.variables.items() if c.dims == (dim,)}
    return pd.DataFrame(labels, index=pd.Index(labels.pop(dim), name=dim))


def _lone(pieces: Sequence[Responses]) -> bool:
    """Whether there is one piece in which each target stands once."""
    if len(pieces) > 1:
        return False
    table = target_table(pieces[0]).reset_index()
    return not table[[c for c in IDENTITY if c in table]].duplicated().any()


def _mean_of(pieces: Sequence[Responses]) -> Responses:
    targets = target_tables([target_table(p) for p in pieces]).reset_index()
    keys = [c for c in IDENTITY if c in targets]
    rows = pd.concat([row_table(p) for p in pieces])
    rows = rows[~rows.index.duplicated()]
    labels = identities(targets, keys)
    unique = ~labels.duplicated()
    lookup, columns = labels[unique], targets[unique].set_index("target")
    ends = np.cumsum([p.shape[1] for p in pieces])
    kind = np.result_type(*[p.dtype for p in pieces])
    mean = np.full((len(rows), len(columns)), np.nan, dtype=kind)
    if unique.all():
        for piece, end in zip(pieces, ends, strict=True):
            row = _run(rows.index.get_indexer(pd.Index(piece.row.values)))
            mean[row, end - piece.shape[1] : end] = piece.values
        return assemble(mean, rows, columns)

    def parts() -> Iterator[tuple[Any, np.ndarray, Bool[np.ndarray, "row target"]]]:
        """Places and values of the pieces; a target that stands twice in one comes in turns."""
        for piece, end in zip(pieces, ends, strict=True):
            here = lookup.get_indexer(labels[end - piece.shape[1] : end])
            row = rows.index.get_indexer(pd.Index(piece.row.values))
            turns = pd.Series(here).groupby(here).cumcount().to_numpy()
            for turn in range(int(turns.max(initial=-1)) + 1):
                pick = np.flatnonzero(turns == turn)
                values = np.asarray(piece.values)[:, pick]
                yield np.ix_(row, here[pick]), values, ~np.isnan(values)

    count = np.zeros(mean.shape, dtype=np.uint16)
    for place, _, known in parts():
        count[place] += known
    # Sums in double precision take memory, and most targets are predicted once.
    several = np.flatnonzero((count > 1).any(axis=0))
    total = np.zeros((len(rows), len(several)))
    column = np.full(len(columns), -1)
    column[several] = np.arange(len(several))
    for (row, here), values, known in parts():
        mean[row, here] = np.where(known, values, mean[row, here])
        twice = np.flatnonzero(column[here[0]] >= 0)
        total[row, column[here[0, twice]][None]] += np.where(known, values, 0)[:, twice]
    often = count[:, several]
    mean[:, several] = np.where(often > 0, total / np.maximum(often, 1), np.nan)
    return assemble(mean, rows, columns)
