"""Scores and predictions of a run as maps of the brain, for the programs of the field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.errors import DataError, some, unknown
from striate.files.brains import read_surface, read_volume
from striate.files.brains_out import write_map
from striate.files.places import vertices_of, voxels_of
from striate.files.surfaces import FSAVERAGE
from striate.report.record import Report

QUANTITIES = ("value", "normalised", "ceiling")
KINDS = {"volume": ".nii.gz", "surface": ".mgh"}
COLUMNS = ["file", "map", "subject", "member", "quantity", "time", "row"]


@dataclass(frozen=True, eq=False)
class Ground:
    """What the targets of a subject are drawn on.

    Parameters
    ----------
    kind
        Of the files, such as ``.nii.gz``.
    grids
        Shape by hemisphere; of a volume one, under the empty name.
    place
        Hemisphere and place on its grid, in C order, of each target by its id.
    affine
        Of a volume.

    """

    kind: str
    grids: dict[str, tuple[int, ...]]
    place: dict[str, tuple[str, int]]
    affine: np.ndarray | None

    def drawn(self, targets: Sequence[str], values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Maps (map, *grid) of every hemisphere from values (map, target), NaN elsewhere."""
        sides = np.array([self.place[t][0] for t in targets], dtype=object)
        places = np.array([self.place[t][1] for t in targets], dtype=np.int64)
        for side, grid in self.grids.items():
            here = np.flatnonzero(sides == side)
            found = np.full((len(values), int(np.prod(grid))), np.nan, dtype=np.float32)
            found[:, places[here]] = values[:, here]
            yield side, found.reshape(len(values), *grid)


def export_maps(
    report: Report,
    folder: Path,
    score: str = "",
    members: Sequence[str] = (),
    like: str | Path = "",
    kind: str = "",
    predictions: bool = False,
) -> Path:
    """Write maps of a run and the table `maps.csv` that says what is in which; returns the table.

    Each member gets a map of its score and, where there are ceilings, one of the score over the
    ceiling; each subject one of the ceilings. Targets are placed by their ids, voxels such as
    ``v012_034_021`` and vertices such as ``lh.012345``; places that are no targets are NaN, in all
    kinds of files. Samples in time are maps of one file, in order.

    Parameters
    ----------
    report
        As `striate.report.read_run` gives it.
    folder
        Where to, such as `sub01_ridge_pearson.nii.gz`, `lh.sub01_ridge_pearson.mgh`.
    score
        Default: the run's first.
    members
        Default: all.
    like
        A brain file that says the grid and affine of volumes, such as their mask, or the number of
        vertices. Surfaces without it are the smallest of fsaverage5, fsaverage6 and fsaverage that
        holds all vertices of the subject.
    kind
        ``.nii.gz``, ``.nii``, ``.mgh``, ``.mgz`` or, for surfaces, ``.gii``. Default: ``.nii.gz``
        for volumes, ``.mgh`` for surfaces.
    predictions
        Also the answer's predictions: a map for each row.

    Raises
    ------
    DataError
        When targets name no places, there is no such score or member, or `like` does not fit.
    FileError
        When nibabel is not installed, `like` is damaged, or the folder cannot be written.

    """
    table = report.scores.copy()
    table["subject"] = table["subject"].astype(object).where(table["subject"].notna(), "")
    table["target"] = table["target"].astype(str)
    score = score or str(report.summary["headline"])
    if score not in set(table["score"]):
        raise DataError(unknown("score", score, dict.fromkeys(table["score"]), "this run"))
    for member in members:
        if member not in set(table["member"]):
            raise DataError(unknown("member", member, dict.fromkeys(table["member"]), "this run"))
    table = table[table["score"] == score]
    lines: list[dict[str, Any]] = []
    used: set[str] = set()
    for subject, mine in table.groupby("subject", sort=False):
        targets = list(dict.fromkeys(mine["target"]))
        block = report.predicted.get(str(subject)) if predictions else None
        if block is not None:
            targets = list(dict.fromkeys([*targets, *map(str, block.target.values)]))
        ground = _ground(targets, str(subject), like, kind)
        for name, about, columns, values in _sheets(mine, score, members):
            name = _fresh(f"{_plain(subject)}_{name}", used)
            lines += _written(folder, ground, name, columns, values, about)
        if block is not None:
            columns, values, about = _rows(block)
            name = _fresh(f"{_plain(subject)}_predictions", used)
            lines += _written(folder, ground, name, columns, values, about)
    path = folder / "maps.csv"
    pd.DataFrame(lines, columns=COLUMNS).to_csv(path, index=False)
    return path


About = list[dict[str, Any]]


def _sheets(
    table: pd.DataFrame, score: str, members: Sequence[str]
) -> Iterator[tuple[str, About, list[str], np.ndarray]]:
    """Name, what each map is, targets and values (map, target) of one subject's scores."""
    subject, ceilings = table["subject"].iloc[0], table.drop_duplicates(_identity(table))
    wanted = list(members) or list(dict.fromkeys(table["member"]))
    sheets = [(m, q, table[table["member"] == m]) for m in wanted for q in QUANTITIES[:2]]
    for member, quantity, part in [*sheets, ("", "ceiling", ceilings)]:
        if part.empty or (quantity != "value" and part[quantity].isna().all()):
            continue
        name = {"value": f"{_plain(member)}_{_plain(score)}", "ceiling": "ceiling"}.get(
            quantity, f"{_plain(member)}_{_plain(score)}_normalised"
        )
        told = score if quantity == "value" else f"{score} {quantity}"
        told = "ceiling" if quantity == "ceiling" else told
        timed = "time" in part and part["time"].notna().all()
        times = part["time"] if timed else pd.Series(0.0, index=part.index)
        whole = part.assign(time=times).pivot(index="time", columns="target", values=quantity)  # noqa: PD010
        about = [
            {"subject": subject, "member": member, "quantity": told}
            | ({"time": t} if timed else {})
            for t in whole.index
        ]
        yield name, about, list(map(str, whole.columns)), whole.to_numpy(float)


