"""The files of BOLD Moments: how they are named, and what must be in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped

from striate.errors import DataError, FileError, some
from striate.files.pickles import Opaque, read_pickle
from striate.scores import ncsnr, nsd_noise_ceiling

TRAIN, TEST = 1000, 102
"""Films to learn from, and films of the test; those of the test are numbered from 1001 on."""
REPEATS = {"train": 3, "test": 10}
REGIONS = (
    "V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4", "EBA", "FFA", "OFA", "STS", "LOC", "PPA",
    "RSC", "TOS", "V3ab", "IPS0", "IPS1-2-3", "7AL", "BA2", "PFt", "PFop", "MT",
)  # fmt: skip
"""Regions with files of their own; MT is in version B only."""
WHOLE = ("WB", "BMDgeneral")
"""Files that cut across regions; BMDgeneral is in version B only."""
CHALLENGE: Mapping[str, tuple[str, ...]] = {
    "LOC": ("LOC",),
    "FFA": ("FFA",),
    "STS": ("STS",),
    "EBA": ("EBA",),
    "PPA": ("PPA",),
    "V1": ("V1v", "V1d"),
    "V2": ("V2v", "V2d"),
    "V3": ("V3v", "V3d"),
    "V4": ("hV4",),
}
"""Regions of the 2021 challenge, and the regions here that make them up."""
SURFACES = {"fsaverage": 163842, "fsLR32k": 91282}
"""Vertices of a hemisphere of fsaverage; grayordinates of fsLR32k."""
CORTEX = (29696, 59412)
"""Where the left and the right cortex end among the grayordinates of fsLR32k."""
NIFTI = ((4, 0), (2, 254))
"""Bytes and places of a NIfTI header's size and of the kind of its affine."""
HEMISPHERES = {"lh": "left", "rh": "right"}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """Where the files of one version and space are.

    Parameters
    ----------
    root
        The folder of `versionA` and `versionB`, called `derivatives`.
    version, space, kind
        As `BoldMoments` has them.

    """

    root: Path
    version: str
    space: str
    kind: str

    @property
    def home(self) -> Path:
        """The folder of the subjects' folders."""
        if self.version == "A":
            prepared = self.root / "versionA" / "MNI152" / "prepared_data"
            return prepared / f"prepared_{self.kind}_pkl" / "TRavg56789"
        if self.space == "MNI152":
            return self.root / "versionB" / "MNI152" / "prepared_allvoxel_pkl"
        return self.root / "versionB" / self.space / "GLM"

    def subjects(self) -> list[str]:
        """Subjects whose folder is there: ``sub-01`` and so on."""
        found = self.home.glob("sub-*") if self.home.is_dir() else ()
        return sorted(p.name for p in found if p.is_dir() and re.fullmatch(r"sub-\d\d", p.name))

    def names(self) -> list[str]:
        """Names that region files may have: ``V1v``, or ``lV1v`` and ``rV1v``; then the whole."""
        if self.version == "A":
            return [*(r for r in REGIONS if r != "MT"), "WB"]
        return [*(side + r for r in REGIONS for side in "lr"), *WHOLE]

    def region_file(self, subject: str, name: str) -> Path:
        """The file of one region, or where it would be."""
        if self.version == "B":
            return self.home / subject / f"{subject}_roi-{name}_betas_normalized.pkl"
        usual = self.home / subject / f"{name}_TRavg-56789_{self.kind}.pkl"
        # Copies of the reliable voxels differ in the last word of their names.
        found = [] if usual.is_file() else sorted(self._other(subject, name))
        return found[0] if len(found) == 1 else usual

    def region_files(self, subject: str) -> dict[str, Path]:
        """The region files of a subject that are there, by name."""
        files = {name: self.region_file(subject, name) for name in self.names()}
        return {name: file for name, file in files.items() if file.is_file()}

    def strangers(self, subject: str) -> list[Path]:
        """Pickles in a subject's folder whose names are none of the region files'."""
        known = set(self.region_files(subject).values())
        return sorted(p for p in (self.home / subject).glob("*.pkl") if p not in known)

    def index_file(self, subject: str, name: str) -> Path:
        """The file that says which voxels a region of version B has."""
        folder = self.root / "versionB" / "MNI152" / "GLM" / subject / "ROIs"
        usual = folder / f"ROI-{name}_indices.pkl"
        found = [] if usual.is_file() else sorted(folder.glob(f"*ROI-{name}_indices.pkl"))
        return found[0] if len(found) == 1 else usual

    def sides(self) -> list[str]:
        """Hemispheres that have files of their own: none where one file holds everything."""
        return list(HEMISPHERES) if self.space == "fsaverage" else [""]

    def betas_file(self, subject: str, part: str, side: str) -> Path:
        """The organised betas of a surface."""
        hemisphere = f"_hemi-{HEMISPHERES[side]}" if side else ""
        name = f"{subject}_organized_betas_task-{part}{hemisphere}_normalized.pkl"
        return self.home / subject / "prepared_betas" / name

    def ceiling_file(self, subject: str, side: str) -> Path:
        """The noise ceilings of the mean of all test repeats on a surface."""
        hemisphere = f"_hemi-{HEMISPHERES[side]}" if side else ""
        folder = self.home / subject / "prepared_betas"
        usual = folder / (
            f"{subject}_noiseceiling_space-{self.space}_task-test{hemisphere}_n-10.pkl"
        )
        # Not every space is named in the files of its own folder.
        pattern = f"{subject}_noiseceiling*_task-test{hemisphere}_n-10.pkl"
        found = [] if usual.is_file() else sorted(folder.glob(pattern))
        return found[0] if len(found) == 1 else usual

    def _other(self, subject: str, name: str) -> list[Path]:
        return list((self.home / subject).glob(f"{name}_TRavg-56789_*.pkl"))


