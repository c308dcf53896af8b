"""Voxels of region files as the targets of a subject, each once, in however many regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int

from striate.data import OnDisk, Responses, assemble, check_responses
from striate.datasets.bold_moments.files import (
    CHALLENGE,
    CORTEX,
    HEMISPHERES,
    REPEATS,
    SURFACES,
    TEST,
    TRAIN,
    Layout,
    read_betas,
    read_ceiling,
    read_region,
    read_voxels,
    region_of,
)
from striate.datasets.converted import Converted, converted
from striate.errors import DataError, FileError
from striate.files.places import vertex_targets
from striate.files.surfaces import voxel_coordinates

LOOKED_AT = 4
"""Test films by whose responses, in all repeats, a voxel is known again in another file."""
FORM = "bold moments 1"
"""Names what the readers make of a file; it changes when that does."""
TOGETHER = 16
"""Films whose responses are read together."""


@dataclass(frozen=True, eq=False)
class Source:
    """A file that brings targets.

    Parameters
    ----------
    name, hemisphere, region
        Of the file: ``lV1v``, ``lh`` and ``V1v``.
    path
        Of the file.
    train, test
        Arrays that `read_region` or `read_betas` made; no test where it is hidden.
    films
        Numbers of the films of ``train`` and ``test``, in the order of the arrays.
    ceiling
        Of every target, as carried by a file, or None.
    places
        Labels of the targets by voxel or vertex, indexed by target id, where they are known.

    """

    name: str
    hemisphere: str
    region: str
    path: Path
    train: Converted
    test: Converted | None
    films: Mapping[str, Int[np.ndarray, " row"]]
    ceiling: Float32[np.ndarray, " target"] | None = field(default=None, repr=False)
    places: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def targets(self) -> int:
        """How many targets the file has."""
        return int(self.train.shapes["train"][2])

    def responses(self, columns: Int[np.ndarray, " target"]) -> OnDisk:
        """Responses of some targets, films in the order of their numbers; no repeat is NaN."""
        order = {p: np.argsort(n, kind="stable") for p, n in self.films.items()}
        learned = len(order["train"])
        repeats = REPEATS["test"] if self.test is not None else REPEATS["train"]
        shape = (learned + len(order["test"]), len(columns), repeats)

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            found = np.full((len(rows), len(targets), repeats), np.nan, dtype=np.float32)
            for part, arrays in (("train", self.train), ("test", self.test)):
                mine = np.flatnonzero((rows < learned) == (part == "train"))
                if arrays is None or not len(mine):
                    continue
                places = order[part][rows[mine] - (0 if part == "train" else learned)]
                stored, wanted = np.asarray(arrays[part]), columns[targets]
                for start in range(0, len(mine), TOGETHER):
                    some_rows = slice(start, start + TOGETHER)
                    values = stored[places[some_rows]][:, :, wanted].transpose(0, 2, 1)
                    found[mine[some_rows], :, : REPEATS[part]] = values
            return found

        return OnDisk(shape, np.dtype(np.float32), read)

    def looks(self) -> list[bytes]:
        """What tells every target from others: its first responses; empty where they are alike."""
        if self.test is None or self.name in ("", *HEMISPHERES):
            return [b""] * self.targets
        first = np.argsort(self.films["test"])[:LOOKED_AT]
        seen = np.ascontiguousarray(self.test["test"][first].reshape(-1, self.targets).T)
        alike = (seen == seen[:, :1]).all(axis=1) | np.isnan(seen).any(axis=1)
        return [b"" if same else one.tobytes() for one, same in zip(seen, alike, strict=True)]


def region_source(layout: Layout, subject: str, name: str, names: str = "voxels") -> Source:
    """A region file, read once and then memory-mapped.

    Raises
    ------
    FileError
        When it, or the file that names its voxels (unless `names` is ``columns``), is not what it
        must be.

    """
    path = layout.region_file(subject, name)
    arrays = converted(path, lambda: read_region(path), FORM)
    hemisphere, region = region_of(name, layout.version)
    places, where = None, layout.index_file(subject, name)
    if layout.version == "B" and names == "voxels" and where.is_file():
        try:
            found = converted(where, lambda: read_voxels(where), FORM)
        except FileError as error:
            raise FileError(f"{error}; dataset.names=columns does without it") from error
        places = voxel_places(np.asarray(found["voxels"]), np.asarray(found["affine"]))
        if len(places) != arrays.shapes["train"][2]:
            raise FileError(
                f"{where} names {len(places)} voxels, but {path.name} has"
                f" {arrays.shapes['train'][2]}: get both again, or pass dataset.names=columns"
            )
    films = {p: np.arange(arrays.shapes[p][0]) + TRAIN * (p == "test") + 1 for p in REPEATS}
    ceiling = arrays.get("ceiling")
    return Source(name, hemisphere, region, path, arrays, arrays, films, ceiling, places)


def surface_source(layout: Layout, subject: str, side: str) -> Source:
    """The organised betas of a surface; where those of the test are missing, they are hidden.

    Raises
    ------
    FileError
        When a file is not what it must be.

    """
    count = SURFACES[layout.space]
    paths = {part: layout.betas_file(subject, part, side) for part in REPEATS}
    found = {
        part: converted(path, partial(read_betas, path, part, count), f"{FORM} {part}")
        for part, path in paths.items()
        if part == "train" or path.is_file()
    }
    films = {part: np.asarray(arrays["films"]) for part, arrays in found.items()}
    films.setdefault("test", np.arange(TRAIN + 1, TRAIN + TEST + 1))
    ceiling, where = None, layout.ceiling_file(subject, side)
    if where.is_file():
        ceiling = converted(where, lambda: read_ceiling(where, count), FORM)["ceiling"]
    train, test = found["train"], found.get("test")
    places = grayordinates() if not side else vertex_targets(side, np.arange(count))
    return Source(side, side, "", paths["train"], train, test, films, ceiling, places)


def block_of(
    subject: str, sources: Sequence[Source], labels: Sequence[Source], ceiling: str, first: Source
) -> Responses:
    """The responses of one subject, every voxel once.

    A voxel that stands in several files, with the same responses, is one target in several
    regions. `labels` are files that only tell regions of voxels that `sources` bring. All must
    have the films of `first`.

    Raises
    ------
    DataError
        When files disagree about the films, or their ceilings are out of bounds.

    """
    for source in (*sources, *labels):
        for part, films in source.films.items():
            if set(films.tolist()) != set(first.films[part].tolist()):
                raise DataError(
                    f"{source.path} has {len(films)} films of {part}, but {first.path} has"
                    f" {len(first.films[part])} or others: one of them is damaged; get it again"
                )
    places, known = _placed(sources)
    table = _table(sources, places)
    table.insert(0, "subject", subject)
    regions, sides = _regions(sources, places, known, labels)
    if any(sides) or table["hemisphere"].any():
        table["hemisphere"] = table["hemisphere"].where(table["hemisphere"] != "", sides)
    else:
        table = table.drop(columns="hemisphere")
    carried = _ceilings(sources, ceiling)
    table["ceiling"] = np.concatenate([c[p] for c, p in zip(carried, places, strict=True)])
    for name in _in_order(regions):
        table[f"roi:{name}"] = regions[name]
    numbers = np.concatenate([np.sort(first.films[part]) for part in REPEATS])
    ids = [film_id(int(n)) for n in numbers]
    rows = pd.DataFrame({"stimulus": ids}, index=pd.Index(ids, name="row", dtype=object))
    whole = OnDisk.beside([s.responses(p) for s, p in zip(sources, places, strict=True) if len(p)])
    return check_responses(assemble(whole, rows, table), f"responses of {subject}")


def film_id(number: int) -> str:
    """The stimulus that a film is: ``vid0001``."""
    return f"vid{number:04d}"


def _placed(sources: Sequence[Source]) -> tuple[list[np.ndarray], dict[bytes, int]]:
    """Which columns of each file are new targets, and the place of each by its looks."""
    known: dict[bytes, int] = {}
    places, total = [], 0
    for source in sources:
        mine = []
        before = set(known)
        for column, look in enumerate(source.looks()):
            if look in before:
                continue
            mine.append(column)
            if look:
                known.setdefault(look, total + len(mine) - 1)
        places.append(np.array(mine, dtype=np.int64))
        total += len(mine)
    return places, known


def _table(sources: Sequence[Source], places: Sequence[np.ndarray]) -> pd.DataFrame:
    """Ids, hemispheres and coordinates of the targets, as far as they are known."""
    tables = []
    taken: set[str] = set()
    for source, columns in zip(sources, places, strict=True):
        names = [f"{source.name}_{c}" for c in columns.tolist()]
        table = pd.DataFrame({"hemisphere": source.hemisphere}, index=range(len(names)))
        if source.places is not None:
            own = source.places.iloc[columns]
            # A voxel whose responses are all alike may stand in two files: it is not known again.
            names = [n if v in taken else v for n, v in zip(names, own.index, strict=True)]
            for column in own:
                table[column] = own[column].to_numpy()
        taken.update(names)
        tables.append(table.set_index(pd.Index(names, name="target", dtype=object)))
    return pd.concat(tables)


def _regions(
    sources: Sequence[Source],
    places: Sequence[np.ndarray],
    known: Mapping[bytes, int],
    labels: Sequence[Source],
) -> tuple[dict[str, Bool[np.ndarray, " target"]], list[str]]:
    """Which targets each region has, and the hemispheres that region files tell."""
    count = sum(map(len, places))
    sides = [""] * count
    regions: dict[str, np.ndarray] = {}
    starts = np.cumsum([0, *map(len, places)])
    for k, source in enumerate((*sources, *labels)):
        if not source.region:
            continue
        mine = np.zeros(count, dtype=bool)
        mine[[known[look] for look in source.looks() if look in known]] = True
        if k < len(sources):
            mine[starts[k] : starts[k + 1]] = True
        for place in np.flatnonzero(mine).tolist():
            sides[place] = sides[place] or source.hemisphere
        for name in (source.region, *_challenge(source.region)):
            regions[name] = regions.get(name, np.zeros(count, dtype=bool)) | mine
    return regions, sides


def voxel_places(
    voxels: Int[np.ndarray, "target 3"], affine: Float[np.ndarray, "4 4"]
) -> pd.DataFrame:
    """Ids of voxels, such as ``v012_034_021``, and x, y, z in mm where the affine is known."""
    ids = [f"v{i:03d}_{j:03d}_{k:03d}" for i, j, k in voxels.tolist()]
    index = pd.Index(ids, name="target", dtype=object)
    if np.isnan(affine).any():
        return pd.DataFrame(index=index)
    return pd.DataFrame(voxel_coordinates(voxels, affine), index=index, columns=["x", "y", "z"])


def grayordinates() -> pd.DataFrame:
    """Ids and hemispheres of the 91,282 grayordinates: left cortex, right cortex, and below it."""
    place = np.arange(SURFACES["fsLR32k"])
    ids = [f"grayordinate.{k:05d}" for k in place]
    side = np.where(place < CORTEX[0], "lh", np.where(place < CORTEX[1], "rh", ""))
    return pd.DataFrame(
        {"hemisphere": side.astype(object)}, index=pd.Index(ids, name="target", dtype=object)
    )


def _ceilings(sources: Sequence[Source], how: str) -> list[np.ndarray]:
    """The ceiling of every target of each file, a fraction of variance.

    What files carry is percent where any value of the subject's is above 1.
    """
    carried = [s.ceiling for s in sources if s.ceiling is not None]
    scale = 100.0 if any(bool((c > 1).any()) for c in carried) else 1.0
    found = []
    for source in sources:
        if source.ceiling is not None and how == "carried":
            found.append(np.asarray(source.ceiling, dtype=np.float64) / scale)
        elif source.test is not None:
            found.append(np.asarray(source.test["repeats"], dtype=np.float64))
        else:
            found.append(np.full(source.targets, np.nan))
    return found


def _challenge(region: str) -> list[str]:
    """Regions of the 2021 challenge that a region is part of, but for its own name."""
    return [name for name, parts in CHALLENGE.items() if region in parts and name != region]


def _in_order(regions: Mapping[str, object]) -> list[str]:
    """The challenge's regions first, then the others as the files come."""
    return [*(n for n in CHALLENGE if n in regions), *(n for n in regions if n not in CHALLENGE)]
