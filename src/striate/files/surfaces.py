"""Where targets lie: vertices on the meshes of a surface, voxels by their affine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from striate.errors import DataError, FileError, some, unknown
from striate.files.gifti import read_gifti

FSAVERAGE = {"fsaverage5": 10242, "fsaverage6": 40962, "fsaverage": 163842}
"""Vertices of a hemisphere; those of a coarser mesh are the first of the finer ones."""
SHIPPED = {
    "pial": "pial",
    "white": "white",
    "inflated": "infl",
    "sphere": "sphere",
    "flat": "flat",
}
SIDES = {"lh": "left", "rh": "right"}
TRIANGLES = b"\xff\xff\xfe"


def vertex_coordinates(
    hemisphere: str,
    vertices: Int[np.ndarray, " target"],
    surface: str = "pial",
    path: str | Path = "",
) -> Float[np.ndarray, "target 3"]:
    """Where vertices lie on a surface, x, y, z in mm.

    Without `path` (or with ``fsaverage5``) this is the mesh that comes with nilearn, whose vertices
    are the first 10,242 of fsaverage.

    Parameters
    ----------
    hemisphere
        ``lh`` or ``rh``.
    vertices
        Their numbers, from 0.
    surface
        ``pial``, ``white``, ``inflated``, ``sphere`` or ``flat``; of your own any that is there.
    path
        A file of a mesh, or a folder of them: `lh.pial` of FreeSurfer (in it, or in its `surf/`),
        `lh.pial.gii`, `pial_left.gii` or `pial_left.gii.gz`.

    Raises
    ------
    FileError
        When there is no such mesh, or it is damaged.
    DataError
        When it has fewer vertices than are asked for.

    """
    if hemisphere not in SIDES:
        raise DataError(unknown("hemisphere", hemisphere, SIDES))
    points = read_mesh(mesh_file(hemisphere, surface, path))[0]
    beyond = vertices[(vertices < 0) | (vertices >= len(points))]
    if len(beyond):
        raise DataError(
            f"vertex {some(beyond)} is not on {path or 'fsaverage5'}, a mesh of {len(points)}"
            " vertices: pass the path of the one that is meant, such as $SUBJECTS_DIR/fsaverage"
        )
    return points[vertices]


def voxel_coordinates(
    indices: Int[np.ndarray, "target 3"], affine: np.ndarray
) -> Float[np.ndarray, "target 3"]:
    """Where voxels lie, x, y, z in the millimetres of the affine.

    ``x = A · (i, j, k, 1)``, of the centre of a voxel.

    >>> voxel_coordinates(np.array([[1, 2, 3]]), np.diag([2.0, 2.0, 2.0, 1.0]))
    array([[2., 4., 6.]])
    """
    matrix = np.asarray(affine, dtype=float)
    return indices @ matrix[:3, :3].T + matrix[:3, 3]


@lru_cache(maxsize=8)
def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points (vertex, 3) in mm and triangles (face, 3) of a FreeSurfer or GIFTI mesh.

    Raises
    ------
    FileError
        When the file is missing, damaged, or no mesh.

    """
    if not path.is_file():
        raise FileError(f"no mesh {path}: name a FreeSurfer surface or a .gii file")
    if path.name.lower().endswith((".gii", ".gii.gz")):
        arrays = {a.intent: a.values for a in read_gifti(path).arrays}
        points = arrays.get("NIFTI_INTENT_POINTSET")
        faces = arrays.get("NIFTI_INTENT_TRIANGLE")
        if points is None or faces is None:
            raise FileError(f"{path} holds no mesh, but {some(arrays)}")
    else:
        points, faces = _freesurfer(path)
    with np.errstate(invalid="ignore"):
        points, faces = np.asarray(points, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    shaped = points.ndim == faces.ndim == 2 and points.shape[1] == faces.shape[1] == 3
    if not shaped or not np.isfinite(points).all():
        raise FileError(f"{path} is damaged: points {points.shape}, triangles {faces.shape}")
    if faces.size and not 0 <= faces.min() <= faces.max() < len(points):
        raise FileError(f"{path} is damaged: triangles name vertices that are not there")
    for array in (points, faces):
        array.flags.writeable = False
    return points, faces


def mesh_file(hemisphere: str, surface: str = "pial", path: str | Path = "") -> Path:
    """The file of a mesh; see `vertex_coordinates`.

    Raises
    ------
    FileError
        When there is none.
    DataError
        When fsaverage5 has no such surface.

    """
    side = SIDES[hemisphere]
    if str(path) in ("", "fsaverage5"):
        if surface not in SHIPPED:
            raise DataError(unknown("surface of fsaverage5", surface, SHIPPED))
        return _shipped(SHIPPED[surface], side)
    place = Path(path).expanduser()
    if place.is_file():
        return place
    names = [f"{hemisphere}.{surface}", f"{hemisphere}.{surface}.gii"]
    names += [f"{surface}_{side}.gii", f"{surface}_{side}.gii.gz"]
    for folder in (place, place / "surf"):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    have = sorted(p.name for p in place.iterdir()) if place.is_dir() else []
    raise FileError(f"no {some(names, 4)} in {place}, which holds {some(have, 8) or 'nothing'}")


def _shipped(surface: str, side: str) -> Path:
    try:
        from nilearn.datasets import fetch_surf_fsaverage
    except ImportError as error:
        raise FileError(
            "the mesh fsaverage5 comes with nilearn, which is not installed: pip install"
            " 'striate[brain]', or pass the path of a mesh of your own"
        ) from error
    return Path(fetch_surf_fsaverage("fsaverage5")[f"{surface}_{side}"])


def _freesurfer(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points and triangles of a FreeSurfer surface: two lines of text, two counts, the numbers."""
    content = path.read_bytes()
    ended = content.find(b"\n\n", 3, 4096)
    if content[:3] != TRIANGLES or ended < 0:
        raise FileError(f"{path} is no FreeSurfer surface of triangles")
    start = ended + 2
    told = content[start : start + 8]
    vertices, faces = (int.from_bytes(told[k : k + 4], "big", signed=True) for k in (0, 4))
    if len(told) < 8 or min(vertices, faces) < 0:
        raise FileError(f"{path} is damaged: it does not count its vertices")
    if len(content) < start + 8 + 12 * (vertices + faces):
        raise FileError(f"{path} is cut short: it should hold {vertices} vertices, {faces} faces")
    points = np.frombuffer(content, ">f4", 3 * vertices, start + 8)
    triangles = np.frombuffer(content, ">i4", 3 * faces, start + 8 + 12 * vertices)
    return points.reshape(-1, 3), triangles.reshape(-1, 3)
