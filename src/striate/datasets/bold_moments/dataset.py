"""BOLD Moments: what ten people's brains made of 1,102 films of three seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Opened, Responses, Stimuli, has_truth, membership
from striate.datasets.bold_moments import shown
from striate.datasets.bold_moments.files import CHALLENGE, REGIONS, TRAIN, WHOLE, Layout
from striate.datasets.bold_moments.targets import (
    Source,
    block_of,
    film_id,
    region_source,
    surface_source,
)
from striate.datasets.facts import Facts, Finding, root_of
from striate.datasets.scored import Share
from striate.errors import DataError, FileError, StriateError, some, unknown
from striate.interfaces import Dataset
from striate.scores import average, pearson
from striate.scores.challenges import algonauts2021
from striate.scores.halves import all_halves
from striate.splits import Parts, Split

MACHINE = {"machine": True}
AT_ONCE = 4096
"""Targets whose repeats are read together."""


@dataclass(frozen=True)
class BoldMoments(Dataset):
    """Responses of ten subjects to 1,000 films (3 repeats) and 102 test films (10 repeats).

    A row is a film (``vid0001`` to ``vid1102``; those from 1001 on are the test, whose responses
    are released too), a target a voxel or vertex, and repeats are kept: those that a film of the
    training part lacks are NaN. A voxel in several regions is one target. Challenge regions
    (``V1``, ``V2``, ``V3``, ``V4`` beside ``V1v``, ``V1d``, …) are labels as well. Region files
    that a subject lacks are left out, and so is a subject that has none of the regions asked for.
    Ceilings are the explainable fraction of variance of the mean of the ten test repeats. Pickles
    are read once and then memory-mapped from the store.

    Voxels are named by their place in the volume (``v012_034_021``) where index files tell it,
    vertices of fsaverage ``lh.000007``; others by file and column (``LOC_7``).

    Parameters
    ----------
    path
        The folder of the corpus, which holds `derivatives`.
    version
        ``B`` (GLMsingle, recommended by the authors) or ``A`` (finite impulse response, mean of
        5-9 s, as in the 2021 challenge).
    space
        ``MNI152``: voxels, by region files. ``fsaverage`` and ``fsLR32k`` (version B): surfaces,
        without regions.
    rois
        Regions, by their own or the challenge's names; default all that have files. ``WB`` is the
        whole brain and ``BMDgeneral`` what responds to films in everyone (version B); their voxels
        are labelled with the regions whose files have the same responses.
    kind
        ``allvoxel``, or ``reliable``: voxels of version A that passed a test of reliability.
    subjects
        Such as ``("sub-01",)``; default all that are there.
    ceiling
        ``carried``: as the files have them, percent or fraction, and computed where they have
        none; ``repeats``: computed from the test repeats.
    names
        ``voxels``: by their place in the volume where index files are there; ``columns``: by file
        and column in any case.
    labels
        Annotations that become labels of the stimuli, such as ``memorability_score`` or
        ``scenes``. The descriptions are the label ``text``.
    stimuli_path, annotations_path
        Folder (or .zip) of the films, and `annotations.json`, where they are not in `path`. Films
        may be missing until they are needed.

    """

    facts: ClassVar[Facts] = Facts(
        title="BOLD Moments Dataset",
        where="https://openneuro.org/datasets/ds005165 (aws s3 sync --no-sign-request"
        " s3://openneuro.org/ds005165); films: https://boldmomentsdataset.csail.mit.edu",
        agreement="responses CC0; films under terms of use that are agreed to for a password",
        size="4,020 responses of each voxel: a region file has up to 100 MB, the whole brain of a"
        " subject (108,219 voxels in version B) several GB; 1,102 films of 3 s",
        citation="Lahner et al. (2024), Modeling short visual events through the BOLD Moments"
        " video fMRI dataset and metadata, Nature Communications",
        tree="""
mp4_h264/  [0001.mp4 ... 1102.mp4]
derivatives/
  stimuli_metadata/  [annotations.json]
  versionB/MNI152/
    prepared_allvoxel_pkl/
      sub-01/ ... sub-10/
        sub-01_roi-lV1v_betas_normalized.pkl ...
        [sub-01_roi-WB_betas_normalized.pkl, sub-01_roi-BMDgeneral_betas_normalized.pkl]
    GLM/sub-01/ROIs/  [ROI-lV1v_indices.pkl ...]
  versionB/fsaverage/GLM/sub-01/prepared_betas/
    sub-01_organized_betas_task-train_hemi-left_normalized.pkl
    sub-01_organized_betas_task-test_hemi-left_normalized.pkl ...
    [sub-01_noiseceiling_space-fsaverage_task-test_hemi-left_n-10.pkl ...]
  versionB/fsLR32k/GLM/sub-01/prepared_betas/
    sub-01_organized_betas_task-train_normalized.pkl ...
  versionA/MNI152/prepared_data/
    prepared_allvoxel_pkl/TRavg56789/
      sub-01/ ... sub-10/
        V1v_TRavg-56789_allvoxel.pkl ...
        [WB_TRavg-56789_allvoxel.pkl]
    [prepared_reliable_pkl/TRavg56789/ ...]
