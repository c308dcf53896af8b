"""Your own data: images, films or sounds and responses, paired by label or natural order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
import xarray as xr

from striate.data import (
    Opened,
    Responses,
    Stimuli,
    assemble,
    by_subject,
    check_responses,
    natural_key,
)
from striate.datasets.facts import Facts, Finding
from striate.datasets.folder.axes import arrange
from striate.datasets.folder.brain_files import by_name, mask_of, open_brain
from striate.datasets.folder.shown import expected, lines_of, pair, stimuli_of
from striate.datasets.folder.tables import grouped, read_table, target_labels
from striate.datasets.opened import open_array
from striate.errors import DataError, FileError, some, unknown
from striate.files import READERS
from striate.files.brains import KINDS, kind_of
from striate.interfaces import Dataset
from striate.media import list_media
from striate.media.files import FILMS, SOUNDS, SUFFIXES
from striate.splits import KFold, Parts, Split

MACHINE = {"machine": True}
PLACES = ("images", "clips", "videos", "sounds", "stimuli")
"""Where stimuli are looked for."""
TREE = """
images/              images in natural order, or images.zip; also clips/, videos/, sounds/, stimuli/
responses.npy        (stimulus, target); also .npz .mat .nc .h5 .csv .tsv, .nii.gz .mgh .gii
[responses/]         instead, one file per subject: sub01.npy, sub02.nii.gz, lh.sub03.mgh …
  [sub02_mask.nii.gz]  which voxels are targets
