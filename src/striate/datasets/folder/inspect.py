"""What is there, missing or wrong in a folder of one's own data, file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from striate.data import Responses, in_pieces, stays_on_disk
from striate.datasets.facts import Finding, tried
from striate.datasets.folder.brain_files import mask_of, name_of, open_part, regions
from striate.datasets.folder.tables import read_table
from striate.errors import some
from striate.files.brains import kind_of
from striate.media import film_facts, is_film, is_sound, open_image, sound_rate

if TYPE_CHECKING:
    from striate.datasets.folder import Folder


def findings(folder: Folder) -> Iterator[Finding]:
    """Stimuli, tables, responses, masks and regions; one thing wrong does not hide the others."""
    root, wrong = tried(Path(folder.path), folder._root)
    yield from wrong
    if root is None:
        return
    yield from _shown(folder, root)
    for name, stem in ((folder.stimulus_table, "stimuli"), (folder.target_table, "targets")):
        yield from _table(folder, root, name, stem)
    lines, wrong = tried(root / "stimuli.csv", folder._lines)
    yield from wrong
    if lines is not None:
        yield from tried(lines[1], folder.stimuli)[1]
    files, wrong = tried(root / "responses", folder._response_files)
    yield from wrong
    for subject, own in (files or {}).items():
        yield from _responses(folder, subject, own, lines)


def _shown(folder: Folder, root: Path) -> Iterator[Finding]:
    found, wrong = tried(root / "images", folder._image_files)
    yield from wrong
    if found is None:
        return
    files, place = found
    kinds: Counter[str] = Counter()
    for file in files:
        kind, wrong = tried(file, lambda f=file: _kind(f))  # type: ignore[misc]
        yield from wrong
        if kind == "silent":
            yield Finding("wrong", file, "holds no sound")
        elif kind:
            kinds[kind] += 1
    if files:
        counted = ", ".join(f"{n} {k}s" for k, n in kinds.items())
        yield Finding("there", str(place), counted or "nothing that can be read")
    else:
        told = "no images, films or sounds, so features must come from elsewhere"
        yield Finding("missing", str(place), told)


def _kind(file: str) -> str:
    if is_film(file):
        film_facts(file)
        return "film"
    if is_sound(file):
        return "sound" if sound_rate(file) else "silent"
    open_image(file)
    return "image"


def _table(folder: Folder, root: Path, name: str | Path, stem: str) -> Iterator[Finding]:
    asked = str(name) or f"{stem}.csv"
    found, wrong = tried(root / asked, lambda: folder._table(name, stem))
    yield from wrong
    if found is None:
        return
    table, file = found
    if table is None or file is None:
        told = {
            "stimuli": "no table, so rows pair with stimuli in natural order",
            "targets": "no table, so targets have no regions, hemispheres or ceilings of their own",
        }
        yield Finding("missing", str(root / asked), told[stem])
    elif not len(read_table(file)):
        yield Finding("wrong", str(file), "has no line below its headings")
    else:
        yield Finding("there", str(file), f"{len(table)} lines: {some(table.columns, 8)}")


def _responses(
    folder: Folder, subject: str, files: tuple[Path, ...], lines: tuple[pd.DataFrame, str] | None
) -> Iterator[Finding]:
    sound = True
    for file in files if kind_of(files[0]) else ():
        for finding in _brain(folder, subject, file):
            sound &= finding.kind != "wrong"
            yield finding
        if name_of(file)[1] and len(files) == 1:
            other = {"lh": "rh", "rh": "lh"}[name_of(file)[1]]
            yield Finding("missing", str(file), f"there is no {other} beside this hemisphere")
    if not sound:
        return
    if lines is None:  # what the rows answer to is unknown, but the file can be looked at
        yield from tried(files[0], lambda: folder._array(subject, files))[1]
        return
    blocks, wrong = tried(files[0], lambda: folder._opened(subject, *lines))
    yield from wrong
    for name, block in (blocks or {}).items():
        read, wrong = tried(files[0], lambda b=block: _gone_through(b))  # type: ignore[misc]
        yield from wrong
        if read is not None:
            shape = " × ".join(map(str, block.shape))
            where = ", on disk" if stays_on_disk(block) else ""
            told = f"{name}: {shape} ({', '.join(map(str, block.dims))}), {read} missing{where}"
            yield Finding("there", " + ".join(map(str, files)), told)


def _gone_through(block: Responses) -> int:
    """Missing values; what is read is checked on the way."""
    counts = [int(np.isnan(part.values).sum()) for part in in_pieces(block)]
    return sum(counts)


def _brain(folder: Folder, subject: str, file: Path) -> Iterator[Finding]:
    """A brain file, its mask and its regions, each by itself."""
    given = None
    if str(folder.mask):
        given, wrong = tried(str(folder.mask), lambda: folder._find(folder.mask, "mask"))
        yield from wrong
    mask = mask_of(file, given)
    part, wrong = tried(file, lambda: open_part(file, mask, folder._meshes(subject)))
    if wrong and mask is not None:
        # Which of the two it is tells the message; the file alone tells whether it is sound.
        blamed = mask if str(mask) in wrong[0].told.partition(":")[0] else file
        wrong = [Finding("wrong", str(blamed), wrong[0].told)]
    yield from wrong
    if part is None:
        return
    if mask is not None:
        yield Finding("there", str(mask), f"{len(part.places)} of {part.maps.places} places")
    rois, wrong = tried(str(folder.rois), lambda: folder._regions(subject))
    yield from wrong
    for one in rois or []:
        found, wrong = tried(one, lambda o=one: regions(part, [o]))  # type: ignore[misc]
        yield from wrong
        if found is not None and len(found.columns):
            told = [f"{c.removeprefix('roi:')} {int(n)}" for c, n in found.sum().items()]
            yield Finding("there", str(one), f"targets of {file.name}: {some(told, 8)}")
