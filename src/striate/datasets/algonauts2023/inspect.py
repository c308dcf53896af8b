"""What is there, missing or wrong in a copy of the 2023 challenge, file by file."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from striate.datasets.algonauts2023 import files, masks
from striate.datasets.facts import Finding, tried
from striate.errors import DataError, StriateError, some
from striate.media import open_image

LOOKED_AT = 64
"""Rows of responses whose values are read."""
PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def findings(root: Path, subjects: Sequence[str], hemispheres: Sequence[str]) -> Iterator[Finding]:
    """Every file of the subjects; what is wrong with one does not keep the others from view."""
    part: dict[str, tuple[str, str]] = {}
    official = _is_released(root, subjects)
    if official and (lost := [s for s in files.COUNTS if not (root / s).is_dir()]):
        yield Finding("missing", str(root), f"no {some(lost, 8)}: no submission without them")
    for subject in subjects:
        folder = root / subject
        if not folder.is_dir():
            yield Finding("missing", str(folder), "no such subject in this copy")
            continue
        shown: dict[str, files.Images] = {}
        for name in ("training", "test"):
            place = files.image_folder(folder, name)
            found, wrong = tried(place, lambda f=folder, n=name: files.images(f, n))  # type: ignore[misc]
            shown[name] = found or files.Images((), ())
            yield from wrong or _images_found(folder, name, shown[name], official)
            for stimulus, file in zip(shown[name].ids, shown[name].files, strict=True):
                other, first = part.setdefault(stimulus, (name, file))
                if other != name:
                    told = f"the same image is in the {other} split as {first}"
                    yield Finding("wrong", file, told)
        for side in hemispheres or files.HEMISPHERES:
            yield from _hemisphere_found(folder, side, shown, official)


def ceilings_found(root: Path, subjects: Sequence[str], given: str | Path) -> Iterator[Finding]:
    """Noise ceilings: of the folder that was given, or of the subjects' own folders."""
    place = Path(given).expanduser() if given else root
    paths, largest = [], []
    for subject in subjects:
        own = files.ceiling_files(place, subject)
        lost = [h for h in files.HEMISPHERES if h not in own]
        if lost and given:
            told = "no noise ceiling of this hemisphere, so it has no official score"
            yield Finding("missing", str(place / subject / f"{lost[0]}.npy"), told)
        for side, path in own.items():
            place_of, _ = tried(path, lambda s=subject, h=side: masks.vertices(root / s, h))  # type: ignore[misc]
            count = None if place_of is None else len(place_of)
            values, wrong = tried(path, lambda p=path, c=count: files.read_ceiling(p, c))  # type: ignore[misc]
            yield from wrong
            if values is not None:
                paths.append(path)
                largest.append(float(values.max(initial=0.0)))
    unit, wrong = tried(place, lambda: files.unit_of(paths, largest))
    yield from wrong
    if paths and unit:
        yield Finding("there", str(place), f"{len(paths)} noise ceilings, in {_said(unit)}")
    elif not paths and not given:
        told = "no noise ceilings, so no official score: name a folder in dataset.noise_ceilings"
        yield Finding("missing", str(place), told)


def _said(unit: str) -> str:
    return "percent" if unit == "percent" else "fractions"


def _is_released(root: Path, subjects: Sequence[str]) -> bool:
    """Whether a copy has the size of the release: any number of images or vertices is its."""
    for subject in subjects:
        released = files.COUNTS.get(subject)
        if released is None or not (root / subject).is_dir():
            continue
        for name, count in zip(("training", "test"), released[:2], strict=True):
            shown, _ = tried(root, lambda s=subject, n=name: files.images(root / s, n))  # type: ignore[misc]
            if shown is not None and len(shown.ids) == count:
                return True
        for side, count in zip(files.HEMISPHERES, released[2:], strict=True):
            place, _ = tried(root, lambda s=subject, h=side: masks.vertices(root / s, h))  # type: ignore[misc]
            if place is not None and len(place) == count:
                return True
    return False


def _images_found(
    folder: Path, part: str, shown: files.Images, official: bool
) -> Iterator[Finding]:
    place = files.image_folder(folder, part)
    if not shown.ids:
        means = (
            "the rows of the responses have no names"
            if part == "training"
            else "nothing is hidden, and there is no submission"
        )
        yield Finding("missing", str(place), f"no images, so {means}")
        return
    sizes: Counter[str] = Counter()
    broken = []
    for file in shown.files:
        try:
            sizes[_size(file)] += 1
        except StriateError as error:
            broken.append((file, str(error)))
    yield from (Finding("wrong", file, told) for file, told in broken[:3])
    if len(broken) > 3:
        yield Finding("wrong", str(place), f"{len(broken)} images cannot be read")
    released = files.COUNTS.get(folder.name, (0, 0))[part == "test"]
    told = f"{len(shown.ids)} images, {some(sizes)} pixels"
    if official and len(shown.ids) < released:
        lost = f"the last {released - len(shown.ids)} of {released} images are not there"
        yield Finding("missing", str(place), lost)
    elif official and len(shown.ids) > released > 0:
        yield Finding("wrong", str(place), told + _against(len(shown.ids), released))
    yield Finding("there", str(place), told + _against(len(shown.ids), released))


def _against(count: int, released: int) -> str:
    return f" (the release has {released})" if released and count != released else ""


def _size(file: str) -> str:
    """Width × height; both ends of a .png are looked at, anything else is decoded."""
    path = Path(file)
    if path.suffix.lower() == ".png":
        try:
            with path.open("rb") as stream:
                head = stream.read(24)
                stream.seek(max(0, path.stat().st_size - len(PNG_END)))
                end = stream.read()
        except OSError as error:
            raise DataError(f"cannot be read: {error}") from error
        if head[:8] != PNG or len(head) < 24 or end != PNG_END:
            raise DataError("this is no PNG, or only a part of one")
        return "{} × {}".format(*struct.unpack(">II", head[16:24]))
    image = open_image(file)
    return f"{image.width} × {image.height}"