def region_of(name: str, version: str) -> tuple[str, str]:
    """Hemisphere and region of a region file, both empty where it cuts across them.

    >>> region_of("lV1v", "B"), region_of("LOC", "A"), region_of("WB", "B")
    (('lh', 'V1v'), ('', 'LOC'), ('', ''))
    """
    if name in WHOLE:
        return "", ""
    return ({"l": "lh", "r": "rh"}[name[0]], name[1:]) if version == "B" else ("", name)


def read_region(path: Path) -> Arrays:
    """What a region file holds, as float32, in the axes of the file.

    ``train`` (stimulus, 3, voxel), ``test`` (stimulus, 10, voxel), ``ceiling`` (voxel) of the mean
    of the test repeats as the file carries it, if it does, and ``repeats`` (voxel), the same
    computed from the test repeats, a fraction of variance.

    Raises
    ------
    FileError
        When a key is missing, or shapes, dtypes and values are not what they must be.

    """
    found = read_pickle(path)
    if not isinstance(found, dict):
        raise FileError(f"{path} holds a {type(found).__name__}, but must hold a dictionary")
    arrays: Arrays = {}
    for part in REPEATS:
        arrays[part] = _responses(_one(found, f"{part}_data", path), part, path)
    voxels = {part: arrays[part].shape[2] for part in REPEATS}
    if voxels["train"] != voxels["test"]:
        raise FileError(
            f"{path}: train has {voxels['train']} voxels and test {voxels['test']}: the file is"
            " damaged; get it again"
        )
    key = [k for k in found if str(k).startswith("test_noiseceiling")]
    if key:
        arrays["ceiling"] = _ceiling(found[key[0]], voxels["test"], f"{path}: {key[0]}")
    arrays["repeats"] = noise_ceiling(arrays["test"])
    return arrays


