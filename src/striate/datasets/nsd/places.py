"""Where targets of the Natural Scenes Dataset lie: voxels of a volume or vertices of fsaverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from striate.data.responses import ROI
from striate.datasets.algonauts2023 import masks
from striate.datasets.algonauts2023.masks import FSAVERAGE
from striate.errors import DataError, FileError, some
from striate.files.brains import labels_beside, read_surface, read_volume
from striate.files.places import vertex_targets, voxel_targets

CLASSES = (
    "prf-visualrois",
    "floc-bodies",
    "floc-faces",
    "floc-places",
    "floc-words",
    "streams",
)
"""Classes of regions that are looked for where none is named."""
CHALLENGE = "challenge"
"""The mask that stands for the vertices of the 2023 challenge."""


@dataclass(frozen=True, eq=False)
class Region:
    """Where the maps of regions of one subject and space lie.

    Parameters
    ----------
    folder
        Of the maps.
    tables
        Folders of the tables with the names of their labels (`prf-visualrois.mgz.ctab`).
    side
        ``lh`` or ``rh`` on a surface; empty in a volume.

    """

    folder: Path
    tables: tuple[Path, ...]
    side: str = ""

    def file(self, name: str, side: str = "") -> Path:
        """The file of a map, whether it is there or not."""
        begin = f"{self.side or side}." if self.side or side else ""
        kinds = (".mgz", ".mgh") if self.side else (".nii.gz", ".nii")
        found = [self.folder / f"{begin}{name}{k}" for k in kinds]
        return next((f for f in found if f.is_file()), found[0])

    def names(self, name: str) -> dict[int, str]:
        """Label → region of a class; empty where there is no table."""
        for folder in self.tables:
            found = labels_beside(folder / f"{self.side or 'lh'}.{name}.mgz")
            if found:
                return found
        return {}


@dataclass(frozen=True, eq=False)
class Places:
    """Targets within the grid of responses.

    Parameters
    ----------
    grid
        Voxels along i, j and k, or vertices.
    flat
        Places of the targets, counted in C order.
    table
        Their labels, indexed by target id.

    """

    grid: tuple[int, ...]
    flat: Int[np.ndarray, " target"]
    table: pd.DataFrame


def root_region(root: Path, subject: str, space: str, side: str = "") -> Region:
    """Where NSD keeps the regions of a subject in a space."""
    labels = root / "nsddata/freesurfer"
    if side:
        place = labels / "fsaverage/label"
        return Region(place, (place, labels / subject / "label"), side)
    folder = root / "nsddata/ppdata" / subject / space / "roi"
    return Region(folder, (labels / subject / "label", labels / "fsaverage/label", folder))


def places_of(
    region: Region, grid: tuple[int, ...], mask: str, rois: Sequence[str] | None = ()
) -> Places:
    """Places inside of a mask (everywhere, if it has no name), with the regions they belong to.

    Parameters
    ----------
    region
        Where maps lie.
    grid
        The grid of the responses.
    mask
        A map, of which values above 0 are kept.
    rois
        Classes of regions; default those of `CLASSES` that are there; None for none.

    Raises
    ------
    FileError
        When the mask or a named class is missing, or a file is damaged.
    DataError
        When a map has another grid than the responses, labels are no whole numbers, or the mask
        leaves nothing.

    """
    whole = np.arange(int(np.prod(grid)))
    flat, affine = whole, None
    if mask:
        if not region.file(mask).is_file():
            raise FileError(
                f"no {region.file(mask)}, the mask of the targets: restore it, or name another map"
                " beside it as dataset.mask (or none, to keep everything)"
            )
        inside, affine = labels_of(region.file(mask), grid, region.side)
        flat = np.flatnonzero(inside > 0)
        if not len(flat):
            raise DataError(f"{region.file(mask)} is nowhere above 0: it leaves no target")
    found: dict[str, np.ndarray] = {}
    for name in () if rois is None else rois or CLASSES:
        file = region.file(name)
        if not file.is_file():
            if rois:
                raise FileError(f"no {file}, which dataset.rois names; {_beside(file)}")
            continue
        values, own = labels_of(file, grid, region.side)
        affine = own if affine is None else affine
        values = values[flat]
        names = region.names(name)
        for label in sorted({*names, *np.unique(values).tolist()}):
            if label > 0:
                told = names.get(label, f"{name}-{label}")
                place = ROI + (f"{name}.{told}" if ROI + told in found else told)
                found[place] = values == label
    if region.side:
        table = vertex_targets(region.side, flat)
    else:
        table = voxel_targets(flat, grid, np.eye(4) if affine is None else affine)
        table = table.drop(columns=["x", "y", "z"]) if affine is None else table
        sides = _sides(region, grid, mask, flat)
        table = table if sides is None else table.assign(hemisphere=sides)
    return Places(grid, flat, table.assign(**found))


def challenge_places(subject: Path, grid: tuple[int, ...], side: str) -> Places:
    """Vertices and regions of a subject in the 2023 challenge.

    Raises
    ------
    FileError
        When the challenge's masks are missing or damaged.
    DataError
        When responses do not lie on the vertices of fsaverage.

    """
    if not side or grid != (FSAVERAGE,):
        raise DataError(
            f"dataset.mask={CHALLENGE} keeps vertices of fsaverage, but responses lie on {grid}:"
            " choose dataset.space=fsaverage"
        )
    flat = masks.vertices(subject, side)
    found = {ROI + name: inside for name, inside in masks.regions(subject, side, flat).items()}
    return Places(grid, flat, vertex_targets(side, flat).assign(**found))


def labels_of(
    file: Path, grid: tuple[int, ...], side: str
) -> tuple[Int[np.ndarray, " place"], Any]:
    """Whole numbers of a map at all places of a grid, and its affine.

    Raises
    ------
    FileError
        When the file is damaged.
    DataError
        When its grid is another, or its values are no whole numbers.

    """
    values, affine = _map(file, grid, side)
    if not np.array_equal(values, np.round(values)):
        raise DataError(f"{file} must hold whole numbers, the labels of regions")
    return values.astype(np.int64), affine


def ncsnr_of(folder: Path, places: Places, side: str) -> Float[np.ndarray, " target"] | None:
    """Noise-ceiling signal-to-noise ratios of targets; None where there is no such file.

    Raises
    ------
    FileError
        When the file is damaged.
    DataError
        When it has another grid, or negative values.

    """
    kinds = ("mgh", "mgz") if side else ("nii.gz", "nii")
    files = [folder / f"{side}{'.' if side else ''}ncsnr.{k}" for k in kinds]
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return None
    values = _map(file, places.grid, side)[0][places.flat].astype(np.float64)
    wrong = int((values < 0).sum() + np.isinf(values).sum())
    if wrong:
        raise DataError(f"{file}: {wrong} ratios of signal to noise are negative or infinite")
    return np.nan_to_num(values)


def _map(file: Path, grid: tuple[int, ...], side: str) -> tuple[Shaped[np.ndarray, " place"], Any]:
    maps = read_surface(file) if side else read_volume(file)
    if maps.grid != grid or maps.count != 1:
        raise DataError(
            f"{file} is of shape {(*maps.grid, maps.count)}, but responses lie on {grid}: take both"
            " from the same space"
        )
    return maps.read(np.zeros(1, dtype=np.int64), np.arange(maps.places))[0], maps.affine


def _sides(region: Region, grid: tuple[int, ...], mask: str, flat: np.ndarray) -> np.ndarray | None:
    """The hemisphere of each voxel, by masks of either; None where these do not tell all."""
    files = {s: region.file(mask, s) for s in ("lh", "rh")} if mask else {}
    if not files or not all(f.is_file() for f in files.values()):
        return None
    inside = {s: labels_of(f, grid, "")[0][flat] > 0 for s, f in files.items()}
    if (inside["lh"] == inside["rh"]).any():
        return None
    return np.where(inside["lh"], "lh", "rh").astype(object)


def _beside(file: Path) -> str:
    folder = file.parent
    there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return f"{folder} holds {some(there, 12) or 'nothing'}"
