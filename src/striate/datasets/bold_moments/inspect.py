"""A copy of BOLD Moments gone through file by file: what is there, missing or wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from striate.datasets.bold_moments import shown
from striate.datasets.bold_moments.files import (
    REPEATS,
    SURFACES,
    TEST,
    TRAIN,
    WHOLE,
    Arrays,
    Layout,
    read_betas,
    read_ceiling,
    read_region,
    read_voxels,
    region_of,
)
from striate.datasets.bold_moments.marks import Marks, marks_of, never_vary
from striate.datasets.facts import Finding, tried
from striate.errors import some
from striate.media.files import MEMBER

MOST_BOXES = 1000
"""Boxes of an .mp4 that are looked at; films of three seconds have a handful."""


def findings(
    layout: Layout,
    people: Sequence[str],
    roots: Sequence[Path],
    films: str | Path,
    annotated: str | Path,
) -> Iterator[Finding]:
    """What is found, subject by subject, then of the films and their annotations."""
    told: dict[Path, tuple[int, int]] = {}
    for subject in people:
        if not (layout.home / subject).is_dir():
            yield Finding("missing", str(layout.home / subject), "no responses of this subject")
        elif layout.space == "MNI152":
            yield from _regions(layout, subject, told)
        else:
            yield from _surface(layout, subject, told)
    usual = Counter(told.values()).most_common(1)[0][0] if told else (TRAIN, TEST)
    yield from _counted(told, usual)
    yield from _films(roots, films, usual)
    annotations = shown.annotation_file(roots, annotated)
    if annotations is None:
        where = " or ".join(shown.TABLES)
        yield Finding("missing", where, "films have no text and no labels without it")
        return
    found, wrong = tried(annotations, lambda: shown.read_annotations(annotations))
    yield from wrong
    if found is not None:
        yield Finding("there", str(annotations), f"annotations of {len(found)} films")
        lost = [f"{n:04d}" for n in _wanted(usual) if f"{n:04d}" not in found]
        if lost:
            yield Finding("missing", str(annotations), f"no annotations of films {some(lost)}")


def _regions(layout: Layout, subject: str, told: dict[Path, tuple[int, int]]) -> Iterator[Finding]:
    files = layout.region_files(subject)
    right: dict[str, Arrays] = {}
    marks: dict[str, Marks] = {}
    for name, path in files.items():
        arrays, wrong = tried(path, partial(read_region, path))
        yield from wrong
        if arrays is None:
            continue
        told[path] = (len(arrays["train"]), len(arrays["test"]))
        missing = sum(int(np.isnan(arrays[p]).sum()) for p in REPEATS)
        if missing:
            yield Finding("missing", str(path), f"{missing} responses are NaN")
        yield from _still(path, arrays)
        yield from _voxels(layout, subject, name, arrays)
        marks[name] = marks_of(arrays, layout.index_file(subject, name))
        right[name] = {"ceiling": arrays["ceiling"]} if "ceiling" in arrays else {}
    place = str(layout.home / subject)
    if right:
        told_of = f"{len(right)} region files ({some(right, 6)})"
        yield Finding("there", place, f"{told_of}; {_unit(right)}")
    else:
        yield Finding("missing", place, "no region file that can be read")
    if "WB" in marks:
        for name in [n for n in marks if n != "WB"]:
            yield from _against(files[name], marks[name], files["WB"], marks["WB"])
    yield from _absent(layout, subject, files)
    for path in layout.strangers(subject):
        yield Finding("wrong", str(path), "no region file is called this; it is not read")


def _still(path: Path, arrays: Arrays) -> Iterator[Finding]:
    """Targets whose responses are all alike: a defect where no other is, else worth telling."""
    for part in [p for p in REPEATS if p in arrays]:
        still, count = int(never_vary(arrays[part]).sum()), arrays[part].shape[2]
        if still and still == count:
            told = f"responses of {part} never vary in any of {count} targets: get it again"
            yield Finding("wrong", str(path), told)
        elif still:
            told = f"responses of {part} never vary in {still} of {count} targets"
            yield Finding("there", str(path), told)


def _against(path: Path, own: Marks, place: Path, whole: Marks) -> Iterator[Finding]:
    """Whether a region file says the same of its voxels as the whole brain does."""
    same, differ, unknown = own.among(whole)
    if differ or (unknown and not same):
        told = f"{differ} of {same + differ + unknown} voxels have other responses than in"
        if not differ:
            told = f"none of its {unknown} voxels are found in"
        told = f"{told} {place.name}: another download, or rows or columns changed"
        yield Finding("wrong", str(path), told)
    elif unknown:
        told = f"{unknown} of {same + unknown} voxels are not in {place.name}"
        yield Finding("there", str(path), told)


def _absent(layout: Layout, subject: str, files: dict[str, Path]) -> Iterator[Finding]:
    """Region files that are missing: single hemispheres by name, the others in one line."""
    lost = [n for n in layout.names() if n not in files]
    for name in [n for n in lost if n not in WHOLE]:
        region = region_of(name, layout.version)[1]
        if layout.version == "B" and {"l": "r", "r": "l"}[name[0]] + region in files:
            path = layout.region_file(subject, name)
            yield Finding("missing", str(path), f"{region} has one hemisphere only")
            lost.remove(name)
    if lost:
        told = f"no files of {some(lost, 50)}; some subjects lack some regions"
        yield Finding("missing", str(layout.home / subject), told)


def _voxels(layout: Layout, subject: str, name: str, arrays: Arrays) -> Iterator[Finding]:
    path = layout.index_file(subject, name)
    if layout.version == "A" or not path.is_file():
        return
    found, wrong = tried(path, lambda: read_voxels(path))
    yield from wrong
    there = arrays["train"].shape[2]
    if found is not None and len(found["voxels"]) != there:
        told = f"names {len(found['voxels'])} voxels, but the region file has {there}"
        yield Finding("wrong", str(path), told)


def _surface(layout: Layout, subject: str, told: dict[Path, tuple[int, int]]) -> Iterator[Finding]:
    count = SURFACES[layout.space]
    meaning = {"train": "nothing can be learned of it", "test": "its test is hidden"}
    for side in layout.sides():
        films = {}
        for part in REPEATS:
            path = layout.betas_file(subject, part, side)
            if not path.is_file():
                yield Finding("missing", str(path), meaning[part])
                continue
            found, wrong = tried(path, partial(read_betas, path, part, count))
            yield from wrong
            if found is not None:
                films[part] = len(found["films"])
                yield from _still(path, found)
                yield Finding("there", str(path), f"{films[part]} films × {count} targets")
        if len(films) == len(REPEATS):
            told[layout.betas_file(subject, "train", side)] = (films["train"], films["test"])
        path = layout.ceiling_file(subject, side)
        if path.is_file():
            read: Callable[[], Arrays] = partial(read_ceiling, path, count)
            found, wrong = tried(path, read)
            yield from wrong
            if found is not None:
                yield Finding("there", str(path), _unit({side: found}))
        else:
            yield Finding("missing", str(path), "ceilings are computed from the test repeats")


def _unit(right: dict[str, Arrays]) -> str:
    """In which unit noise ceilings are carried."""
    carried = [a["ceiling"] for a in right.values() if "ceiling" in a and a["ceiling"].size]
    if not carried:
        return "no noise ceilings: they are computed from the test repeats"
    most = max(float(np.nanmax(c)) for c in carried)
    return f"noise ceilings in {'percent' if most > 1 else 'fractions'}, up to {most:.4g}"


def _counted(told: dict[Path, tuple[int, int]], usual: tuple[int, int]) -> Iterator[Finding]:
    for path, count in told.items():
        if count != usual:
            yield Finding(
                "wrong",
                str(path),
                f"{count[0]} films to learn from and {count[1]} of the test, where other files"
                f" have {usual[0]} and {usual[1]}",
            )
    if usual != (TRAIN, TEST):
        there = f"{usual[0]} of {TRAIN} films to learn from and {usual[1]} of {TEST} of the test"
        yield Finding("missing", "responses", f"there are those to {there}")


def _films(roots: Sequence[Path], named: str | Path, usual: tuple[int, int]) -> Iterator[Finding]:
    place = str(named) or shown.PLACES[0]
    files, wrong = tried(place, lambda: shown.film_files(roots, named))
    yield from wrong
    if files is None:
        return
    if not files:
        yield Finding("missing", place, "films are needed where features are made of them")
        return
    right = 0
    for file in files.values():
        told = _damaged(file)
        if told:
            yield Finding("wrong", file, told)
        right += not told
    yield Finding("there", str(Path(next(iter(files.values()))).parent), f"{right} films")
    lost = [f"{n:04d}.mp4" for n in _wanted(usual) if n not in files]
    if lost:
        yield Finding("missing", place, f"{some(lost)}: they have responses, but no features")


def _wanted(usual: tuple[int, int]) -> list[int]:
    """Numbers of the films that there are responses to."""
    return [*range(1, usual[0] + 1), *range(TRAIN + 1, TRAIN + usual[1] + 1)]


def _damaged(file: str) -> str:
    """What is wrong with the boxes that an .mp4 is made of; nothing of them is decoded."""
    if MEMBER in file or not file.lower().endswith(".mp4"):
        return ""
    boxes: list[bytes] = []
    size, start = Path(file).stat().st_size, 0
    with Path(file).open("rb") as stream:
        while start + 8 <= size and len(boxes) < MOST_BOXES:
            stream.seek(start)
            length, box = int.from_bytes(stream.read(4), "big"), stream.read(4)
            if length == 1:
                length = int.from_bytes(stream.read(8), "big")
            elif length == 0:
                length = size - start
            boxes.append(box)
            if length < 8 or start + length > size:
                return f"it is cut or damaged: it has {size} bytes, but claims {start + length}"
            start += length
    return "" if b"ftyp" in boxes[:1] and b"moov" in boxes else "it is empty or no .mp4"