def read_betas(path: Path, part: str, targets: int) -> Arrays:
    """Organised betas: ``train`` or ``test`` as in `read_region`, and the numbers of its ``films``.

    Raises
    ------
    FileError
        When the file does not hold betas of that many targets and the names of their films.

    """
    found = read_pickle(path)
    if not isinstance(found, tuple | list) or len(found) < 2:
        raise FileError(f"{path} must hold betas and the order of stimuli, a tuple of two or three")
    betas = _responses(found[0], part, path)
    if betas.shape[2] != targets:
        raise FileError(f"{path} has {betas.shape[2]} targets, but its space has {targets}")
    films = _films(found[1], part, path)
    if len(films) != len(betas):
        raise FileError(f"{path} has betas of {len(betas)} stimuli, but names {len(films)}")
    arrays = {part: betas, "films": films}
    return arrays | ({"repeats": noise_ceiling(betas)} if part == "test" else {})


def read_ceiling(path: Path, targets: int) -> Arrays:
    """The ``ceiling`` of every target of a surface, as its file carries it.

    Raises
    ------
    FileError
        When the file does not hold ncsnr and ceiling of that many targets.

    """
    found = read_pickle(path)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise FileError(f"{path} must hold two arrays, ncsnr and noise ceiling")
    return {"ceiling": _ceiling(found[1], targets, str(path))}


def read_voxels(path: Path) -> Arrays:
    """The ``voxels`` (voxel, 3) of a region by their indices i, j, k in the volume.

    Beside them ``affine`` (4, 4), from indices to millimetres; NaN where the file has no mask.

    Raises
    ------
    FileError
        When the file does not begin with indices in three dimensions.

    """
    found = read_pickle(path)
    first = found[0] if isinstance(found, tuple | list) and len(found) else None
    if isinstance(first, tuple | list) and all(isinstance(a, np.ndarray) for a in first):
        shapes = {a.shape for a in first}
        first = np.stack(first, axis=-1) if len(shapes) == 1 else None
    if isinstance(first, np.ndarray) and first.ndim == 3 and first.dtype.kind in "biuf":
        first = np.argwhere(first)
    if not isinstance(first, np.ndarray) or first.ndim != 2 or first.dtype.kind not in "iu":
        raise FileError(f"{path} must begin with the indices of voxels in three dimensions")
    first = first if first.shape[1] == 3 else first.T
    if first.shape[1] != 3 or (first < 0).any() or len(np.unique(first, axis=0)) < len(first):
        raise FileError(f"{path}: indices {first.shape} are no different voxels in a volume")
    return {"voxels": first.astype(np.int32), "affine": affine_of(found[-1])}


def noise_ceiling(
    betas: Float32[np.ndarray, "row repeat target"],
) -> Float32[np.ndarray, " target"]:
    """Fraction of variance of the mean of all repeats that stimuli explain; 0 without variance.

    The square of ncsnr (spread of the signal over that of the noise) over itself plus 1 / repeats.

    >>> noise_ceiling(np.array([[[0.0], [2.0]], [[4.0], [6.0]]], dtype="f4"))
    array([0.75], dtype=float32)
    """
    ratio = ncsnr(betas.transpose(0, 2, 1))
    counts = [0] * (betas.shape[1] - 1) + [1]
    return np.nan_to_num(nsd_noise_ceiling(ratio, counts)).astype(np.float32)


