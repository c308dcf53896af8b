"""The Natural Scenes Dataset: eight people who each saw up to 10,000 pictures three times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int

from striate.data import (
    OnDisk,
    Opened,
    Responses,
    Stimuli,
    assemble,
    check_responses,
)
from striate.datasets.facts import Facts, Finding, root_of
from striate.datasets.nsd import design as nsd_design
from striate.datasets.nsd import places as nsd_places
from striate.datasets.nsd.betas import Sessions, header_of, session_files
from striate.datasets.nsd.score import explained
from striate.errors import DataError, FileError, some, unknown
from striate.interfaces import Dataset
from striate.scores import nsd_noise_ceiling

MACHINE = {"machine": True}
TREE = """
nsddata/
  experiments/nsd/
    nsd_expdesign.mat
    [nsd_stim_info_merged.csv]        with captions
  ppdata/subj01/ … subj08/
    func1pt8mm/roi/                   or func1mm
      nsdgeneral.nii.gz
      [prf-visualrois.nii.gz  floc-faces.nii.gz  streams.nii.gz …]
  freesurfer/
    [subj01/label/                    prf-visualrois.mgz.ctab …]
    fsaverage/label/                  for fsaverage
      lh.nsdgeneral.mgz  rh.nsdgeneral.mgz
      [lh.streams.mgz  streams.mgz.ctab …]
nsddata_betas/ppdata/subj01/ … subj08/
  func1pt8mm/betas_fithrf_GLMdenoise_RR/
    betas_session01.hdf5 …            or .nii.gz
    [ncsnr.nii.gz]
  fsaverage/betas_fithrf_GLMdenoise_RR/
    lh.betas_session01.mgh …
    [lh.ncsnr.mgh …]
[nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5]
"""


@dataclass(frozen=True)
class Nsd(Dataset):
    """Responses of eight subjects to 73,000 natural scenes (7 T fMRI), as NSD releases them.

    A stimulus is a picture by its place among the 73,000, such as ``nsd00013``, which is also its
    id in `algonauts2023`; it is read from the HDF5 file of all pictures. 1,000 of them were shown
    to everyone and are the test, the others were shown to one subject each. A row is a picture
    with up to three repeats, or a trial. A target is a voxel, such as ``v012_034_021`` (i, j, k
    from 0), with ``x``, ``y``, ``z`` in mm, or a vertex of fsaverage, such as ``lh.012345``, with
    ``hemisphere``, the regions it belongs to, and ``ceiling``: the explainable fraction of the
    variance of the mean over the repeats of the test pictures (of all, without a test), by NSD's
    own ncsnr. Values stay on disk; those of volumes are gathered once, session by session, in the
    store.

    Eight subjects with 40, 40, 32, 30, 40, 32, 40 and 30 sessions of 750 trials. NSD has no score
    of its own: `official_score` tells the mean explained share of the explainable variance.
    `facts` tells where to get it, the agreement and what to cite.

    Parameters
    ----------
    path
        The folder that holds `nsddata` and `nsddata_betas`.
    space
        ``func1pt8mm`` or ``func1mm`` (voxels of each subject), or ``fsaverage``.
    subjects
        Which of them, such as ``subj01``; default all with responses.
    sessions
        Which of each subject, from 1; default all there.
    betas
        The estimates of responses: the name of their folder.
    mask
        A map of which targets above 0 are kept; with an empty name, all are. ``challenge``: the
        vertices and regions of each subject in the challenge of 2023, by `challenge`.
    rois
        Classes of regions, such as ``streams``; default those there of the six classes that
        `algonauts2023` has.
    rows
        ``images``: a row per picture, with repeats. ``trials``: a row per trial, with labels
        ``session`` and ``trial`` (from 1); the ceiling is that of one trial.
    zscore
        ``session``: each target z-scored within each session, which is what ncsnr speaks of.
        ``none``: percent signal change.
    test
        ``shared``: the pictures shown to everyone. ``none``: no picture is set aside.
    stimuli_file, design, info
        `nsd_stimuli.hdf5`, `nsd_expdesign.mat` and `nsd_stim_info_merged.csv`, where they lie
        elsewhere.
    challenge
        The folder of `algonauts2023` that holds `subj01` and so on.
    captions
        Files of COCO's captions, `captions_train2017.json` and `captions_val2017.json`: stimuli
        then have a label ``text``.

    """

    path: str | Path = field(metadata=MACHINE)
    space: Literal["func1pt8mm", "func1mm", "fsaverage"] = "func1pt8mm"
    subjects: tuple[str, ...] = ()
    sessions: tuple[int, ...] = ()
    betas: str = "betas_fithrf_GLMdenoise_RR"
    mask: str = "nsdgeneral"
    rois: tuple[str, ...] = ()
    rows: Literal["images", "trials"] = "images"
    zscore: Literal["session", "none"] = "session"
    test: Literal["shared", "none"] = "shared"
    stimuli_file: str | Path = field(default="", metadata=MACHINE)
    design: str | Path = field(default="", metadata=MACHINE)
    info: str | Path = field(default="", metadata=MACHINE)
    challenge: str | Path = field(default="", metadata=MACHINE)
    captions: tuple[str, ...] = field(default=(), metadata=MACHINE)

    facts: ClassVar[Facts] = Facts(
        title="Natural Scenes Dataset",
        where="https://naturalscenesdataset.org (a form), then the bucket s3://natural-scenes-dataset",
        agreement="its terms and conditions, agreed to in the form; not for commercial use",
        size="39 GB of pictures; 30 to 40 sessions per subject of about 1 GB each, in each space",
        citation=(
            "Allen et al. (2022), A massive 7T fMRI dataset to bridge cognitive neuroscience and"
            " artificial intelligence, Nature Neuroscience 25, 116-126"
        ),
        tree=TREE,
    )

    def stimuli(self) -> Stimuli:
        """Pictures that the subjects saw in the sessions in use, in the order of the 73,000."""
        design = self.read_design()
        seen = np.unique(np.concatenate([self._shown(s)[0] for s in self.people()]))
        file = self.picture_file()
        held = np.isin(seen, design.shared) if self.test == "shared" else np.zeros(len(seen), bool)
        names = [f"{file}::imgBrick/{p}.ppm" if file.is_file() else "" for p in seen]
        columns: dict[str, Any] = {
            "file": names,
            "part": np.where(held, "test", "train").astype(object),
            "shared": np.isin(seen, design.shared),
        }
        if self.captions:
            coco = nsd_design.coco_of(self.experiment_file("info"))
            columns["text"] = nsd_design.read_captions(self.captions, coco, seen.tolist())
        ids = [nsd_design.id_of(p) for p in seen.tolist()]
        return Stimuli(pd.DataFrame(columns, index=pd.Index(ids, dtype=object)))

    def responses(self) -> Mapping[str, Responses]:
        """Responses by subject, opened when asked for; values are read when these are."""
        return Opened(self.people(), self._open)

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """Percent of the explainable variance; NSD itself has no score, so this is `corrected`.

        100·r·|r| / ceiling within ±100 for each target, its mean over all targets of all subjects
        whose ceiling is above 0, and that of each region. Empty without ceilings.

        Raises
        ------
        DataError
            When a target is predicted on some of the rows only; what lacks is counted.

        """
        return explained(truth, predicted)

    def inspect(self) -> Iterator[Finding]:
        """Everything of the layout, file by file: there, missing or wrong."""
        from striate.datasets.nsd import inspect as nsd_inspect

        yield from nsd_inspect.findings(self)

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0, **more: Any
    ) -> pd.DataFrame:
        """Write a made-up copy of the layout whose scores are known; see `nsd_twin.write`."""
        from striate.datasets.nsd import twin as nsd_twin

        return nsd_twin.write(Path(folder), size, seed, **more)

    def root(self) -> Path:
        """The folder that holds `nsddata_betas`."""
        return root_of(self.path, self.facts, ["nsddata_betas", "nsddata"])

    def sides(self) -> tuple[str, ...]:
        """Hemispheres, which have files of their own on a surface; otherwise one empty name."""
        return ("lh", "rh") if self.space == "fsaverage" else ("",)

    def folder(self, subject: str) -> Path:
        """Where the responses of a subject lie."""
        return self.root() / "nsddata_betas/ppdata" / subject / self.space / self.betas

    def picture_file(self) -> Path:
        """The file of all pictures, whether it is there or not."""
        if self.stimuli_file:
            return Path(self.stimuli_file).expanduser()
        return self.root() / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"

    def experiment_file(self, what: Literal["design", "info"]) -> Path:
        """The file of the design, or of what pictures were cut from, whether it is there or not."""
        own = {"design": self.design, "info": self.info}[what]
        if own:
            return Path(own).expanduser()
        name = {"design": "nsd_expdesign.mat", "info": "nsd_stim_info_merged.csv"}[what]
        return self.root() / "nsddata/experiments/nsd" / name

    def people(self) -> tuple[str, ...]:
        """Subjects in use.

        Raises
        ------
        FileError
            When nobody has responses in this space.
        DataError
            When a named subject has none.

        """
        place = self.root() / "nsddata_betas/ppdata"
        found = sorted(p.name for p in place.glob("subj*") if session_files(
            p / self.space / self.betas, self.sides()[0]))  # fmt: skip
        if not found:
            there = sorted({f"{p.parent.name}/{p.name}" for p in place.glob("subj*/*/*")})
            raise FileError(
                f"no responses in {place}/subj*/{self.space}/{self.betas}, but in"
                f" {some(there) or 'no folder of this kind'}: choose another dataset.space or"
                " dataset.betas, or get them"
            )
        for name in self.subjects:
            if name not in found:
                raise DataError(unknown("subject", name, found, str(place)))
        return tuple(dict.fromkeys(self.subjects)) or tuple(found)

    def session_files(self, subject: str, side: str) -> dict[int, Path]:
        """Session → file of those in use.

        Raises
        ------
        FileError
            When one that is named is missing, or a hemisphere lacks one that the other has.

        """
        found = session_files(self.folder(subject), side)
        other = session_files(self.folder(subject), self.sides()[0])
        wanted = self.sessions or tuple(other)
        lost = [s for s in wanted if s not in found]
        if lost:
            begin = f"{side}." if side else ""
            raise FileError(
                f"{self.folder(subject)} lacks {begin}betas_session{lost[0]:02d} ({len(lost)} of"
                f" {len(wanted)} sessions are missing): get them, or choose dataset.sessions among"
                f" {some(found, 40) or 'none'}"
            )
        return {s: found[s] for s in sorted(set(wanted))}

    def open_sessions(
        self, subject: str, side: str, mask: nsd_places.Places | None = None
    ) -> tuple[Sessions, nsd_places.Places]:
        """Trials of a subject, and where their targets lie (default: in the mask)."""
        files = self.session_files(subject, side)
        trials, grid = header_of(next(iter(files.values())))
        if mask is None and self.mask == nsd_places.CHALLENGE:
            own = Path(self.challenge).expanduser() / subject
            mask = nsd_places.challenge_places(own, grid, side)
        elif mask is None:
            region = nsd_places.root_region(self.root(), subject, self.space, side)
            mask = nsd_places.places_of(region, grid, self.mask, self.rois)
        return Sessions(files, mask.flat, trials, grid, self.zscore == "session"), mask

    def read_design(self) -> nsd_design.Design:
        """Who saw what in which trial."""
        return nsd_design.read_design(self.experiment_file("design"))

    def _open(self, subject: str) -> Responses:
        shown, at = self._shown(subject)
        pictures, turn = np.unique(shown, return_inverse=True)
        count = np.bincount(turn)
        again = _again(turn)
        names = np.array([nsd_design.id_of(p) for p in pictures.tolist()], dtype=object)
        if self.rows == "trials":
            order = np.lexsort((again, turn))
            trials = at[order]
            rows = pd.DataFrame({"stimulus": names[turn[order]]})
            rows.index = pd.Index(
                [f"{n}#{k + 1}" for n, k in zip(rows["stimulus"], again[order], strict=True)],
                name="row",
                dtype=object,
            )
        else:
            trials = np.full((len(pictures), count.max()), -1)
            trials[turn, again] = at
            index = pd.Index(names, name="row", dtype=object)
            rows = pd.DataFrame({"stimulus": names}, index=index)
        held = np.isin(pictures, self.read_design().shared) & (self.test == "shared")
        counted = np.bincount(count[held] if held.any() else count)[1:].tolist()
        parts, tables = [], []
        for side in self.sides():
            sessions, places = self.open_sessions(subject, side)
            parts.append(_on_disk(sessions, trials, len(places.flat)))
            ncsnr = nsd_places.ncsnr_of(self.folder(subject), places, side)
            table = places.table
            if ncsnr is not None:
                seen = [1] if self.rows == "trials" else counted
                table = table.assign(ceiling=nsd_noise_ceiling(ncsnr, seen))
            tables.append(table)
        if self.rows == "trials":
            rows = rows.assign(session=trials // sessions.trials + 1, trial=trials + 1)
        targets = _joined(tables)
        targets.insert(0, "subject", subject)
        return check_responses(assemble(OnDisk.beside(parts), rows, targets), subject)

    def _shown(self, subject: str) -> tuple[Int[np.ndarray, " trial"], Int[np.ndarray, " trial"]]:
        """The picture of each trial of the sessions in use, and the trials, from 0."""
        files = self.session_files(subject, self.sides()[0])
        trials, _ = header_of(next(iter(files.values())))
        at = np.concatenate([np.arange((s - 1) * trials, s * trials) for s in files])
        shown = self.read_design().shown(number_of(subject))
        if at.max() >= len(shown):
            raise DataError(
                f"{self.folder(subject)} has session {max(files)} of {trials} trials each, but the"
                f" design has {len(shown)} trials in all: take both from one release"
            )
        return shown[at], at


def number_of(subject: str) -> int:
    """The number of a subject in its name, from 1.

    >>> number_of("subj07")
    7
    """
    digits = subject.removeprefix("subj")
    if not digits.isdecimal():
        raise DataError(f"subject {subject!r} is not named as NSD does, such as subj01")
    return int(digits)


def _on_disk(sessions: Sessions, trials: np.ndarray, targets: int) -> OnDisk:
    """Trials as rows, or rows with trials as repeats, where -1 is none."""

    def read(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        wanted = trials[rows]
        if trials.ndim == 1:
            return sessions.read(wanted, columns)
        found = np.full((len(rows), len(columns), trials.shape[1]), np.nan, dtype=np.float32)
        for repeat in range(trials.shape[1]):
            there = np.flatnonzero(wanted[:, repeat] >= 0)
            found[there, :, repeat] = sessions.read(wanted[there, repeat], columns)
        return found

    shape = (len(trials), targets, *trials.shape[1:])
    return OnDisk(shape, np.dtype(np.float32), read)


def _again(turn: Int[np.ndarray, " trial"]) -> Int[np.ndarray, " trial"]:
    """How often the picture of each trial was shown before.

    >>> _again(np.array([5, 2, 5, 5]))
    array([0, 0, 1, 2])
    """
    return pd.Series(turn).groupby(turn).cumcount().to_numpy()


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of targets below each other; labels that one of them lacks are missing there."""
    table = pd.concat(tables)
    for column in table:
        if str(column).startswith("roi:"):
            table[column] = table[column].eq(True)
        elif column == "ceiling" and table[column].isna().any():
            return table.drop(columns="ceiling")
    return table
