"""Responses and regions in brain files: which places are targets, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from striate.data import OnDisk, target_tables
from striate.datasets import opened
from striate.errors import DataError, FileError, some
from striate.files.brains import Maps, kind_of, labels_beside, read_maps
from striate.files.surfaces import mesh_file, read_mesh

KINDS_WITHIN = (".dtseries", ".dscalar", ".dlabel", ".func", ".shape", ".label")
UNNAMED = ("", "unknown", "???", "medial_wall")
"""Names of labels that mean no region."""
SIDES = {"L": "lh", "R": "rh"}


def name_of(path: Path) -> tuple[str, str]:
    """Name and hemisphere that a brain file's own name tells.

    >>> name_of(Path("lh.sub01.mgh")), name_of(Path("sub-1_hemi-R_bold.func.gii"))
    (('sub01', 'lh'), ('sub-1_bold', 'rh'))
    """
    stem = path.name[: -len(kind_of(path))]
    for kind in KINDS_WITHIN:
        stem = stem.removesuffix(kind)
    if stem[:3] in ("lh.", "rh."):
        return stem[3:], stem[:2]
    told = re.search(r"_hemi-([LR])(?=_|$)", stem)
    if told:
        return stem[: told.start()] + stem[told.end() :], SIDES[told[1]]
    return stem, ""


def by_name(files: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Brain files by name, the left hemisphere of a pair before the right; masks are left out.

    Raises
    ------
    FileError
        When a name stands twice for one hemisphere.

    """
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(files):
        name, side = name_of(file)
        if name == "mask" or name.endswith("_mask"):
            continue
        sides = found.setdefault(name, {})
        if side in sides or (sides and "" in (side, *sides)):
            raise FileError(f"{file} and {next(iter(sides.values()))} both hold {name}: keep one")
        sides[side] = file
    return {n: tuple(sides[s] for s in sorted(sides)) for n, sides in found.items()}


def mask_of(file: Path, given: Path | None) -> Path | None:
    """The mask for a file: the one given (of the same hemisphere), or one beside the file."""
    name, side = name_of(file)
    if given is not None:
        if side and given.name[:3] in ("lh.", "rh."):
            return given.with_name(f"{side}.{given.name[3:]}")
        return given
    wanted = {(f"{name}_mask", side), ("mask", side)}
    near = [p for p in sorted(file.parent.iterdir()) if kind_of(p) and name_of(p) in wanted]
    return max(near, key=lambda p: len(name_of(p)[0]), default=None)


@dataclass(frozen=True, eq=False)
class Part:
    """Maps of one file and the places of it that are targets."""

    maps: Maps
    places: np.ndarray
    targets: pd.DataFrame

    @property
    def rows(self) -> OnDisk:
        """Maps as rows, places as targets; what is compressed has been read."""
        stored = self.maps.rows(self.places)
        if self.maps.mapped:
            return stored
        return OnDisk.of(stored.read(np.arange(stored.shape[0]), np.arange(stored.shape[1])))


def open_part(file: Path, mask: Path | None, meshes: str | Path = "") -> Part:
    """One file of responses, with what its name, its mask and the meshes of its surface say.

    Raises
    ------
    FileError
        When it, or its mask, is missing or damaged, or a volume has no mask.
    DataError
        When the mask lies elsewhere or is empty.

    """
    maps, (name, side) = read_maps(file), name_of(file)
    if side and maps.hemisphere and side != maps.hemisphere:
        raise DataError(f"{file} says that it is of {maps.hemisphere}, but is named {side}")
    if mask is None and maps.affine is not None:
        raise FileError(
            f"{file} holds volumes of {maps.places} voxels, but no mask says which are of brain:"
            f" pass dataset.mask=FILE, or put {name}_mask.nii.gz beside it"
        )
    places = np.arange(maps.places) if mask is None else _inside(read_maps(mask), maps)
    targets = maps.targets(places, side or maps.hemisphere)
    if str(meshes) and maps.affine is None and maps.grayordinates is None:
        if not side and not maps.hemisphere:
            raise DataError(f"{file} does not say whether it is lh or rh: name it lh.{file.name}")
        whole = read_mesh(mesh_file(side or maps.hemisphere, "pial", meshes))[0]
        if len(whole) != maps.places:
            raise DataError(f"{file} has {maps.places} vertices, but {meshes} has {len(whole)}")
        targets = targets.assign(**dict(zip("xyz", whole[places].T, strict=True)))
    return Part(maps, places, targets)


def _inside(mask: Maps, maps: Maps) -> np.ndarray:
    _alike(mask, maps)
    if mask.count != 1:
        raise DataError(f"{mask.path} holds {mask.count} maps, but a mask is one")
    values = mask.values().ravel()
    places = np.flatnonzero((values != 0) & ~np.isnan(values))
    if not len(places):
        raise DataError(f"{mask.path} is a mask with nothing inside: all of it is 0")
    return places


