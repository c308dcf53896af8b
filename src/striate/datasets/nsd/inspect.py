"""A copy of the Natural Scenes Dataset gone through file by file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from striate.datasets.facts import Finding, tried
from striate.datasets.nsd import design as nsd_design
from striate.datasets.nsd.betas import Sessions, header_of, session_files
from striate.datasets.nsd.dataset import Nsd, number_of
from striate.datasets.nsd.places import (
    CHALLENGE,
    CLASSES,
    Places,
    Region,
    challenge_places,
    labels_of,
    ncsnr_of,
    places_of,
    root_region,
)
from striate.errors import DataError, some
from striate.files import open_hdf5
from striate.media import read_bytes

LOOKED_AT = 16
"""Targets of which all trials of a session are read."""
LARGEST_PACKED = 1 << 28
"""Bytes of a compressed file that is gone through; of larger ones the header is read."""


def findings(nsd: Nsd) -> Iterator[Finding]:
    """What is there, what is missing and what is wrong, in the space that is asked for."""
    told: set[Finding] = set()
    for one in _all(nsd):
        # Subjects share what lies on fsaverage.
        if one not in told:
            told.add(one)
            yield one


def _all(nsd: Nsd) -> Iterator[Finding]:
    root = nsd.root()
    file = nsd.experiment_file("design")
    design = None
    if file.is_file():
        design, wrong = tried(file, lambda: nsd_design.read_design(file))
        yield from wrong
    else:
        yield Finding("missing", str(file), "who saw what is not known, so nothing can be used")
    if design is not None:
        told = f"{len(design.lists)} subjects, {len(design.order)} trials"
        yield Finding("there", str(file), f"{told}, {len(design.shared)} shared pictures")
    yield from _pictures(nsd, design)
    yield from _words(nsd, design)
    place = root / "nsddata_betas/ppdata"
    people = nsd.subjects or sorted(p.name for p in place.glob("subj*") if p.is_dir())
    if not people:
        yield Finding("missing", str(place), "holds no subj01 …: there are no responses")
    for subject in people:
        yield from _subject(nsd, subject, design)


def _pictures(nsd: Nsd, design: nsd_design.Design | None) -> Iterator[Finding]:
    file = nsd.picture_file()
    if not file.is_file():
        told = "pictures cannot be looked at; features that are arrays can be used"
        yield Finding("missing", str(file), told)
        return
    least = int(design.lists.max()) + 1 if design is not None else 1

    def count() -> int:
        with open_hdf5(file) as opened:
            array = opened.get("imgBrick")
            shape = getattr(array, "shape", None)
            if shape is None or len(shape) != 4 or shape[3] != 3 or array.dtype != np.uint8:
                raise DataError(
                    f"{file} must hold `imgBrick`, 8 bits over (picture, row, column, 3), but holds"
                    f" {some([f'{n} {d}' for n, d in opened.items()]) or 'nothing'}"
                )
            if shape[0] < least:
                raise DataError(f"{file} holds {shape[0]} pictures, but the design shows {least}")
        for k in np.unique(np.linspace(0, shape[0] - 1, 9).astype(int)).tolist():
            read_bytes(f"{file}::imgBrick/{k}.ppm")
        return int(shape[0])

    found, wrong = tried(file, count)
    yield from wrong
    if found is not None:
        yield Finding("there", str(file), f"{found} pictures")


def _words(nsd: Nsd, design: nsd_design.Design | None) -> Iterator[Finding]:
    file = nsd.experiment_file("info")
    if not file.is_file():
        yield Finding("missing", str(file), "captions cannot be joined")
        return
    coco, wrong = tried(file, lambda: nsd_design.coco_of(file))
    yield from wrong
    if coco is None:
        return
    shown = np.unique(design.lists).tolist() if design is not None else list(coco)
    lost = [p for p in shown if p not in coco]
    if lost:
        told = f"has no line of nsdId {some(lost)}, which subjects saw"
        yield Finding("wrong", str(file), told)
    else:
        yield Finding("there", str(file), f"{len(coco)} pictures and where they come from")
    for one in nsd.captions:
        said, wrong = tried(one, partial(nsd_design.read_captions, [one], coco, shown))
        yield from wrong
        if said is not None:
            told = f"captions of {sum(map(bool, said))} of {len(shown)} pictures"
            yield Finding("there", one, told)


def _subject(nsd: Nsd, subject: str, design: nsd_design.Design | None) -> Iterator[Finding]:
    folder = nsd.folder(subject)
    files = {side: session_files(folder, side) for side in nsd.sides()}
    known = sorted({s for found in files.values() for s in found} | set(nsd.sessions))
    if not known:
        told = f"no responses of {subject} in {nsd.space}"
        yield Finding("missing", str(folder), told)
        return
    if design is not None:
        _, wrong = tried(folder, lambda: design.shown(number_of(subject)))
        yield from wrong
    # Sessions that no hemisphere has may not have been downloaded; gaps are told all the same.
    wanted = nsd.sessions or range(1, known[-1] + 1)
    for side, found in files.items():
        for session in wanted:
            if session not in found:
                near = next(iter(found.values()), Path("betas_session01.mgh")).name
                kind = near[near.index("session") + len("session01") :]
                name = f"{side}{'.' if side else ''}betas_session{session:02d}{kind}"
                told = "its trials cannot be used" if session not in known else (
                    "the other hemisphere has this session")  # fmt: skip
                yield Finding("missing", str(folder / name), told)
        yield from _side(nsd, subject, side, found, design)


def _side(
    nsd: Nsd, subject: str, side: str, files: dict[int, Path], design: nsd_design.Design | None
) -> Iterator[Finding]:
    headers: dict[int, tuple[int, tuple[int, ...]]] = {}
    for session, file in files.items():
        header, wrong = tried(file, partial(header_of, file))
        yield from wrong
        if header is not None:
            headers[session] = header
    if not headers:
        return
    # What most sessions agree on is taken to be right.
    found = list(headers.values())
    usual = max(dict.fromkeys(found), key=found.count)
    region = root_region(nsd.root(), subject, nsd.space, side)
    places, told = _mask(nsd, subject, region, usual[1])
    yield from told
    yield from _classes(nsd, region, usual[1])
    yield from _ratios(nsd, subject, side, places)
    fine = 0
    for session, header in headers.items():
        file = files[session]
        if header != usual:
            yield Finding(
                "wrong",
                str(file),
                f"holds {header[0]} trials over {header[1]}, but others {usual[0]} over {usual[1]}",
            )
        elif design is not None and session * header[0] > len(design.order):
            yield Finding(
                "wrong",
                str(file),
                f"would end at trial {session * header[0]} of {len(design.order)} in the design",
            )
        else:
            _, wrong = tried(file, partial(_looked_at, session, files, places, usual))
            yield from wrong
            fine += not wrong
    if fine:
        kinds = "".join(sorted({f.name.partition(".betas")[0] for f in files.values() if side}))
        told_of = f"{fine} sessions of {usual[0]} trials over {' × '.join(map(str, usual[1]))}"
        yield Finding("there", str(nsd.folder(subject)), f"{kinds} {told_of}".strip())


def _looked_at(
    session: int,
    files: dict[int, Path],
    places: Places | None,
    usual: tuple[int, tuple[int, ...]],
) -> None:
    """Read a few targets of the mask through all trials, and see that they change."""
    file, (trials, grid) = files[session], usual
    flat = places.flat if places is not None else np.arange(int(np.prod(grid)))
    some_of = flat[np.unique(np.linspace(0, len(flat) - 1, LOOKED_AT).astype(int))]
    if file.suffix in (".gz", ".mgz") and file.stat().st_size > LARGEST_PACKED:
        return
    values = Sessions({session: file}, some_of, trials, grid, zscore=False).gathered(session)
    still = int((~(np.ptp(values.astype(np.float64), axis=0) > 0)).sum())
    if places is not None and 2 * still > len(some_of):
        raise DataError(
            f"{file}: {still} of {len(some_of)} targets of the mask that were looked at never"
            " change, or are NaN: are mask and responses of one subject, with their axes in order?"
        )


def _mask(
    nsd: Nsd, subject: str, region: Region, grid: tuple[int, ...]
) -> tuple[Places | None, list[Finding]]:
    if not nsd.mask:
        return None, []
    if nsd.mask == CHALLENGE:
        own = Path(nsd.challenge).expanduser() / subject
        found, wrong = tried(own, partial(challenge_places, own, grid, region.side))
        if found is None:
            return None, wrong
        return found, [Finding("there", str(own), f"{len(found.flat)} vertices of 2023")]
    file = region.file(nsd.mask)
    if not file.is_file():
        return None, [Finding("missing", str(file), "the mask of the targets")]
    found, wrong = tried(file, lambda: places_of(region, grid, nsd.mask, None))
    if found is None:
        return None, wrong
    return found, [Finding("there", str(file), f"{len(found.flat)} targets in the mask")]


def _classes(nsd: Nsd, region: Region, grid: tuple[int, ...]) -> Iterator[Finding]:
    there, lost = [], []
    for name in nsd.rois or CLASSES:
        file = region.file(name)
        if not file.is_file():
            lost.append(name)
            continue
        found, wrong = tried(file, partial(labels_of, file, grid, region.side))
        yield from wrong
        names, bad = tried(region.tables[0], partial(region.names, name))
        yield from bad
        if found is None or names is None:
            continue
        strange = sorted(set(np.unique(found[0][found[0] > 0]).tolist()) - set(names))
        if names and strange:
            told = f"has label {some(strange)}, but {name}.mgz.ctab names {some(names, 12)}"
            yield Finding("wrong", str(file), told)
            continue
        if not names:
            told = f"has no table of names ({name}.mgz.ctab) in {some(region.tables)}"
            yield Finding("missing", str(file), told)
        there.append(name)
    if there:
        yield Finding("there", str(region.folder), f"regions {', '.join(there)} {region.side}")
    if lost:
        yield Finding("missing", str(region.folder), f"regions {', '.join(lost)} {region.side}")


def _ratios(nsd: Nsd, subject: str, side: str, places: Places | None) -> Iterator[Finding]:
    if places is None:
        return
    folder = nsd.folder(subject)
    begin = f"{side}.ncsnr" if side else "ncsnr"
    file = next((f for f in sorted(folder.glob(f"{begin}.*"))), folder / begin)
    found, wrong = tried(file, lambda: ncsnr_of(folder, places, side))
    yield from wrong
    if found is not None:
        yield Finding("there", str(file), f"median {np.median(found):.2f} in the mask")
    elif not wrong:
        yield Finding("missing", str(file), "ceilings are not known")
