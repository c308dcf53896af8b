"""What a parcel is: its place in the brain, its hemisphere and its network, where files tell."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from striate.data.responses import ROI
from striate.datasets.algonauts2025.runs import PARCELS
from striate.errors import DataError, FileError, some
from striate.files.brains import read_volume

NAMES = "Schaefer2018_1000Parcels_7Networks_order*.txt"
"""The atlas' own table: number, name such as ``7Networks_LH_Vis_1``, and a colour."""

_NAME = re.compile(r"7Networks_(LH|RH)_([A-Za-z]+)(?:_\w+)?")


def parcel_table(root: Path, subject: str) -> pd.DataFrame:
    """Labels of the parcels of a subject, indexed by ``parcel0001`` and so on.

    ``x``, ``y`` and ``z`` (mm) are the middle of each parcel in the subject's parcellation;
    ``hemisphere`` and ``roi:NETWORK`` follow from the names of the atlas. What the files do not
    tell is left out.

    Raises
    ------
    FileError, DataError
        When a file is there but is no parcellation, or no table of names.

    """
    ids = [f"parcel{k + 1:04d}" for k in range(PARCELS)]
    table = pd.DataFrame({"subject": subject}, index=pd.Index(ids, name="target", dtype=object))
    volume = parcellation_file(root, subject)
    if volume is not None:
        centre = _centres(volume)
        if centre is not None:
            for axis, name in enumerate("xyz"):
                table[name] = centre[:, axis]
    names = names_file(root)
    if names is not None:
        found = pd.Series(read_names(names), index=table.index).str.extract(_NAME.pattern)
        table["hemisphere"] = found[0].str.lower()
        for network in dict.fromkeys(found[1]):
            table[ROI + network] = (found[1] == network).to_numpy()
    return table


def parcellation_file(root: Path, subject: str) -> Path | None:
    """The parcellation of a subject, None where it is not there."""
    found = (root / "fmri" / subject / "atlas").glob(f"{subject}_*_desc-dseg_parcellation.nii.gz")
    return next((p for p in sorted(found) if p.is_file()), None)


def names_file(root: Path) -> Path | None:
    """The atlas' table of names: in the folder of the data, in `fmri`, or beside a parcellation."""
    for pattern in (NAMES, f"fmri/{NAMES}", f"fmri/*/atlas/{NAMES}"):
        found = next((p for p in sorted(root.glob(pattern)) if p.is_file()), None)
        if found is not None:
            return found
    return None


def read_names(file: Path) -> list[str]:
    """Names of the parcels in the order of their numbers.

    Raises
    ------
    FileError
        When the file is no table of names.
    DataError
        When a parcel has no name, or several.

    """
    names: dict[int, str] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{file} cannot be read ({error}); download it again") from error
    for line in filter(str.strip, lines):
        number, _, rest = line.strip().partition("\t")
        name = rest.split("\t")[0].strip()
        if not number.isdecimal() or _NAME.fullmatch(name) is None or int(number) in names:
            raise DataError(
                f"{file}: {line[:60]!r} is no number and name, such as 1 and 7Networks_LH_Vis_1"
            )
        names[int(number)] = name
    if sorted(names) != list(range(1, PARCELS + 1)):
        raise DataError(f"{file} names {len(names)} parcels, but must name 1 to {PARCELS}")
    return [names[k + 1] for k in range(PARCELS)]


def read_parcellation(file: Path) -> tuple[Integer[np.ndarray, "i j k"], Float[np.ndarray, "4 4"]]:
    """Numbers of the parcels in space, 0 outside of them, and the affine to mm.

    Raises
    ------
    FileError
        When the file is no volume.
    DataError
        When it holds anything but the numbers 0 to 1000.

    """
    maps = read_volume(file)
    if maps.count != 1 or maps.affine is None:
        raise DataError(f"{file} holds {maps.count} volumes, but a parcellation is one")
    values = maps.values()[0]
    whole = np.rint(values).astype(np.int32)
    if not np.array_equal(whole, values) or whole.min() < 0 or whole.max() > PARCELS:
        raise DataError(f"{file} holds more than the numbers 0 to {PARCELS} of parcels")
    absent = np.flatnonzero(np.bincount(whole.ravel(), minlength=PARCELS + 1)[1:] == 0) + 1
    if len(absent):
        raise DataError(f"{file} lacks parcel {some(absent.tolist())}")
    return whole, maps.affine


def _centres(file: Path) -> Float[np.ndarray, "target 3"] | None:
    """Middles of the parcels in mm; None where volumes cannot be read for want of nibabel."""
    if find_spec("nibabel") is None:
        return None
    labels, affine = read_parcellation(file)
    places = np.nonzero(labels)
    flat = labels[places]
    count = np.bincount(flat, minlength=PARCELS + 1)[1:]
    sums = [np.bincount(flat, weights=axis, minlength=PARCELS + 1)[1:] for axis in places]
    middle = np.stack(sums, axis=1) / count[:, None]
    return np.round(middle @ affine[:3, :3].T + affine[:3, 3], 3)