def _hemisphere_found(
    folder: Path, side: str, shown: dict[str, files.Images], official: bool
) -> Iterator[Finding]:
    path = masks.mask_file(folder, side)
    place, wrong = tried(path, lambda: masks.vertices(folder, side))
    if wrong and not path.is_file():
        told = "without the mask the columns of this hemisphere have no place, so it cannot be used"
        yield Finding("missing", str(path), told)
    elif wrong:
        yield from wrong
    for part in ("training", "test"):
        fmri = files.fmri_file(folder, side, part)
        if fmri.is_file():
            yield from _responses_found(folder, fmri, part, place, shown[part])
        elif part == "training":
            yield Finding("missing", str(fmri), "no responses, so this hemisphere is left out")
    if place is None:
        return
    released = files.COUNTS.get(folder.name, (0, 0, 0, 0))[2 + (side == "rh")]
    told = f"{len(place)} vertices{_against(len(place), released)}"
    odd = official and released not in (0, len(place))
    yield Finding("wrong" if odd else "there", str(path), told)
    named, lacking = [], []
    for name in masks.CLASSES:
        own = masks.class_file(folder, side, name)
        # What is wrong with the names of labels is told once, with the left hemisphere.
        if side == "lh":
            yield from _names_found(folder, name)
        values, wrong = tried(own, lambda n=name: masks.labels(folder, side, n, place))  # type: ignore[misc]
        wrong = wrong or _agreement(folder, side, name, place)
        if not wrong and values is not None:
            wrong = _strange(folder, own, name, values)
        yield from wrong
        if values is None and not wrong:
            lacking.append(name)
            yield Finding("missing", str(own), f"no regions of {name} in this hemisphere")
        elif not wrong:
            named.append(name)
    if named:
        told = f"{len(named)} of {len(masks.CLASSES)} classes of {side}: {some(named, 6)}"
        yield Finding("there", str(folder / "roi_masks"), told)


def _responses_found(
    folder: Path,
    path: Path,
    part: str,
    place: Int[np.ndarray, " target"] | None,
    shown: files.Images,
) -> Iterator[Finding]:
    still = 0

    def read() -> np.ndarray:
        nonlocal still
        # Without a mask or images, what can be read is that there is a table.
        own = files.any_responses(path)
        columns = own.shape[1] if place is None else len(place)
        rows = len(shown.ids) or own.shape[0]
        values = files.responses_of(path, columns, rows, files.image_folder(folder, part))
        for row in np.unique(np.linspace(0, len(values) - 1, LOOKED_AT).astype(int)):
            odd = int((~np.isfinite(values[row])).sum())
            if odd:
                raise DataError(f"{path}: {odd} responses of row {row} are NaN or infinite")
        still = _still(values)
        if still and still == values.shape[1]:
            raise DataError(f"{path}: none of the {still} vertices ever varies: get it again")
        return values

    values, wrong = tried(path, read)
    yield from wrong
    if values is not None:
        told = f"{values.shape[0]} images × {values.shape[1]} vertices, {values.dtype}"
        told += f"; {still} vertices never vary" if still else ""
        yield Finding("there", str(path), told)


def _still(values: np.ndarray) -> int:
    """How many columns never vary; all rows are read only where some seem not to."""
    rows = np.unique(np.linspace(0, len(values) - 1, LOOKED_AT).astype(int))
    same = np.ones(values.shape[1], dtype=bool)
    for row in rows if len(values) > 1 else ():
        same &= values[row] == values[0]
    if len(values) < 2 or not same.any():
        return 0
    for start in range(0, len(values), LOOKED_AT):
        same &= (values[start : start + LOOKED_AT] == values[0]).all(axis=0)
        if not same.any():
            break
    return int(same.sum())


def _names_found(folder: Path, name: str) -> list[Finding]:
    path = masks.mapping_file(folder, name)
    table, wrong = tried(path, lambda: masks.label_names(folder, name))
    if wrong:
        return wrong
    if not path.is_file():
        return [Finding("missing", str(path), "no names of labels; those of the release are used")]
    usual = dict(enumerate(masks.CLASSES[name], 1))
    if table != usual:
        told = f"labels are named {some((table or {}).values(), 9)}, not as in the release"
        return [Finding("there", str(path), told)]
    return []


def _agreement(
    folder: Path, side: str, name: str, place: Int[np.ndarray, " target"]
) -> list[Finding]:
    """Whether both spaces of a class say the same, where both are there."""
    own = masks.class_file(folder, side, name)
    whole = masks.class_file(folder, side, name, "fsaverage")
    if not whole.is_file():
        return []
    found, wrong = tried(whole, lambda: masks.read_labels(whole, masks.FSAVERAGE))
    if wrong or found is None or not own.is_file():
        return wrong
    mine, wrong = tried(own, lambda: masks.read_labels(own, len(place)))
    if wrong or mine is None:
        return wrong
    differ = int((found[place] != mine).sum())
    if differ:
        told = f"{differ} of {len(place)} vertices have another label than in {whole.name}"
        return [Finding("wrong", str(own), told)]
    return []


def _strange(folder: Path, path: Path, name: str, values: np.ndarray) -> list[Finding]:
    table, wrong = tried(path, lambda: masks.label_names(folder, name))
    if table is None or wrong:
        return []
    odd = sorted(set(np.unique(values).tolist()) - {0, *table})
    if not odd:
        return []
    return [
        Finding("wrong", str(path), f"label {some(odd)} has no name; {name} has {some(table, 9)}")
    ]