def _alike(other: Maps, maps: Maps) -> None:
    if other.grid != maps.grid:
        raise DataError(f"{other.path} has {other.grid} places, but {maps.path} has {maps.grid}")
    if other.affine is not None and maps.affine is not None:
        apart = np.abs(other.affine - maps.affine).max()
        if apart > 0.01:
            raise DataError(
                f"{other.path} lies elsewhere than {maps.path}: their affines differ by {apart:.3g}"
            )


def open_brain(
    files: Sequence[Path],
    masks: Mapping[Path, Path | None],
    rois: Sequence[Path] = (),
    meshes: str | Path = "",
) -> xr.DataArray:
    """Responses (stimulus, target) in one file, or in one of each hemisphere.

    Targets carry their hemisphere, x, y, z in mm (voxels by their affine, vertices where `meshes`
    names ``fsaverage5`` or a folder), and ``roi:NAME`` by the files of regions.

    Raises
    ------
    FileError, DataError
        When a file is damaged, or one does not fit the others.

    """
    parts = [open_part(f, masks[f], meshes) for f in files]
    counts = [p.maps.count for p in parts]
    if len(set(counts)) > 1:
        raise DataError(f"{files[0]} has {counts[0]} maps, but {files[-1]} has {counts[-1]}")
    tables = [p.targets.join(regions(p, rois)) if rois else p.targets for p in parts]
    stored, table = OnDisk.beside([p.rows for p in parts]), target_tables(tables)
    size = stored.shape[0] * stored.shape[1] * stored.dtype.itemsize
    coords = {str(c): ("target", table[c].to_numpy()) for c in table}
    coords["target"] = ("target", table.index.to_numpy(dtype=object))
    dims = ("stimulus", "target")
    about = {"ordered": all(p.maps.grayordinates is None for p in parts)}
    if all(p.maps.mapped for p in parts) and size > opened.LARGE:
        return xr.DataArray(stored.variable(dims), coords, attrs=about | {opened.ON_DISK: True})
    values = stored.read(np.arange(stored.shape[0]), np.arange(stored.shape[1]))
    return xr.DataArray(values, dims=dims, coords=coords, attrs=about)


def regions(part: Part, files: Sequence[Path]) -> pd.DataFrame:
    """Which target of a part belongs to which region: booleans ``roi:NAME``, target × region.

    A label above 0 is a region, named by the file's own table or the colour table beside it. A file
    without one holds one region, of its own name, if all labels are 0 or 1; else the label is added
    to the name. Files of the other hemisphere, and volumes beside a surface, say nothing.

    Raises
    ------
    FileError
        When a file is damaged.
    DataError
        When it has other places than the responses, a label that its table lacks, or labels that
        are no whole numbers.

    """
    found: dict[str, np.ndarray] = {}
    for file in files:
        stem, side = name_of(file)
        whose = part.targets.get("hemisphere")
        if side and (whose is None or not (whose == side).all()):
            continue
        maps = read_maps(file)
        if maps.grayordinates is None and (maps.affine is None) != (part.maps.affine is None):
            continue
        for k, labels in enumerate(_labels(maps, part)):
            table = maps.labels[k] if maps.labels else labels_beside(file)
            for label in np.unique(labels[labels > 0]):
                name = _named(int(label), table, stem, bool((labels > 1).any()), file)
                if name.lower() not in UNNAMED:
                    before = found.get("roi:" + name, np.zeros(len(labels), dtype=bool))
                    found["roi:" + name] = before | (labels == label)
    return pd.DataFrame(found, index=part.targets.index)


def _labels(maps: Maps, part: Part) -> np.ndarray:
    """Labels of the targets by map, 0 where there are none."""
    if maps.grayordinates is not None and part.maps.grayordinates is not None:
        at = pd.Index(maps.grayordinates.index).get_indexer(part.targets.index)
        values = maps.read(np.arange(maps.count), np.maximum(at, 0))
        values[:, at < 0] = 0
    else:
        _alike(maps, part.maps)
        values = maps.read(np.arange(maps.count), part.places)
    values = np.nan_to_num(values)
    odd = values[values != np.round(values)]
    if len(odd):
        raise DataError(f"{maps.path} holds {some(odd)}, but labels of regions are whole numbers")
    return values


def _named(label: int, table: Mapping[int, str], stem: str, several: bool, file: Path) -> str:
    if not table:
        return f"{stem}_{label}" if several else stem
    if label not in table:
        raise DataError(f"{file} holds label {label}, which is not in its table: {some(table, 8)}")
    return table[label]