def _rows(block: Any) -> tuple[list[str], np.ndarray, About]:
    """Targets, values and what each map is: a row, at a sample in time."""
    ids = np.array([str(t) for t in block.target.values], dtype=object)
    times = block.time.values if "time" in block.coords else np.zeros(len(ids))
    columns, moments = list(dict.fromkeys(ids)), np.unique(times)
    values = np.full((block.shape[0], len(moments), len(columns)), np.nan, dtype=np.float32)
    at = pd.Index(columns).get_indexer(pd.Index(ids))
    values[:, np.searchsorted(moments, times), at] = block.values
    subject = str(block.subject.values[0]) if "subject" in block.coords else ""
    about = [
        {"subject": subject, "quantity": "prediction", "row": row}
        | ({"time": t} if "time" in block.coords else {})
        for row in block.row.values
        for t in moments
    ]
    return columns, values.reshape(-1, len(columns)), about


def _written(
    folder: Path,
    ground: Ground,
    name: str,
    targets: Sequence[str],
    values: np.ndarray,
    about: About,
) -> Iterator[dict[str, Any]]:
    for side, maps in ground.drawn(targets, values):
        file = f"{side}.{name}{ground.kind}" if side else f"{name}{ground.kind}"
        names = [" ".join(str(v) for v in one.values() if v != "") for one in about]
        write_map(folder / file, maps, ground.affine, side, names)
        yield from ({"file": file, "map": k} | one for k, one in enumerate(about))


def _ground(targets: Sequence[str], subject: str, like: str | Path, kind: str) -> Ground:
    voxels, vertices = voxels_of(targets), vertices_of(targets)
    if voxels is not None:
        return _volume(targets, voxels, subject, like, kind)
    if vertices is not None:
        return _surface(targets, *vertices, like, kind)
    odd = [t for t in targets if voxels_of([t]) is None and vertices_of([t]) is None]
    raise DataError(
        f"targets of {subject or 'the run'} such as {some(odd or targets)} name no one kind of"
        " place: a voxel is called v012_034_021 (i, j, k), a vertex lh.012345; a folder with brain"
        " files, or a column `target` of targets.csv, names them so"
    )


def _volume(
    targets: Sequence[str], voxels: np.ndarray, subject: str, like: str | Path, kind: str
) -> Ground:
    if not str(like):
        raise DataError(
            f"targets of {subject or 'the run'} are voxels, but nothing says on which grid: pass"
            " --like FILE, such as their mask"
        )
    model = read_volume(Path(like))
    beyond = (voxels >= np.array(model.grid)).any(axis=1)
    if beyond.any():
        names = [targets[int(k)] for k in np.flatnonzero(beyond)]
        raise DataError(f"{like} has {model.grid} voxels, so that {some(names)} lie outside of it")
    flat = np.ravel_multi_index(tuple(voxels.T), model.grid)
    place = {t: ("", int(p)) for t, p in zip(targets, flat, strict=True)}
    return Ground(kind or KINDS["volume"], {"": model.grid}, place, model.affine)


def _surface(
    targets: Sequence[str], sides: np.ndarray, vertices: np.ndarray, like: str | Path, kind: str
) -> Ground:
    last = int(vertices.max())
    fits = [n for n in FSAVERAGE.values() if n > last]
    grids: dict[str, tuple[int, ...]] = {}
    for side in sorted(set(sides)):
        if str(like):
            grids[side] = (read_surface(_of_side(Path(like), side)).places,)
        elif fits:
            grids[side] = (fits[0],)
        else:
            raise DataError(f"vertex {last} is on no fsaverage: pass --like FILE of the surface")
        top = int(vertices[sides == side].max())
        if top >= grids[side][0]:
            raise DataError(f"{like} has {grids[side][0]} vertices, but one is {side}.{top:06d}")
    place = {t: (str(s), int(v)) for t, s, v in zip(targets, sides, vertices, strict=True)}
    return Ground(kind or KINDS["surface"], grids, place, None)


def _of_side(like: Path, side: str) -> Path:
    other = like.with_name(f"{side}.{like.name[3:]}")
    return other if like.name[:3] in ("lh.", "rh.") and other.is_file() else like


def _identity(table: pd.DataFrame) -> list[str]:
    return [c for c in ("target", "time") if c in table]


def _fresh(name: str, used: set[str]) -> str:
    """The name, or a numbered one where members are told apart by signs that no file may have."""
    k, found = 2, name
    while found in used:
        found, k = f"{name}-{k}", k + 1
    used.add(found)
    return found


def _plain(name: object) -> str:
    return re.sub(r"[^\w.-]+", "_", str(name)).strip(".") or "all"
