"""Maps of brains out of NIfTI, MGH, GIFTI and CIFTI files: headers at once, values as asked."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import OnDisk
from striate.errors import FileError
from striate.files.blocks import ASIDE, Block, Read, floating, is_packed, opened
from striate.files.cifti import axes, brain_models
from striate.files.gifti import read_gifti
from striate.files.places import vertex_targets, voxel_targets

KINDS = (".nii", ".nii.gz", ".mgh", ".mgz", ".gii", ".gii.gz")
MGH_OFFSET = 284
LONGEST_TABLE = 1 << 22
"""Bytes of a table of labels."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What a file says of the brain: maps, each with a value for every place.

    Parameters
    ----------
    path
        The file.
    grid
        Places: voxels (i, j, k), counted in C order; or vertices, or grayordinates.
    count
        Number of maps: volumes, frames, arrays or rows.
    dtype
        Of values as they are read: float32, or float64 where those would lose digits.
    read
        Called with positions of maps and of places (None: all); returns map × place.
    mapped
        Whether values lie in the file as they are, so that any few are read without the others;
        what is compressed is gone through from its beginning with each reading.
    affine
        From (i, j, k) to millimetres, 4 × 4; None off a grid.
    hemisphere
        ``lh`` or ``rh`` where the file says so.
    names
        Of the maps, where they have any.
    labels
        For each map the names of its labels by number; empty where it holds no labels.
    grayordinates
        Labels of the places of CIFTI, indexed by target id.

    """

    path: Path
    grid: tuple[int, ...]
    count: int
    dtype: np.dtype
    read: Read = field(repr=False)
    mapped: bool = False
    affine: np.ndarray | None = None
    hemisphere: str = ""
    names: tuple[str, ...] = ()
    labels: tuple[Mapping[int, str], ...] = ()
    grayordinates: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def places(self) -> int:
        """Number of voxels, vertices or grayordinates."""
        return math.prod(self.grid)

    def values(self) -> np.ndarray:
        """Everything, shaped (map, *grid)."""
        try:
            found = self.read(np.arange(self.count), None)
        except MemoryError as error:
            raise FileError(
                f"{self.path} holds {self.count} × {self.places} values, more than there is memory"
                " for: read some of its rows"
            ) from error
        return found.reshape(self.count, *self.grid)

    def rows(self, places: np.ndarray | None = None) -> OnDisk:
        """Maps as rows and places (default: all) as targets."""

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            return self.read(rows, targets if places is None else places[targets])

        count = self.places if places is None else len(places)
        return OnDisk((self.count, count), self.dtype, read, (str(self.path),))

    def targets(self, places: np.ndarray, hemisphere: str = "") -> pd.DataFrame:
        """Labels of places, indexed by target id; see `striate.files.places`."""
        if self.grayordinates is not None:
            return self.grayordinates.iloc[places]
        if self.affine is not None:
            return voxel_targets(places, self.grid, self.affine)
        return vertex_targets(hemisphere or self.hemisphere, places)


def kind_of(path: Path | str) -> str:
    """The kind of brain file that a name says, such as ``.nii.gz``; empty for others.

    >>> kind_of("sub01.nii.gz"), kind_of("lh.V1.mgz"), kind_of("notes.txt")
    ('.nii.gz', '.mgz', '')
    """
    name = str(path).lower()
    return max((k for k in KINDS if name.endswith(k)), key=len, default="")


def read_maps(path: Path) -> Maps:
    """A brain file of any kind; of NIfTI and MGH, what extends along one axis is a surface.

    Raises
    ------
    FileError
        When it is missing, damaged, of another kind, or claims more than it holds.

    """
    kind = kind_of(path)
    if not kind:
        raise FileError(f"cannot read {path}: its kind is none of {', '.join(KINDS)}")
    if not path.is_file():
        raise FileError(f"no file {path}: name a brain file ({', '.join(KINDS)})")
    if kind.startswith(".gii"):
        return _gifti(path)
    return _nifti(path) if kind.startswith(".nii") else _mgh(path)


def read_volume(path: Path) -> Maps:
    """Volumes of a `.nii`, `.nii.gz`, `.mgh` or `.mgz` file: maps over (i, j, k).

    Raises
    ------
    FileError
        As `read_maps`, and when the file holds no volume.

    """
    found = read_maps(path)
    if found.affine is None or len(found.grid) != 3:
        raise FileError(f"{path} holds a surface of {found.places} places, but a volume is wanted")
    return found


def read_surface(path: Path) -> Maps:
    """Maps over vertices of a `.gii`, `.mgh`, `.mgz` or NIfTI file.

    Raises
    ------
    FileError
        As `read_maps`, and when the file holds a volume or grayordinates.

    """
    found = read_maps(path)
    if len(found.grid) != 1 or found.grayordinates is not None:
        raise FileError(f"{path} holds places {found.grid}, but the vertices of a hemisphere are"
                        " wanted")  # fmt: skip
    return found


def read_label_table(path: Path) -> dict[int, str]:
    """Names of labels by number from a FreeSurfer colour table (`.ctab`).

    Raises
    ------
    FileError
        When a line does not begin with a number and a name, or a number stands twice.

    """
    if path.stat().st_size > LONGEST_TABLE:
        raise FileError(f"{path} has {path.stat().st_size} bytes, too many for a table of labels")
    found: dict[int, str] = {}
    text = path.read_text("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2 or not words[0].lstrip("-").isdecimal() or int(words[0]) in found:
            raise FileError(
                f"{path}, line {number}: {line[:60]!r} must be a number that is there once, and a"
                " name"
            )
        found[int(words[0])] = words[1]
    return found


def labels_beside(path: Path) -> dict[int, str]:
    """Names of the labels in a map from the colour table beside it; empty where there is none.

    For `lh.streams.mgz` that is `lh.streams.mgz.ctab`, `lh.streams.ctab` or `streams.ctab`.
    """
    stem = path.name[: -len(kind_of(path))] if kind_of(path) else path.stem
    bare = stem[3:] if stem[:3] in ("lh.", "rh.") else stem
    for name in (f"{path.name}.ctab", f"{stem}.ctab", f"{bare}{path.suffix}.ctab", f"{bare}.ctab"):
        if (path.parent / name).is_file():
            return read_label_table(path.parent / name)
    return {}


def nibabel(path: Path) -> Any:
    """The library that knows headers.

    Raises
    ------
    FileError
        When it is not installed.

    """
    try:
        import nibabel as found
    except ImportError as error:
        raise FileError(
            f"{path} is opened through nibabel, which is not installed: pip install"
            " 'striate[brain]'"
        ) from error
    return found


def _gifti(path: Path) -> Maps:
    found = read_gifti(path)
    maps: list[np.ndarray] = []
    names: list[str] = []
    for one in found.arrays:
        if one.intent in ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE"):
            raise FileError(f"{path} holds the mesh of a surface, but maps over it are wanted")
        columns = one.values.reshape(len(one.values), -1)
        maps += list(columns.T)
        names += [one.name] * columns.shape[1]
    if len({len(m) for m in maps}) > 1:
        sizes = sorted({len(m) for m in maps})
        raise FileError(f"{path} holds arrays of {sizes} vertices: give each surface its own file")
    dtype = np.result_type(*[floating(m.dtype) for m in maps])

    def read(rows: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        values = np.empty((len(rows), len(maps[0]) if places is None else len(places)), dtype)
        with np.errstate(all="ignore"):
            for k, row in enumerate(rows):
                values[k] = maps[row] if places is None else maps[row][places]
        return values

    labels = tuple([found.labels] * len(maps)) if found.labels else ()
    grid = (len(maps[0]),)
    return Maps(path, grid, len(maps), dtype, read, False, None, found.hemisphere, tuple(names),
                labels)  # fmt: skip


def _nifti(path: Path) -> Maps:
    nib = nibabel(path)
    head = _begin(path, 540)
    first = {int.from_bytes(head[:4], order) for order in ("little", "big")}
    if len(head) < 348 or not first & {348, 540}:
        raise FileError(f"{path} is damaged or no NIfTI file: it does not begin as one")
    two = 540 in first
    with _understood(path):
        make = nib.Nifti2Header if two else nib.Nifti1Header
        header = make(head[:540] if two else head[:348], check=False)
        shape = tuple(int(n) for n in header.get_data_shape())
        offset, slope = int(header["vox_offset"]), header.get_slope_inter()
        kind, affine = header.get_data_dtype(), header.get_best_affine()
    if int(header["bitpix"]) not in (0, 8 * kind.itemsize):
        raise FileError(f"{path} is damaged: its values are {kind} of {header['bitpix']} bits")
    if bytes(header["magic"])[:3] not in (b"n+1", b"n+2"):
        raise FileError(f"{path} is no NIfTI file that holds its data itself")
    least = 544 if two else 352
    if offset < least or (is_packed(path) and offset > ASIDE):
        raise FileError(f"{path} is damaged: its data would begin at byte {offset}")
    if 3000 <= int(header["intent_code"]) < 3100:
        return _cifti(path, nib, shape, kind, offset, slope)
    return _gridded(path, shape, kind, offset, slope, affine)


def _mgh(path: Path) -> Maps:
    nib = nibabel(path)
    head = _begin(path, MGH_OFFSET)
    if len(head) < MGH_OFFSET or int.from_bytes(head[:4], "big") != 1:
        raise FileError(f"{path} is damaged or no MGH file: it does not begin as one")
    with _understood(path):
        header = nib.freesurfer.mghformat.MGHHeader(head, check=False)
        shape = tuple(int(n) for n in header["dims"])
        kind, affine = header.get_data_dtype().newbyteorder(">"), header.get_affine()
    return _gridded(path, shape, kind, MGH_OFFSET, (None, None), affine, ASIDE)


def _begin(path: Path, size: int) -> bytes:
    try:
        with opened(path) as stream:
            return stream.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path} is damaged: {error}") from error


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """What nibabel raises for a damaged header is not documented."""
    try:
        with np.errstate(all="ignore"):
            yield
    except FileError:
        raise
    except Exception as error:
        raise FileError(f"{path} is damaged or no {kind_of(path)} file: {error}") from error


def _gridded(
    path: Path,
    shape: tuple[int, ...],
    kind: np.dtype,
    offset: int,
    slope: tuple[float | None, float | None],
    affine: np.ndarray,
    aside: int = 0,
) -> Maps:
    if not shape or min(shape) < 1:
        raise FileError(f"{path} is damaged: its dimensions are {shape}")
    grid, further = (*shape, 1, 1)[:3], [n for n in shape[3:] if n > 1]
    if len(further) > 1:
        raise FileError(f"{path} has {len(shape)} axes, {shape}: maps have three, and one more")
    count, cells = (further or [1])[0], math.prod(grid)
    block = Block(path, count, cells, np.dtype(kind), offset, *slope, aside)
    raw, dtype, mapped = block.reading(), block.floating, not is_packed(path)
    if sum(n > 1 for n in grid) < 2:
        return Maps(path, (cells,), count, dtype, raw, mapped)
    if not np.isfinite(affine).all():
        raise FileError(f"{path} is damaged: its affine holds {affine[:3].tolist()}")

    def read(rows: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        # Files run along i first.
        if places is None:
            found = raw(rows, None).reshape(len(rows), *grid[::-1])
            return found.transpose(0, 3, 2, 1).reshape(len(rows), cells)
        at = np.ravel_multi_index(np.unravel_index(places, grid), grid, order="F")
        return raw(rows, at)

    return Maps(path, grid, count, dtype, read, mapped, np.asarray(affine, dtype=float))


def _cifti(
    path: Path,
    nib: Any,
    shape: tuple[int, ...],
    kind: np.dtype,
    offset: int,
    slope: tuple[float | None, float | None],
) -> Maps:
    if is_packed(path):
        raise FileError(f"{path} is a compressed CIFTI file, which the format does not know:"
                        " decompress it first")  # fmt: skip
    if len(shape) != 6 or shape[:4] != (1, 1, 1, 1) or min(shape) < 1:
        raise FileError(f"{path} is damaged: its dimensions are {shape}")
    count, cells = shape[4:]
    block = Block(path, count, cells, np.dtype(kind), offset, *slope, across=True)
    read, dtype = block.reading(), block.floating
    with _understood(path):
        rows, columns = axes(path, nib, offset, (count, cells))
    if len(rows) != count or len(columns) != cells:
        raise FileError(f"{path} holds {count} × {cells} values, but describes {len(rows)} rows"
                        f" and {len(columns)} places")  # fmt: skip
    if isinstance(columns, nib.cifti2.BrainModelAxis):
        with _understood(path):
            table = brain_models(columns)
    elif isinstance(columns, nib.cifti2.ParcelsAxis):
        table = pd.DataFrame(index=pd.Index(list(map(str, columns.name)), name="target"))
    else:
        raise FileError(f"{path} has columns that are neither grayordinates nor parcels")
    names = tuple(map(str, getattr(rows, "name", ())))
    labels: tuple[Mapping[int, str], ...] = ()
    if isinstance(rows, nib.cifti2.LabelAxis):
        labels = tuple({int(k): str(v[0]) for k, v in one.items()} for one in rows.label)
    return Maps(path, (cells,), count, dtype, read, True, None, "", names, labels, table)
