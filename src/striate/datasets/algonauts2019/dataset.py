"""The Algonauts 2019 challenge: predict how dissimilar two images are to the visual cortex."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from striate.data import Responses, Stimuli, align, has_truth, label_responses, row_table
from striate.datasets.algonauts2019 import rdm_files, submission
from striate.datasets.algonauts2019.rdm_files import COUNT, PLACES, SETS
from striate.datasets.facts import Facts, Finding, root_of
from striate.datasets.scored import Share
from striate.errors import DataError, FileError, StriateError, unknown
from striate.interfaces import Dataset
from striate.scores import (
    ALGONAUTS2019_CEILINGS,
    algonauts2019,
    algonauts2019_percent,
    rdm_ceiling,
)

REGIONS = MappingProxyType({"fmri": ("EVC", "IT"), "meg": ("early", "late")})
TREE = """
Training_Data/
  92_Image_Set/
    92images/            image_01.jpg … image_92.jpg
    target_fmri.mat      EVC_RDMs, IT_RDMs: 15 subjects × 92 × 92
    [target_meg.mat      MEG_RDMs_early, MEG_RDMs_late: 15 subjects × samples × 92 × 92]
  118_Image_Set/
    118images/           image_001.jpg … image_118.jpg
    target_fmri.mat  [target_meg.mat]
Test_Data/
  78images/              image_01.jpg … image_78.jpg
  [target_fmri.mat  target_meg.mat]
  [TS2/                  the hidden twin set, in the same way]
