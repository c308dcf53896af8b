"""A copy of the 2021 challenge, gone through file by file: what is there, missing and wrong."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from striate.datasets.algonauts2021.files import Pickled, doubled, located, opened
from striate.datasets.algonauts2021.tree import (
    CLIPS,
    FILMS,
    HIDDEN,
    ROIS,
    SUBJECTS,
    Tree,
    clip,
    numbered,
)
from striate.datasets.algonauts2021.voxels import affine_of
from striate.datasets.facts import Finding, tried
from striate.errors import StriateError, some
from striate.machine import here
from striate.media import FilmFacts, film_facts

REPEATS = 3
Files = dict[tuple[str, str, str], Pickled]
"""Track, subject and region → what its file holds."""


def inspect(tree: Tree) -> Iterator[Finding]:
    """Every file of the layout; it goes on after what is wrong.

    Raises
    ------
    FileError
        When nothing of the challenge is there.

    """
    tree.check()
    files: Files = {}
    for track in ROIS:
        yield from _pickles(tree, track, files)
    known, found = _shapes(files)
    yield from found
    yield from _regions(files)
    yield from _films(tree, known)
    yield from _example(tree)


def _pickles(tree: Tree, track: str, files: Files) -> Iterator[Finding]:
    """The responses of a track; what can be read is put into `files`."""
    folder = tree.people / f"{track}_track"
    if not tree.subjects(track):
        yield Finding("missing", str(folder), f"no responses: the {track} track cannot be used")
        return
    lost = [s for s in SUBJECTS if s not in tree.subjects(track)]
    if lost:
        yield Finding("missing", str(folder), f"{some(lost, 10)}: no submission without them")
    good = []
    for subject in tree.subjects(track):
        for roi in ROIS[track]:
            path = tree.file(track, subject, roi)
            if not path.is_file():
                told = "a region less" if track == "mini" else "no whole brain of this subject"
                yield Finding("missing", str(path), f"{told}, and no submission")
                continue
            file, wrong = tried(path, partial(opened, path, roi == "WB"))
            yield from wrong
            if file is not None:
                files[track, subject, roi] = file
                good.append(file)
    if good:
        voxels = sum(f.count for f in good)
        yield Finding("there", str(folder), f"{len(good)} files, {voxels:,} voxels")


def _shapes(files: Files) -> tuple[int, list[Finding]]:
    """How many clips most files have, and which files have others."""
    if not files:
        return 0, []
    shapes = [(f.clips, f.repeats) for f in files.values()]
    usual = max(set(shapes), key=shapes.count)
    found = []
    for file in files.values():
        if (file.clips, file.repeats) != usual:
            told = f"{file.clips} clips × {file.repeats} repeats, but most files have"
            told += f" {usual[0]} × {usual[1]}"
            found.append(Finding("wrong", str(file.file), told))
            continue
        blank = int(_blank(file))
        if blank:
            told = f"{blank} responses are NaN in every repeat"
            found.append(Finding("wrong", str(file.file), told))
        still = int((~file.series.any(axis=1)).sum())
        if still:
            found.append(Finding("wrong", str(file.file), f"{still} voxels never vary"))
    if usual[1] != REPEATS:
        told = f"{usual[1]} repeats of each clip, but the challenge has {REPEATS}"
        found.append(Finding("wrong", str(next(iter(files.values())).file), told))
    return usual[0], found


def _blank(file: Pickled) -> int:
    """Responses without any repeat."""
    values = file.values
    step = max(1, (1 << 24) // max(1, values[:1].size))
    pieces = range(0, len(values), step)
    return sum(int(np.isnan(values[a : a + step]).all(axis=1).sum()) for a in pieces)


def _regions(files: Files) -> Iterator[Finding]:
    """Whether voxels of the mini track are found in the whole brain, each once."""
    found = 0
    for (track, subject, roi), file in files.items():
        if track != "mini":
            continue
        twice = doubled(file.series)
        if twice:
            told = f"{twice} voxels have the series of another one in this file"
            yield Finding("wrong", str(file.file), told)
        whole = files.get(("full", subject, "WB"))
        if whole is None or whole.clips != file.clips:
            continue
        lost = int((located(file.series, whole.series) < 0).sum())
        found += file.count - lost
        if lost:
            told = f"{lost} of {file.count} voxels are not found in {whole.file}"
            yield Finding("wrong", str(file.file), told + ": another download, or columns changed")
        if len(doubled_rows := _shared_with_others(files, subject, roi, file)):
            yield Finding("there", str(file.file), f"shares voxels with {some(doubled_rows, 9)}")
    if found:
        yield Finding("there", "mini_track", f"{found:,} voxels found in the whole brain")


def _shared_with_others(files: Files, subject: str, roi: str, file: Pickled) -> list[str]:
    """Regions before this one that have voxels of it."""
    others = []
    for name in ROIS["mini"][: ROIS["mini"].index(roi)]:
        other = files.get(("mini", subject, name))
        if other is not None and (located(file.series, other.series) >= 0).any():
            others.append(name)
    return others


def _films(tree: Tree, known: int) -> Iterator[Finding]:
    folder = tree.film_folder()
    if folder is None:
        yield Finding("missing", FILMS, "no clips: only features from elsewhere can be used")
        return
    files, wrong = tried(folder, lambda: numbered(folder))
    yield from wrong
    if files is None:
        return
    total = CLIPS if known == CLIPS - HIDDEN else max(files, default=0)
    lost = [clip(n) for n in range(1, max(total, known) + 1) if n not in files]
    if lost:
        told = f"{len(lost)} clips are missing ({some(lost)}): nothing is extracted of them"
        yield Finding("missing", str(folder), told)
    if known and total <= known:
        yield Finding("missing", str(folder), f"no clips behind {clip(known)}: nothing to predict")
    odd = [n for n in files if n > total]
    if odd:
        yield Finding("wrong", str(files[odd[0]]), f"number {odd[0]}, but there are {total} clips")
    with ThreadPoolExecutor(max(1, here().threads)) as pool:
        looked = list(pool.map(_look, files.values()))
    good = [facts for facts in looked if isinstance(facts, FilmFacts)]
    yield from (f for f in looked if isinstance(f, Finding))
    if good:
        slow = sum(f.rate < 24.5 for f in good)
        told = f"{len(good)} clips, {slow} below 25 frames per second"
        yield Finding("there", str(folder), told)


def _look(path: Path) -> FilmFacts | Finding:
    try:
        facts = film_facts(str(path))
    except StriateError as error:
        return Finding("wrong", str(path), str(error))
    if not 1 <= facts.seconds <= 10:
        return Finding("wrong", str(path), f"{facts.seconds:.1f} s long, but clips have about 3 s")
    return facts


def _example(tree: Tree) -> Iterator[Finding]:
    path = tree.example()
    if path is None:
        yield Finding("missing", "example.nii", "voxels have no coordinates in millimetres")
        return
    affine, wrong = tried(path, lambda: affine_of(path))
    yield from wrong
    if affine is not None:
        yield Finding("there", str(path), "the affine of the volume that voxels lie in")
