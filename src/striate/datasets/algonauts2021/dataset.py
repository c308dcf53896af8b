"""The Algonauts 2021 challenge: predict what the brain answers to short clips of daily life."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from striate.data import (
    Opened,
    Responses,
    Stimuli,
    align,
    assemble,
    check_responses,
    membership,
    target_table,
)
from striate.data.responses import ROI
from striate.datasets.algonauts2021 import submission as algonauts2021_submission
from striate.datasets.algonauts2021 import voxels as algonauts2021_voxels
from striate.datasets.algonauts2021.files import Pickled, opened
from striate.datasets.algonauts2021.tree import FACTS, HIDDEN, ROIS, SUBJECTS, Tree, clip, hidden
from striate.datasets.algonauts2021.voxels import Voxels, coordinates, given_ceilings
from striate.datasets.facts import Facts, Finding
from striate.datasets.scored import Share
from striate.errors import DataError, FileError, RecipeError, some, unknown
from striate.interfaces import Dataset
from striate.scores import algonauts2021, algonauts2021_mini, average, inflated, pearson
from striate.splits import Last, Split

QUIRKS = ("inflated", "unnormalised")


@dataclass(frozen=True)
class Algonauts2021(Dataset):
    """Responses of ten people to 1,000 clips of three seconds, and 102 clips to be predicted.

    A row is a clip, ``0001`` to ``1102`` by the number that its file's name begins with; rows of
    the last 102 are hidden. Training clips were shown three times (``repeat``). A target is a
    voxel of a subject (``sub01`` …): of the nine regions of the mini track (booleans per region;
    they are files, and a voxel of two files stands once) or of the whole brain (full track). Where
    `WB.pkl` is there, voxels of the mini track are found in it by their exact series, and are
    called by their place in the volume, ``v012_034_021``, in both tracks; otherwise by region and
    number, ``V1.0012``. With `example.nii`, ``x``, ``y``, ``z`` are millimetres in MNI space.

    ``ceiling`` is the explainable fraction of the variance of the mean over the three repeats, by
    analysis of variance. The challenge divides by the root of the split-half reliability of ten
    repeats of the test, which it never released; pass others as `noise_ceilings`.

    The challenge is scored on the hidden clips, r / √ceiling: mean over voxels, subjects, then the
    nine regions, or over all voxels (full). Here the last tenth of the other clips is held out,
    unless a recipe has a split. 29,623 voxels lie in the regions and 161,326 in the whole brains.
    `facts` tells where to get it, the agreement and what to cite.

    Parameters
    ----------
    path
        The folder that holds `participants_data_v2021` and the folder of clips.
    track
        ``mini``: nine regions; ``full``: the whole brain.
    subjects
        Those to read; default all.
    rois
        Regions to read, in the mini track; default all nine.
    noise_ceilings
        A table (.csv) with columns subject, target, ceiling (fractions of variance), in place of
        ceilings from the repeats.
    quirks
        What the kit prints in validation, for numbers that were published so: ``inflated`` (a
        correlation times n / (n - 1)), ``unnormalised`` (not divided by any ceiling). They change
        the official score, never the corrected one.

    Raises
    ------
    RecipeError
        For unknown regions or quirks.

    """

    facts: ClassVar[Facts] = FACTS

    path: str | Path = field(metadata={"machine": True})
    track: Literal["mini", "full"] = "mini"
    subjects: tuple[str, ...] = ()
    rois: tuple[str, ...] = ()
    noise_ceilings: str | Path = field(default="", metadata={"machine": True})
    quirks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, given, valid in (
            ("roi", self.rois, ROIS["mini"]),
            ("quirk", self.quirks, QUIRKS),
        ):
            for one in given:
                if one not in valid:
                    raise RecipeError(unknown(name, str(one), valid))

    def stimuli(self) -> Stimuli:
        """The clips, `0001` and so on; a clip without a file keeps its line."""
        files, known = self._tree.films(), self._known()
        part = ["train"] * known + ["test"] * len(self._hidden(known))
        numbers = range(1, len(part) + 1)
        table = pd.DataFrame(
            {"file": [str(files.get(n, "")) for n in numbers], "part": part},
            index=[clip(n) for n in numbers],
        )
        return Stimuli(table)

    def responses(self) -> Opened:
        """Responses by subject, clips × voxels × repeats; they stay on disk until they are used.

        The first time, a subject's pickles are read and kept in the store as plain arrays.
        """
        return Opened(self._subjects(), self._responses)

    def split(self) -> Split:
        """The last tenth is held out, as the kit and most participants did."""
        return Last(fraction=0.1)

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """Mean of r / √ceiling: over voxels, subjects, then regions; or over all voxels (full).

        ``official`` has the quirks asked for, ``corrected`` never has; signs are kept. Voxels with
        a ceiling of 0 are left out and counted by ``left_out``, but for an ``unnormalised``
        ``official``, which knows no ceilings and leaves none out. Where voxels or subjects are not
        predicted at all, ``partial`` stands in the place of ``official``, the same of the others,
        with ``not_predicted`` and ``of``. Empty where nothing can be scored.

        Raises
        ------
        DataError
            When a voxel is predicted on some clips only; the responses are counted.

        """
        official: dict[str, dict[str, np.ndarray]] = {}
        corrected: dict[str, dict[str, np.ndarray]] = {}
        share = Share()
        for subject, block in truth.items():
            if not block.size:
                continue
            block = block.mean("repeat") if "repeat" in block.dims else block
            block, values = share.matched(block, predicted)
            if not values.size:
                continue
            r = pearson(block.values, values)
            over = algonauts2021(r, self._ceiling(subject, block))
            own = r if "unnormalised" in self.quirks else over
            own = inflated(own, len(block)) if "inflated" in self.quirks else own
            regions = membership(block)
            for found, score in ((official, own), (corrected, over)):
                found.setdefault("", {})[subject] = score
                for roi in regions:
                    if regions[roi].any():
                        found.setdefault(roi, {})[subject] = score[regions[roi].to_numpy()]
        if not official:
            return {}
        return share.told(self._summed(official), self._summed(corrected))

    def write_submission(self, predicted: Mapping[str, Responses], folder: Path) -> Path:
        """Write `mini_track.zip` (or `full_track.zip`) and the .pkl in it, and return the .zip.

        Columns are those of the challenge's files, whatever the order of the predictions.

        Raises
        ------
        DataError
            When hidden clips are not predicted for every voxel of all ten subjects; nothing is
            written.

        """
        clips = self._hidden(self._known())
        if self.rois or self.subjects or sorted(self._subjects()) != sorted(SUBJECTS):
            raise DataError(
                "a submission needs all ten subjects and all regions: leave out dataset.subjects"
                f" and dataset.rois, and have the files of {some(SUBJECTS, 10)}"
            )
        values: dict[str, dict[str, np.ndarray]] = {roi: {} for roi in ROIS[self.track]}
        for subject in SUBJECTS:
            voxels = self._voxels(subject)
            empty = np.full((len(clips), len(voxels.ids)), np.nan, dtype=np.float32)
            wanted = self._labelled(subject, voxels, empty, clips)
            found = align(wanted, predicted)
            missing = int(np.isnan(found).sum())
            if missing:
                raise DataError(
                    f"{missing} of {found.size} responses of {subject} to hidden clips are not"
                    " predicted: run a recipe that predicts them"
                )
            for roi in ROIS[self.track]:
                if roi not in voxels.columns:
                    raise DataError(f"{self._file(subject, roi)} is missing: {roi} cannot be sent")
                values[roi][subject] = found[:, voxels.columns[roi]].astype(np.float32)
        return algonauts2021_submission.write(Path(folder), self.track, values)

    def check_submission(self, path: str | Path) -> None:
        """Raise what is wrong first with a submission (.zip, or the .pkl in it).

        Its name tells the track. Numbers of voxels are compared where the responses are there.

        Raises
        ------
        FileError, DataError
            Naming the region and subject that is missing or not as it must be.

        """
        other: Literal["mini", "full"] = "full" if self.track == "mini" else "mini"
        if Path(path).stem == f"{other}_track":
            replace(self, track=other).check_submission(path)
            return
        whole = replace(self, subjects=(), rois=())
        clips, counts = HIDDEN, {}
        if self.path and self._tree.subjects(self.track):
            clips = len(whole._hidden(whole._known()))
            for subject in SUBJECTS:
                for roi in ROIS[self.track]:
                    if self._file(subject, roi).is_file():
                        file = opened(self._file(subject, roi), mask=roi == "WB")
                        counts[roi, subject] = file.count
        algonauts2021_submission.check(Path(path), self.track, clips, counts)

    def submission_warnings(self, path: str | Path = "") -> list[str]:
        """Arrays of a submission whose numbers of voxels this copy does not tell."""
        names = {f"{track}_track": track for track in ROIS}
        track = names.get(Path(path).stem, self.track)
        lost = [
            f"{roi} of {subject}"
            for subject in SUBJECTS
            for roi in ROIS[track]
            if not self._tree.file(track, subject, roi).is_file()
        ]
        if not lost:
            return []
        told = f"{some(lost, 6)}" if len(lost) < 10 * len(ROIS[track]) else f"the {track} track"
        return [f"this copy lacks the responses of {told}: numbers of voxels there went unchecked"]

    def inspect(self) -> Iterator[Finding]:
        """Every file of the layout, and what is wrong with it."""
        from striate.datasets.algonauts2021 import inspect as algonauts2021_inspect

        return algonauts2021_inspect.inspect(self._tree)

    @staticmethod
    def twin(
        folder: str | Path,
        size: Literal["tiny", "full"] = "tiny",
        seed: int = 0,
        counts: str | Path = "",
        mask: str | Path = "",
        media: bool = True,
        clips: tuple[int, int] | None = None,
    ) -> pd.DataFrame:
        """Write a made-up tree whose scores are known; see `algonauts2021_twin.write`."""
        from striate.datasets.algonauts2021 import twin as algonauts2021_twin

        return algonauts2021_twin.write(Path(folder), size, seed, counts, mask, media, clips)

    def columns(self, subject: str) -> pd.DataFrame:
        """Which voxel each column of the challenge's files is: roi, column, target."""
        voxels = self._voxels(subject)
        lines = [
            {"roi": roi, "column": k, "target": voxels.ids[v] if v >= 0 else ""}
            for roi, places in voxels.columns.items()
            for k, v in enumerate(places.tolist())
        ]
        return pd.DataFrame(lines, columns=["roi", "column", "target"])

    def _responses(self, subject: str) -> Responses:
        voxels = self._voxels(subject)
        known = voxels.values.shape[0]
        rest = self._hidden(known)
        ids = [*(clip(n + 1) for n in range(known)), *rest]
        block = self._labelled(subject, voxels, voxels.values.below(len(rest)), ids)
        return check_responses(block, f"responses of {subject!r}")

    def _labelled(self, subject: str, voxels: Voxels, values: Any, clips: list[str]) -> Responses:
        table = pd.DataFrame({"subject": subject}, index=pd.Index(voxels.ids, name="target"))
        table["ceiling"] = (
            given_ceilings(Path(self.noise_ceilings), subject, voxels.ids)
            if self.noise_ceilings
            else voxels.ceiling
        )
        example = self._tree.example()
        if example is not None:
            affine = algonauts2021_voxels.affine_of(example)
            for name, column in coordinates(voxels.places, affine).items():
                table[name] = column
        for roi in voxels.columns:
            if roi != "WB":
                table[ROI + roi] = voxels.members(roi)
        rows = pd.DataFrame({"stimulus": clips}, index=pd.Index(clips, name="row", dtype=object))
        return assemble(values, rows, table)

    def _voxels(self, subject: str) -> Voxels:
        """The voxels of a subject; of the files no more than headers and digests are read."""
        rois = self.rois or ROIS["mini"]
        paths = {roi: self._tree.file("mini", subject, roi) for roi in rois}
        files = {roi: opened(p) for roi, p in paths.items() if p.is_file()}
        place = self._tree.file("full", subject, "WB")
        whole: Pickled | None = opened(place, mask=True) if place.is_file() else None
        if self.track == "full":
            if whole is None:
                raise FileError(f"{place} is missing: leave {subject} out, or add the file")
            return algonauts2021_voxels.of_whole(whole, files)
        if not files:
            raise FileError(
                f"{paths[rois[0]].parent} has none of the files"
                f" {some([p.name for p in paths.values()], 9)}: leave {subject} out, or add them"
            )
        return algonauts2021_voxels.of_regions(files, whole)

    def _ceiling(self, subject: str, block: Responses) -> np.ndarray:
        """Ceilings as labels say, or as this data set has them."""
        if "ceiling" in block.coords:
            return np.asarray(block.ceiling.values, dtype=np.float64)
        own = target_table(self._responses(subject))["ceiling"]
        return own.reindex(block.target.values).to_numpy(dtype=np.float64)

    def _summed(self, found: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
        regions = {r: list(people.values()) for r, people in found.items() if r}
        mini, by_roi = algonauts2021_mini(regions)
        everything = average(np.concatenate(list(found[""].values())))
        value = mini if self.track == "mini" and regions else everything.value
        name = f"algonauts2021 {self.track}"
        told = {"value": value, "by_roi": by_roi, "unit": "r", "name": name}
        return told | {"left_out": everything.left_out}

    @property
    def _tree(self) -> Tree:
        return Tree(Path(self.path).expanduser())

    def _subjects(self) -> list[str]:
        return self._tree.chosen(self.track, self.subjects)

    def _file(self, subject: str, roi: str) -> Path:
        return self._tree.file(self.track, subject, roi)

    def _known(self) -> int:
        """How many clips have responses: those of the first file that is there."""
        for subject in self._subjects():
            for roi in (*(self.rois if self.track == "mini" else ()), *ROIS[self.track]):
                if self._file(subject, roi).is_file():
                    file = opened(self._file(subject, roi), mask=roi == "WB")
                    return file.clips
        raise FileError(
            f"{self._tree.people / f'{self.track}_track'} holds no files of responses, such as"
            f" {ROIS[self.track][0]}.pkl"
        )

    def _hidden(self, known: int) -> list[str]:
        """The clips to be predicted, behind the `known` ones."""
        count = hidden(self._tree.films(), known)
        return [clip(known + k + 1) for k in range(count)]
