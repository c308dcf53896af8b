"""Names of voxels and vertices, from which their places can be read again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from striate.files.surfaces import voxel_coordinates

VOXEL = re.compile(r"v(\d+)_(\d+)_(\d+)")
VERTEX = re.compile(r"(lh|rh)\.(\d+)")


def voxel_targets(
    places: Int[np.ndarray, " target"], grid: Sequence[int], affine: np.ndarray
) -> pd.DataFrame:
    """Labels of voxels: ids such as ``v012_034_021`` (i, j, k), and ``x``, ``y``, ``z`` in mm.

    >>> voxel_targets(np.array([5]), (2, 2, 2), np.eye(4))
                  x    y    z
    target
    v001_000_001  1.0  0.0  1.0
    """
    ijk = np.stack(np.unravel_index(places, tuple(grid)), axis=1)
    xyz = voxel_coordinates(ijk, affine)
    index = pd.Index([f"v{i:03d}_{j:03d}_{k:03d}" for i, j, k in ijk], name="target", dtype=object)
    return pd.DataFrame(xyz, index=index, columns=["x", "y", "z"])


def vertex_targets(hemisphere: str, vertices: Int[np.ndarray, " target"]) -> pd.DataFrame:
    """Labels of vertices: ids such as ``lh.012345``, and ``hemisphere``.

    >>> vertex_targets("lh", np.array([7]))
              hemisphere
    target
    lh.000007         lh
    """
    begin = f"{hemisphere}." if hemisphere else "vertex."
    index = pd.Index([f"{begin}{v:06d}" for v in vertices], name="target", dtype=object)
    sides = {"hemisphere": hemisphere} if hemisphere in ("lh", "rh") else {}
    return pd.DataFrame(sides, index=index)


def voxels_of(targets: Iterable[object]) -> Int[np.ndarray, "target 3"] | None:
    """The (i, j, k) of voxels by their ids; None where one is no voxel.

    >>> voxels_of(["v012_034_021"])
    array([[12, 34, 21]])
    """
    found = [VOXEL.fullmatch(str(t)) for t in targets]
    if not found or not all(found):
        return None
    return np.array([[int(n) for n in m.groups()] for m in found if m], dtype=np.int64)


def vertices_of(
    targets: Iterable[object],
) -> tuple[np.ndarray, Int[np.ndarray, " target"]] | None:
    """Hemispheres and vertices by their ids; None where one is no vertex.

    >>> vertices_of(["lh.000007", "rh.12"])
    (array(['lh', 'rh'], dtype='<U2'), array([ 7, 12]))
    """
    found = [VERTEX.fullmatch(str(t)) for t in targets]
    if not found or not all(found):
        return None
    sides = np.array([m[1] for m in found if m])
    return sides, np.array([int(m[2]) for m in found if m], dtype=np.int64)