def session_normalised(
    betas: Shaped[np.ndarray, "row target"],
    sessions: Sequence[str] | np.ndarray,
    train: Sequence[bool] | Bool[np.ndarray, " row"],
) -> Shaped[np.ndarray, "row target"]:
    """Single-trial betas in units of the training betas of their session, as version B has them.

    Mean and standard deviation (n - 1) of every target come from the training trials of the
    session alone, so the test trials share nothing with each other. The files named
    ``normalized`` are so already.

    Raises
    ------
    DataError
        When a session has fewer than two training trials.

    >>> trials = np.array([[1.0], [3.0], [4.0]])
    >>> session_normalised(trials, ["s1"] * 3, [True, True, False]).round(3).ravel()
    array([-0.707,  0.707,  1.414])

    """
    result = np.empty(betas.shape, dtype=np.float64)
    label, learned = np.asarray(sessions), np.asarray(train, dtype=bool)
    for session in dict.fromkeys(label.tolist()):
        mine = label == session
        known = betas[mine & learned].astype(np.float64)
        if len(known) < 2:
            raise DataError(f"session {session!r} has {len(known)} training trials: two are needed")
        spread = known.std(axis=0, ddof=1)
        result[mine] = (betas[mine] - known.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
    return result


def affine_of(mask: Any) -> Float[np.ndarray, "4 4"]:
    """The affine of a NIfTI image that is shut in a pickle, by itself or in its header."""
    content = mask.state if isinstance(mask, Opaque) else None
    affine = np.full((4, 4), np.nan)
    if isinstance(content, dict):
        kept = content.get("_affine")
        if isinstance(kept, np.ndarray) and kept.shape == (4, 4) and kept.dtype.kind == "f":
            affine = kept.astype(np.float64)
    if isinstance(content, bytes) and len(content) >= 352:
        for order in "<>":
            size, form = (np.frombuffer(content, f"{order}i{n}", 1, p)[0] for n, p in NIFTI)
            if size == 348 and form > 0:
                rows = np.frombuffer(content, f"{order}f4", 12, 280).reshape(3, 4)
                affine = np.vstack([rows, [[0, 0, 0, 1]]]).astype(np.float64)
    return affine if np.isfinite(affine).all() else np.full((4, 4), np.nan)


def _one(found: Mapping[Any, Any], start: str, path: Path) -> Any:
    keys = [k for k in found if str(k).startswith(start)]
    if len(keys) != 1:
        raise FileError(
            f"{path} must hold one {start}_allvoxel, but has {some(list(found), 6) or 'nothing'}"
        )
    return found[keys[0]]


def _responses(values: Any, part: str, path: Path) -> Float32[np.ndarray, "row repeat target"]:
    most, repeats = (TRAIN, TEST)[part == "test"], REPEATS[part]
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise FileError(f"{path}: responses of {part} are {kind}, but must be floating numbers")
    if values.ndim != 3 or values.shape[1] != repeats or not 3 <= values.shape[0] <= most:
        raise FileError(
            f"{path}: responses of {part} have the shape {values.shape}, but must be (stimulus,"
            f" repeat, voxel) with {repeats} repeats and at most {most} stimuli"
        )
    with np.errstate(over="ignore"):
        plain = np.ascontiguousarray(values, dtype=np.float32)
    if np.isinf(plain).any():
        raise FileError(f"{path}: {int(np.isinf(plain).sum())} responses of {part} are infinite")
    return plain


def _ceiling(values: Any, targets: int, where: str) -> Float32[np.ndarray, " target"]:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.size != targets:
        shape = getattr(values, "shape", type(values).__name__)
        raise FileError(f"{where}: noise ceilings are {shape}, but there are {targets} targets")
    plain = values.reshape(-1).astype(np.float32)
    wrong = int(((plain < 0) | (plain > 100)).sum())
    if wrong:
        raise FileError(f"{where}: {wrong} noise ceilings lie outside 0 to 100 percent")
    return plain


def _films(names: Any, part: str, path: Path) -> Int[np.ndarray, " row"]:
    listed = [str(n) for n in names] if isinstance(names, list | tuple | np.ndarray) else []
    numbers = []
    for name in listed:
        found = re.fullmatch(r"(?:vid)?(\d{4})(?:\.mp4)?", name)
        number = int(found[1]) if found else 0
        if not (TRAIN < number <= TRAIN + TEST if part == "test" else 0 < number <= TRAIN):
            raise FileError(f"{path}: {name!r} is no film of {part}, such as vid0001 or vid1001")
        numbers.append(number)
    if len(set(numbers)) < len(numbers):
        again = sorted({n for n in numbers if numbers.count(n) > 1})
        raise FileError(f"{path}: films {some(again)} stand twice in the order of stimuli")
    return np.array(numbers, dtype=np.int32)
