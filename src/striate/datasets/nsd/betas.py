"""Responses of the Natural Scenes Dataset, session by session, each opened when it is asked for."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int, Shaped

from striate.datasets.converted import converted
from striate.errors import DataError, FileError
from striate.files import h5_array, open_hdf5
from striate.files.brains import read_surface, read_volume

PER_PERCENT = 300
"""What percent signal change is multiplied by in the files of volumes."""
VOLUMES, SURFACES = (".hdf5", ".nii.gz", ".nii"), (".mgh", ".mgz")
PIECE = 1 << 27

Read = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Trials of a session and targets → trial × target."""


def session_files(folder: Path, side: str = "") -> dict[int, Path]:
    """Session → its file of responses; of several kinds the one that is read fastest."""
    begin = re.escape(f"{side}." if side else "")
    found: dict[int, Path] = {}
    for kind in reversed(SURFACES if side else VOLUMES):
        name = re.compile(rf"{begin}betas_session(\d+){re.escape(kind)}")
        for path in folder.iterdir() if folder.is_dir() else ():
            match = name.fullmatch(path.name)
            if match and int(match[1]) > 0:
                found[int(match[1])] = path
    return dict(sorted(found.items()))


def header_of(path: Path) -> tuple[int, tuple[int, ...]]:
    """Trials of a session, and the grid that its responses lie on; no values are read.

    Raises
    ------
    FileError
        When the file is missing, damaged, or claims more than it holds.
    DataError
        When it does not hold trials over a grid.

    """
    if path.suffix == ".hdf5":
        with open_hdf5(path) as file:
            shape = _betas(file, path).shape
            return shape[0], shape[:0:-1]
    maps = (read_surface if path.name.endswith(SURFACES) else read_volume)(path)
    return maps.count, maps.grid