"""


@dataclass(frozen=True)
class Algonauts2019(Dataset):
    """RDMs of 15 subjects for each of three image sets, in the official tree.

    A row is a pair of images of one set (upper triangle, row by row); a target is a region (EVC,
    IT) or a window (early, late; one target per sample in ``time``). Subjects of different sets
    are different people: ``set92.sub03``. A test set whose RDMs are not there has one subject
    without values, ``set78.hidden``. Images may be missing until they are needed. `facts` tells
    where to get it, the agreement and what to cite.

    Parameters
    ----------
    path
        The folder that holds `Training_Data` and `Test_Data`.
    test
        The image set that is predicted; ``TS2`` is the second, hidden twin of the 78 images.
    train
        The image sets to learn from; default all others of 92, 118 and 78 that have RDMs.
    modality
        ``fmri`` or ``meg``.
    subjects
        How many subjects each set must have.

    """

    path: str | Path = field(metadata={"machine": True})
    test: Literal["92", "118", "78", "TS2"] = "78"
    train: tuple[str, ...] = ()
    modality: Literal["fmri", "meg"] = "fmri"
    subjects: int = 15

    facts: ClassVar[Facts] = Facts(
        title="Algonauts 2019",
        where="http://algonauts.csail.mit.edu/2019/download.html",
        agreement="free for research; images and measurements belong to those who made them",
        size="about 150 MB: 288 images, fMRI and MEG RDMs",
        citation="Cichy et al. (2019), The Algonauts Project, arXiv:1905.05675",
        tree=TREE,
    )

    def stimuli(self) -> Stimuli:
        """The images of the sets in use: `set92.image_01` and so on, with a label ``set``."""
        lines = []
        for name in self._sets():
            files = rdm_files.image_files(rdm_files.image_folder(self._root(), name), COUNT[name])
            part = "test" if name == self.test else "train"
            lines += [
                {"id": i, "file": files.get(k + 1, ""), "part": part, "set": name}
                for k, i in enumerate(_ids(name))
            ]
        return Stimuli(pd.DataFrame(lines, dtype=object).set_index("id"))

    def responses(self) -> Mapping[str, Responses]:
        """RDMs by subject, pairs × regions, or pairs × (window, time)."""
        blocks: dict[str, Responses] = {}
        for name in self._sets():
            i, j = np.triu_indices(COUNT[name], 1)
            ids = np.array(_ids(name), dtype=object)
            pairs = np.stack([ids[i], ids[j]], axis=1)
            rdms = self._rdms(name)
            if rdms is None:
                blank = {r: np.full((1, 1, len(i)), np.nan) for r in REGIONS[self.modality]}
                blocks |= self._label(name, blank, pairs, ["hidden"])
            else:
                people = [f"sub{k + 1:02d}" for k in range(self.subjects)]
                values = {r: m[..., i, j].reshape(len(m), -1, len(i)) for r, m in rdms.items()}
                blocks |= self._label(name, values, pairs, people)
        return blocks

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """Percent of the noise ceiling that the kit reports, for the subjects of the test set.

        ``official``: the track's ``value``, 100 · mean R² / mean ceiling; ``by_roi`` percent,
        ``raw`` R² and ``ceiling`` of each region or window; ``p`` of the kit's t-test; ``flat``
        RDMs that never vary, which score 0. ``corrected``: the same from the mean of rho·|rho|
        (``signed``), so that a model opposite to the brain, whose sign R² hides, falls below 0.
        One RDM is scored per region: where predictions differ between subjects or samples, their
        mean. Where a region is not predicted at all, ``partial`` stands in the place of
        ``official``, the same over the other regions, with ``not_predicted`` and ``of``, counts of
        regions or windows. Empty without truth.

        Raises
        ------
        DataError
            When some pairs of the test set are not predicted; they are counted.

        """
        found: dict[str, Any] = {}
        flat = 0
        share = Share()
        people = {s: self._of_test(b) for s, b in truth.items()}
        people = {s: b for s, b in people.items() if b.size and has_truth(b).any()}
        rows = pd.Index(dict.fromkeys(r for b in people.values() for r in b.row.values.tolist()))
        regions = dict.fromkeys(
            str(t) for block in people.values() for t in block.target.values.tolist()
        )
        for region in regions:
            mine = [
                b.isel(target=np.flatnonzero(b.target.values == region)) for b in people.values()
            ]
            model = _mean(np.concatenate([_at(rows, b, align(b, predicted)) for b in mine], axis=1))
            silent = bool(np.isnan(model).all())
            share.count(int(silent), 1)
            if silent:
                continue
            _complete(model, f"pairs of set {self.test} in {region}")
            flat += int(np.ptp(model) == 0)
            measured = [_at(rows, b, b.values).T for b in mine]
            found[region] = algonauts2019(model, np.stack(measured))
        if not found:
            return {}
        raw = {r: s.r2 for r, s in found.items()}
        signed = {r: s.signed for r, s in found.items()}
        ceiling = {r: ALGONAUTS2019_CEILINGS[self.test][r] for r in raw}

        def entry(values: dict[str, float]) -> dict[str, Any]:
            percent = algonauts2019_percent(values, self.test)
            value = 100 * sum(values.values()) / sum(ceiling.values())
            by_roi = {r: percent[r] for r in values}
            return {"value": value, "by_roi": by_roi, "unit": "percent", "name": "algonauts2019"}

        p = {r: s.p for r, s in found.items()}
        return share.told(
            {**entry(raw), "raw": raw, "ceiling": ceiling, "p": p, "flat": flat},
            {**entry(signed), "signed": signed},
        )

    def ceilings(self) -> pd.DataFrame:
        """Noise ceilings of the sets in use, by ``set`` and ``roi``.

        ``official`` is the challenge's constant and ``r2`` the same from these RDMs: the score of
        the mean over subjects (and samples). ``lower`` and ``upper`` bound the mean Spearman
        correlation with a subject (Nili et al., 2014; RDMs averaged over samples).
        """
        lines = []
        for name in self._sets():
            i, j = np.triu_indices(COUNT[name], 1)
            for region, rdms in (self._rdms(name) or {}).items():
                values = rdms[..., i, j]
                values = values.reshape(len(values), -1, len(i))
                lower, upper = (
                    rdm_ceiling(values.mean(axis=1)) if len(values) > 1 else (np.nan,) * 2
                )
                lines.append(
                    {
                        "set": name,
                        "roi": region,
                        "official": ALGONAUTS2019_CEILINGS[name][region],
                        "r2": algonauts2019(values.mean(axis=(0, 1)), values).r2,
                        "lower": lower,
                        "upper": upper,
                    }
                )
        return pd.DataFrame(lines, columns=["set", "roi", "official", "r2", "lower", "upper"])

    def write_submission(self, predicted: Mapping[str, Responses], folder: Path) -> Path:
        """Write `submit_fmri.mat` (or `submit_meg.mat`) and its .zip, and return the .zip.

        One symmetric RDM per region or window, the mean where predictions differ between subjects
        or samples.

        Raises
        ------
        DataError
            When pairs of the test set are not predicted; nothing is written.

        """
        size = COUNT[self.test]
        i, j = np.triu_indices(size, 1)
        ids = _ids(self.test)
        rows = pd.Index([f"{ids[a]}|{ids[b]}" for a, b in zip(i, j, strict=True)])
        rdms = {}
        for region in REGIONS[self.modality]:
            columns = [np.full((len(rows), 1), np.nan)]
            for block in predicted.values():
                own = np.flatnonzero(block.target.values.astype(str) == region)
                columns.append(_at(rows, block, block.values[:, own]))
            model = _mean(np.concatenate(columns, axis=1))
            _complete(model, f"pairs of set {self.test} in {region}")
            rdms[region] = np.zeros((size, size))
            rdms[region][i, j] = rdms[region][j, i] = model
        return submission.write(Path(folder), self.modality, rdms)

    def check_submission(self, path: str | Path) -> dict[str, np.ndarray]:
        """The RDMs of a submission (.zip, .mat, .npy), if the challenge would accept them.

        Raises
        ------
        DataError
            When a matrix is missing, has another size, is not symmetric, never varies, or holds
            NaN.

        """
        return submission.read(Path(path), self.modality, COUNT[self.test])

    def inspect(self) -> Iterator[Finding]:
        """What is there, missing and wrong, file by file."""
        from striate.datasets.algonauts2019 import inspect

        yield from inspect.findings(self._root(), self.subjects)

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0
    ) -> pd.DataFrame:
        """Write a made-up tree whose scores are known; see `twin.write`."""
        from striate.datasets.algonauts2019 import twin

        return twin.write(Path(folder), size, seed)

    def _root(self) -> Path:
        tops = dict.fromkeys(p.partition("/")[0] for places in PLACES.values() for p in places)
        return root_of(self.path, self.facts, dict.fromkeys(("Training_Data", "Test_Data", *tops)))

    def _file(self, name: str) -> Path:
        return rdm_files.target_file(self._root(), name, self.modality)

    def _sets(self) -> list[str]:
        """The image sets in use, those to learn from first."""
        for name in (*self.train, self.test):
            if name not in COUNT:
                raise StriateError(unknown("image set", name, COUNT))
        if self.test in self.train:
            raise DataError(f"image set {self.test} cannot be both dataset.test and dataset.train")
        for name in self.train:
            if not self._file(name).is_file():
                raise FileError(
                    f"image set {name} is to be learned from, but has no {self._file(name)}"
                )
        learn = self.train or [n for n in SETS if n != self.test and self._file(n).is_file()]
        file, images = self._file(self.test), rdm_files.image_folder(self._root(), self.test)
        if not file.is_file() and not images.is_dir():
            raise FileError(
                f"image set {self.test} is to be predicted, but {file.parent} has neither"
                f" {images.name} nor {file.name}: choose another dataset.test"
            )
        if not learn and not file.is_file():
            raise FileError(
                f"no {file.name} in {self._file('92').parent} or {file.parent}: the"
                f" {self.modality} RDMs are missing"
            )
        return [*learn, self.test]

    def _rdms(self, name: str) -> dict[str, np.ndarray] | None:
        if not self._file(name).is_file():
            return None
        return rdm_files.read_rdms(self._file(name), self.modality, self.subjects, COUNT[name])

    def _label(
        self, name: str, values: Mapping[str, np.ndarray], pairs: np.ndarray, people: list[str]
    ) -> dict[str, Responses]:
        """Blocks by subject from region → (subject, sample, pair)."""
        targets = [r for r, v in values.items() for _ in range(v.shape[1])]
        time = [t for v in values.values() for t in range(v.shape[1])]
        sampled = self.modality == "meg" and people != ["hidden"]
        blocks = {}
        for k, person in enumerate(people):
            blocks[f"set{name}.{person}"] = label_responses(
                np.concatenate([v[k] for v in values.values()]).T,
                pairs,
                targets,
                subject=f"set{name}.{person}",
                rois={r: [t == r for t in targets] for r in values},
                row_labels={"set": [name] * len(pairs)},
                target_labels={"time": time} if sampled else {},
            )
        return blocks

    def _of_test(self, block: Responses) -> Responses:
        """The rows whose images are of the test set."""
        shown = row_table(block)[["stimulus", "stimulus_2"]].astype(str)
        mine = shown.apply(lambda c: c.str.startswith(f"set{self.test}.")).all(axis=1)
        return block.isel(row=np.flatnonzero(mine.to_numpy()))


def _ids(name: str) -> list[str]:
    digits = len(str(COUNT[name]))
    return [f"set{name}.image_{k + 1:0{digits}d}" for k in range(COUNT[name])]


def _at(rows: pd.Index, block: Responses, values: np.ndarray) -> np.ndarray:
    """The values of a block by row id, in the order of `rows`; NaN where it has no such row."""
    place = pd.Index(block.row.values).get_indexer(rows)
    found = np.full((len(rows), values.shape[1]), np.nan)
    found[place >= 0] = values[place[place >= 0]]
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over columns of what is there; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=1)
    total = np.where(np.isnan(values), 0, values).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _complete(model: np.ndarray, what: str) -> None:
    missing = int(np.isnan(model).sum())
    if missing:
        raise DataError(
            f"{missing} of {len(model)} {what} are not predicted: add a member that predicts them"
        )