[rois/]              regions of brain files: V1.nii.gz, lh.streams.mgz with streams.mgz.ctab
[stimuli.csv]        a line per row of responses
[targets.csv]        a line per target
"""


@dataclass(frozen=True)
class Folder(Dataset):
    r"""A user's own images, films or sounds, and responses.

    The simplest layout is `images/` beside `responses.npy` of shape (stimulus, target): images in
    natural order (``im2`` before ``im10``) pair with rows in order, and the counts must be equal.
    Films and sounds may lie in `images/` as well, or in `clips/`, `videos/`, `sounds/` or
    `stimuli/`. A stimulus is named by the stem of its file; where stems clash (`clips/a.mp4`,
    `sounds/a.wav`) by its path. `stimuli.csv` and `targets.csv` replace order by labels. Other
    paths are looked for in `path` first, then from the current directory.

    Parameters
    ----------
    path
        The folder.
    images
        Folder or .zip of images, films and sounds; default those of `images/`, `clips/`,
        `videos/`, `sounds/` and `stimuli/` (or `images.zip` and so on) that are in `path`, or
        `path` itself. May be absent where features come from elsewhere.
    response_file
        Default `responses.*` in `path`, or the folder `responses/` with one file per subject,
        named like the subject. Of brain files volumes, frames or rows are the rows: `.nii` and
        `.nii.gz` (with a mask), CIFTI, `.mgh`, `.mgz` and `.gii`, where `lh.sub01.mgh` and
        `rh.sub01.mgh` (or ``hemi-L``, ``hemi-R``) belong together. Their targets are named by
        place: ``v012_034_021`` (i, j, k), ``lh.012345``. What is large stays on disk: `.npy`,
        `.h5`, `.nii`, `.mgh`.
    mask
        Brain file of one map: where it is not 0, there are targets. Default `SUBJECT_mask.*` or
        `mask.*` beside the responses. `lh.…` stands for both hemispheres.
    rois
        Folder of brain files with labels of regions over the same places, for all subjects, or in
        a folder of each. Names of labels are in the file (GIFTI, CIFTI) or in a colour table beside
        it (`lh.streams.mgz.ctab`, `streams.ctab`); without names the file's own is the region's.
    surfaces
        Where vertices lie: ``fsaverage5``, or a folder with `lh.pial` and `rh.pial` (or `surf/`, or
        such a folder for each subject). Their x, y, z in mm become labels, as those of voxels do.
    variable
        The array's name inside .npz, .mat, .nc or .h5, where there are several.
    axes
        The array's axes in order, such as ``("target", "stimulus")`` or ``("stimulus", "target",
        "repeat")``; for .mat as MATLAB shows them. NaN along ``repeat`` is a missing repeat;
        ``time`` becomes a label of the targets. Default: stimulus, target.
    times
        Labels of the axis ``time`` in seconds (or what you count in): one for each sample, or the
        first one and the step, such as ``(-0.1, 0.01)``. Default: numbers from 0.
    stimulus_table
        Default `stimuli.csv` (or .tsv): one line per row of responses, with any of ``file`` and
        ``id`` (one is needed), ``row`` (place in the array from 0; else the order of lines),
        ``subject`` (whose row), ``part`` (train, test; a test line without responses is a hidden
        test), ``group`` (never parted by a split), ``onset`` and ``duration`` (seconds, of a piece
        of a longer film or sound), ``text`` (words shown or said), ``movie`` and ``index`` (place
        of a piece in its film), and labels of your own.
    target_table
        Default `targets.csv` (or .tsv): one line per target, with any of ``target`` (name),
        ``column`` (place in the array from 0), ``subject``, ``roi`` (several joined by ``;``) or
        booleans ``roi:NAME``, ``hemisphere``, ``x``, ``y``, ``z``, ``ceiling`` (fraction of
        variance, 0-1), ``time``.
    group
        Leak groups by rule: a column, ``regex:(.*)_v\d+`` (what is captured in the stimulus id)
        or ``pairs:300`` (stimuli k and k + 300 in natural order).
    missing
        ``keep`` accepts NaN responses; ``error`` counts and locates them (in what stays on disk
        whenever it is read).
    subject
        The name of a lone subject.

    """

    facts: ClassVar[Facts] = Facts(
        title="a folder of your own data",
        where="your own recordings; `striate twin folder --out DIR` writes an example",
        agreement="your own",
        size="any; what is large stays on disk",
        citation="none",
        tree=TREE,
    )

    path: str | Path = field(metadata=MACHINE)
    images: str | Path = field(default="", metadata=MACHINE)
    response_file: str | Path = field(default="", metadata=MACHINE)
    stimulus_table: str | Path = field(default="", metadata=MACHINE)
    target_table: str | Path = field(default="", metadata=MACHINE)
    mask: str | Path = field(default="", metadata=MACHINE)
    rois: str | Path = field(default="", metadata=MACHINE)
    surfaces: str | Path = field(default="", metadata=MACHINE)
    variable: str = ""
    axes: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    group: str = ""
    missing: Literal["error", "keep"] = "error"
    subject: str = "subject"

    def stimuli(self) -> Stimuli:
        """What was shown, in natural order of the ids."""
        lines, source = self._lines()
        return grouped(stimuli_of(lines, source), self.group)

    def responses(self) -> Mapping[str, Responses]:
        """Measurements by subject; rows and named targets in natural order of their labels."""
        (lines, source), files = self._lines(), self._response_files()
        table, table_file = self._table(self.target_table, "targets")
        _check_subjects(lines, files, source)
        several = len(files) > 1
        if table is not None and several:
            _check_subjects(table, files, str(table_file))
        if several and all(kind_of(f[0]) for f in files.values()):
            return Opened(
                list(files), lambda subject: self._opened(subject, lines, source)[subject]
            )
        return {n: b for one in files for n, b in self._opened(one, lines, source).items()}

    def _opened(self, subject: str, lines: pd.DataFrame, source: str) -> dict[str, Responses]:
        """Responses of a file, by subject: one, unless the table of targets names several."""
        files = self._response_files()
        table, table_file = self._table(self.target_table, "targets")
        file, mine, labels = files[subject][0], _of(lines, subject), None
        array = self._array(subject, files[subject])
        found = arrange(array, self.axes, expected(mine), file, source, self.times)
        if table is not None and table_file is not None:
            own = _of(table, subject) if len(files) > 1 else table
            labels = target_labels(own, table_file)
        found, targets = found.with_targets(labels, file, table_file)
        values, rows = pair(found, mine, file, source, self.missing == "keep")
        if "subject" not in targets or len(files) > 1:
            targets["subject"] = subject
        block = assemble(values, rows, targets)
        return {n: check_responses(one, str(file)) for n, one in by_subject(block).items()}

    def _array(self, subject: str, files: tuple[Path, ...]) -> xr.DataArray:
        """What the files of a subject hold, opened."""
        if not kind_of(files[0]):
            return open_array(files[0], self.variable)
        if self.axes not in ((), ("stimulus", "target")):
            raise DataError(
                f"{files[0]} is a brain file, whose maps are the rows: leave out dataset.axes="
                f"{','.join(self.axes)}"
            )
        given = self._find(self.mask, "mask") if str(self.mask) else None
        masks = {f: mask_of(f, given) for f in files}
        return open_brain(files, masks, self._regions(subject), self._meshes(subject))

    def _meshes(self, subject: str) -> str | Path:
        """What says where the vertices of a subject lie."""
        if str(self.surfaces) in ("", "fsaverage5"):
            return self.surfaces
        place = self._find(self.surfaces, "surfaces")
        return place / subject if (place / subject).is_dir() else place

    def _regions(self, subject: str) -> list[Path]:
        """Files of regions, for all subjects and for this one."""
        place = self._find(self.rois, "folder of regions") if str(self.rois) else None
        place = place or self._root() / "rois"
        folders = [f for f in (place, place / subject) if f.is_dir()]
        return [p for f in folders for p in sorted(f.iterdir()) if kind_of(p)]

    def split(self) -> Split:
        """The stimulus table's own parts; five folds where it sets no test aside."""
        lines = self._lines()[0]
        return Parts() if "part" in lines and (lines["part"] == "test").any() else KFold()

    def inspect(self) -> Iterator[Finding]:
        """What is there, missing and wrong, file by file."""
        from striate.datasets.folder import inspect

        return inspect.findings(self)

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0
    ) -> pd.DataFrame:
        """Write a made-up data set whose scores are known; see `twin.write`."""
        from striate.datasets.folder import twin

        return twin.write(Path(folder), size, seed)

    def _root(self) -> Path:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise FileError(f"no folder {root.absolute()}: dataset.path names the folder of data")
        return root

    def _find(self, name: str | Path, what: str) -> Path:
        """A path the user named, in `path` or from here."""
        root, named = self._root(), Path(name).expanduser()
        places = [root / named, named]
        for place in places:
            if place.exists():
                return place
        raise FileError(
            f"no {what} {name}: looked for {' and '.join(str(p.absolute()) for p in places)};"
            f" {root} holds {some(sorted(p.name for p in root.iterdir()), 8) or 'nothing'}"
        )

    def _image_files(self) -> tuple[list[str], Path]:
        root = self._root()
        if str(self.images):
            place = self._find(self.images, "images")
            return list_media(place), place
        named = [(root / name, root / f"{name}.zip") for name in PLACES]
        places = [
            next(p for p in pair if p.exists()) for pair in named if any(map(Path.exists, pair))
        ]
        if len(places) == 1:
            return list_media(places[0]), places[0]
        kinds = (*SUFFIXES, *FILMS, *SOUNDS)
        beside = [str(p) for p in root.iterdir() if p.suffix.lower() in kinds]
        found = [f for p in places for f in list_media(p)] if places else beside
        return sorted(found, key=natural_key), root

    def _lines(self) -> tuple[pd.DataFrame, str]:
        """One line per row of responses, and what says so."""
        table, file = self._table(self.stimulus_table, "stimuli")
        images, place = self._image_files()
        if table is not None:
            return lines_of(images, place, table, str(file)), str(file)
        if images:
            return lines_of(images, place, None, ""), f"the folder of images {place}"
        ids: dict[str, None] = {}
        for subject, (name, *more) in self._response_files().items():
            array = self._array(subject, (name, *more))
            found = arrange(array, self.axes, (), name, "", self.times)
            if found.labels is None:
                raise FileError(
                    f"no images, films or sounds in {place} (looked for {', '.join(PLACES)}, their"
                    " .zip, and files beside the responses) and no stimuli.csv: pass"
                    " dataset.images=FOLDER, or name the stimuli in a table"
                )
            ids |= dict.fromkeys(found.labels)
        return pd.DataFrame({"id": list(ids), "file": ""}, dtype=object), "the responses"

    def _table(self, name: str | Path, stem: str) -> tuple[pd.DataFrame | None, Path | None]:
        if str(name):
            found = self._find(name, f"table of {stem}")
            return read_table(found), found
        for kind in (".csv", ".tsv"):
            file = self._root() / (stem + kind)
            if file.is_file():
                return read_table(file), file
        return None, None

    def _response_files(self) -> dict[str, tuple[Path, ...]]:
        """Files by subject: one, or one of each hemisphere."""
        root = self._root()
        if str(self.response_file):
            place = self._find(self.response_file, "responses")
            if place.is_file():
                return {self.subject: (place,)}
        else:
            found = [p for p in sorted(root.glob("responses.*")) if p.suffix.lower() in READERS]
            brains = by_name(p for p in root.iterdir() if p.is_file() and kind_of(p))
            own = brains.get("responses", ())
            if (root / "responses").is_dir():
                found.append(root / "responses")
            if len(found) + bool(own) != 1:
                names = [p.name for p in [*found, *own]] or [p.name for p in sorted(root.iterdir())]
                raise FileError(
                    f"{root} must hold one responses.* ({', '.join((*READERS, *KINDS))}) or a"
                    f" folder responses/, but holds {some(names, 8) or 'nothing'}: name the file,"
                    " as in dataset.response_file=FILE"
                )
            if own or found[0].is_file():
                return {self.subject: own or (found[0],)}
            place = found[0]
        there = sorted(place.iterdir())
        files = {p.stem: (p,) for p in there if p.suffix.lower() in READERS}
        brains = by_name(p for p in there if kind_of(p))
        for subject in set(files) & set(brains):
            raise FileError(f"{place} holds responses of {subject} twice: keep one file")
        if not files and not brains:
            raise FileError(f"{place} holds no responses: {', '.join((*READERS, *KINDS))}")
        return dict(sorted((files | brains).items()))


def _of(table: pd.DataFrame, subject: str) -> pd.DataFrame:
    """The lines of one subject; lines without a subject are everyone's."""
    return table[table["subject"].isin(["", subject])] if "subject" in table else table


def _check_subjects(table: pd.DataFrame, files: Mapping[str, object], where: str) -> None:
    for name in set(table["subject"]) - {"", *files} if "subject" in table else ():
        raise DataError(unknown("subject", str(name), files, where))