class Sessions:
    """Trials of a subject over the targets at some places, from one file per session.

    Parameters
    ----------
    files
        Session (from 1) → file.
    places
        Places of the targets in the grid, counted in C order.
    trials, grid
        Of each session.
    zscore
        Whether each target is z-scored within each session; otherwise values are percent signal
        change.

    """

    def __init__(
        self,
        files: Mapping[int, Path],
        places: Int[np.ndarray, " target"],
        trials: int,
        grid: tuple[int, ...],
        zscore: bool,
    ) -> None:
        self.files, self.places = dict(files), places
        self.trials, self.grid, self.zscore = trials, tuple(grid), zscore
        self._lock = threading.RLock()
        self._reads: dict[int, Read] = {}
        self._scales: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def read(
        self, trials: Int[np.ndarray, " row"], targets: Int[np.ndarray, " target"]
    ) -> Float[np.ndarray, "row target"]:
        """Responses of trials, counted from 0 through all sessions; opens no other sessions.

        Raises
        ------
        FileError
            When the file of a session is missing or damaged.
        DataError
            When a session has another shape than the others.

        """
        found = np.empty((len(trials), len(targets)), dtype=np.float32)
        for session in np.unique(trials // self.trials).tolist():
            mine = np.flatnonzero(trials // self.trials == session)
            read = self._open(session + 1)
            mean, spread = self._scale(session + 1, read)
            step = max(1, PIECE // (8 * max(1, len(targets))))
            for start in range(0, len(mine), step):
                at = mine[start : start + step]
                values = read(trials[at] % self.trials, targets).astype(np.float64)
                found[at] = (values - mean[targets]) / spread[targets]
        return found

    def _open(self, session: int) -> Read:
        with self._lock:
            if session not in self._reads:
                self._reads[session] = self._opened(session)
            return self._reads[session]

    def _opened(self, session: int) -> Read:
        if session not in self.files:
            raise FileError(
                f"no file of session {session} beside {next(iter(self.files.values()))}"
            )
        path = self.files[session]
        found = header_of(path)
        if found != (self.trials, self.grid):
            raise DataError(
                f"{path} holds {found[0]} trials over {found[1]}, but the other sessions hold"
                f" {self.trials} over {self.grid}: copy or download it again"
            )
        if path.name.endswith(SURFACES):
            maps = read_surface(path)
            if maps.mapped:
                return lambda trials, targets: maps.read(trials, self.places[targets])
        places = hashlib.blake2b(np.int64(self.places).tobytes(), digest_size=16).hexdigest()
        kept = converted(path, lambda: {"betas": self.gathered(session)}, f"nsd betas 1 {places}")
        array = kept["betas"]
        return lambda trials, targets: array[trials][:, targets]

    def gathered(self, session: int) -> Shaped[np.ndarray, "row target"]:
        """All trials of a session at the places, as they are written, from the file itself."""
        path = self.files[session]
        if path.suffix != ".hdf5":
            maps = (read_surface if path.name.endswith(SURFACES) else read_volume)(path)
            return maps.read(np.arange(maps.count), self.places)
        with open_hdf5(path) as file:
            return _gathered(_betas(file, path), self.places, path)

    def _scale(self, session: int, read: Read) -> tuple[np.ndarray, np.ndarray]:
        """What is subtracted from each target and what it is divided by."""
        count = len(self.places)
        if not self.zscore:
            percent = 1.0 if self.files[session].name.endswith(SURFACES) else PER_PERCENT
            return np.zeros(count), np.full(count, percent)
        with self._lock:
            if session not in self._scales:
                mean, spread = np.empty((2, count))
                step = max(1, PIECE // (8 * self.trials))
                for start in range(0, count, step):
                    part = np.arange(start, min(count, start + step))
                    mean[part], spread[part] = moments(read(np.arange(self.trials), part))
                self._scales[session] = mean, np.where(spread > 0, spread, 1.0)
            return self._scales[session]


def moments(
    values: Shaped[np.ndarray, "row target"],
) -> tuple[Float[np.ndarray, " target"], Float[np.ndarray, " target"]]:
    """Mean and population standard deviation of each target, of the values there are.

    >>> moments(np.array([[1.0, np.nan], [3.0, 2.0]]))
    (array([2., 2.]), array([1., 0.]))
    """
    precise = values.astype(np.float64)
    known = ~np.isnan(precise)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, precise, 0).sum(axis=0) / count
    centred = np.where(known, precise - mean, 0)
    return mean, np.sqrt((centred**2).sum(axis=0) / count)


def _betas(file: h5py.File, path: Path) -> h5py.Dataset:
    found = file.get("betas")
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path} has no array `betas`; it has {', '.join(file) or 'none'}")
    if found.ndim != 4 or found.dtype != np.int16 or min(found.shape) < 1:
        raise DataError(
            f"{path}: betas are {found.dtype} of shape {found.shape}, but must be int16, percent ×"
            f" {PER_PERCENT}, over (trial, k, j, i), as HDF5 shows MATLAB's (i, j, k, trial)"
        )
    return found


def _gathered(
    betas: h5py.Dataset, places: Int[np.ndarray, " target"], path: Path
) -> Shaped[np.ndarray, "row target"]:
    """All trials at the places, one box around neighbouring places and trials at a time."""
    trials, grid = betas.shape[0], betas.shape[:0:-1]
    i, j, k = np.unravel_index(places, grid)
    found = np.empty((trials, len(places)), dtype=betas.dtype.newbyteorder("="))
    # Boxes that cut no chunk and hold none that is not needed; without chunks, rows along i and j
    # lie together.
    least, planes, lines, points = betas.chunks or (1, 1, grid[1], grid[0])
    line, point = (k // planes) * grid[1] + j // lines, i // points
    order = np.lexsort((point, line))
    ends = 1 + np.flatnonzero((np.diff(line[order]) != 0) | (np.diff(point[order]) > 1))
    for mine in np.split(order, ends):
        low = [int(a[mine].min()) for a in (k, j, i)]
        high = [int(a[mine].max()) + 1 for a in (k, j, i)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        one = int(np.prod(np.subtract(high, low))) * betas.dtype.itemsize
        step = max(1, PIECE // one // least) * least
        at = (k[mine] - low[0], j[mine] - low[1], i[mine] - low[2])
        for first in range(0, trials, step):
            rows = slice(first, min(trials, first + step))
            found[rows, mine] = h5_array(betas, path, (rows, *box))[(slice(None), *at)]
    return found