""",
    )

    path: str | Path = field(metadata=MACHINE)
    version: Literal["A", "B"] = "B"
    space: Literal["MNI152", "fsaverage", "fsLR32k"] = "MNI152"
    rois: tuple[str, ...] = ()
    kind: Literal["allvoxel", "reliable"] = "allvoxel"
    subjects: tuple[str, ...] = ()
    ceiling: Literal["carried", "repeats"] = "carried"
    names: Literal["voxels", "columns"] = "voxels"
    labels: tuple[str, ...] = ()
    stimuli_path: str | Path = field(default="", metadata=MACHINE)
    annotations_path: str | Path = field(default="", metadata=MACHINE)

    def stimuli(self) -> Stimuli:
        """The films that responses answer to, with ``part`` and, where annotated, ``text``."""
        layout = self._layout()
        numbers = np.concatenate(list(self._first(layout).films.values()))
        files = shown.film_files(self._roots(), self.stimuli_path)
        annotated = shown.annotation_file(self._roots(), self.annotations_path)
        return shown.stimuli_of([int(n) for n in numbers], files, annotated, self.labels)

    def responses(self) -> Mapping[str, Responses]:
        """Responses by subject, film × target × repeat, each opened when it is asked for."""
        layout = self._layout()
        return Opened(self._people(layout), lambda subject: self._block(layout, subject))

    def split(self) -> Split:
        """Fit on the 1,000 films, predict the 102 of the test."""
        return Parts()

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """The score of the 2021 challenge, which had these films, on the test films.

        ``official``: the correlation of every target with the mean of the ten repeats over the
        root of its reliability (all halves of the repeats); the mean over targets of a region,
        then over subjects, then over the challenge's regions (over all targets of all subjects
        for the whole brain and surfaces). Targets without reliability, which the challenge never
        had, are left out. ``corrected`` is the sum of correlations over the sum of those roots,
        with 0 for targets without reliability: no unreliable target can outweigh the others.
        Where targets or subjects are not predicted at all, ``partial`` stands in the place of
        ``official``, with ``not_predicted`` and ``of``. Empty where no test film was measured.

        Raises
        ------
        DataError
            When a target is predicted for some of the measured test films only; the responses
            without a prediction are counted.

        """
        scored: dict[str, tuple[np.ndarray, np.ndarray, pd.DataFrame]] = {}
        share = Share("responses to films of the test")
        own = self.responses()
        for subject, whole in truth.items():
            block = whole.isel(row=np.flatnonzero(whole.stimulus.values.astype(str) > LAST_TRAIN))
            if subject not in own or not block.size or not has_truth(block).any():
                continue
            measured, guess = share.matched(_mean(block), predicted)
            if not guess.size:
                continue
            reliability = self._reliability(own[subject], measured)
            if reliability is not None:
                r = pearson(measured.values, guess)
                scored[subject] = r, reliability, membership(measured).reset_index(drop=True)
        both = self._averaged(scored) if scored else {}
        return share.told(both.get("official"), both.get("corrected"))

    def inspect(self) -> Iterator[Finding]:
        """Everything that is there of this version and space, missing, or wrong, file by file."""
        from striate.datasets.bold_moments import inspect

        layout = self._layout()
        people = list(self.subjects) or layout.subjects()
        return inspect.findings(
            layout, people, self._roots(), self.stimuli_path, self.annotations_path
        )

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0, **more: Any
    ) -> pd.DataFrame:
        """Write a made-up corpus whose scores are known; see `twin.write`."""
        from striate.datasets.bold_moments import twin

        return twin.write(Path(folder), size, seed, **more)

    def _roots(self) -> list[Path]:
        """The folder of the corpus and its `derivatives`, whichever was named."""
        markers = [f"{place}version{v}" for place in ("derivatives/", "") for v in "BA"]
        root = root_of(self.path, self.facts, markers)
        inner = root / "derivatives"
        return [root, inner] if inner.is_dir() else [root, root.absolute().parent]

    def _layout(self) -> Layout:
        if self.version == "A" and self.space != "MNI152":
            raise DataError(f"version A has no space {self.space}: pass dataset.version=B")
        if self.version == "B" and self.kind != "allvoxel":
            raise DataError("version B has all voxels only: pass dataset.version=A for reliable")
        if self.rois and self.space != "MNI152":
            raise DataError(f"{self.space} has no regions: leave out dataset.rois={self.rois}")
        valid = [*REGIONS, *WHOLE, *CHALLENGE]
        for name in self.rois:
            if name not in valid:
                raise StriateError(unknown("region", name, dict.fromkeys(valid), "dataset.rois"))
        root, other = self._roots()
        home = root if any(root.glob("version[AB]")) else other
        layout = Layout(home, self.version, self.space, self.kind)
        if not layout.subjects():
            raise FileError(
                f"no subjects (sub-01 and so on) in {layout.home}: choose another dataset.version,"
                f" space or kind, or get the files from {self.facts.where}"
            )
        return layout

    def _people(self, layout: Layout) -> list[str]:
        """Subjects asked for that have any file of what is asked for."""
        there = layout.subjects()
        for name in self.subjects:
            if name not in there:
                raise DataError(unknown("subject", name, there, str(layout.home)))
        people = [s for s in self.subjects or there if self._files(layout, s)]
        if not people:
            raise FileError(
                f"no subject in {layout.home} has a file of {some(self.rois, 8) or self.space}"
            )
        return people

    def _files(self, layout: Layout, subject: str) -> dict[str, Path]:
        """The files that bring targets, by name of region file or hemisphere."""
        if layout.space != "MNI152":
            files = {side: layout.betas_file(subject, "train", side) for side in layout.sides()}
            return {side: file for side, file in files.items() if file.is_file()}
        files = layout.region_files(subject)
        wanted = {r for name in self.rois for r in CHALLENGE.get(name, (name,))}
        if not wanted:
            return {n: f for n, f in files.items() if n not in WHOLE} or files
        sided = "lr" if layout.version == "B" else ("",)
        named = {n for r in wanted for n in ([r] if r in WHOLE else [s + r for s in sided])}
        # The whole comes first, so that regions label what it brings.
        order = sorted(files, key=lambda n: n not in WHOLE)
        return {n: files[n] for n in order if n in named}

    def _first(self, layout: Layout) -> Source:
        """The smallest file of the first subject, which says which films there are."""
        subject = self._people(layout)[0]
        files = self._files(layout, subject)
        return self._source(layout, subject, min(files, key=lambda n: files[n].stat().st_size))

    def _source(self, layout: Layout, subject: str, name: str) -> Source:
        if layout.space == "MNI152":
            return region_source(layout, subject, name, self.names)
        return surface_source(layout, subject, name)

    def _block(self, layout: Layout, subject: str) -> Responses:
        names = self._files(layout, subject)
        sources = [self._source(layout, subject, n) for n in names]
        others = layout.region_files(subject) if set(names) & set(WHOLE) else {}
        labels = [self._source(layout, subject, n) for n in others if n not in names]
        first = self._first(layout)
        block = block_of(subject, sources, labels, self.ceiling, first)
        if not block.sizes["target"]:
            raise DataError(f"the files of {subject} in {layout.home} have no voxels")
        return block

    def _reliability(self, own: Responses, block: Responses) -> Float[np.ndarray, " target"] | None:
        """Reliability of the mean over the test repeats; None for targets that are none of ours."""
        place = pd.Index(own.target.values).get_indexer(pd.Index(block.target.values))
        rows = np.flatnonzero(own.stimulus.values.astype(str) > LAST_TRAIN)
        if (place < 0).any() or "repeat" not in own.dims or own.sizes["repeat"] % 2:
            return None
        parts = [place[k : k + AT_ONCE] for k in range(0, len(place), AT_ONCE)]
        return np.concatenate([all_halves(own.isel(row=rows, target=p).values) for p in parts])

    def _averaged(
        self, scored: Mapping[str, tuple[np.ndarray, np.ndarray, pd.DataFrame]]
    ) -> dict[str, Any]:
        regions = list(dict.fromkeys(n for *_, table in scored.values() for n in table))
        counted = [n for n in regions if n in CHALLENGE] or regions
        whole = bool(set(self.rois) & set(WHOLE)) or not counted
        found = {}
        for name, ratio in (("official", _official), ("corrected", _corrected)):
            by_roi = {
                region: average(
                    np.array(
                        [
                            ratio(r[table[region]], c[table[region]])
                            for r, c, table in scored.values()
                            if region in table and table[region].any()
                        ]
                    )
                ).value
                for region in regions
            }
            r, c = (np.concatenate([s[k] for s in scored.values()]) for k in (0, 1))
            value = ratio(r, c) if whole else average(np.array([by_roi[n] for n in counted])).value
            if np.isfinite(value):
                told = {n: v for n, v in by_roi.items() if np.isfinite(v)}
                found[name] = {"value": value, "by_roi": told, "unit": "r", "name": "algonauts2021"}
        return found


LAST_TRAIN = film_id(TRAIN)
"""Ids of test films come behind it."""


def _official(r: np.ndarray, reliability: np.ndarray) -> float:
    return average(algonauts2021(r, reliability)).value


def _corrected(r: np.ndarray, reliability: np.ndarray) -> float:
    """Sum of correlations over the sum of what the repeats' mean could reach."""
    most = np.sqrt(np.clip(np.nan_to_num(reliability), 0, 1)).sum()
    return float(np.nan_to_num(r).sum() / most) if most > 0 else float("nan")


def _mean(block: Responses) -> Responses:
    if "repeat" not in block.dims:
        return block.load()
    values = np.asarray(block.values, dtype=np.float64)
    there = (~np.isnan(values)).sum(axis=2)
    total = np.where(np.isnan(values), 0, values).sum(axis=2)
    mean = np.where(there > 0, total / np.maximum(there, 1), np.nan)
    return block.isel(repeat=0, drop=True).copy(data=mean)
