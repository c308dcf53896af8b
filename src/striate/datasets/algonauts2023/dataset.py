"""The Algonauts 2023 challenge: natural scenes in the brain of eight people, both hemispheres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from striate.data import OnDisk, Opened, Responses, Stimuli, align, label_responses
from striate.datasets.algonauts2023 import files, masks, submission
from striate.datasets.algonauts2023.masks import CLASSES, FSAVERAGE, to_challenge, to_fsaverage
from striate.datasets.algonauts2023.score import score
from striate.datasets.facts import Facts, Finding, root_of
from striate.errors import DataError, FileError, some, unknown
from striate.files.surfaces import vertex_coordinates
from striate.interfaces import Dataset
from striate.splits import Last, Split

__all__ = ["CLASSES", "Algonauts2023", "to_challenge", "to_fsaverage"]

FSAVERAGE5 = 10_242
"""Vertices of a hemisphere of fsaverage5: the first ones of fsaverage."""
TREE = """
algonauts_2023_challenge_data/
  subj01/ … subj08/
    training_split/
      training_images/      train-0001_nsd-00013.png …
      training_fmri/        lh_training_fmri.npy  rh_training_fmri.npy
    test_split/
      test_images/          test-0001_nsd-00845.png …
      [test_fmri/           lh_test_fmri.npy …]
      [noise_ceiling/       lh_noise_ceiling.npy …]
    roi_masks/
      lh.all-vertices_fsaverage_space.npy …
      [lh.streams_challenge_space.npy  lh.streams_fsaverage_space.npy  mapping_streams.npy …]
"""


@dataclass(frozen=True)
class Algonauts2023(Dataset):
    """Responses of eight subjects to natural scenes (7 T fMRI), in the official tree.

    A stimulus is an image by its place among the 73,000 of the Natural Scenes Dataset, such as
    ``nsd00013``, so that what several subjects saw is one stimulus and on one side of every split.
    A row is an image, its response the mean over its trials of responses z-scored by session; rows
    of the test are there, hidden unless `test_fmri` is. A target is a vertex by its place on
    fsaverage, such as ``lh.012345``, with ``hemisphere``, ``ceiling`` (fraction) where known, and
    the regions of six classes, which overlap (`CLASSES`). Vertices that a subject lacks are
    no targets of it. Values stay on disk until they are asked for.

    9,841 images of subjects 1, 2, 5 and 7 to learn from, 9,082 of 3 and 6, 8,779 of 4 and 8, and
    159, 293 and 395 in the test; 19,004 vertices in the left and 20,544 in the right hemisphere,
    but for subjects 6 (18,978 and 20,220) and 8 (18,981 and 20,530). `facts` tells where to get
    it, the agreement and what to cite.

    Parameters
    ----------
    path
        The folder that holds `subj01` to `subj08`, or some of them.
    subjects
        Which of them; default all there.
    hemispheres
        ``lh``, ``rh`` or both; default those whose responses are there.
    surface, fsaverage
        Coordinates x, y, z of the targets on ``pial``, ``white``, ``inflated``, … of a FreeSurfer
        folder `fsaverage`; without one on fsaverage5, which has the first 10,242 vertices of a
        hemisphere, and NaN behind them. No coordinates unless a surface is named.
    noise_ceilings
        A folder with `subj01/lh.npy` and so on, in fractions or percent, which is recognised;
        default each subject's own `test_split/noise_ceiling`, where there is one.

    """

    path: str | Path = field(metadata={"machine": True})
    subjects: tuple[str, ...] = ()
    hemispheres: tuple[Literal["lh", "rh"], ...] = ()
    surface: str = ""
    noise_ceilings: str | Path = field(default="", metadata={"machine": True})
    fsaverage: str | Path = field(default="", metadata={"machine": True})

    facts: ClassVar[Facts] = Facts(
        title="Algonauts 2023",
        where="https://algonautsproject.com/2023 (a form), then the folder that it names",
        agreement="the terms of the Natural Scenes Dataset: https://naturalscenesdataset.org",
        size="12 GB of responses; 77,098 images of 425 × 425 pixels",
        citation=(
            "Gifford et al. (2023), The Algonauts Project 2023 Challenge, arXiv:2301.03198;"
            " Allen et al. (2022), Nature Neuroscience 25, 116-126"
        ),
        tree=TREE,
    )

    def stimuli(self) -> Stimuli:
        """The images of all subjects in use, each once, with their part.

        Raises
        ------
        DataError
            When one subject is to be tested on what another learns from.

        """
        ids: list[str] = []
        found: list[str] = []
        part: dict[str, str] = {}
        whose: dict[str, str] = {}
        for subject in self._subjects():
            for kind in ("training", "test"):
                shown = files.images(self._root() / subject, kind)
                name = "train" if kind == "training" else "test"
                for stimulus, file in zip(shown.ids, shown.files, strict=True):
                    if stimulus not in part:
                        ids.append(stimulus)
                        found.append(file)
                        part[stimulus], whose[stimulus] = name, subject
                    elif part[stimulus] != name:
                        raise DataError(
                            f"{file}: {subject} has this image in the {kind} split, and"
                            f" {whose[stimulus]} in the other: who learns from the one would know"
                            " the other; take the file out of one of the trees, or use them apart"
                            " with dataset.subjects"
                        )
        table = {"file": found, "part": [part[i] for i in ids]}
        return Stimuli(pd.DataFrame(table, index=ids, dtype=object))

    def responses(self) -> Opened:
        """Responses by subject, images × vertices, opened when asked for; nothing is read yet."""
        return Opened(self._subjects(), self._open)

    def split(self) -> Split:
        """The last tenth of the training images, for all subjects at once; then the test."""
        return Last(fraction=0.1)

    def ceilings(self) -> pd.DataFrame:
        """Noise ceilings by subject and hemisphere: the unit of their file, mean and zeros.

        ``mean`` and ``median`` are percent of variance, ``zeros`` counts vertices without any
        explainable variance; ``unit`` is the file's own.
        """
        unit, lines = self._unit(), []
        for subject in self._subjects():
            for hemisphere, path in self._ceiling_files(subject).items():
                percent = files.read_ceiling(path) * (1 if unit == "percent" else 100)
                lines.append(
                    {
                        "subject": subject,
                        "hemisphere": hemisphere,
                        "unit": unit,
                        "mean": float(percent.mean()),
                        "median": float(np.median(percent)),
                        "zeros": int((percent == 0).sum()),
                        "vertices": len(percent),
                    }
                )
        columns = ["subject", "hemisphere", "unit", "mean", "median", "zeros", "vertices"]
        return pd.DataFrame(lines, columns=columns)

    def mask(self, subject: str, hemisphere: Literal["lh", "rh"]) -> Int[np.ndarray, " vertex"]:
        """1 where a challenge vertex of a subject lies on fsaverage, as `to_fsaverage` takes it."""
        if subject not in self._subjects():
            raise DataError(unknown("subject", subject, self._subjects()))
        found = np.zeros(FSAVERAGE, dtype=np.int64)
        found[masks.vertices(self._root() / subject, hemisphere)] = 1
        return found

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """The challenge's score, in percent, and the same without its faults.

        ``official``: 100·max(r, 0)² / ceiling, at most 100, the mean over all vertices of all
        subjects; a ceiling of 0 counts as 1e-14, so that any positive r there is worth 100.
        ``corrected``: 100·r·|r| / ceiling within ±100, vertices whose ceiling is 0 left out.
        Vertices without a known ceiling are left out of both and counted. Where targets or subjects
        were not predicted at all, ``partial`` stands in the place of ``official``, the same over
        the others, with ``not_predicted`` and ``of``. Empty without truth or ceilings.

        Raises
        ------
        DataError
            When a target is predicted on some of the rows only; what lacks is counted.

        """
        return score(truth, predicted)

    def write_submission(self, predicted: Mapping[str, Responses], folder: Path) -> Path:
        """Write `algonauts_2023_challenge_submission` and its .zip, and return the .zip.

        One float32 array (test image, vertex) per subject and hemisphere of the copy; images in
        the order of their running numbers, vertices ascending on fsaverage. What the copy itself
        lacks of the challenge, `submission_warnings` tells.

        Raises
        ------
        DataError
            When `subjects` or `hemispheres` leave any of the copy out, or any test image lacks a
            prediction of any vertex; these are counted, and nothing is written.

        """
        self._refuse_parts()
        return submission.write(Path(folder), self._predictions(predicted))

    def check_submission(self, path: str | Path) -> None:
        """Raise for the first thing for which the challenge would refuse a folder or .zip.

        Raises
        ------
        FileError, DataError
            Naming the file within the submission: missing, unexpected, of another dtype or shape,
            or with values that are no numbers.

        """
        submission.check(Path(path), self._wanted())

    def submission_warnings(self, path: str | Path = "") -> list[str]:
        """What the challenge wants of a submission, and this copy does not have."""
        there = _subjects_in(self._root())
        return submission.shortcomings(self._root(), there, self._wanted())

    def inspect(self) -> Iterator[Finding]:
        """Go through every file of the copy: what is there, what is missing, what is wrong."""
        from striate.datasets.algonauts2023 import inspect

        root = self._root()
        names = self.subjects or tuple(_subjects_in(root))
        yield from inspect.findings(root, names, self.hemispheres)
        yield from inspect.ceilings_found(root, names, self.noise_ceilings)

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0, **more: Any
    ) -> pd.DataFrame:
        """Write a made-up tree whose scores are known; see `twin.write`."""
        from striate.datasets.algonauts2023 import twin

        return twin.write(Path(folder), size, seed, **more)

    def _root(self) -> Path:
        return root_of(self.path, self.facts, ["subj[0-9][0-9]"])

    def _subjects(self) -> tuple[str, ...]:
        there = _subjects_in(self._root())
        for name in self.subjects:
            if name not in there:
                raise FileError(unknown("subject", name, there, str(self._root())))
        return tuple(s for s in there if not self.subjects or s in self.subjects)

    def _hemispheres(self, subject: str) -> tuple[str, ...]:
        if self.hemispheres:
            return tuple(h for h in files.HEMISPHERES if h in self.hemispheres)
        folder = self._root() / subject
        found = tuple(h for h in files.HEMISPHERES if files.fmri_file(folder, h).is_file())
        if not found:
            raise FileError(
                f"no {files.fmri_file(folder, 'lh')} or rh_training_fmri.npy: restore them, or"
                f" leave {subject} out with dataset.subjects"
            )
        return found

    def _ceiling_files(self, subject: str) -> dict[str, Path]:
        given = Path(self.noise_ceilings).expanduser() if self.noise_ceilings else None
        found = files.ceiling_files(given or self._root(), subject)
        mine = {h: p for h, p in found.items() if h in self._hemispheres(subject)}
        if given is not None and len(mine) < len(self._hemispheres(subject)):
            lost = [h for h in self._hemispheres(subject) if h not in mine]
            raise FileError(
                f"no {given / subject / lost[0]}.npy: dataset.noise_ceilings must have a file for"
                " every subject and hemisphere in use"
            )
        return mine

    def _unit(self) -> str:
        """The unit of all ceilings in use; one file alone may not tell."""
        paths = [p for s in self._subjects() for p in self._ceiling_files(s).values()]
        return files.unit_of(paths, [float(files.read_ceiling(p).max(initial=0.0)) for p in paths])

    def _open(self, subject: str) -> Responses:
        folder = self._root() / subject
        shown, hidden = files.images(folder, "training"), files.images(folder, "test")
        if not shown.ids:
            raise FileError(
                f"no images in {files.image_folder(folder, 'training')}, whose names say what was"
                " shown in each row: restore them"
            )
        sides = self._hemispheres(subject)
        places = [masks.vertices(folder, h) for h in sides]
        stored, regions = [], []
        for side, place in zip(sides, places, strict=True):
            stored.append(files.hemisphere(folder, side, len(place), shown, hidden))
            own = masks.regions(folder, side, place)
            regions.append(pd.DataFrame(own, index=range(len(place))))
        inside = pd.concat(regions)
        ids = [masks.target_ids(h)[p] for h, p in zip(sides, places, strict=True)]
        whose = np.repeat(np.array(sides, dtype=object), [len(p) for p in places])
        more: dict[str, Any] = {"hemisphere": whose}
        if self.surface:
            where = [self._coordinates(h, p) for h, p in zip(sides, places, strict=True)]
            more |= dict(zip("xyz", np.concatenate(where).T, strict=True))
        ceiling = self._ceiling(subject, [len(p) for p in places])
        if ceiling is not None:
            more["ceiling"] = ceiling
        return label_responses(
            OnDisk.beside(stored),
            np.array([*shown.ids, *hidden.ids], dtype=object),
            np.concatenate(ids),
            subject=subject,
            # A class that one hemisphere lacks has no vertices there.
            rois={str(n): inside[n].eq(True).to_numpy() for n in inside},
            target_labels=more,
        )

    def _ceiling(self, subject: str, counts: list[int]) -> Float[np.ndarray, " target"] | None:
        """Fractions of variance of all vertices, NaN where there is no file; None without any."""
        found = self._ceiling_files(subject)
        if not found:
            return None
        scale = 100 if self._unit() == "percent" else 1
        parts = []
        for side, count in zip(self._hemispheres(subject), counts, strict=True):
            own = found.get(side)
            known = files.read_ceiling(own, count) if own else np.full(count, np.nan)
            parts.append(np.minimum(known / scale, 1.0))
        return np.concatenate(parts)

    def _coordinates(
        self, side: str, place: Int[np.ndarray, " target"]
    ) -> Float[np.ndarray, "target 3"]:
        known = place if self.fsaverage else place[place < FSAVERAGE5]
        found = np.full((len(place), 3), np.nan)
        found[: len(known)] = vertex_coordinates(side, known, self.surface, self.fsaverage)
        return found

    def _refuse_parts(self) -> None:
        """Refuse a submission of fewer subjects or hemispheres than the copy has."""
        whole = replace(self, subjects=(), hemispheres=())
        lost = [s for s in whole._subjects() if s not in self._subjects()]
        if lost:
            raise DataError(
                f"a submission has every subject, but dataset.subjects leaves out {some(lost, 8)}:"
                " run all of them for it"
            )
        for subject in whole._subjects():
            own = self._hemispheres(subject)
            lost = [h for h in whole._hemispheres(subject) if h not in own]
            if lost:
                raise DataError(
                    f"a submission has both hemispheres, but dataset.hemispheres leaves out"
                    f" {lost[0]} of {subject}: run both for it"
                )

    def _wanted(self) -> dict[str, tuple[int, int]]:
        """Files of a submission, and the shapes of their arrays, of all that the copy has."""
        whole = replace(self, subjects=(), hemispheres=())
        shapes = {}
        for subject in whole._subjects():
            folder = self._root() / subject
            shown = files.images(folder, "test")
            for side in whole._hemispheres(subject):
                count = len(masks.vertices(folder, side))
                shapes[submission.member(subject, side)] = (self._tested(subject, shown), count)
        return shapes

    def _tested(self, subject: str, shown: files.Images) -> int:
        if not shown.ids:
            raise FileError(
                f"no images in {files.image_folder(self._root() / subject, 'test')}, whose names"
                " give a submission its order: restore them"
            )
        return len(shown.ids)

    def _predictions(
        self, predicted: Mapping[str, Responses]
    ) -> Iterator[tuple[str, Float[np.ndarray, "row target"]]]:
        """Files of a submission and their arrays, a subject at a time."""
        for subject, block in self.responses().items():
            shown = files.images(self._root() / subject, "test")
            count = self._tested(subject, shown)
            wanted = block.isel(row=np.arange(block.shape[0] - count, block.shape[0]))
            values = align(wanted, predicted)
            missing = int(np.isnan(values).sum())
            if missing:
                raise DataError(
                    f"{missing} of {values.size} predictions for the test images of {subject} are"
                    " missing: predict every vertex of both hemispheres for every test image"
                )
            sides = wanted.hemisphere.values
            for side in self._hemispheres(subject):
                yield submission.member(subject, side), values[:, sides == side]


def _subjects_in(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() and files.SUBJECT.fullmatch(p.name))
